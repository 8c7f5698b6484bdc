"""Archives made and read back in tests, and files to go into them."""

import hashlib
import io
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import orjson

from domain.adapters.storage import Storage, attachment_key, result_key
from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.database import acting_for
from domain.exports import service as exports
from domain.work import running
from tests.factories import Person, Tenant, execute, rows


@dataclass(frozen=True)
class Read:
    """An archive, every entry of which is what its manifest says."""

    entries: dict[str, bytes]
    manifest: dict[str, Any]

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The rows of a file."""
        return [orjson.loads(line) for line in self.entries[f"{name}.jsonl"].splitlines()]

    @property
    def missing(self) -> dict[str, str]:
        """Path -> why it is not there."""
        return {each["path"]: each["reason"] for each in self.manifest["missing"]}


def read(data: bytes) -> Read:
    """The archive, looked at from its end to its beginning."""
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    names = archive.namelist()
    assert len(set(names)) == len(names)
    assert (names[0], names[-1]) == ("README.txt", "manifest.json")
    entries = {name: archive.read(name) for name in names}
    manifest = orjson.loads(entries["manifest.json"])
    told = manifest["entries"]
    assert [each["path"] for each in told] == names[:-1]
    for each in told:
        assert each["bytes"] == len(entries[each["path"]])
        assert each["sha256"] == hashlib.sha256(entries[each["path"]]).hexdigest()
        if each["path"].endswith(".jsonl"):
            assert each["rows"] == entries[each["path"]].count(b"\n")
    return Read(entries, manifest)


async def perform(job_id: UUID, org_id: UUID, storage: Storage) -> None:
    """Do the job as a worker does."""
    with acting_for([org_id]):
        await running.perform(job_id, storage, partial(exports.make, storage=storage))


async def job_of(job_id: UUID) -> dict[str, Any]:
    """The job's row."""
    (row,) = await rows("SELECT * FROM job WHERE id = $1", job_id)
    return row


async def export(person: Person, tenant: Tenant, adapters: Adapters) -> Read:
    """Ask for an archive, have it made, and read it."""
    async with person.acting() as actor:
        return await export_as(actor, tenant, adapters)


async def export_as(actor: Actor, tenant: Tenant, adapters: Adapters) -> Read:
    """As `export`, as somebody else than a person."""
    with acting_for(actor.standings):
        job = await exports.ask(actor, tenant.org_id)
    await perform(job.id, tenant.org_id, adapters.storage)
    row = await job_of(job.id)
    assert (row["status"], row["message"], row["progress"]) == ("SUCCEEDED", None, 1.0)
    return read(await result_of(row, adapters))


async def result_of(row: dict[str, Any], adapters: Adapters) -> bytes:
    """What a job has left."""
    return b"".join([chunk async for chunk in adapters.storage.read(result_key(row["org_id"], row["claim"]))])


async def make_file(
    tenant: Tenant, task_id: UUID, adapters: Adapters, *, name: str, data: bytes, type_: str = "image/png"
) -> UUID:
    """An attachment that is READY, and its bytes in storage."""
    attachment_id = new_id()
    await execute(
        "INSERT INTO attachment (id, org_id, created_at, updated_at, task_id, filename, claimed_type, content_type, "
        "size_bytes, sha256, status, has_thumbnail, uploaded_by_kind, uploaded_by_id) "
        "VALUES ($1, $2, $3, $3, $4, $5, $6, $6, $7, $8, 'READY', false, 'USER', $9)",
        *(attachment_id, tenant.org_id, now(), task_id, name, type_, len(data), hashlib.sha256(data).hexdigest()),
        tenant.admin.user_id,
    )
    await adapters.storage.write(attachment_key(tenant.org_id, attachment_id), _once(data), content_type=type_)
    return attachment_id


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
