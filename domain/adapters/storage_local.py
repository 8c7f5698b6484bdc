"""Storage on the disk of this machine: objects as files under `org/`, and signed URLs that graph/files.py serves.

Every object is first written to a draft in the same file system, brought to the disk, and then renamed, so that a key
names a whole object or none. On a crash a draft is left, which a later write removes.
"""

import asyncio
import errno
import hashlib
import hmac
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

import structlog

from domain.adapters.storage import (
    Missing,
    NoRoom,
    Stored,
    UploadTarget,
    check_upload,
    checked_key,
    checked_prefix,
    checked_type,
    disposition,
    is_key,
)
from domain.base.clock import now
from domain.base.errors import DomainError, Unavailable

PATH = "/files/"
READ_BYTES = 256 * 1024
LISTED_AT_ONCE = 1000
# Who uploads writes at least once a minute, so nobody writes a draft any more that is as old as this.
DRAFT_HOLDS_S = 6 * 3600.0
CLEANED_EVERY_S = 3600.0
THREADS = 8
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
T = TypeVar("T")
_log = structlog.get_logger("storage")


class WrongBody(DomainError):
    """The bytes are not those that the URL was signed for. Nothing was kept."""


@dataclass(frozen=True)
class Upload:
    """What a signed URL lets its holder PUT."""

    key: str
    content_type: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Download:
    """What a signed URL lets its holder GET, and how it is served."""

    key: str
    content_type: str
    disposition: str


class LocalStorage:
    """The folder of files in a data directory. `origin` is where clients reach the routes."""

    def __init__(self, directory: Path, *, origin: str, signing_key: bytes) -> None:
        self._directory = directory
        self._origin = origin
        self._signing_key = signing_key
        self._cleaned_at: float | None = None
        # To bring gigabytes to the disk takes long; who signs in meanwhile waits for other threads than these.
        self._threads = ThreadPoolExecutor(THREADS, "files")

    async def presign_put(
        self, key: str, *, content_type: str, size_bytes: int, sha256: str, expires_s: int
    ) -> UploadTarget:
        """As Storage."""
        check_upload(key, content_type=content_type, size_bytes=size_bytes, sha256=sha256)
        expires_at = now() + timedelta(seconds=expires_s)
        url = self._signed("PUT", key, expires_at, type=content_type, size=str(size_bytes), sha256=sha256)
        return UploadTarget(url, "PUT", {"Content-Type": content_type}, expires_at)

    async def presign_get(self, key: str, *, filename: str, content_type: str, inline: bool, expires_s: int) -> str:
        """As Storage."""
        checked_key(key)
        shown = disposition(filename, checked_type(content_type), inline=inline)
        return self._signed("GET", key, now() + timedelta(seconds=expires_s), type=content_type, disposition=shown)

    def upload(self, path: bytes, query: bytes) -> Upload | None:
        """What may be PUT to a path and query, both as they were sent; None for what was not signed, or long ago."""
        told = self._told("PUT", path, query)
        return None if told is None else Upload(_key_of(path), told["type"], int(told["size"]), told["sha256"])

    def download(self, path: bytes, query: bytes) -> Download | None:
        """What may be got there, in the same way."""
        told = self._told("GET", path, query)
        return None if told is None else Download(_key_of(path), told["type"], told["disposition"])

    def path(self, key: str) -> Path:
        """Where an object lies, or would."""
        return self._directory / checked_key(key)

    async def stat(self, key: str) -> Stored | None:
        """As Storage."""
        found = await self.found(key)
        return None if found is None else _stored(key, found)

    async def found(self, key: str) -> os.stat_result | None:
        """What the system says of the file; None when there is none."""
        return await self._asked(_found_at, self.path(key))

    async def read(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """As Storage."""
        file = await self._asked(_opened, self.path(key))
        if file is None:
            raise Missing(key)
        try:
            file.seek(start)
            left = length
            while left is None or left > 0:
                chunk = await self._asked(file.read, READ_BYTES if left is None else min(left, READ_BYTES))
                if not chunk:
                    return
                if left is not None:
                    left -= len(chunk)
                yield chunk
        finally:
            file.close()

    async def write(self, key: str, chunks: AsyncIterator[bytes], *, content_type: str) -> Stored:
        """As Storage. The type is told by the URL that the object is got by, so it is not kept."""
        checked_type(content_type)
        async with self._draft(key) as draft:
            async for chunk in chunks:
                await self._asked(draft.add, chunk)
            return await self._asked(draft.keep)

    async def receive(self, upload: Upload, chunks: AsyncIterator[bytes]) -> Stored:
        """Write what a client sends. Raises WrongBody, NoRoom."""
        async with self._draft(upload.key) as draft:
            async for chunk in chunks:
                await self._asked(draft.add, chunk)
                if draft.size_bytes > upload.size_bytes:
                    raise WrongBody(f"The body has more than {upload.size_bytes} bytes.")
            if draft.size_bytes < upload.size_bytes:
                raise WrongBody(f"The body has {draft.size_bytes} bytes, and {upload.size_bytes} are expected.")
            if not hmac.compare_digest(draft.sha256, upload.sha256):
                raise WrongBody("The SHA-256 of the body is not the one expected.")
            return await self._asked(draft.keep)

    async def delete(self, key: str) -> None:
        """As Storage."""
        path = self.path(key)
        await self._asked(path.unlink, True)

    async def list(self, prefix: str) -> AsyncIterator[Stored]:
        """As Storage."""
        found = self._found(checked_prefix(prefix))
        while batch := await self._asked(_next, found):
            for each in batch:
                yield each

    async def close(self) -> None:
        """End the threads, once they are done."""
        self._threads.shutdown(wait=False)

    async def _asked(self, work: Callable[..., T], *arguments: object) -> T:
        """What the disk says, asked in a thread. Raises NoRoom; Unavailable."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        except OSError as fault:
            raise _unavailable(fault) from fault

    def _signed(self, method: str, key: str, expires_at: datetime, **told: str) -> str:
        path = PATH + key
        query = urlencode({"expires": str(int(expires_at.timestamp())), **told}, quote_via=quote)
        signature = self._signature(method, path.encode(), query.encode())
        return f"{self._origin}{path}?{query}&signature={signature}"

    def _signature(self, method: str, path: bytes, query: bytes) -> str:
        # A method holds no line break and a path no question mark, so no two requests are the same message.
        message = b"%s\n%s?%s" % (method.encode(), path, query)
        return hmac.new(self._signing_key, message, hashlib.sha256).hexdigest()

    def _told(self, method: str, path: bytes, query: bytes) -> dict[str, str] | None:
        """The parameters of a URL that was signed and still holds."""
        signed, _, signature = query.rpartition(b"&signature=")
        if not hmac.compare_digest(signature, self._signature(method, path, signed).encode()):
            return None
        told = dict(parse_qsl(signed.decode(), strict_parsing=True))
        return told if now().timestamp() < int(told["expires"]) else None

    @asynccontextmanager
    async def _draft(self, key: str) -> AsyncIterator["_Draft"]:
        path = self.path(key)
        if self._cleaned_at is None or time.monotonic() - self._cleaned_at > CLEANED_EVERY_S:
            self._cleaned_at = time.monotonic()
            await self._asked(_clean, self._directory / "drafts")
        draft = _Draft(key, path, self._directory)
        try:
            await self._asked(draft.open)
            yield draft
        finally:
            # In a thread because the end of a large file takes a while; shielded because it has to be done.
            await asyncio.shield(self._asked(draft.drop))

    def _found(self, prefix: str) -> Iterator[Stored]:
        for directory, _, names in os.walk(self._directory / prefix, onerror=_not_read):
            for name in names:
                path = Path(directory, name)
                key = path.relative_to(self._directory).as_posix()
                if is_key(key):
                    # What is deleted meanwhile is not there.
                    with suppress(FileNotFoundError):
                        yield _stored(key, path.stat())


class _Draft:
    """An object that is being written. Its methods block."""

    def __init__(self, key: str, path: Path, directory: Path) -> None:
        self._key = key
        self._path = path
        self._directory = directory
        self._name = directory / "drafts" / secrets.token_hex(16)
        # A caller that is cancelled goes on to `drop` while its last step is still made in a thread.
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._is_over = False
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        """Of what was added, in lower-case hexadecimal."""
        return self._digest.hexdigest()

    def open(self) -> None:
        """Begin it."""
        with self._lock:
            if not self._is_over:
                self._name.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._file = open(os.open(self._name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def add(self, chunk: bytes) -> None:
        """Write on."""
        with self._lock:
            if self._file is not None:
                self._digest.update(chunk)
                self._file.write(chunk)
                self.size_bytes += len(chunk)

    def keep(self) -> Stored:
        """Let the key name it, for good."""
        with self._lock:
            if self._file is None:
                raise Unavailable("The file was given up.")
            self._file.flush()
            os.fsync(self._file.fileno())
            _make(self._path.parent, self._directory)
            self._name.rename(self._path)
            _sync(self._path.parent)
            return _stored(self._key, os.fstat(self._file.fileno()))

    def drop(self) -> None:
        """Remove what is left of it, which is nothing when it was kept."""
        with self._lock:
            self._is_over = True
            file, self._file = self._file, None
            if file is None:
                return
            # A full disk does not take what is still to be written; it is closed all the same.
            with suppress(OSError):
                file.close()
            self._name.unlink(missing_ok=True)


def _unavailable(fault: OSError) -> Unavailable:
    _log.error("the disk does not do what it is asked", fault=fault.strerror)
    if fault.errno in _NO_ROOM:
        return NoRoom("The disk has no room for the file.")
    return Unavailable("The file cannot be reached on the disk.")


def _stored(key: str, found: os.stat_result) -> Stored:
    return Stored(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


def _found_at(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _opened(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _key_of(path: bytes) -> str:
    """The key in a path that was signed."""
    return checked_key(path.decode().removeprefix(PATH))


def _not_read(fault: OSError) -> None:
    """What is done with a directory that cannot be read: who takes its objects for lost would give them up."""
    if not isinstance(fault, FileNotFoundError):
        raise fault


def _next(found: Iterator[Stored]) -> "list[Stored]":
    return list(islice(found, LISTED_AT_ONCE))


def _make(directory: Path, root: Path) -> None:
    """Make a directory below the root that a crash does not take back."""
    if directory != root and not directory.is_dir():
        _make(directory.parent, root)
        directory.mkdir(mode=0o700, exist_ok=True)
        _sync(directory.parent)


def _sync(directory: Path) -> None:
    """Bring the names in a directory to the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _clean(drafts: Path) -> None:
    """Remove the drafts that a crash has left."""
    with suppress(FileNotFoundError):
        for each in drafts.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - each.stat().st_mtime > DRAFT_HOLDS_S:
                    each.unlink()
