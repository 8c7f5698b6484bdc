"""What fills an archive: rows as they were at one moment, then the files of that moment, then the manifest of both.

The transaction that holds the moment ends before the first file: files may take hours, and meanwhile the server could
clear away nothing that was deleted. So a file may go in between; the manifest says so then.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import orjson

from domain.adapters.storage import Missing, Storage, attachment_key
from domain.attachments import queries as attachments
from domain.attachments.states import Status
from domain.base.actor import Actor
from domain.base.database import fetch, fetch_value
from domain.base.ids import global_id
from domain.base.permissions import Permission
from domain.base.snapshots import in_steps, snapshot
from domain.base.sql import Row, sql
from domain.exports.archive import Archive
from domain.exports.entities import ENTITIES, Entity
from domain.exports.names import safe_name

FORMAT_VERSION = 1
README = """This archive holds the data of one organization, as Planwire had them at one moment.

*.jsonl        One file for each kind of thing, with a line of JSON for each of them. Names and ids are those of the
               API; a field that ends in "Id" names a line of another file. Instants are in UTC, by ISO 8601.
files/         What was attached to tasks, in a folder for each attachment, named by its id. Names are changed where
               some system could not take them; attachments.jsonl has them as they were.
events.jsonl   What ever happened, in order, with the values before and after where they were not erased. Numbers are
               left out where the event is another person's alone.
manifest.json  The moment, the number of the last event, and of each file here how many lines and bytes it has and its
               SHA-256; under "missing" what is not here, and why.

Passwords, keys and their digests are in no archive.
"""

# Rows that are read at once. An event may have two texts of 100,000 characters.
_ROWS_AT_ONCE = 50
# Of lines that are passed on at once: a line each would cost more than making it.
_CHUNK_BYTES = 64 * 1024
# What a row counts for beside the bytes of files, where it is told how much is done.
_ROW_BYTES = 500
# How many in a process read rows at once: each keeps a connection, and other jobs need some too.
_reading = asyncio.Semaphore(2)
# Beside all of text/: what is worth compressing. Other types are compressed already.
_TEXTS = frozenset({"application/json", "application/xml", "image/bmp", "image/svg+xml"})
_WRITTEN = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE


@dataclass(frozen=True)
class _File:
    """An attachment whose bytes go into the archive."""

    id: UUID
    path: str
    is_text: bool
    size_bytes: int
    sha256: str


class Contents:
    """Fills one archive with what the actor may see of the organization. `tell` hears how much of it is done."""

    def __init__(self, actor: Actor, org_id: UUID, storage: Storage, tell: Callable[[float, str | None], None]) -> None:
        self._actor = actor
        self._org_id = org_id
        self._storage = storage
        self._tell = tell
        self._files: list[_File] = []
        self._entries: list[dict[str, Any]] = []
        self._missing: list[dict[str, str]] = []
        self._done_bytes = 0
        self._total_bytes = 1

    async def fill(self, archive: Archive) -> None:
        """Add everything."""
        await self._add(archive, "README.txt", _once(README.encode()))
        self._tell(0.0, "Waiting for other exports")
        async with _reading, snapshot():
            head = await self._head()
            await self._rows(archive)
        for number, file in enumerate(self._files, 1):
            self._told(0, f"File {number:,} of {len(self._files):,}")
            await self._file(archive, file)
        manifest = {**head, "entries": self._entries, "missing": self._missing}
        written = orjson.dumps(manifest, option=_WRITTEN | orjson.OPT_INDENT_2)
        await archive.add("manifest.json", _once(written))

    async def _head(self) -> dict[str, Any]:
        (row,) = await fetch(
            sql(
                "SELECT organization.id, organization.name, organization.slug, statement_timestamp() AS at, "
                "coalesce((SELECT seq FROM event_counter WHERE event_counter.org_id = organization.id), 0) AS seq "
                "FROM organization WHERE organization.id = {}",
                self._org_id,
            ),
            Row,
        )
        organization = {"id": global_id("organization", row.id), "name": row.name, "slug": row.slug}
        return {
            "formatVersion": FORMAT_VERSION,
            "organization": organization,
            "snapshotAt": row.at,
            "eventSeq": row.seq,
        }

    async def _rows(self, archive: Archive) -> None:
        permissions = self._actor.permissions(self._org_id)
        entities = [entity for entity in ENTITIES if entity.needs in permissions]
        for entity in ENTITIES:
            if entity.needs not in permissions:
                self._lacks(entity.path, f"It needs the permission {entity.needs}, which whoever asked does not have.")
        counts = [await fetch_value(entity.count(self._actor, self._org_id)) for entity in entities]
        if Permission.ATTACHMENT_READ in permissions:
            await self._find_files()
        self._total_bytes = max(1, sum(counts) * _ROW_BYTES + sum(file.size_bytes for file in self._files))
        for entity in entities:
            self._told(0, f"Writing {entity.path}")
            await self._entity(archive, entity)

    async def _entity(self, archive: Archive, entity: Entity) -> None:
        rows = 0

        async def lines() -> AsyncIterator[bytes]:
            nonlocal rows
            statement = entity.rows(self._actor, self._org_id)
            chunk = bytearray()
            async for some in in_steps(statement, entity.table.row, most=_ROWS_AT_ONCE):
                for row in some:
                    chunk += orjson.dumps(entity.line(row), option=_WRITTEN)
                    if len(chunk) >= _CHUNK_BYTES:
                        yield bytes(chunk)
                        chunk.clear()
                rows += len(some)
                self._told(len(some) * _ROW_BYTES)
            yield bytes(chunk)

        await self._add(archive, entity.path, lines(), lambda: {"rows": rows})

    async def _find_files(self) -> None:
        statement = sql(
            "SELECT id, filename, content_type, size_bytes, sha256 FROM attachment "
            "WHERE org_id = {} AND status = {} ORDER BY id",
            self._org_id,
            Status.READY.value,
        )
        async for some in in_steps(statement, Row, most=_ROWS_AT_ONCE):
            for row in some:
                path = f"files/{global_id('attachment', row.id)}/{safe_name(row.filename)}"
                self._files.append(_File(row.id, path, _is_text(row.content_type), row.size_bytes, row.sha256))

    async def _file(self, archive: Archive, file: _File) -> None:
        key = attachment_key(self._org_id, file.id)
        async with aclosing(cast("AsyncGenerator[bytes, None]", self._storage.read(key))) as chunks:
            # An entry that is begun has to be whole, so the first bytes have to be there before.
            try:
                first = await anext(chunks)
            except Missing:
                self._told(file.size_bytes)
                self._lacks(file.path, await self._why_missing(file))
                return

            async def counted() -> AsyncIterator[bytes]:
                chunk: bytes | None = first
                while chunk is not None:
                    yield chunk
                    self._told(len(chunk))
                    chunk = await anext(chunks, None)

            digest = await self._add(archive, file.path, counted(), compress=file.is_text)
        if digest != file.sha256:
            self._lacks(file.path, "Its bytes are not those that were uploaded.")

    async def _why_missing(self, file: _File) -> str:
        if await attachments.by_ids(self._actor, [file.id], ("id",)):
            return "Its bytes are lost."
        return "It was deleted while the archive was made."

    async def _add(
        self,
        archive: Archive,
        path: str,
        chunks: AsyncIterator[bytes],
        counts: Callable[[], dict[str, int]] = dict,
        *,
        compress: bool = True,
    ) -> str:
        """Add an entry and note it in the manifest; its digest. `counts` says what else is known once it is written."""
        written = await archive.add(path, chunks, compress=compress)
        entry = {"path": path, **counts(), "bytes": written.size_bytes, "sha256": written.sha256}
        self._entries.append(entry)
        return written.sha256

    def _lacks(self, path: str, reason: str) -> None:
        self._missing.append({"path": path, "reason": reason})

    def _told(self, done_bytes: int, message: str | None = None) -> None:
        self._done_bytes += done_bytes
        self._tell(self._done_bytes / self._total_bytes, message)


def _is_text(content_type: str) -> bool:
    return content_type.startswith("text/") or content_type in _TEXTS


async def _once(chunk: bytes) -> AsyncIterator[bytes]:
    yield chunk
