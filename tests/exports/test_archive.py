"""The ZIP: what is put in comes out, it is never whole in memory, and whoever stops reading stops all of it."""

import asyncio
import hashlib
import io
import os
import threading
import tracemalloc
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from domain.exports.archive import Archive, Written, zipped

AT = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
MIB = 1024 * 1024


async def _chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _read(stream: AsyncIterator[bytes]) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join([chunk async for chunk in stream])))


async def test_what_is_put_in_comes_out_with_its_size_and_digest() -> None:
    text, noise = b"line\n" * 100_000, os.urandom(300_000)
    written: list[Written] = []

    async def fill(archive: Archive) -> None:
        written.append(await archive.add("tasks.jsonl", _chunks(text[:7], text[7:])))
        written.append(await archive.add("files/a/noise.zip", _chunks(noise), compress=False))
        written.append(await archive.add("empty.jsonl", _chunks()))

    read = await _read(zipped(fill, AT))

    assert read.testzip() is None
    assert read.namelist() == ["tasks.jsonl", "files/a/noise.zip", "empty.jsonl"]
    assert [read.read(name) for name in read.namelist()] == [text, noise, b""]
    assert written == [
        Written("tasks.jsonl", len(text), hashlib.sha256(text).hexdigest()),
        Written("files/a/noise.zip", len(noise), hashlib.sha256(noise).hexdigest()),
        Written("empty.jsonl", 0, hashlib.sha256(b"").hexdigest()),
    ]
    compressed, stored, _ = read.infolist()
    assert compressed.compress_size < len(text) / 100
    assert len(noise) < stored.compress_size < len(noise) * 1.001
    assert compressed.date_time == (2026, 11, 21, 12, 30, 0)


async def test_what_fails_while_it_is_filled_is_told_to_who_reads() -> None:
    async def fill(archive: Archive) -> None:
        await archive.add("a.txt", _chunks(b"a"))
        raise LookupError("nothing more")

    with pytest.raises(LookupError, match="nothing more"):
        await _read(zipped(fill, AT))


async def test_what_fails_inside_an_entry_is_told_to_who_reads() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise LookupError("no more chunks")

    async def fill(archive: Archive) -> None:
        await archive.add("a.txt", broken())

    with pytest.raises(LookupError, match="no more chunks"):
        await _read(zipped(fill, AT))


async def test_who_stops_reading_stops_the_filling() -> None:
    filler = _Endless()
    stream = zipped(filler.fill, AT)
    await anext(stream)

    await stream.aclose()  # type: ignore[attr-defined]  # of the generator that it is

    assert filler.is_stopped


async def test_who_is_cut_off_while_reading_stops_the_filling() -> None:
    filler = _Waiting()
    reading = asyncio.create_task(_read(zipped(filler.fill, AT)))
    await filler.has_begun.wait()

    reading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reading
    assert filler.is_stopped


async def test_no_thread_waits_on_behind_who_was_cut_off() -> None:
    filler, others = _Waiting(), set(threading.enumerate())
    reading = asyncio.create_task(_read(zipped(filler.fill, AT)))
    await filler.has_begun.wait()
    (thread,) = [each for each in threading.enumerate() if each not in others and each.name.startswith("zip")]

    reading.cancel()
    await asyncio.wait([reading])

    async with asyncio.timeout(60):
        await asyncio.to_thread(thread.join)


async def test_archives_that_wait_leave_threads_to_others() -> None:
    # More than the event loop ever has threads for all.
    fillers = [_Waiting() for _ in range(33)]
    reading = [asyncio.create_task(_read(zipped(filler.fill, AT))) for filler in fillers]
    await asyncio.gather(*(filler.has_begun.wait() for filler in fillers))

    async with asyncio.timeout(60):
        # Each comes behind all that has been asked of threads by then.
        for _ in range(100):
            await asyncio.to_thread(AT.isoformat)

    for each in reading:
        each.cancel()
    await asyncio.wait(reading)
    assert all(filler.is_stopped for filler in fillers)


async def test_bytes_of_any_number_pass_through_little_memory(request: pytest.FixtureRequest) -> None:
    size = 500 * MIB if request.config.getoption("--long") else 20 * MIB
    block = os.urandom(64 * 1024)

    async def fill(archive: Archive) -> None:
        await archive.add("big.bin", _chunks(*[block] * (size // len(block))), compress=False)

    read = 0
    tracemalloc.start()
    try:
        async for chunk in zipped(fill, AT):
            read += len(chunk)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert read > size
    assert peak < 3 * MIB


class _Endless:
    """Adds bytes until it is stopped."""

    is_stopped = False

    async def fill(self, archive: Archive) -> None:
        try:
            await archive.add("endless.bin", self._noise(), compress=False)
        finally:
            self.is_stopped = True

    async def _noise(self) -> AsyncIterator[bytes]:
        while True:
            yield os.urandom(64 * 1024)


class _Waiting(_Endless):
    """Adds a few bytes, and waits then."""

    def __init__(self) -> None:
        self.has_begun = asyncio.Event()

    async def _noise(self) -> AsyncIterator[bytes]:
        yield b"a"
        self.has_begun.set()
        await asyncio.Event().wait()
