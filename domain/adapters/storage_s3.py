"""Storage in a bucket of S3, or of a server that speaks as S3 does.

What a signed URL is bound to stands in headers that are signed with it, so the server refuses any other length, type
or digest. A large object is written in parts; on a crash the parts are left, and a rule of the bucket has to remove
them (AbortIncompleteMultipartUpload). Nothing is made public here; the bucket's own policy has to be so too.
Source: Amazon S3 API reference, authenticating requests (AWS Signature Version 4).
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import structlog
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError

from domain.adapters.storage import (
    Missing,
    Stored,
    UploadTarget,
    check_upload,
    checked_key,
    checked_prefix,
    checked_type,
    disposition,
    is_key,
)
from domain.base.clock import now
from domain.base.errors import Unavailable

CONNECT_TIMEOUT_S = 3.0
# Between two bytes.
READ_TIMEOUT_S = 10.0
# Of each call, with all its tries; one that carries bytes has longer.
CALL_TIMEOUT_S = 15.0
PART_TIMEOUT_S = 120.0
TRIES = 3
# At most 10,000 parts, and at least 5 MiB each but the last: 78 GiB. Each part that is being written is in memory.
PART_BYTES = 8 * 1024 * 1024
READ_BYTES = 256 * 1024
LISTED_AT_ONCE = 1000
CONNECTIONS = 20
# What a server with one place of its own does not care about.
DEFAULT_REGION = "us-east-1"
_MISSING = frozenset({"404", "NoSuchKey", "NoSuchUpload", "NotFound"})
_FAULTS = (BotoCoreError, aiohttp.ClientError, TimeoutError, OSError)
# Signed with a URL for an upload, whatever else is.
_BOUND = frozenset({"content-length", "content-type", "host", "x-amz-checksum-sha256"})
_log = structlog.get_logger("storage")


class _PastTheEnd(Exception):
    """The object has no byte of the range."""


class S3Storage:
    """A bucket. Without keys the roles that AWS gives to a machine, container or pod are asked for some."""

    def __init__(
        self,
        *,
        bucket: str,
        region: str | None = None,
        endpoint_url: str | None = None,
        storage_class: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        session_token: str | None = None,
        part_bytes: int = PART_BYTES,
        call_timeout_s: float = CALL_TIMEOUT_S,
        part_timeout_s: float = PART_TIMEOUT_S,
    ) -> None:
        self._bucket = bucket
        self._class = {} if storage_class is None else {"StorageClass": storage_class}
        self._part_bytes = part_bytes
        self._call_timeout_s = call_timeout_s
        self._part_timeout_s = part_timeout_s
        self._about_client = {
            "region_name": region or DEFAULT_REGION,
            "endpoint_url": endpoint_url,
            "aws_access_key_id": access_key_id,
            "aws_secret_access_key": secret_access_key,
            "aws_session_token": session_token,
            "config": AioConfig(
                signature_version="s3v4",
                # Servers of one's own have one name, and not one more for each bucket; nor is a certificate of AWS for
                # names with a dot more.
                s3={"addressing_style": "virtual" if endpoint_url is None and "." not in bucket else "path"},
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                retries={"total_max_attempts": TRIES, "mode": "standard"},
                max_pool_connections=CONNECTIONS,
                # The digest of what is sent is signed anyhow, and not every server knows newer checksums.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                # The model of S3 has megabytes, which are read in a thread.
                warm_up_loader_caches=True,
                # Settings come from domain/base/settings.py alone.
                ignore_configured_endpoint_urls=True,
                proxies={},
            ),
        }
        self._connecting = asyncio.Lock()
        self._context: Any = None
        self._client: Any = None

    async def presign_put(
        self, key: str, *, content_type: str, size_bytes: int, sha256: str, expires_s: int
    ) -> UploadTarget:
        """As Storage."""
        check_upload(key, content_type=content_type, size_bytes=size_bytes, sha256=sha256)
        # With the space the library takes one of the types for its own default, and does not sign it.
        content_type = content_type.replace("; ", ";")
        digest = base64.b64encode(bytes.fromhex(sha256)).decode()
        expires_at = now() + timedelta(seconds=expires_s)
        bound = {"ContentType": content_type, "ContentLength": size_bytes, "ChecksumSHA256": digest, **self._class}
        url = await self._presign("put_object", expires_s, Key=key, **bound)
        signed = set(parse_qs(urlsplit(url).query)["X-Amz-SignedHeaders"][0].split(";"))
        if not signed >= _BOUND:
            raise RuntimeError(f"a URL for an upload is not bound to {', '.join(_BOUND - signed)}")
        headers = {"Content-Type": content_type, "x-amz-checksum-sha256": digest}
        if self._class:
            headers["x-amz-storage-class"] = self._class["StorageClass"]
        return UploadTarget(url, "PUT", headers, expires_at)

    async def presign_get(self, key: str, *, filename: str, content_type: str, inline: bool, expires_s: int) -> str:
        """As Storage."""
        return await self._presign(
            "get_object",
            expires_s,
            Key=checked_key(key),
            ResponseContentType=checked_type(content_type),
            ResponseContentDisposition=disposition(filename, content_type, inline=inline),
        )

    async def stat(self, key: str) -> Stored | None:
        """As Storage."""
        try:
            found = await self._ask("head_object", {"Key": checked_key(key)})
        except Missing:
            return None
        return Stored(key, found["ContentLength"], found["LastModified"].astimezone(UTC))

    async def read(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """As Storage."""
        about = {"Key": checked_key(key)}
        if start or length is not None:
            # There is no range of nothing, so of that one byte is asked for and not given.
            about["Range"] = f"bytes={start}-" + ("" if length is None else str(start + max(length, 1) - 1))
        try:
            found = await self._ask("get_object", about)
        except _PastTheEnd:
            return
        async with found["Body"] as body:
            while length != 0 and (chunk := await self._chunk(body)):
                yield chunk

    async def write(self, key: str, chunks: AsyncIterator[bytes], *, content_type: str) -> Stored:
        """As Storage."""
        about = {"Key": checked_key(key), "ContentType": checked_type(content_type), **self._class}
        parts = _parts(chunks, self._part_bytes)
        first = await anext(parts)
        if len(first) < self._part_bytes:
            await self._ask("put_object", {**about, "Body": first}, timeout_s=self._part_timeout_s)
        else:
            await self._write_parts(about, first, parts)
        stored = await self.stat(key)
        if stored is None:
            raise Unavailable("The file was removed while it was written.")
        return stored

    async def delete(self, key: str) -> None:
        """As Storage."""
        await self._ask("delete_object", {"Key": checked_key(key)})

    async def list(self, prefix: str) -> AsyncIterator[Stored]:
        """As Storage. What somebody else has put into the bucket is passed over."""
        asked: dict[str, Any] = {"Prefix": checked_prefix(prefix), "MaxKeys": LISTED_AT_ONCE}
        while True:
            page = await self._ask("list_objects_v2", asked)
            for each in page.get("Contents", ()):
                if is_key(each["Key"]):
                    yield Stored(each["Key"], each["Size"], each["LastModified"].astimezone(UTC))
            if not page["IsTruncated"]:
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    async def close(self) -> None:
        """Close the connections."""
        context, self._context, self._client = self._context, None, None
        if context is not None:
            await context.__aexit__(None, None, None)

    async def _write_parts(self, about: dict[str, str], first: bytes, rest: AsyncIterator[bytes]) -> None:
        begun = await self._ask("create_multipart_upload", about)
        upload = {"Key": about["Key"], "UploadId": begun["UploadId"]}
        try:
            done = [await self._write_part(upload, 1, first)]
            async for part in rest:
                done.append(await self._write_part(upload, len(done) + 1, part))
            told = {**upload, "MultipartUpload": {"Parts": done}}
            await self._ask("complete_multipart_upload", told, timeout_s=self._part_timeout_s)
        except BaseException:
            # Also where the caller is cancelled: what is left is paid for and seen by nobody.
            await asyncio.shield(self._abort(upload))
            raise

    async def _write_part(self, upload: dict[str, str], number: int, part: bytes) -> dict[str, object]:
        told = {**upload, "PartNumber": number, "Body": part}
        sent = await self._ask("upload_part", told, timeout_s=self._part_timeout_s)
        return {"PartNumber": number, "ETag": sent["ETag"]}

    async def _abort(self, upload: dict[str, str]) -> None:
        # Where it cannot be done, or is done already, the first fault is the one to tell.
        with suppress(Missing, Unavailable):
            await self._ask("abort_multipart_upload", upload)

    async def _chunk(self, body: Any) -> bytes:
        try:
            chunk: bytes = await body.read(READ_BYTES)
        except _FAULTS as fault:
            raise _unavailable(type(fault).__name__) from fault
        return chunk

    async def _presign(self, method: str, expires_s: int, **about: Any) -> str:
        try:
            client = await self._connected()
            async with asyncio.timeout(self._call_timeout_s):
                # Signed here; only the keys of a role have to be asked for.
                url: str = await client.generate_presigned_url(
                    method, Params={"Bucket": self._bucket, **about}, ExpiresIn=expires_s
                )
        except _FAULTS as fault:
            raise _unavailable(type(fault).__name__) from fault
        return url

    async def _ask(self, method: str, about: Mapping[str, Any], *, timeout_s: float | None = None) -> Any:
        """The answer. Raises Missing for a key of nothing; _PastTheEnd; Unavailable."""
        try:
            client = await self._connected()
            async with asyncio.timeout(timeout_s or self._call_timeout_s):
                return await getattr(client, method)(Bucket=self._bucket, **about)
        except ClientError as fault:
            code = str(fault.response.get("Error", {}).get("Code", ""))
            if code in _MISSING and "Key" in about:
                raise Missing(about["Key"]) from None
            if code == "InvalidRange":
                raise _PastTheEnd from None
            raise _unavailable(code) from fault
        except _FAULTS as fault:
            raise _unavailable(type(fault).__name__) from fault

    async def _connected(self) -> Any:
        """The one client of this process, made at first use: it belongs to the event loop that runs then."""
        async with self._connecting:
            if self._client is None:
                self._context = _session().create_client("s3", **self._about_client)
                self._client = await self._context.__aenter__()
        return self._client


def _session() -> Any:
    """A session that takes nothing from the environment or from files but the keys of a role."""
    # Each has a name in the file, a variable, a default, and what reads it.
    told = {name: (None, None, *rest) for name, (_, _, *rest) in AioSession.SESSION_VARIABLES.items()}
    return AioSession(session_vars=told)


def _unavailable(reason: str) -> Unavailable:
    _log.error("the bucket does not do what it is asked", reason=reason)
    return Unavailable("Files cannot be reached right now.")


async def _parts(chunks: AsyncIterator[bytes], size_bytes: int) -> AsyncIterator[bytes]:
    """The same bytes in parts of one size but for the last one, which is empty where there are none at all."""
    part = bytearray()
    is_first = True
    async for chunk in chunks:
        part += chunk
        while len(part) >= size_bytes:
            yield bytes(part[:size_bytes])
            del part[:size_bytes]
            is_first = False
    if part or is_first:
        yield bytes(part)
