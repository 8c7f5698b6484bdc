"""What is put right each night: uploads that were never finished, and bytes and rows that have lost each other.

Memory and statements are bounded: objects come from storage as a stream, and are compared with the rows by the hundred.
An object is nobody's only when it is older than a day, so what is just being written is left alone.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from domain.adapters.storage import Storage, Stored, attachment_key
from domain.attachments import queries, service
from domain.attachments.checking import Verdict
from domain.attachments.queries import AttachmentRow
from domain.attachments.states import REJECTED_KEPT_FOR, UPLOAD_WITHIN, Status
from domain.base.actor import Actor
from domain.base.database import Door, fetch, fetch_value, system_fetch, tx
from domain.base.permissions import Permission
from domain.base.sql import Row, Sql, sql
from domain.tasks import queries as tasks
from domain.work import queries as jobs

AT_ONCE = 200
ORPHANED_AFTER = timedelta(days=1)
# Of what is lost, for the log.
MOST_NAMED = 10
NEVER_FINISHED = "It was not uploaded and completed within 24 hours."
NEVER_CHECKED = "It could not be checked within 24 hours."


@dataclass
class Swept:
    """What was found, by number; `lost` names some of the attachments whose bytes are gone."""

    ended: int = 0
    forgotten: int = 0
    removed: int = 0
    lost_count: int = 0
    lost: list[UUID] = field(default_factory=list)


async def sweep(actor: Actor, org_id: UUID, at: datetime, storage: Storage) -> Swept:
    """Put one organization right; what was done. Done again it finds nothing to do. Raises Unavailable; Timeout."""
    swept = Swept()
    swept.ended = await _end_unfinished(actor, org_id, at)
    swept.forgotten = await _forget_rejected(actor, org_id, at)
    with_bytes = await _remove_orphans(actor, org_id, at, storage, swept)
    ready = sql("org_id = {} AND status = 'READY' AND created_at < {}", org_id, at - ORPHANED_AFTER)
    if with_bytes < await fetch_value(sql("SELECT count(*) FROM attachment WHERE {}", ready)):
        # Only then each is looked for by itself.
        await _find_lost(actor, ready, storage, swept)
    return swept


async def _end_unfinished(actor: Actor, org_id: UUID, at: datetime) -> int:
    overdue = sql(
        "org_id = {} AND status = 'REQUESTED' AND created_at <= {} ORDER BY created_at", org_id, at - UPLOAD_WITHIN
    )
    total = 0
    while ids := await _ids(overdue):
        async with tx():
            rows = await queries.by_ids.lock(actor, ids, Permission.ATTACHMENT_CREATE)
            for row in rows.values():
                if row.status == Status.REQUESTED:
                    reason = NEVER_FINISHED if row.completed_at is None else NEVER_CHECKED
                    await service.write(actor, row, Verdict(reason=reason))
                    total += 1
    return total


async def _forget_rejected(actor: Actor, org_id: UUID, at: datetime) -> int:
    since = at - REJECTED_KEPT_FOR
    old = sql("org_id = {} AND status = 'REJECTED' AND updated_at <= {} ORDER BY updated_at", org_id, since)
    total = 0
    while ids := await _ids(old):
        async with tx():
            rows = await queries.by_ids.lock(actor, ids, Permission.ATTACHMENT_CREATE)
            found = await tasks.by_ids(actor, [row.task_id for row in rows.values()], ("id", "project_id"))
            for row in rows.values():
                await service.erase(actor, row, found[row.task_id].project_id)
        total += len(rows)
    return total


async def _ids(condition: Sql) -> list[UUID]:
    found = await fetch(sql("SELECT id FROM attachment WHERE {} LIMIT {}", condition, AT_ONCE), Row)
    return [row["id"] for row in found]


async def _remove_orphans(actor: Actor, org_id: UUID, at: datetime, storage: Storage, swept: Swept) -> int:
    """Remove the organization's objects that no row wants; how many old READY attachments have their bytes.

    What an attempt at a job left and its process could not remove any more is among them: an attempt writes within an
    hour, so a day later its object is the job's result or nobody's.
    """
    with_bytes = 0
    async for batch in _batches(storage.list(f"org/{org_id}/")):
        listed = [(stored, *_parts(stored.key)) for stored in batch]
        rows = await queries.by_ids(
            actor, list({id for _, _, id in listed}), ("id", "status", "has_thumbnail", "created_at")
        )
        results = await jobs.claimed(actor, [id for _, kind, id in listed if kind == "results"])
        for stored, kind, id in listed:
            row = rows.get(id)
            is_kept = id in results if kind == "results" else _is_kept(kind, row)
            if kind == "attachments" and row is not None and row.status == Status.READY:
                with_bytes += row.created_at < at - ORPHANED_AFTER
            elif not is_kept and stored.modified_at < at - ORPHANED_AFTER:
                await storage.delete(stored.key)
                swept.removed += 1
    return with_bytes


def _is_kept(kind: str, row: AttachmentRow | None) -> bool:
    if row is None:
        return False
    return row.status != Status.REJECTED if kind == "attachments" else row.has_thumbnail


def _parts(key: str) -> tuple[str, UUID]:
    """Kind and id of what the key is for."""
    _, _, kind, id = key.split("/")
    return kind, UUID(id)


async def _find_lost(actor: Actor, ready: Sql, storage: Storage, swept: Swept) -> None:
    after = UUID(int=0)
    while True:
        page = sql("SELECT id, org_id FROM attachment WHERE {} AND id > {} ORDER BY id LIMIT {}", ready, after, AT_ONCE)
        rows = await fetch(page, Row)
        if not rows:
            return
        for row in rows:
            after = row["id"]
            if await storage.stat(attachment_key(row["org_id"], after)) is None and await _is_ready(actor, after):
                swept.lost_count += 1
                swept.lost = [*swept.lost, after][:MOST_NAMED]


async def _is_ready(actor: Actor, id: UUID) -> bool:
    """Whether it is still there: its bytes end after it."""
    row = (await queries.by_ids(actor, [id], ("id", "status"))).get(id)
    return row is not None and row.status == Status.READY


async def remove_strays(at: datetime, storage: Storage) -> int:
    """Remove the objects of organizations that are gone; how many. Raises Unavailable; Timeout."""
    total = 0
    async for batch in _batches(storage.list("org/")):
        old = [stored for stored in batch if stored.modified_at < at - ORPHANED_AFTER]
        there = await _organizations({_org_id(stored) for stored in old})
        for stored in old:
            if _org_id(stored) not in there:
                await storage.delete(stored.key)
                total += 1
    return total


def _org_id(stored: Stored) -> UUID:
    return UUID(stored.key.split("/")[1])


async def _organizations(org_ids: Iterable[UUID]) -> set[UUID]:
    """Those of the organizations that there are."""
    statement = "SELECT id FROM organization WHERE id = ANY($1::uuid[])"
    return {row["id"] for row in await system_fetch(Door.STRAY_OBJECTS, statement, list(org_ids))}


async def _batches(objects: AsyncIterator[Stored]) -> AsyncIterator[Sequence[Stored]]:
    batch: list[Stored] = []
    async for stored in objects:
        batch.append(stored)
        if len(batch) == AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
