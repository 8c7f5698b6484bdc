"""What tests do with attachments: announce, send, complete; and the bytes that they send."""

import gzip
import hashlib
import io
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import orjson
from PIL import Image

from domain.adapters.storage import Storage, attachment_key, thumbnail_key
from domain.base.clock import new_id
from domain.deliveries.claims import Claim
from domain.deliveries.models import Kind
from domain.events.types import EventType
from domain.tasks.queries import TaskRow
from graph.base.ids import split_id
from jobs import attachments as jobs
from jobs.reactions import REACTIONS, Reactions
from tests.client import served
from tests.factories import Person, rows
from tests.notifications.telling import events_of
from tests.tasks.board import ERRORS, Board, id_of

ATTACHMENT = """
attachment {
  id filename contentType sizeBytes sha256 status rejectionReason downloadUrl thumbnailUrl createdAt
  task { id } uploadedBy { __typename ... on User { id } }
}
"""
CREATE = f"""
mutation ($input: AttachmentUploadCreateInput!) {{
  attachmentUploadCreate(input: $input) {{
    {ATTACHMENT} upload {{ url method headers {{ name value }} expiresAt }} {ERRORS}
  }}
}}
"""
COMPLETE = f"mutation ($id: ID!) {{ attachmentUploadComplete(id: $id) {{ {ATTACHMENT} {ERRORS} }} }}"
DELETE = f"mutation ($id: ID!) {{ attachmentDelete(id: $id) {{ deletedId {ERRORS} }} }}"
ATTACHMENTS = ATTACHMENT.replace("attachment {", "attachments {", 1)
LIST = f"query ($id: ID!) {{ task(id: $id) {{ attachmentCount {ATTACHMENTS} }} }}"
USED = """
query ($id: ID!) { organization(id: $id) { storageUsedBytes entitlements { feature used limit } } }
"""


HANDLERS = Reactions(
    events={type_: REACTIONS[type_] for type_ in (EventType.ATTACHMENT_UPDATED, EventType.ATTACHMENT_DELETED)},
    accounts={},
    listeners={},
    inbound=(),
    rows=(jobs.check,),
    lines=(),
)
"""What workers do about attachments."""


@dataclass(frozen=True)
class File:
    """A file on somebody's machine."""

    body: bytes
    name: str = "notes.txt"
    content_type: str = "text/plain"

    @property
    def sha256(self) -> str:
        """Its digest."""
        return hashlib.sha256(self.body).hexdigest()


NOTES = File(b"To do: everything.\n")


def picture(format: str = "PNG", size: tuple[int, int] = (400, 300), **told: Any) -> bytes:
    """A picture, red on its left half and blue on its right."""
    made = Image.new("RGB", size, (255, 0, 0))
    made.paste((0, 0, 255), (size[0] // 2, 0, *size))
    written = io.BytesIO()
    made.save(written, format, **told)
    return written.getvalue()


def packed(*names: str, **kind: Any) -> bytes:
    """A ZIP with entries of these names."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", **kind) as archive:
        for name in names:
            archive.writestr(name, "x" * 40)
    return written.getvalue()


DOCX = packed("[Content_Types].xml", "word/document.xml")
GZIP = gzip.compress(b"x" * 100)


@dataclass(frozen=True)
class Desk:
    """A task that files are attached to, by the tenant's member."""

    board: Board
    task: TaskRow
    storage: Storage
    http: httpx.AsyncClient

    @property
    def org_id(self) -> UUID:
        """The organization."""
        return self.board.org_id

    @property
    def member(self) -> Person:
        """Who uploads."""
        return self.board.tenant.member

    def input(self, file: File, **instead: Any) -> dict[str, Any]:
        """What announces the file."""
        told = {
            "taskId": id_of(self.task),
            "filename": file.name,
            "contentType": file.content_type,
            "sizeBytes": len(file.body),
            "sha256": file.sha256,
        }
        return told | instead

    async def announced(self, file: File = NOTES, person: Person | None = None, **instead: Any) -> dict[str, Any]:
        """The payload of a file that was announced."""
        return await (person or self.member).client.done(CREATE, input=self.input(file, **instead))

    async def sent(self, file: File = NOTES, person: Person | None = None, **instead: Any) -> str:
        """The id of an attachment whose bytes were sent over HTTP."""
        payload = await self.announced(file, person, **instead)
        answer = await self.send(payload["upload"], file.body)
        assert answer.status_code == 200, answer.text
        return str(payload["attachment"]["id"])

    async def send(self, upload: dict[str, Any], body: bytes) -> httpx.Response:
        """The answer to a request with the body."""
        headers = [(each["name"], each["value"]) for each in upload["headers"]]
        return await self.http.request(upload["method"], own(upload["url"]), headers=headers, content=body)

    async def completed(self, file: File = NOTES, person: Person | None = None, **instead: Any) -> dict[str, Any]:
        """An attachment that was uploaded and completed."""
        id = await self.sent(file, person, **instead)
        payload = await (person or self.member).client.done(COMPLETE, id=id)
        return dict(payload["attachment"])

    async def get(self, url: str) -> httpx.Response:
        """What is at the address."""
        return await self.http.get(own(url))

    async def listed(self) -> list[dict[str, Any]]:
        """The task's attachments."""
        task = (await self.member.client.ok(LIST, id=id_of(self.task)))["task"]
        assert task["attachmentCount"] == len(task["attachments"])
        return list(task["attachments"])

    async def used(self) -> int:
        """What the organization stores, in bytes."""
        found = (await self.member.client.ok(USED, id=self.board.tenant.id))["organization"]
        (entitled,) = [each for each in found["entitlements"] if each["feature"] == "storage_bytes"]
        assert entitled["used"] == found["storageUsedBytes"]
        return int(found["storageUsedBytes"])

    async def stored(self, id: str) -> tuple[bool, bool]:
        """Whether the bytes and the thumbnail of an attachment are in storage."""
        of = uuid_of(id)
        keys = (attachment_key(self.org_id, of), thumbnail_key(self.org_id, of))
        found = [await self.storage.stat(key) for key in keys]
        return found[0] is not None, found[1] is not None

    async def facts(self) -> list[str]:
        """The types of what was told of attachments."""
        found = await rows(
            "SELECT type FROM event WHERE org_id = $1 AND subject_kind = 'attachment' ORDER BY seq", self.org_id
        )
        return [row["type"] for row in found]

    async def told(self) -> list[dict[str, Any]]:
        """What was told of attachments, private values too."""
        found = await rows(
            "SELECT event.data, event_values.data AS apart FROM event "
            "LEFT JOIN event_values ON event_values.event_id = event.id "
            "WHERE event.org_id = $1 AND subject_kind = 'attachment' ORDER BY seq",
            self.org_id,
        )
        return [orjson.loads(row["data"]) | orjson.loads(row["apart"] or "{}") for row in found]

    async def put(self, id: str, body: bytes) -> None:
        """Write bytes into the store, past what an upload is bound to."""

        async def whole() -> AsyncIterator[bytes]:
            yield body

        key = attachment_key(self.org_id, uuid_of(id))
        await self.storage.write(key, whole(), content_type="application/octet-stream")

    async def work(self, *handlers: str) -> None:
        """Do what follows from all that was told and asked for, as workers do, each thing twice.

        By the `handlers`; without any, by all.
        """
        done: set[tuple[str, UUID]] = set()
        while left := [
            each
            for each in await self._claims()
            if (each.handler, each.source_id) not in done and each.handler in (handlers or HANDLERS.by_name)
        ]:
            for claim in left:
                done.add((claim.handler, claim.source_id))
                for _ in range(2):
                    await HANDLERS.by_name[claim.handler].does(claim, served()[1])

    async def _claims(self) -> list[Claim]:
        found = []
        for event in await events_of(self.org_id, *HANDLERS.events):
            for handler in HANDLERS.events[EventType(event.type)]:
                found.append(self._claim(Kind.EVENT, handler.name, event.id, event.seq))
        asked = await rows("SELECT source_id, handler FROM delivery WHERE org_id = $1 AND kind = 'ROW'", self.org_id)
        return [*found, *(self._claim(Kind.ROW, each["handler"], each["source_id"], None) for each in asked)]

    def _claim(self, kind: Kind, handler: str, source_id: UUID, seq: int | None) -> Claim:
        return Claim(new_id(), new_id(), 1, kind, handler, source_id, self.org_id, None, seq, None)

    async def sweep(self, at: datetime) -> None:
        """Do what is done each night, as of an instant."""
        claim = replace(self._claim(Kind.TICK, "", new_id(), None), tick_at=at)
        await jobs.sweep.does(claim, served()[1])

    def of(self, task: TaskRow) -> "Desk":
        """The same with another task."""
        return replace(self, task=task)


def uuid_of(id: str) -> UUID:
    """The UUID of a global id."""
    return split_id(id)[1]


def own(url: str) -> str:
    """The address without its origin, which is that of a deployment."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"
