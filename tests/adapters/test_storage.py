"""The contract of every store: the one on this machine behind its routes, and S3 by moto's server on a real socket.

moto looks at no signature and no digest; what is refused is tested in tests/transport/test_files.py for the local
store, and in test_storage_s3.py by what is signed.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from domain.adapters.storage import Missing, Storage, Stored, attachment_key, result_key
from domain.adapters.storage_local import LocalStorage
from domain.adapters.storage_s3 import PART_BYTES
from domain.base.clock import new_id, now
from domain.base.crypto import signing_key
from domain.base.settings import Settings
from tests.adapters.s3_server import BUCKET, bucket
from tests.ports import http_client

TYPE = "application/octet-stream"


@pytest.fixture(params=["local", "s3"])
async def storage(
    request: pytest.FixtureRequest, settings: Settings, address: str, s3_url: str
) -> AsyncIterator[Storage]:
    """Each store, behind a real server."""
    if request.param == "s3":
        made = bucket(s3_url)
        yield made
        await made.close()
    else:
        key = signing_key(settings, "files")
        yield LocalStorage(settings.data_dir / "files", origin=f"http://{address}", signing_key=key)


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


def digest(body: bytes) -> str:
    """Of an upload."""
    return hashlib.sha256(body).hexdigest()


async def test_a_client_sends_and_takes_the_bytes_itself(storage: Storage) -> None:
    key, body = attachment_key(new_id(), new_id()), os.urandom(3000)

    target = await storage.presign_put(
        key, content_type="text/csv; charset=utf-8", size_bytes=len(body), sha256=digest(body), expires_s=900
    )
    source = await storage.presign_get(
        key, filename='Übersicht "2".csv', content_type="text/csv; charset=utf-8", inline=True, expires_s=300
    )
    async with http_client() as http:
        missing = await http.get(source)
        sent = [await http.request(target.method, target.url, content=body, headers=target.headers) for _ in range(2)]
        taken = await http.get(source)
        part = await http.get(source, headers={"range": "bytes=10-19"})

    assert abs(target.expires_at - now() - timedelta(seconds=900)) < timedelta(minutes=1)
    # S3 tells 404 only to who may list the bucket.
    assert missing.status_code in (403, 404)
    assert [answer.status_code for answer in sent] == [200, 200]
    assert await content(storage, key) == body
    assert (taken.status_code, taken.content) == (200, body)
    assert (part.status_code, part.content) == (206, body[10:20])
    assert part.headers["content-range"] == "bytes 10-19/3000"
    assert taken.headers["content-type"] == "text/csv; charset=utf-8"
    assert taken.headers["content-length"] == "3000"
    assert taken.headers["content-disposition"] == (
        "attachment; filename=\"_bersicht _2_.csv\"; filename*=UTF-8''%C3%9Cbersicht%20%222%22.csv"
    )
    assert taken.headers["etag"]


async def test_a_picture_may_be_shown_in_its_place(storage: Storage) -> None:
    key = attachment_key(new_id(), new_id())
    await storage.write(key, chunks(b"picture"), content_type="image/webp")

    source = await storage.presign_get(key, filename="a.webp", content_type="image/webp", inline=True, expires_s=300)
    async with http_client() as http:
        answer = await http.get(source)

    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["content-disposition"] == "inline; filename=\"a.webp\"; filename*=UTF-8''a.webp"


async def test_a_large_object_comes_in_parts_and_is_whole(storage: Storage) -> None:
    key, body = result_key(new_id(), new_id()), os.urandom(PART_BYTES + 1)

    stored = await storage.write(key, chunks(body[:10], body[10:-10], body[-10:]), content_type=TYPE)

    assert stored.size_bytes == len(body)
    assert digest(await content(storage, key)) == digest(body)


@pytest.mark.parametrize("size_bytes", [5, PART_BYTES + 5])
async def test_a_writer_that_is_cancelled_leaves_what_was_there(storage: Storage, size_bytes: int) -> None:
    key = result_key(new_id(), new_id())
    await storage.write(key, chunks(b"before"), content_type=TYPE)
    has_begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield os.urandom(size_bytes)
        has_begun.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(storage.write(key, endless(), content_type=TYPE))
    await has_begun.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing

    assert await content(storage, key) == b"before"


async def test_whole_pages_are_listed(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domain.adapters.storage_local.LISTED_AT_ONCE", 2)
    monkeypatch.setattr("domain.adapters.storage_s3.LISTED_AT_ONCE", 2)
    org_id = new_id()
    made = [attachment_key(org_id, new_id()) for _ in range(5)]
    for key in made:
        await storage.write(key, chunks(b"x"), content_type=TYPE)

    assert await keys(storage, f"org/{org_id}/") == sorted(made)


async def test_what_others_have_put_there_is_passed_over(storage: Storage) -> None:
    org_id = new_id()
    key = attachment_key(org_id, new_id())
    await storage.write(key, chunks(b"x"), content_type=TYPE)
    if isinstance(storage, LocalStorage):
        storage.path(key).with_name("notes.txt").write_text("x")
    else:
        client = await storage._connected()  # type: ignore[attr-defined]  # nothing of ours would write it
        await client.put_object(Bucket=BUCKET, Key=f"org/{org_id}/attachments/notes.txt", Body=b"x")

    assert await keys(storage, f"org/{org_id}/") == [key]
