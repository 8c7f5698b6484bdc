"""Uploads to this machine: what is refused, and that nothing is left of what fails."""

import errno
import os
import resource
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import structlog
from starlette.applications import Starlette

from domain.adapters.storage import UploadTarget
from domain.adapters.storage_local import DRAFT_HOLDS_S, LocalStorage
from domain.base.errors import Unavailable
from domain.base.settings import Settings
from graph.files import PIECE_BYTES, routes
from graph.http import BODY_BYTES
from tests.attacks.raw import raw, running
from tests.events.live import until
from tests.ports import http_client
from tests.transport.files import BODY, PNG, assert_nothing_kept, drafts, kept, key, own, put, source, target


@pytest.mark.parametrize(
    ("sent", "headers", "status"),
    [
        (BODY[:-1], None, 400),
        (BODY + b"!", None, 413),
        (BODY[::-1], None, 400),
        (b"", None, 400),
        (BODY, [("content-type", "text/html")], 403),
        (BODY, [("content-type", "image/png; a=b")], 403),
        (BODY, [("content-type", "")], 403),
        (BODY, [], 403),
        (BODY, [("content-type", PNG), ("content-type", PNG)], 403),
    ],
)
async def test_another_body_than_was_signed_for_is_refused(
    http: httpx.AsyncClient, storage: LocalStorage, sent: bytes, headers: list[tuple[str, str]] | None, status: int
) -> None:
    made = key()

    answer = await put(http, await target(storage, made), sent, headers)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert 10 < len(answer.text) < 100
    await assert_nothing_kept(storage, made)


async def test_a_body_without_a_length_is_refused(http: httpx.AsyncClient, storage: LocalStorage) -> None:
    made = key()
    to = await target(storage, made)

    async def parts() -> AsyncIterator[bytes]:
        yield BODY

    answer = await http.put(own(to.url), content=parts(), headers=to.headers)

    assert (answer.status_code, answer.text) == (411, "Content-Length has to be there.")
    await assert_nothing_kept(storage, made)


async def test_a_refused_upload_leaves_the_file_that_was_there(http: httpx.AsyncClient, storage: LocalStorage) -> None:
    made = await kept(http, storage)

    answer = await put(http, await target(storage, made), BODY[::-1])

    assert answer.status_code == 400
    assert (await http.get(await source(storage, made))).content == BODY


async def test_a_client_that_hangs_up_leaves_nothing(address: str, storage: LocalStorage) -> None:
    made = key()
    body = b"x" * (3 * PIECE_BYTES)
    head = _head(await target(storage, made, body), len(body))

    async with raw(address) as client:
        await client.send(head + body[: 2 * PIECE_BYTES])
        await until(lambda: drafts(storage))
    await until(lambda: not drafts(storage))

    await assert_nothing_kept(storage, made)


def _head(to: UploadTarget, length: int, *lines: str) -> bytes:
    told = [f"{name}: {value}" for name, value in to.headers.items()]
    head = [f"PUT {own(to.url)} HTTP/1.1", "Host: planwire.test", f"Content-Length: {length}", *told, *lines]
    return "\r\n".join([*head, "", ""]).encode()


async def test_two_that_send_at_once_both_succeed(address: str, http: httpx.AsyncClient, storage: LocalStorage) -> None:
    made = key()
    body = os.urandom(2 * PIECE_BYTES)
    to = await target(storage, made, body)

    async with raw(address) as one, raw(address) as other:
        for client in (one, other):
            await client.send(_head(to, len(body)) + body[:PIECE_BYTES])
        for client in (other, one):
            await client.send(body[PIECE_BYTES:])
        answers = [await one.answer(), await other.answer()]

    assert [answer.status for answer in answers] == [200, 200]
    assert (await http.get(await source(storage, made))).content == body
    assert drafts(storage) == []


async def test_a_client_that_asks_first_does_not_send_what_is_refused(address: str, storage: LocalStorage) -> None:
    made = key()
    to = await target(storage, made)

    async with raw(address) as client:
        await client.send(_head(to, len(BODY) + 1, "Expect: 100-continue"))
        refused = await client.answer()
    async with raw(address) as client:
        await client.send(_head(to, len(BODY), "Expect: 100-continue"))
        admitted = await client.answer()
        await client.send(BODY)
        taken = await client.answer()

    assert [answer.status for answer in (refused, admitted, taken)] == [413, 100, 200]


async def test_a_body_larger_than_any_request_of_graphql_passes(http: httpx.AsyncClient, storage: LocalStorage) -> None:
    body = os.urandom(BODY_BYTES) * 8 + b"!"

    made = await kept(http, storage, body)

    assert (await http.get(await source(storage, made))).content == body
    part = await http.get(await source(storage, made), headers={"range": f"bytes={8 * BODY_BYTES}-"})
    assert (part.status_code, part.content) == (206, b"!")


async def test_a_client_that_sends_next_to_nothing_is_given_up(settings: Settings, tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path, origin="", signing_key=b"k")
    app = Starlette(routes=routes(storage, piece_deadline_s=0.2))
    made = key()

    async with running(settings, app=app) as server, raw(server.address) as client:
        await client.send(_head(await target(storage, made), len(BODY)) + BODY[:-1])
        answer = await client.answer()

    assert (answer.status, answer.body) == (408, b"262144 bytes have to come within 0.2 s.")
    await assert_nothing_kept(storage, made)


@contextmanager
def disk_of(size_bytes: int) -> Iterator[None]:
    """No file of this process grows any larger inside the block."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


async def test_a_full_disk_takes_nothing(http: httpx.AsyncClient, storage: LocalStorage) -> None:
    made = await kept(http, storage)
    body = os.urandom(PIECE_BYTES)

    with disk_of(PIECE_BYTES // 2), structlog.testing.capture_logs() as lines:
        answer = await put(http, await target(storage, made, body), body)

    assert (answer.status_code, answer.text) == (507, "The disk has no room for the file.")
    assert answer.headers["retry-after"] == "60"
    assert [line["fault"] for line in lines if line["log_level"] == "error"] == [os.strerror(errno.EFBIG)]
    assert (await http.get(await source(storage, made))).content == BODY
    assert drafts(storage) == []


async def test_a_directory_that_cannot_be_used_is_told(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "files").write_text("in the way")
    storage = LocalStorage(tmp_path / "files", origin="", signing_key=b"k")
    made = key()
    app = Starlette(routes=routes(storage))

    async with running(settings, app=app) as server, http_client(base_url=f"http://{server.address}") as http:
        answers = [await put(http, await target(storage, made)), await http.get(await source(storage, made))]

    assert [(answer.status_code, answer.text) for answer in answers] == [
        (503, "The file cannot be reached on the disk.")
    ] * 2
    # An empty list would say that every file is lost.
    with pytest.raises(Unavailable):
        await anext(storage.list("org/"))
    await storage.close()
    assert (tmp_path / "files").read_text() == "in the way"


async def test_what_a_crash_has_left_is_removed(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path, origin="", signing_key=b"k")
    (tmp_path / "drafts").mkdir()
    old, young = tmp_path / "drafts" / "old", tmp_path / "drafts" / "young"
    for each in (old, young):
        each.write_bytes(b"x")
    long_ago = time.time() - DRAFT_HOLDS_S - 60
    os.utime(old, (long_ago, long_ago))

    async def chunks() -> AsyncIterator[bytes]:
        yield BODY

    await storage.write(key(), chunks(), content_type=PNG)

    assert drafts(storage) == ["young"]
