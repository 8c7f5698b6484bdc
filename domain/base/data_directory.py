"""The data directory of the embedded servers: who holds it, as whom its servers run, where they listen, and the end of
those that a killed owner left behind."""

import asyncio
import fcntl
import hashlib
import json
import os
import pwd
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

POSTGRES, REDIS = "postgres", "redis"
# sockaddr_un holds 104 bytes with the closing NUL on macOS, 108 on Linux.
SOCKET_PATH_MAX_BYTES = 103
POSTGRES_SOCKET, REDIS_SOCKET = ".s.PGSQL.5432", "redis.sock"
ORPHAN_DEADLINE_S = 15.0
QUIT_DEADLINE_S = 0.5
POLL_S = 0.02


class EmbeddedError(Exception):
    """The servers cannot be had. The message is for the person at the prompt."""


class Taken(EmbeddedError):
    """Another process holds the directory."""


class Lock:
    """The lock of a data directory. Its file tells guests where the servers listen; the kernel frees it at any end."""

    def __init__(self, directory: Path) -> None:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The servers and the tag need one name for the directory, whichever way it was reached.
            self.directory = Path(os.path.realpath(directory))
            self._file = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as fault:
            raise EmbeddedError(f"the data directory {directory} cannot be used: {fault.strerror}") from fault
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = self.read().get("pid", "unknown")
            os.close(self._file)
            raise Taken(
                f"{directory} is in use by another planwire (process {holder}); "
                "stop that one, or choose another directory with --data"
            ) from None

    def read(self) -> dict[str, Any]:
        return entry_of(self.directory)

    def write(self, **entry: object) -> None:
        text = json.dumps({"pid": os.getpid(), **entry}).encode()
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, text, 0)

    def release(self) -> None:
        os.close(self._file)


def entry_of(directory: Path) -> dict[str, Any]:
    """What the lock file says. Empty while it is being written."""
    try:
        entry = json.loads((directory / "lock").read_bytes())
    except (OSError, ValueError):
        return {}
    return entry if isinstance(entry, dict) else {}


def tag(directory: Path) -> str:
    """A word in the title of every server process of the directory. Titles can be read where nothing else of a process
    of another user can, as by root in a container."""
    return f"planwire-{hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]}"


def tagged(directory: Path) -> list[psutil.Process]:
    mark = tag(directory)
    return [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if (process.info["name"] or "").startswith((POSTGRES, REDIS))
        and any(mark in part for part in process.info["cmdline"] or ())
    ]


async def end_orphans(directory: Path) -> None:
    """End the servers of an owner that was killed, and what is left of a Postgres whose first process was.

    Only called under the lock: any server of the directory is an orphan then.
    """
    begun = time.monotonic()
    sent: set[int] = set()
    while orphans := tagged(directory):
        waited = time.monotonic() - begun
        if waited > ORPHAN_DEADLINE_S + QUIT_DEADLINE_S:
            pids = ", ".join(str(orphan.pid) for orphan in orphans)
            raise EmbeddedError(f"servers of a former run in {directory} do not end: processes {pids}")
        for orphan in orphans:
            try:
                if waited > ORPHAN_DEADLINE_S:
                    orphan.kill()
                # The children of a living first process are its own to end.
                elif orphan.pid not in sent and orphan.ppid() not in {other.pid for other in orphans}:
                    orphan.send_signal(signal.SIGINT)
                    sent.add(orphan.pid)
            except psutil.NoSuchProcess:
                pass
            except psutil.AccessDenied:
                raise EmbeddedError(f"process {orphan.pid} of another user runs in {directory}") from None
        await asyncio.sleep(POLL_S)


@dataclass(frozen=True)
class Account:
    """Who the servers run as, and the command that makes it so."""

    uid: int
    gid: int
    prefix: tuple[str, ...]

    def make(self, path: Path) -> None:
        path.mkdir(mode=0o700, exist_ok=True)
        if path.stat().st_uid != self.uid:
            os.chown(path, self.uid, self.gid)


def account_for(directory: Path) -> Account:
    """Postgres refuses to run as root, so root hands it to `nobody`, or to the user whose data are there already."""
    setpriv = shutil.which("setpriv")
    dies_with_owner = (setpriv, "--pdeathsig", "INT") if setpriv else ()
    data = directory / POSTGRES
    owner = data.stat().st_uid if data.exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise EmbeddedError(f"{data} belongs to another user; start as that user, or choose another --data")
        return Account(os.geteuid(), os.getegid(), (*dies_with_owner, "--") if dies_with_owner else ())
    if not setpriv:
        raise EmbeddedError("started as root, Postgres needs setpriv: install util-linux, or start as another user")
    user = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
    # The directories above the data and the binaries, /root for one, can be closed to that user. Passing them by
    # capability leaves their modes as they are.
    passing = ("--inh-caps", "+dac_override", "--ambient-caps", "+dac_override")
    to_user = ("--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups")
    return Account(user.pw_uid, user.pw_gid, (*dies_with_owner, *to_user, *passing, "--"))


def socket_directory(directory: Path, account: Account, left_by_a_crash: str | None) -> Path:
    """An empty directory for the sockets: in the data directory, or a short one of our own when that is too deep."""
    sockets = directory / "sockets"
    for left in (sockets, Path(left_by_a_crash) if left_by_a_crash else sockets):
        shutil.rmtree(left, ignore_errors=True)
    if len(os.fsencode(sockets / POSTGRES_SOCKET)) > SOCKET_PATH_MAX_BYTES:
        # A name that nobody can guess, made with mode 0700, so that nobody can be there first.
        sockets = Path(tempfile.mkdtemp(prefix="planwire-"))
        if len(os.fsencode(sockets / POSTGRES_SOCKET)) > SOCKET_PATH_MAX_BYTES:
            sockets.rmdir()
            raise EmbeddedError(f"{sockets.parent} is too deep for a socket; set TMPDIR to a shorter one")
    account.make(sockets)
    return sockets
