"""The routes of storage on this machine: what a signed URL allows, and that nothing is left of what fails."""

import asyncio
import errno
import hashlib
import os
import resource
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import structlog
from starlette.applications import Starlette

from domain.adapters.storage import UploadTarget, attachment_key
from domain.adapters.storage_local import DRAFT_HOLDS_S, LocalStorage
from domain.adapters.wiring import Adapters
from domain.base.clock import frozen, new_id, now
from domain.base.errors import Unavailable
from domain.base.settings import Settings
from graph.files import PIECE_BYTES, routes
from graph.http import BODY_BYTES
from tests.attacks.raw import raw, running
from tests.events.live import until

BODY = b"a photograph, say"
PNG = "image/png"


@pytest.fixture
def storage(adapters: Adapters) -> LocalStorage:
    """The store of the application under test; its URLs name another origin."""
    assert isinstance(adapters.storage, LocalStorage)
    return adapters.storage


@pytest.fixture
async def http(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application."""
    async with httpx.AsyncClient(base_url=f"http://{address}") as client:
        yield client


def own(url: str) -> str:
    """The URL without the origin."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def key() -> str:
    """A key of nothing yet."""
    return attachment_key(new_id(), new_id())


async def target(storage: LocalStorage, key: str, body: bytes = BODY, content_type: str = PNG) -> UploadTarget:
    """Where to send that body."""
    return await storage.presign_put(
        key, content_type=content_type, size_bytes=len(body), sha256=hashlib.sha256(body).hexdigest(), expires_s=60
    )


async def source(storage: LocalStorage, key: str, **told: object) -> str:
    """Where to get the object."""
    asked = {"filename": "photo.png", "content_type": PNG, "inline": True, "expires_s": 60, **told}
    return own(await storage.presign_get(key, **asked))  # type: ignore[arg-type]  # what a test names


async def put(
    http: httpx.AsyncClient, to: UploadTarget, body: bytes = BODY, headers: list[tuple[str, str]] | None = None
) -> httpx.Response:
    """Send a body, with the headers that it has to have or others."""
    return await http.put(own(to.url), content=body, headers=list(to.headers.items()) if headers is None else headers)


async def kept(http: httpx.AsyncClient, storage: LocalStorage, body: bytes = BODY) -> str:
    """The key of what was uploaded."""
    made = key()
    answer = await put(http, await target(storage, made, body), body)
    assert (answer.status_code, answer.content) == (200, b"")
    return made


def drafts(storage: LocalStorage) -> list[str]:
    """What is being written, or was left."""
    directory = storage._directory / "drafts"
    return os.listdir(directory) if directory.exists() else []


async def assert_nothing_kept(storage: LocalStorage, key: str) -> None:
    """That an upload has left nothing at all."""
    assert await storage.stat(key) is None
    assert drafts(storage) == []


async def test_a_file_is_sent_and_taken(http: httpx.AsyncClient, storage: LocalStorage) -> None:
    made = await kept(http, storage)

    answer = await http.get(await source(storage, made))

    assert (answer.status_code, answer.content) == (200, BODY)
    told = {name: value for name, value in answer.headers.items() if name not in ("date", "etag", "last-modified")}
    assert told == {
        "accept-ranges": "bytes",
        "cache-control": "private",
        "content-disposition": "inline; filename=\"photo.png\"; filename*=UTF-8''photo.png",
        "content-length": str(len(BODY)),
        "content-security-policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
        "content-type": PNG,
        "cross-origin-resource-policy": "cross-origin",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }
    assert drafts(storage) == []


@pytest.mark.parametrize("content_type", ["text/html", "text/plain", "image/svg+xml", "text/csv; charset=utf-16"])
async def test_what_could_run_is_saved_and_not_shown(
    http: httpx.AsyncClient, storage: LocalStorage, content_type: str
) -> None:
    made = await kept(http, storage, b"<script>alert(1)</script>")

    answer = await http.get(await source(storage, made, content_type=content_type, filename="\u0445.html"))

    assert answer.headers["content-type"] == content_type
    assert answer.headers["content-disposition"] == "attachment; filename=\"_.html\"; filename*=UTF-8''%D1%85.html"
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "filename",
    ['"\r\nSet-Cookie: a=b', "a\0b", "\u202egpj.exe", "名" * 255, "😀" * 255, "..", "", "%0d%0aX: 1", "a\x85b"],
)
async def test_no_name_gets_into_another_header(http: httpx.AsyncClient, storage: LocalStorage, filename: str) -> None:
    made = await kept(http, storage)

    plain = await http.get(await source(storage, made))
    answer = await http.get(await source(storage, made, filename=filename))

    assert answer.content == BODY
    assert list(answer.headers) == list(plain.headers)
    assert answer.headers["content-disposition"].startswith('inline; filename="')


@pytest.mark.parametrize(
    ("asked", "status", "body", "content_range"),
    [
        ("bytes=0-3", 206, BODY[:4], f"bytes 0-3/{len(BODY)}"),
        ("bytes=4-", 206, BODY[4:], f"bytes 4-16/{len(BODY)}"),
        ("bytes=-3", 206, BODY[-3:], f"bytes 14-16/{len(BODY)}"),
        ("bytes=10-999", 206, BODY[10:], f"bytes 10-16/{len(BODY)}"),
        (f"bytes={len(BODY)}-", 416, b"", f"bytes */{len(BODY)}"),
        ("bytes=" + ",".join(["0-"] * 101), 200, BODY, None),
    ],
)
async def test_a_part_can_be_got(
    http: httpx.AsyncClient, storage: LocalStorage, asked: str, status: int, body: bytes, content_range: str | None
) -> None:
    made = await kept(http, storage)

    answer = await http.get(await source(storage, made), headers={"range": asked})

    assert (answer.status_code, answer.content) == (status, body)
    assert answer.headers.get("content-range") == content_range


async def test_a_broken_download_goes_on_only_with_the_same_file(
    http: httpx.AsyncClient, storage: LocalStorage
) -> None:
    url = await source(storage, await kept(http, storage))
    etag = (await http.get(url)).headers["etag"]

    same = await http.get(url, headers={"range": "bytes=4-", "if-range": etag})
    other = await http.get(url, headers={"range": "bytes=4-", "if-range": '"other"'})

    assert (same.status_code, same.content) == (206, BODY[4:])
    assert (other.status_code, other.content) == (200, BODY)


async def test_what_is_known_is_not_sent_again(http: httpx.AsyncClient, storage: LocalStorage) -> None:
    url = await source(storage, await kept(http, storage))
    etag = (await http.get(url)).headers["etag"]

    known = [await http.get(url, headers={"if-none-match": each}) for each in (etag, f'"x", W/{etag}', "*")]
    other = await http.get(url, headers={"if-none-match": '"x"'})

    assert [(each.status_code, each.content, each.headers["etag"]) for each in known] == [(304, b"", etag)] * 3
    assert (other.status_code, other.content) == (200, BODY)


async def test_head_tells_what_get_would(http: httpx.AsyncClient, storage: LocalStorage) -> None:
    url = await source(storage, await kept(http, storage))

    got, told = await http.get(url), await http.head(url)

    assert (told.status_code, told.content) == (200, b"")
    assert dict(told.headers) | {"date": ""} == dict(got.headers) | {"date": ""}


async def test_a_file_that_is_gone_is_not_found(http: httpx.AsyncClient, storage: LocalStorage) -> None:
    made = await kept(http, storage)
    url = await source(storage, made)

    await storage.delete(made)
    answer = await http.get(url)

    assert (answer.status_code, answer.text) == (404, "There is no such file.")
    assert answer.headers["cache-control"] == "no-store"


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


async def test_a_url_holds_until_its_end(http: httpx.AsyncClient, storage: LocalStorage) -> None:
    made, other = await kept(http, storage), key()
    with frozen(now() - timedelta(seconds=61)):
        to, url = await target(storage, other), await source(storage, made)

    assert to.expires_at < now()
    assert [(await put(http, to)).status_code, (await http.get(url)).status_code] == [403, 403]
    await assert_nothing_kept(storage, other)


async def test_a_url_is_for_one_method(http: httpx.AsyncClient, storage: LocalStorage) -> None:
    made, other = await kept(http, storage), key()
    to, url = await target(storage, other), await source(storage, made)

    answers = [
        await http.get(own(to.url)),
        await http.head(own(to.url)),
        await http.put(url, content=BODY, headers={"content-type": PNG}),
    ]
    others = [await http.request(method, url) for method in ("POST", "DELETE", "PATCH", "OPTIONS")]

    assert [answer.status_code for answer in answers] == [403] * 3
    assert [answer.status_code for answer in others] == [405] * 4
    assert {frozenset(answer.headers["allow"].split(", ")) for answer in others} == {frozenset({"GET", "HEAD", "PUT"})}
    await assert_nothing_kept(storage, other)
    assert (await http.get(url)).content == BODY


async def test_no_other_path_is_served(http: httpx.AsyncClient, storage: LocalStorage, settings: Settings) -> None:
    made = await kept(http, storage)
    _, _, query = (await source(storage, made)).partition("?")
    other = key()

    paths = [other, "../secret_key", "..%2Fsecret_key", "%2e%2e/secret_key", f"{made}/", f"/{made}", "", "drafts/x"]
    answers = [await http.get(f"/files/{path}?{query}") for path in paths]

    assert (settings.data_dir / "secret_key").exists()
    # The client itself takes "../" away, and nothing is there.
    assert [answer.status_code for answer in answers] == [403, 404, 403, 403, 403, 403, 403, 403]


def test_every_changed_byte_is_refused() -> None:
    store, key, at = (
        LocalStorage(Path("unused"), origin="", signing_key=b"k"),
        attachment_key(new_id(), new_id()),
        now(),
    )

    async def urls() -> list[str]:
        with frozen(at):
            url = await store.presign_get(key, filename="ä.png", content_type=PNG, inline=True, expires_s=60)
            return [(await target(store, key)).url, url]

    loop = asyncio.new_event_loop()
    to, url = loop.run_until_complete(urls())
    loop.close()

    for allowed, address in ((store.upload, to), (store.download, url)):
        path, _, query = address.encode().partition(b"?")
        assert allowed(path, query) is not None
        whole = path + b"?" + query
        for index in range(len(whole)):
            for byte in (whole[index] ^ 1, whole[index] ^ 0x20, ord("?"), ord("&")):
                changed = whole[:index] + bytes([byte]) + whole[index + 1 :]
                assert changed == whole or allowed(*_split(changed)) is None, changed
            assert allowed(*_split(whole[:index] + whole[index + 1 :])) is None
            assert allowed(*_split(whole[:index])) is None
        assert allowed(path, query + b"&x=1") is None
        assert LocalStorage(Path("unused"), origin="", signing_key=b"l").upload(path, query) is None


def _split(target: bytes) -> tuple[bytes, bytes]:
    path, _, query = target.partition(b"?")
    return path, query


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

    async with running(settings, app=app) as server, httpx.AsyncClient(base_url=f"http://{server.address}") as http:
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


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
async def test_a_page_of_an_allowed_origin_may_send_and_read(
    http: httpx.AsyncClient, storage: LocalStorage, settings: Settings, method: str
) -> None:
    (origin,) = settings.allowed_origins
    made = await kept(http, storage)
    asked = {"origin": origin, "access-control-request-method": method}
    url = own((await target(storage, made)).url) if method == "PUT" else await source(storage, made)

    preflight = await http.options(url, headers=asked | {"access-control-request-headers": "content-type"})
    sent = {"content-type": PNG} if method == "PUT" else {}
    answer = await http.request(method, url, content=BODY if sent else None, headers={"origin": origin, **sent})

    assert (preflight.status_code, answer.status_code) == (200, 200)
    assert preflight.headers["access-control-allow-methods"] == "GET, HEAD, PUT"
    for each in (preflight, answer):
        assert each.headers["access-control-allow-origin"] == origin
        assert "access-control-allow-credentials" not in each.headers
    assert answer.headers["access-control-expose-headers"] == (
        "Accept-Ranges, Content-Disposition, Content-Range, ETag"
    )


async def test_a_page_of_another_origin_may_send_and_read_nothing(
    http: httpx.AsyncClient, storage: LocalStorage
) -> None:
    url = await source(storage, await kept(http, storage))
    theirs = {"origin": "https://evil.example"}

    preflight = await http.options(url, headers={**theirs, "access-control-request-method": "PUT"})
    answer = await http.get(url, headers=theirs)

    assert preflight.status_code == 400
    for each in (preflight, answer):
        assert "access-control-allow-origin" not in each.headers


async def test_cookies_and_tokens_change_nothing(http: httpx.AsyncClient, storage: LocalStorage) -> None:
    made = await kept(http, storage)
    url = await source(storage, made)
    sent = {"cookie": "session=anybody", "authorization": "Bearer anybody"}

    answers = [await http.get(url, headers=sent), await http.get(f"/files/{made}", headers=sent)]

    assert [answer.status_code for answer in answers] == [200, 403]
    assert all("set-cookie" not in answer.headers for answer in answers)
