"""One moment: whatever is written, deleted, cut off or killed while an archive is made."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import asyncpg

from domain.adapters.storage import Storage, attachment_key
from domain.adapters.storage_s3 import PART_BYTES
from domain.adapters.wiring import Adapters
from domain.base.settings import Settings
from domain.comments import service as comments
from domain.exports import service as exports
from domain.tasks import service as tasks
from domain.work import service as work
from graph.base.ids import global_id
from tests.adapters import s3_server
from tests.exports.archives import Read, export, job_of, make_file, perform, read, result_of
from tests.factories import Tenant, execute, make_project, make_task, rows
from tests.jobs.crew import until


async def test_what_is_written_after_the_moment_is_in_no_file(
    acme: Tenant, adapters: Adapters, settings: Settings
) -> None:
    project = await make_project(acme.admin, acme)
    before = await make_task(acme.admin, project, title="Made before")

    async with _held(settings, "label"):
        exporting = asyncio.create_task(export(acme.admin, acme, adapters))
        # It has its snapshot, and waits for the table.
        await until(lambda: rows("SELECT FROM pg_locks WHERE NOT granted AND relation = 'label'::regclass"))
        after = await make_task(acme.admin, project, title="Made after")
        async with acme.admin.acting() as actor:
            await comments.create(actor, before.id, body="Said after")
            await tasks.update(actor, before.id, title="Called otherwise after")
    found = await exporting

    (line,) = found.lines("tasks")
    assert (line["id"], line["title"]) == (global_id("task", before.id), "Made before")
    assert found.lines("comments") == []
    assert [each["type"] for each in found.lines("events")] == ["PROJECT_CREATED", "TASK_CREATED"]
    assert found.manifest["eventSeq"] == 2
    everything = b"".join(found.entries.values())
    assert after.id.hex.encode() not in everything
    assert b"otherwise after" not in everything
    assert b"Said after" not in everything


async def test_an_archive_is_whole_while_others_write(acme: Tenant, adapters: Adapters) -> None:
    project = await make_project(acme.admin, acme)
    stopped = asyncio.Event()
    writers = [asyncio.create_task(_write(acme, project, stopped)) for _ in range(3)]
    await until(lambda: rows("SELECT FROM comment WHERE org_id = $1 OFFSET 5", acme.org_id))

    found = [await export(acme.admin, acme, adapters) for _ in range(3)]

    stopped.set()
    await asyncio.gather(*writers)
    for each in found:
        _agrees(each)
    assert found[0].manifest["eventSeq"] < found[-1].manifest["eventSeq"]


async def _write(tenant: Tenant, project: Any, stopped: asyncio.Event) -> None:
    """Make tasks with a comment each, and delete every other, until stopped."""
    number = 0
    while not stopped.is_set():
        task = await make_task(tenant.member, project, title=f"Task {number}")
        async with tenant.member.acting() as actor:
            await comments.create(actor, task.id, body="Said")
            if number % 2:
                await tasks.delete(actor, task.id)
        number += 1


def _agrees(found: Read) -> None:
    """The files of the archive are of one moment: each refers to what is there, and the log has led to it."""
    events, task_ids = found.lines("events"), {line["id"] for line in found.lines("tasks")}
    assert [each["seq"] for each in events] == list(range(1, found.manifest["eventSeq"] + 1))
    made = {each["subjectId"] for each in events if each["type"] == "TASK_CREATED"}
    deleted = {each["subjectId"] for each in events if each["type"] == "TASK_DELETED"}
    assert task_ids == made - deleted
    said = {each["subjectId"] for each in events if each["type"] == "COMMENT_CREATED"}
    kept = {line["id"] for line in found.lines("comments")}
    assert kept <= said
    assert {line["taskId"] for line in found.lines("comments")} <= task_ids
    assert len(kept) >= len(task_ids) - 3


async def test_files_are_in_it_under_names_that_unpack_anywhere(acme: Tenant, adapters: Adapters) -> None:
    task = await make_task(acme.admin, await make_project(acme.admin, acme))
    names = {"../../evil.sh": "_.._evil.sh", "report.pdf": "report.pdf", "gpj.\u202eexe": "gpj.exe"}
    made = {
        await make_file(acme, task.id, adapters, name=name, data=f"bytes of {safe}".encode() * 1000): safe
        for name, safe in [*names.items(), ("report.pdf", "report.pdf")]
    }

    found = await export(acme.admin, acme, adapters)

    assert {path: data for path, data in found.entries.items() if path.startswith("files/")} == {
        f"files/{global_id('attachment', id)}/{safe}": f"bytes of {safe}".encode() * 1000 for id, safe in made.items()
    }
    assert sorted(line["filename"] for line in found.lines("attachments")) == sorted([*names, "report.pdf"])
    assert found.missing == {}


async def test_a_bucket_takes_and_gives_it_as_well(acme: Tenant, adapters: Adapters) -> None:
    task = await make_task(acme.admin, await make_project(acme.admin, acme))
    noise = os.urandom(PART_BYTES + 1)
    with s3_server.serving() as url:
        await s3_server.make_bucket(url)
        storage = s3_server.bucket(url)
        of_bucket = replace(adapters, storage=storage)
        lost = await make_file(acme, task.id, of_bucket, name="lost.png", data=b"a")
        kept = await make_file(acme, task.id, of_bucket, name="kept.png", data=noise)
        await storage.delete(attachment_key(acme.org_id, lost))

        found = await export(acme.admin, acme, of_bucket)

        await storage.close()

    assert found.entries[f"files/{global_id('attachment', kept)}/kept.png"] == noise
    assert found.missing == {f"files/{global_id('attachment', lost)}/lost.png": "Its bytes are lost."}


async def test_a_file_that_is_gone_or_another_is_told_of(acme: Tenant, adapters: Adapters) -> None:
    task = await make_task(acme.admin, await make_project(acme.admin, acme))
    deleted, lost, changed, kept = [
        await make_file(acme, task.id, adapters, name=f"{name}.txt", data=name.encode(), type_="text/plain")
        for name in ("deleted", "lost", "changed", "kept")
    ]
    await adapters.storage.delete(attachment_key(acme.org_id, lost))
    await adapters.storage.write(attachment_key(acme.org_id, changed), _chunks(b"other"), content_type="text/plain")
    async with acme.admin.acting() as actor:
        job = await exports.ask(actor, acme.org_id)

    async def delete_one() -> None:
        await execute("DELETE FROM attachment WHERE id = $1", deleted)
        await adapters.storage.delete(attachment_key(acme.org_id, deleted))

    await perform(job.id, acme.org_id, _Watched(adapters.storage, before_reading=delete_one).storage)

    found = read(await result_of(await job_of(job.id), adapters))
    paths = {
        id: f"files/{global_id('attachment', id)}/{name}.txt"
        for id, name in ((deleted, "deleted"), (lost, "lost"), (changed, "changed"), (kept, "kept"))
    }
    assert found.missing == {
        paths[deleted]: "It was deleted while the archive was made.",
        paths[lost]: "Its bytes are lost.",
        paths[changed]: "Its bytes are not those that were uploaded.",
    }
    assert len(found.lines("attachments")) == 4
    assert {path: data for path, data in found.entries.items() if path.startswith("files/")} == {
        paths[changed]: b"other",
        paths[kept]: b"kept",
    }


async def test_it_stops_when_it_is_canceled(acme: Tenant, adapters: Adapters) -> None:
    task = await make_task(acme.admin, await make_project(acme.admin, acme))
    await make_file(acme, task.id, adapters, name="endless.bin", data=b"a" * 1000)
    async with acme.admin.acting() as actor:
        job = await exports.ask(actor, acme.org_id)
    watched = _Watched(adapters.storage, without_end=True)
    performing = asyncio.create_task(perform(job.id, acme.org_id, watched.storage))
    await watched.is_reading.wait()

    async with acme.admin.acting() as actor:
        await work.cancel(actor, job.id)
    await performing

    row = await job_of(job.id)
    assert (row["status"], row["result_filename"]) == ("CANCELED", None)
    assert [each.key async for each in adapters.storage.list(f"org/{acme.org_id}/") if "/results/" in each.key] == []
    assert await _held_snapshots() == 0


async def test_one_whose_worker_was_killed_begins_anew(acme: Tenant, adapters: Adapters) -> None:
    task = await make_task(acme.admin, await make_project(acme.admin, acme))
    await make_file(acme, task.id, adapters, name="a.bin", data=b"a" * 1000)
    async with acme.admin.acting() as actor:
        job = await exports.ask(actor, acme.org_id)
    watched = _Watched(adapters.storage, without_end=True)
    performing = asyncio.create_task(perform(job.id, acme.org_id, watched.storage))
    await watched.is_reading.wait()
    performing.cancel()
    await asyncio.wait([performing])
    assert (await job_of(job.id))["status"] == "RUNNING"

    await perform(job.id, acme.org_id, adapters.storage)

    row = await job_of(job.id)
    assert row["status"] == "SUCCEEDED"
    assert len(read(await result_of(row, adapters)).lines("attachments")) == 1
    assert [each.key async for each in adapters.storage.list(f"org/{acme.org_id}/") if "/results/" in each.key] == [
        f"org/{acme.org_id}/results/{row['claim']}"
    ]
    assert await _held_snapshots() == 0


class _Watched:
    """The store, with something done before a file is read, or files that never end."""

    def __init__(self, storage: Storage, *, before_reading: Any = None, without_end: bool = False) -> None:
        self._storage = storage
        self._before_reading = before_reading
        self._without_end = without_end
        self.is_reading = asyncio.Event()

    @property
    def storage(self) -> Storage:
        """As which it is taken."""
        return cast(Storage, self)

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """As Storage."""
        if self._before_reading is not None:
            await self._before_reading()
        async for chunk in self._storage.read(key):
            yield chunk
        if self._without_end:
            self.is_reading.set()
            await asyncio.Event().wait()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


@asynccontextmanager
async def _held(settings: Settings, table: str) -> AsyncIterator[None]:
    """Let nobody else read the table during the block."""
    connection = await asyncpg.connect(settings.database_url)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


async def _held_snapshots() -> int:
    """How many transactions of the application wait for their next statement."""
    found = await rows("SELECT FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
    return len(found)


async def _chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
