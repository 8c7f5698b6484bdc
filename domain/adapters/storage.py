"""Storage: objects by key, in a bucket of S3 or on the disk of this machine. What both have in common is here.

Clients send and take the bytes themselves, by addresses that are signed for one object and a short time. Nothing is
public, and no part of a key is text that a user wrote.
"""

import re
import unicodedata
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from urllib.parse import quote
from uuid import UUID

from domain.base.errors import DomainError, Unavailable

# What one PUT of S3 takes at most. Source: Amazon S3, uploading objects.
UPLOAD_BYTES_MAX = 5 * 1024**3
FILENAME_LENGTH_MAX = 255
# What browsers draw and never run. SVG is not among them: it may hold scripts.
INLINE_TYPES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_KEY = re.compile(f"org/{_UUID}/(attachments|thumbnails|results)/{_UUID}")
_PREFIX = re.compile(f"org/({_UUID}/)?")
_SHA256 = re.compile("[0-9a-f]{64}")
# Source: RFC 9110, sections 5.6.2 and 8.3.1.
_NAME = "[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_TYPE = re.compile(f'{_NAME}/{_NAME}(; ?{_NAME}=({_NAME}|"[A-Za-z0-9 !#-\\[\\]-~]*"))*')
_TYPE_LENGTH_MAX = 255
# They let a name look like another: "exe.txt" for what ends in "txt.exe". Source: Unicode Standard Annex 9, 2.
_DIRECTIONS = dict.fromkeys([0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
_NOT_PLAIN = re.compile("[^A-Za-z0-9 ._-]")
# Systems and browsers leave them out at the end of a name, in whatever order they stand.
_DROPPED = re.compile(r"[\s.]+\Z")


class Missing(DomainError):
    """There is no object with this key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"there is no object {key}")
        self.key = key


class NoRoom(Unavailable):
    """The disk takes no more."""


@dataclass(frozen=True)
class UploadTarget:
    """Where a client sends the bytes. It has to send all of the headers, with these values."""

    url: str
    method: str
    headers: Mapping[str, str]
    expires_at: datetime


@dataclass(frozen=True)
class Stored:
    """An object that is there."""

    key: str
    size_bytes: int
    modified_at: datetime


class Storage(Protocol):
    """The store. Every call raises Unavailable when it cannot be asked now, ValueError for what is no key."""

    async def presign_put(
        self, key: str, *, content_type: str, size_bytes: int, sha256: str, expires_s: int
    ) -> UploadTarget:
        """Where to PUT exactly these bytes: so many, of this SHA-256 (lower-case hexadecimal), said to be this type.

        Within `expires_s` it may be done again, and has the same effect.
        """
        ...

    async def presign_get(self, key: str, *, filename: str, content_type: str, inline: bool, expires_s: int) -> str:
        """An absolute URL to GET the object, there or not, as this type and under this name.

        A browser shows it in its place when `inline` is wished and the type is of INLINE_TYPES; else it saves it.
        """
        ...

    async def stat(self, key: str) -> Stored | None:
        """The object without its bytes; None when there is none."""
        ...

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` on, `length` of them or as many as there are. Raises Missing."""
        ...

    async def write(self, key: str, chunks: AsyncIterator[bytes], *, content_type: str) -> Stored:
        """Write the object in the place of any other, whole or not at all, also where the caller is cancelled."""
        ...

    async def delete(self, key: str) -> None:
        """Remove the object; one that is not there is fine."""
        ...

    def list(self, prefix: str) -> AsyncIterator[Stored]:
        """All objects under `org/` or `org/<id>/`, in no order, never all of them in memory.

        One that is written or deleted meanwhile may be among them or not.
        """
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...


def attachment_key(org_id: UUID, attachment_id: UUID) -> str:
    """Of what was uploaded."""
    return f"org/{org_id}/attachments/{attachment_id}"


def thumbnail_key(org_id: UUID, attachment_id: UUID) -> str:
    """Of the small picture of an attachment."""
    return f"org/{org_id}/thumbnails/{attachment_id}"


def result_key(org_id: UUID, job_id: UUID) -> str:
    """Of what a job has left."""
    return f"org/{org_id}/results/{job_id}"


def is_key(text: str) -> bool:
    """Whether it is a key."""
    return _KEY.fullmatch(text) is not None


def checked_key(key: str) -> str:
    """The key. Raises ValueError for any other text, so that none becomes a path or part of a URL."""
    if not is_key(key):
        raise ValueError("this is no key of an object")
    return key


def checked_prefix(prefix: str) -> str:
    """The prefix. Raises ValueError for any but `org/` and `org/<id>/`."""
    if not _PREFIX.fullmatch(prefix):
        raise ValueError("objects are listed under org/ or org/<id>/")
    return prefix


def checked_type(content_type: str) -> str:
    """The media type, with parameters or without. Raises ValueError when it cannot stand in a header."""
    if len(content_type) > _TYPE_LENGTH_MAX or not _TYPE.fullmatch(content_type):
        raise ValueError("this is no media type")
    return content_type


def check_upload(key: str, *, content_type: str, size_bytes: int, sha256: str) -> None:
    """Look at what a URL for an upload is to be bound to. Raises ValueError."""
    checked_key(key)
    checked_type(content_type)
    if not 0 < size_bytes <= UPLOAD_BYTES_MAX:
        raise ValueError(f"an upload has 1 to {UPLOAD_BYTES_MAX} bytes")
    if not _SHA256.fullmatch(sha256):
        raise ValueError("a SHA-256 is 64 lower-case hexadecimal digits")


def disposition(filename: str, content_type: str, *, inline: bool) -> str:
    """The header Content-Disposition, of printable ASCII whatever the name is. Source: RFC 6266 and RFC 8187."""
    kind = "inline" if inline and content_type in INLINE_TYPES else "attachment"
    name = safe_filename(filename)
    return f"{kind}; filename=\"{_NOT_PLAIN.sub('_', name)}\"; filename*=UTF-8''{quote(name, safe='')}"


def safe_filename(filename: str) -> str:
    """A name to save a file by: no path, no control characters, nothing that turns text round, 1 to 255 characters."""
    shown = "".join(
        "_" if each in "/\\" else each
        for each in filename.translate(_DIRECTIONS)
        # Control characters, halves of surrogate pairs, and the two separators that break lines.
        if unicodedata.category(each) not in ("Cc", "Cs", "Zl", "Zp")
    )
    return _DROPPED.sub("", shown.strip()[:FILENAME_LENGTH_MAX]) or "file"
