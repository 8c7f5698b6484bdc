"""Signed URLs of storage on this machine, as a client uses them."""

import hashlib
import os
from urllib.parse import urlsplit

import httpx

from domain.adapters.storage import UploadTarget, attachment_key
from domain.adapters.storage_local import LocalStorage
from domain.base.clock import new_id

BODY = b"a photograph, say"
PNG = "image/png"


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
