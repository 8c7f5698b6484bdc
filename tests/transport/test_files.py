"""The routes of storage on this machine: what a signed URL allows, to whom, and how a file is served."""

import asyncio
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from domain.adapters.storage import attachment_key
from domain.adapters.storage_local import LocalStorage
from domain.base.clock import frozen, new_id, now
from domain.base.settings import Settings
from tests.transport.files import BODY, PNG, assert_nothing_kept, drafts, kept, key, own, put, source, target


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
