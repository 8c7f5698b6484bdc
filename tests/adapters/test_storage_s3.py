"""What our requests to S3 say: to whom, what is signed, what is never asked for; and what becomes of its faults."""

import asyncio
import base64
import hashlib
import hmac
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pytest
import structlog

from domain.adapters.storage import Missing, UploadTarget, attachment_key
from domain.adapters.storage_s3 import PART_BYTES, S3Storage
from domain.base.clock import new_id
from domain.base.errors import Unavailable
from tests.adapters.http_server import Asked, Server, serving
from tests.adapters.s3_server import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, opened
from tests.adapters.test_storage import TYPE, chunks, content
from tests.processes import free_port
from tests.work.doing import Gate

BODY = b"a photograph, say"
SHA256 = hashlib.sha256(BODY).hexdigest()
KEY = attachment_key(new_id(), new_id())


async def target(content_type: str = "image/png", **changed: Any) -> UploadTarget:
    """Where to send the body."""
    async with opened(None, **changed) as storage:
        return await storage.presign_put(
            KEY, content_type=content_type, size_bytes=len(BODY), sha256=SHA256, expires_s=900
        )


async def source(endpoint_url: str | None = None, **changed: Any) -> str:
    """Where to get it."""
    async with opened(endpoint_url, **changed) as storage:
        return await storage.presign_get(KEY, filename="ä.png", content_type="image/png", inline=True, expires_s=300)


def signature(method: str, url: str, headers: dict[str, str], key: str = SECRET_KEY) -> str:
    """What S3 would find for a request with these headers. Source: Amazon S3, signature calculations."""
    parts = urlsplit(url)
    told = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
    told.pop("X-Amz-Signature")
    sent = {name.lower(): " ".join(value.split()) for name, value in headers.items()} | {"host": parts.netloc}
    names = told["X-Amz-SignedHeaders"].split(";")
    canonical = "\n".join(
        [
            method,
            quote(unquote(parts.path), safe="/-_.~"),
            "&".join(sorted(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in told.items())),
            *(f"{name}:{sent.get(name, '')}" for name in names),
            "",
            ";".join(names),
            "UNSIGNED-PAYLOAD",
        ]
    )
    _, *scope = told["X-Amz-Credential"].split("/")
    message = ["AWS4-HMAC-SHA256", told["X-Amz-Date"], "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()]
    signing = f"AWS4{key}".encode()
    for part in (*scope, "\n".join(message)):
        signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
    return signing.hex()


def told(url: str, name: str) -> str:
    """A parameter of a URL."""
    return dict(parse_qsl(urlsplit(url).query))[name]


@pytest.mark.parametrize(
    "content_type", ["image/png", "text/csv; charset=utf-8", "application/x-www-form-urlencoded; charset=utf-8"]
)
async def test_an_upload_is_bound_to_all_that_it_was_asked_for(content_type: str) -> None:
    to = await target(content_type)

    signed = {**to.headers, "Content-Length": str(len(BODY))}
    assert to.headers["x-amz-checksum-sha256"] == base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    assert to.headers["Content-Type"].replace(" ", "") == content_type.replace(" ", "")
    assert told(to.url, "X-Amz-SignedHeaders") == "content-length;content-type;host;x-amz-checksum-sha256"
    assert told(to.url, "X-Amz-Expires") == "900"
    assert signature("PUT", to.url, signed) == told(to.url, "X-Amz-Signature")
    others = [
        signature("GET", to.url, signed),
        signature("PUT", to.url.replace(KEY, attachment_key(new_id(), new_id())), signed),
        signature("PUT", to.url.replace("=900&", "=9000&"), signed),
        signature("PUT", to.url, signed, key="another"),
        *(signature("PUT", to.url, signed | {name: f"{value}1"}) for name, value in signed.items()),
        *(signature("PUT", to.url, {each: signed[each] for each in signed if each != name}) for name in signed),
    ]
    assert len(others) == 10
    assert told(to.url, "X-Amz-Signature") not in others


async def test_a_download_is_bound_to_its_name_and_type() -> None:
    url = await source()

    assert told(url, "response-content-disposition") == "inline; filename=\"_.png\"; filename*=UTF-8''%C3%A4.png"
    assert told(url, "response-content-type") == "image/png"
    assert told(url, "X-Amz-Expires") == "300"
    assert signature("GET", url, {}) == told(url, "X-Amz-Signature")
    others = [
        signature("GET", url.replace("inline", "attachment"), {}),
        signature("GET", url.replace("image%2Fpng", "text%2Fhtml"), {}),
        signature("PUT", url, {}),
    ]
    assert told(url, "X-Amz-Signature") not in others


@pytest.mark.parametrize(
    ("endpoint_url", "name", "begins"),
    [
        (None, BUCKET, f"https://{BUCKET}.s3.{REGION}.amazonaws.com/org/"),
        (None, "with.dots", f"https://s3.{REGION}.amazonaws.com/with.dots/org/"),
        ("https://files.test", BUCKET, f"https://files.test/{BUCKET}/org/"),
        ("http://s3.localhost:9000", BUCKET, f"http://s3.localhost:9000/{BUCKET}/org/"),
    ],
)
async def test_a_server_of_ones_own_is_asked_by_its_one_name(endpoint_url: str | None, name: str, begins: str) -> None:
    url = await source(endpoint_url, bucket=name)

    assert url.startswith(begins)
    assert told(url, "X-Amz-Credential").split("/")[0::2] == [ACCESS_KEY, REGION, "aws4_request"]


async def test_a_storage_class_is_signed_and_told() -> None:
    to = await target(storage_class="STANDARD_IA")

    assert to.headers["x-amz-storage-class"] == "STANDARD_IA"
    assert "x-amz-storage-class" in told(to.url, "X-Amz-SignedHeaders").split(";")
    assert signature("PUT", to.url, {**to.headers, "Content-Length": str(len(BODY))}) == told(to.url, "X-Amz-Signature")


HEAD = (
    b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\nETag: "x"\r\n'
    b"Last-Modified: Sat, 21 Nov 2026 20:00:00 GMT\r\nConnection: close\r\n\r\n"
)
DONE = b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "x"\r\nConnection: close\r\n\r\n'


def fault(status: int, code: str) -> bytes:
    """An answer of S3 that says no."""
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


def of(server: Server, **changed: Any) -> AbstractAsyncContextManager[S3Storage]:
    """A storage in the bucket of such a server, closed after the block."""
    return opened(f"http://127.0.0.1:{server.port}", **changed)


async def test_nothing_is_made_public() -> None:
    async with serving() as server, of(server, storage_class="STANDARD_IA") as storage:
        server.answers = [DONE, HEAD]
        await storage.write(KEY, chunks(BODY), content_type="image/png")

    written, looked = server.asked
    assert (written.line, looked.line) == (f"PUT /{BUCKET}/{KEY} HTTP/1.1", f"HEAD /{BUCKET}/{KEY} HTTP/1.1")
    assert written.body == BODY
    assert written.headers["content-type"] == "image/png"
    assert written.headers["x-amz-storage-class"] == "STANDARD_IA"
    # S3 holds the body to it.
    assert written.headers["x-amz-content-sha256"] == SHA256
    assert not [name for name in written.headers if "acl" in name or "grant" in name]


@pytest.mark.parametrize(
    ("answer", "tries", "reason"),
    [
        (fault(403, "AccessDenied"), 1, "AccessDenied"),
        (fault(404, "NoSuchBucket"), 1, "NoSuchBucket"),
        (fault(503, "SlowDown"), 3, "SlowDown"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n<ListBuck", 3, ""),
    ],
)
async def test_what_s3_does_not_do_is_unavailable(answer: bytes, tries: int, reason: str) -> None:
    async with serving() as server, of(server) as storage:
        server.answers = [answer]
        with structlog.testing.capture_logs() as lines, pytest.raises(Unavailable, match="cannot be reached right now"):
            await storage.delete(KEY)

    assert len(server.asked) == tries
    assert [line["event"] for line in lines] == ["the bucket does not do what it is asked"]
    assert reason in lines[0]["reason"]


async def test_a_server_that_is_not_there_or_hangs_is_unavailable() -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    soon = {"call_timeout_s": 0.2, "part_timeout_s": 0.2}
    async with opened(nowhere) as away, serving() as server, of(server, **soon) as hanging:
        server.answers = [b""]
        calls = (
            away.stat(KEY),
            hanging.stat(KEY),
            content(hanging, KEY),
            hanging.write(KEY, chunks(BODY), content_type=TYPE),
            hanging.delete(KEY),
            anext(hanging.list("org/")),
        )
        for call in calls:
            with pytest.raises(Unavailable):
                await call


async def test_a_download_that_breaks_off_is_unavailable() -> None:
    async with serving() as server, of(server) as storage:
        server.answers = [DONE.replace(b"Content-Length: 0", b"Content-Length: 99") + b"only this"]
        with pytest.raises(Unavailable):
            await content(storage, KEY)


async def test_what_s3_has_not_is_missing() -> None:
    async with serving() as server, of(server) as storage:
        server.answers = [fault(404, "NoSuchKey")]
        with pytest.raises(Missing):
            await content(storage, KEY)


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_parts_of_what_is_not_finished_are_removed(s3_url: str, is_cancelled: bool) -> None:
    key = attachment_key(new_id(), new_id())
    gate = Gate()

    async def source() -> AsyncIterator[bytes]:
        yield os.urandom(2 * PART_BYTES + 1)
        await gate.wait()
        raise RuntimeError("the source ends here")

    async with opened(s3_url) as storage:
        writing = asyncio.create_task(storage.write(key, source(), content_type=TYPE))
        await gate.begun.wait()
        client = await storage._connected()
        begun = await client.list_multipart_uploads(Bucket=BUCKET, Prefix=key)
        if is_cancelled:
            writing.cancel()
        else:
            gate.may_go_on.set()
        with pytest.raises(asyncio.CancelledError if is_cancelled else RuntimeError):
            await writing
        left = await client.list_multipart_uploads(Bucket=BUCKET, Prefix=key)
        found = await storage.stat(key)

    assert len(begun.get("Uploads", ())) == 1
    assert left.get("Uploads", []) == []
    assert found is None


async def test_a_part_that_s3_refuses_ends_the_upload() -> None:
    def answer(asked: Asked) -> bytes:
        if asked.line.startswith("POST"):
            body = b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
            return DONE.replace(b"Content-Length: 0", b"Content-Length: %d" % len(body)) + body
        return fault(403, "AccessDenied") if asked.line.startswith("PUT") else DONE

    async with serving() as server, of(server, part_bytes=10) as storage:
        server.answers = [answer]
        with pytest.raises(Unavailable):
            await storage.write(KEY, chunks(BODY), content_type=TYPE)

    methods = [asked.line.split(" ")[0] for asked in server.asked]
    assert methods == ["POST", "PUT", "DELETE"]
    assert "uploadId=u1" in server.asked[-1].line


async def test_nothing_of_the_environment_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_PROFILE": "nobody",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "another",
        "AWS_DEFAULT_REGION": "another",
        "AWS_CA_BUNDLE": "/nowhere",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)

    async with serving() as server, of(server) as storage:
        server.answers = [HEAD]
        found = await storage.stat(KEY)

    assert found is not None
    assert len(server.asked) == 1
    assert f"Credential={ACCESS_KEY}/" in server.asked[0].headers["authorization"]
    assert f"/{REGION}/s3/" in server.asked[0].headers["authorization"]


async def test_without_keys_the_machines_role_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    given = b'{"AccessKeyId": "ASIAROLE", "SecretAccessKey": "s", "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}'
    async with serving() as server:
        server.answers = [b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(given) + given]
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{server.port}/role")
        url = await source(access_key_id=None, secret_access_key=None)

    assert told(url, "X-Amz-Credential").startswith("ASIAROLE/")
    assert told(url, "X-Amz-Security-Token") == "t"
    assert [asked.line for asked in server.asked] == ["GET /role HTTP/1.1"]


async def test_without_keys_and_role_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with structlog.testing.capture_logs() as lines, pytest.raises(Unavailable):
        await source(access_key_id=None, secret_access_key=None)
    async with opened(None, access_key_id=None, secret_access_key=None) as storage:
        with pytest.raises(Unavailable):
            await storage.stat(KEY)

    assert [line["reason"] for line in lines] == ["NoCredentialsError"]
