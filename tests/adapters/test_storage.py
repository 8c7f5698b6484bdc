"""The contract of every store."""

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from domain.adapters.storage import Missing, Storage, Stored, attachment_key, result_key
from domain.adapters.storage_local import LocalStorage
from domain.base.clock import new_id, now

ORIGIN = "http://127.0.0.1:8000"
TYPE = "application/octet-stream"


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """The store on this machine."""
    return LocalStorage(tmp_path / "files", origin=ORIGIN, signing_key=b"k")


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    """Bytes in parts."""
    for part in parts:
        yield part


async def content(storage: Storage, key: str, start: int = 0, length: int | None = None) -> bytes:
    """What lies there."""
    return b"".join([chunk async for chunk in storage.read(key, start=start, length=length)])


async def keys(storage: Storage, prefix: str) -> list[str]:
    """What is listed, in order."""
    return sorted([each.key async for each in storage.list(prefix)])


async def test_what_is_written_is_there(storage: Storage) -> None:
    key = attachment_key(new_id(), new_id())
    body = bytes(range(256)) * 4096

    stored = await storage.write(key, chunks(body[:1], b"", body[1:]), content_type=TYPE)

    assert stored == Stored(key, len(body), stored.modified_at)
    assert abs(stored.modified_at - now()) < timedelta(minutes=1)
    assert await storage.stat(key) == stored
    assert hashlib.sha256(await content(storage, key)).digest() == hashlib.sha256(body).digest()


async def test_an_empty_object_is_one(storage: Storage) -> None:
    key = result_key(new_id(), new_id())

    stored = await storage.write(key, chunks(), content_type=TYPE)

    assert stored.size_bytes == 0
    assert await content(storage, key) == b""


async def test_a_part_is_read(storage: Storage) -> None:
    key = attachment_key(new_id(), new_id())
    await storage.write(key, chunks(b"0123456789"), content_type=TYPE)

    parts = [(0, 4), (4, None), (8, 100), (4, 0), (10, None), (11, 5)]

    assert [await content(storage, key, *part) for part in parts] == [b"0123", b"456789", b"89", b"", b"", b""]


async def test_a_later_object_takes_the_place_of_an_earlier_one(storage: Storage) -> None:
    key = attachment_key(new_id(), new_id())

    await storage.write(key, chunks(b"longer than the next"), content_type=TYPE)
    await storage.write(key, chunks(b"short"), content_type=TYPE)

    assert await content(storage, key) == b"short"


async def test_what_is_not_there_is_missing(storage: Storage) -> None:
    key = attachment_key(new_id(), new_id())

    assert await storage.stat(key) is None
    with pytest.raises(Missing) as raised:
        await content(storage, key)
    assert raised.value.key == key
    await storage.delete(key)


async def test_a_deleted_object_is_gone_and_no_other(storage: Storage) -> None:
    org_id = new_id()
    gone, left = attachment_key(org_id, new_id()), attachment_key(org_id, new_id())
    for key in (gone, left):
        await storage.write(key, chunks(b"x"), content_type=TYPE)

    await storage.delete(gone)
    await storage.delete(gone)

    assert await storage.stat(gone) is None
    assert await keys(storage, f"org/{org_id}/") == [left]


async def test_objects_are_listed_by_organization(storage: Storage) -> None:
    ours, theirs = new_id(), new_id()
    made = [attachment_key(ours, new_id()), result_key(ours, new_id()), attachment_key(theirs, new_id())]
    for key in made:
        await storage.write(key, chunks(b"abc"), content_type=TYPE)

    listed = [each async for each in storage.list(f"org/{ours}/")]

    assert sorted(each.key for each in listed) == sorted(made[:2])
    assert {each.size_bytes for each in listed} == {3}
    assert set(made) <= set(await keys(storage, "org/"))
    assert await keys(storage, f"org/{new_id()}/") == []


async def test_a_source_that_fails_leaves_what_was_there(storage: Storage) -> None:
    key = attachment_key(new_id(), new_id())
    await storage.write(key, chunks(b"before"), content_type=TYPE)

    async def failing() -> AsyncIterator[bytes]:
        yield b"after"
        raise RuntimeError("the source ends here")

    with pytest.raises(RuntimeError, match="ends here"):
        await storage.write(key, failing(), content_type=TYPE)

    assert await content(storage, key) == b"before"


@pytest.mark.parametrize("key", ["", "../secret_key", "org/x", "/etc/passwd"])
async def test_what_is_no_key_is_refused_everywhere(storage: Storage, key: str) -> None:
    calls = (
        storage.stat(key),
        storage.delete(key),
        content(storage, key),
        storage.write(key, chunks(b"x"), content_type=TYPE),
        storage.presign_get(key, filename="x", content_type=TYPE, inline=False, expires_s=60),
        storage.presign_put(key, content_type=TYPE, size_bytes=1, sha256="0" * 64, expires_s=60),
    )

    for call in calls:
        with pytest.raises(ValueError, match="no key"):
            await call
    with pytest.raises(ValueError, match="listed under"):
        await keys(storage, key)
