"""A ZIP that is written and read at the same time: nobody ever has the whole of it.

`fill` adds entries in a task of its own, which may hold a transaction; what it adds waits in a short queue. A thread of
this archive's own compresses what comes out there (stream-zip), and whoever iterates `zipped` takes what that makes.
When they stop, `fill` is cancelled and the thread is told that nothing comes any more; when `fill` fails, they get what
it raised.
"""

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from stream_zip import ZIP_64, ZIP_AUTO, MemberFile, Method, stream_zip

# Chunks that wait between who adds them and the thread.
_WAITING = 4
# Of zlib: what a higher one saves costs several times as much.
_LEVEL = 6
_MODE = 0o100600
# A size beyond what the older form of ZIP can say, so that an entry has the newer form whatever its size turns out.
_BEYOND_ZIP_32 = 2**40

Fill = Callable[["Archive"], Awaitable[None]]


@dataclass(frozen=True)
class Written:
    """An entry that is in the archive: its size and SHA-256 as they are unpacked."""

    path: str
    size_bytes: int
    sha256: str


class _Abandoned(Exception):
    """Nobody wants the rest."""


class _End:
    """Comes behind the last chunk of an entry, and behind the last entry."""


@dataclass(frozen=True)
class _Begin:
    path: str
    method: Method


class Archive:
    """What `fill` adds entries to. Made by `zipped`."""

    def __init__(self, at: datetime) -> None:
        self._at = at
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[_Begin | bytes | _End | BaseException] = asyncio.Queue(_WAITING)

    async def add(self, path: str, chunks: AsyncIterable[bytes], *, compress: bool = True) -> Written:
        """Add an entry. Without `compress` the bytes are put in as they are, in blocks that need no size beforehand."""
        digest, size = hashlib.sha256(), 0
        await self._queue.put(_Begin(path, ZIP_64 if compress else ZIP_AUTO(_BEYOND_ZIP_32, level=0)))
        async for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            await self._queue.put(chunk)
        await self._queue.put(_End())
        return Written(path, size, digest.hexdigest())

    async def filled(self, fill: Fill) -> None:
        """Let `fill` add its entries; those who read get what it raises."""
        try:
            await fill(self)
        except Exception as fault:
            await self._queue.put(fault)
        else:
            await self._queue.put(_End())

    def members(self) -> Iterator[MemberFile]:
        """The entries, each to be read to its end before the next. For the thread: it waits."""
        while isinstance(begin := self._next(), _Begin):
            yield begin.path, self._at, _MODE, begin.method, self._chunks()

    def _chunks(self) -> Iterator[bytes]:
        while isinstance(chunk := self._next(), bytes):
            yield chunk

    def _next(self) -> _Begin | bytes | _End:
        item = asyncio.run_coroutine_threadsafe(self._queue.get(), self._loop).result()
        if isinstance(item, BaseException):
            raise item
        return item

    def abandon(self) -> None:
        """Let the thread come to an end, if it still waits for something."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(_Abandoned())


async def zipped(fill: Fill, at: datetime) -> AsyncIterator[bytes]:
    """The archive of all that `fill` adds, its entries dated `at`. Raises what `fill` raises."""
    archive = Archive(at)
    filling = asyncio.create_task(archive.filled(fill))
    # Not one of the event loop's: it waits as long as `fill` does, and those who ask for a thread would wait as well.
    thread, stream = ThreadPoolExecutor(1, "zip"), iter(stream_zip(archive.members(), get_compressobj=_deflate))
    try:
        while True:
            step = asyncio.get_running_loop().run_in_executor(thread, next, stream, None)
            if (chunk := await asyncio.shield(step)) is None:
                return
            yield chunk
    finally:
        filling.cancel()
        await asyncio.wait([filling])
        archive.abandon()
        # It ends at once now, or when a chunk is compressed.
        await asyncio.wait([step])
        thread.shutdown(wait=False)


def _deflate() -> "zlib._Compress":
    return zlib.compressobj(level=_LEVEL, wbits=-zlib.MAX_WBITS)
