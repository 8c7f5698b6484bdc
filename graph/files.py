"""/files: the routes of storage on this machine. Who holds a signed URL may do what it says; nothing else is looked at.

Bytes go to the disk as they come, at no total deadline: a body may have gigabytes. Each piece of it has one.
"""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from domain.adapters.storage import UPLOAD_BYTES_MAX, NoRoom, Storage
from domain.adapters.storage_local import PATH, LocalStorage, WrongBody
from domain.base.errors import Unavailable

# What is written at once, and for how long it may be under way: a client has to send 4 kB a second.
PIECE_BYTES = 256 * 1024
PIECE_DEADLINE_S = 60.0
RETRY_AFTER_S = 60
# What a page of another origin may read of an answer.
EXPOSED_HEADERS = ("Accept-Ranges", "Content-Disposition", "Content-Range", "ETag")
# A file is somebody's, so as a page of ours it may do nothing at all. Who has the URL may show the picture: the pages
# of ALLOWED_ORIGINS may be of another site.
_HEADERS = {
    "cache-control": "private",
    "content-security-policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "cross-origin",
    "x-content-type-options": "nosniff",
}


def routes(storage: Storage, *, piece_deadline_s: float = PIECE_DEADLINE_S) -> list[Route]:
    """The routes; none where files lie in a bucket."""
    if not isinstance(storage, LocalStorage):
        return []

    async def put(request: Request) -> Response:
        upload = storage.upload(request.scope["raw_path"], request.scope["query_string"])
        if upload is None:
            return _forbidden()
        if request.headers.getlist("content-type") != [upload.content_type]:
            return _told(403, f"Content-Type has to be {upload.content_type}.")
        length = request.headers.get("content-length")
        if length is None:
            return _told(411, "Content-Length has to be there.")
        if int(length) != upload.size_bytes:
            too_long = int(length) > upload.size_bytes
            return _told(413 if too_long else 400, f"Content-Length has to be {upload.size_bytes}.")
        try:
            await storage.receive(upload, _pieces(request, piece_deadline_s))
        except ClientDisconnect:
            # Nobody is there to read it.
            return _told(400, "The body is not whole.")
        except TimeoutError:
            return _told(408, f"{PIECE_BYTES} bytes have to come within {piece_deadline_s:g} s.")
        except WrongBody as fault:
            return _told(400, str(fault))
        except Unavailable as fault:
            return _unavailable(fault)
        return Response()

    async def get(request: Request) -> Response:
        download = storage.download(request.scope["raw_path"], request.scope["query_string"])
        if download is None:
            return _forbidden()
        try:
            found = await storage.found(download.key)
        except Unavailable as fault:
            return _unavailable(fault)
        if found is None:
            return _told(404, "There is no such file.")
        named = {"content-type": download.content_type, "content-disposition": download.disposition}
        response = FileResponse(storage.path(download.key), headers={**_HEADERS, **named}, stat_result=found)
        if _is_known(request.headers.get("if-none-match", ""), response.headers["etag"]):
            kept = {name: response.headers[name] for name in ("etag", "last-modified")}
            return Response(status_code=304, headers={**_HEADERS, **kept})
        return response

    async def endpoint(request: Request) -> Response:
        return await (put if request.method == "PUT" else get)(request)

    return [Route(f"{PATH}{{key:path}}", endpoint, methods=["GET", "PUT"], max_body_size=UPLOAD_BYTES_MAX)]


async def _pieces(request: Request, deadline_s: float) -> AsyncIterator[bytes]:
    """The body in pieces of a size that is worth a write. Raises TimeoutError, ClientDisconnect."""
    stream = request.stream()
    is_whole = False
    while not is_whole:
        piece = bytearray()
        async with asyncio.timeout(deadline_s):
            async for part in stream:
                piece += part
                if len(piece) >= PIECE_BYTES:
                    break
            else:
                is_whole = True
        yield bytes(piece)


def _is_known(if_none_match: str, etag: str) -> bool:
    """Whether the client has it already. Source: RFC 9110, section 13.1.2."""
    tags = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return etag in tags or tags == ["*"]


def _forbidden() -> Response:
    return _told(403, "This address was not given out for that, or holds no more.")


def _unavailable(fault: Unavailable) -> Response:
    status = 507 if isinstance(fault, NoRoom) else 503
    return PlainTextResponse(fault.message, status, {"retry-after": str(RETRY_AFTER_S)})


def _told(status: int, message: str) -> Response:
    return PlainTextResponse(message, status)
