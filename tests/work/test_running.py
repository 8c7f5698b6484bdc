"""Doing jobs, by a real worker: how they end, whatever happens on the way, and what they leave."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.adapters.storage import Storage, result_key
from domain.adapters.storage_local import LocalStorage
from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.base.database import acting_for
from domain.base.errors import Forbidden, Invalid, UserErrors
from domain.base.settings import Settings
from domain.work import running, service
from domain.work.queries import JobRow
from domain.work.running import MOST_ATTEMPTS, OUR_FAULT, Does, Progress, Result, file_chunks
from tests.factories import Tenant, execute, rows
from tests.jobs.crew import all_done, deliveries, hurried, until
from tests.work.doing import CONTENT, Gate, ask, csv, do, made, performing, row_of, status_of, telling_every

pytestmark = pytest.mark.usefixtures("quiet")


async def objects(storage: Storage, tenant: Tenant) -> list[str]:
    """The keys of all that the organization has in storage."""
    return [each.key async for each in storage.list(f"org/{tenant.org_id}/")]


async def content(storage: Storage, job: dict[str, Any]) -> bytes:
    """The file that the job has left."""
    return b"".join([chunk async for chunk in storage.read(result_key(job["org_id"], job["claim"]))])


async def cancel(tenant: Tenant, job: JobRow) -> None:
    """As its owner, the member."""
    async with tenant.member.acting() as actor:
        await service.cancel(actor, job.id)


async def perform(tenant: Tenant, job: JobRow, storage: Storage, does: Does, **options: Any) -> None:
    """As a worker does it."""
    with acting_for(Actor.system(tenant.org_id).standings):
        await running.perform(job.id, storage, does, **options)


async def finished(tenant: Tenant) -> list[dict[str, Any]]:
    """Whose end of a job the log tells, and what it says."""
    return await rows(
        "SELECT actor_kind, actor_id, subject_id, data FROM event WHERE org_id = $1 AND type = 'JOB_FINISHED'",
        tenant.org_id,
    )


async def test_a_job_that_is_done_leaves_a_file_for_seven_days(
    settings: Settings, adapters: Adapters, acme: Tenant
) -> None:
    async with performing(settings, adapters, acme, csv):
        job = await ask(acme.member, acme)
        await until(lambda: all_done(acme.org_id))

    found = await row_of(job)
    assert (found["status"], found["progress"], found["message"], found["attempts"]) == ("SUCCEEDED", 1.0, None, 1)
    assert (found["result_filename"], found["result_type"], found["result_size_bytes"]) == (
        "report.csv",
        "text/csv",
        len(CONTENT),
    )
    assert abs(found["expires_at"] - found["finished_at"] - timedelta(days=7)) < timedelta(minutes=1)
    assert await content(adapters.storage, found) == CONTENT
    assert await finished(acme) == [
        {
            "actor_kind": "USER",
            "actor_id": acme.member.user_id,
            "subject_id": job.id,
            "data": f'{{"asked_by_id":"{acme.member.user_id}","kind":"REPORT",'
            '"status":{"was":"RUNNING","now":"SUCCEEDED"}}',
        }
    ]
    assert [row["state"] for row in await deliveries(acme.org_id, do.name)] == ["DONE"]


async def test_a_job_that_leaves_no_file_has_succeeded_all_the_same(
    settings: Settings, adapters: Adapters, acme: Tenant
) -> None:
    async def nothing(_job: JobRow, _progress: Progress) -> None:
        return None

    async with performing(settings, adapters, acme, nothing):
        job = await ask(acme.member, acme)
        await until(lambda: all_done(acme.org_id))

    found = await row_of(job)
    assert (found["status"], found["progress"], found["expires_at"]) == ("SUCCEEDED", 1.0, None)
    assert await objects(adapters.storage, acme) == []


async def test_progress_is_written_while_the_work_goes_on(
    settings: Settings, adapters: Adapters, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, looks, tell = Gate(), asyncio.Event(), running._tell

    async def noted(*arguments: Any) -> tuple[float, str | None]:
        looks.set()
        return await tell(*arguments)

    monkeypatch.setattr(running, "_tell", noted)

    async def does(job: JobRow, progress: Progress) -> Result:
        progress.tell(0.25, "Reading tasks")
        progress.tell(0.5)
        await gate.wait()
        progress.tell(7.0, "x" * 10_000)
        return await csv(job, progress)

    async with performing(settings, adapters, acme, does):
        job = await ask(acme.member, acme)

        async def is_told() -> bool:
            found = await row_of(job)
            return (found["status"], found["progress"], found["message"]) == ("RUNNING", 0.5, "Reading tasks")

        await until(is_told)
        version = (await row_of(job))["version"]
        with telling_every(3600):
            # From its next look on it waits so long for another.
            looks.clear()
            await looks.wait()
            gate.may_go_on.set()
            await until(lambda: all_done(acme.org_id))

    found = await row_of(job)
    assert (found["status"], found["progress"], found["message"]) == ("SUCCEEDED", 1.0, None)
    # What was told after the last look is not written on its own.
    assert found["version"] == version + 1


@pytest.mark.parametrize("where", ["does", "uploads"])
async def test_canceling_stops_the_work_and_leaves_nothing(
    settings: Settings, adapters: Adapters, acme: Tenant, where: str
) -> None:
    gate = Gate()
    async with performing(settings, adapters, acme, getattr(gate, where)):
        job = await ask(acme.member, acme)
        await gate.begun.wait()
        assert await status_of(job) == "RUNNING"

        await cancel(acme, job)

        assert await status_of(job) == "CANCELED"
        # Nobody tells the worker, who finds out by looking.
        async with asyncio.timeout(60):
            await gate.cancelled.wait()
        await until(lambda: all_done(acme.org_id))

    assert (await status_of(job), gate.times, await objects(adapters.storage, acme)) == ("CANCELED", 1, [])
    assert len(await finished(acme)) == 1
    assert [row["attempts"] for row in await deliveries(acme.org_id, do.name)] == [1]


async def test_a_job_that_was_canceled_while_it_waited_is_not_begun(
    settings: Settings, adapters: Adapters, acme: Tenant
) -> None:
    job = await ask(acme.member, acme)
    await cancel(acme, job)
    gate = Gate()

    async with performing(settings, adapters, acme, gate.does):
        await until(lambda: all_done(acme.org_id))

    assert (await status_of(job), gate.times, (await row_of(job))["attempts"]) == ("CANCELED", 0, 0)


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (Forbidden("REPORT_CREATE"), "This needs the permission REPORT_CREATE."),
        (UserErrors([Invalid("No such project."), Invalid("Too long.")]), "No such project.; Too long."),
        (Invalid("a\0b\ud800" + "x" * 10_000), f"ab?{'x' * 497}"),
    ],
)
async def test_what_the_owner_is_to_know_ends_a_job_with_its_message(
    settings: Settings, adapters: Adapters, acme: Tenant, refusal: Exception, message: str
) -> None:
    async def does(_job: JobRow, progress: Progress) -> Result:
        progress.tell(0.5, "Reading")
        raise refusal

    async with performing(settings, adapters, acme, does):
        job = await ask(acme.member, acme)
        await until(lambda: all_done(acme.org_id))

    found = await row_of(job)
    assert (found["status"], found["message"], found["attempts"]) == ("FAILED", message, 1)
    assert len(await finished(acme)) == 1
    assert [row["state"] for row in await deliveries(acme.org_id, do.name)] == ["DONE"]


async def test_a_fault_of_ours_is_tried_three_times_and_not_told(
    settings: Settings, adapters: Adapters, acme: Tenant
) -> None:
    async def does(_job: JobRow, progress: Progress) -> Result:
        progress.tell(0.5)
        raise RuntimeError("ada@example.test")

    async with performing(settings, adapters, acme, does):
        job = await ask(acme.member, acme)
        await until(lambda: hurried(acme.org_id))

    found = await row_of(job)
    assert (found["status"], found["message"], found["attempts"]) == ("FAILED", OUR_FAULT, MOST_ATTEMPTS)
    (made_one,) = await deliveries(acme.org_id, do.name)
    assert (made_one["state"], made_one["attempts"]) == ("DONE", MOST_ATTEMPTS)


async def test_a_job_that_failed_once_begins_anew(settings: Settings, adapters: Adapters, acme: Tenant) -> None:
    seen: list[tuple[int, float, str | None]] = []

    async def does(job: JobRow, progress: Progress) -> Result:
        seen.append((job.attempts, job.progress, job.message))
        if len(seen) == 1:
            await execute("UPDATE job SET progress = 0.5, message = 'half' WHERE id = $1", job.id)
            raise OSError("a disk")
        return await csv(job, progress)

    async with performing(settings, adapters, acme, does):
        job = await ask(acme.member, acme)
        await until(lambda: hurried(acme.org_id))

    assert seen == [(1, 0.0, None), (2, 0.0, None)]
    assert await status_of(job) == "SUCCEEDED"
    assert len(await objects(adapters.storage, acme)) == 1


async def test_a_store_that_is_away_for_a_while_is_waited_for(
    settings: Settings, adapters: Adapters, acme: Tenant, tmp_path: Path
) -> None:
    directory = tmp_path / "files"
    storage = LocalStorage(directory, origin="http://127.0.0.1", signing_key=b"k" * 32)

    async def does(job: JobRow, progress: Progress) -> Result:
        if job.attempts == 1:
            # There is no directory to write to.
            directory.write_bytes(b"")
        else:
            directory.unlink(missing_ok=True)
        return await csv(job, progress)

    async with performing(settings, replace(adapters, storage=storage), acme, does):
        job = await ask(acme.member, acme)
        await until(lambda: hurried(acme.org_id))

    found = await row_of(job)
    assert (found["status"], found["attempts"]) == ("SUCCEEDED", 2)
    assert await content(storage, found) == CONTENT


async def test_a_job_that_takes_too_long_has_failed(adapters: Adapters, acme: Tenant) -> None:
    gate = Gate()
    job = await ask(acme.member, acme)

    await perform(acme, job, adapters.storage, gate.does, longest_s=0.2)

    found = await row_of(job)
    assert (found["status"], found["message"], found["attempts"]) == (
        "FAILED",
        "It took longer than 0:00:00.200000.",
        1,
    )
    assert gate.cancelled.is_set()
    assert await objects(adapters.storage, acme) == []


async def test_a_job_whose_organization_goes_is_stopped(settings: Settings, adapters: Adapters, acme: Tenant) -> None:
    gate = Gate()
    async with performing(settings, adapters, acme, gate.uploads):
        await ask(acme.member, acme)
        await gate.begun.wait()

        await execute("DELETE FROM organization WHERE id = $1", acme.org_id)

        async with asyncio.timeout(60):
            await gate.cancelled.wait()
        await until(lambda: _is_empty(adapters.storage, acme))
    assert await rows("SELECT FROM job WHERE org_id = $1", acme.org_id) == []


async def _is_empty(storage: Storage, tenant: Tenant) -> bool:
    return await objects(storage, tenant) == []


async def begun(tenant: Tenant, job: JobRow, storage: Storage, gate: Gate, does: Does) -> "asyncio.Task[None]":
    """An attempt that has come to its gate."""
    task = asyncio.create_task(perform(tenant, job, storage, does))
    await gate.begun.wait()
    return task


async def test_an_attempt_that_lost_its_job_stops_and_the_next_one_ends_it(adapters: Adapters, acme: Tenant) -> None:
    job, first = await ask(acme.member, acme), Gate()
    lost = await begun(acme, job, adapters.storage, first, first.uploads)

    await perform(acme, job, adapters.storage, csv)
    async with asyncio.timeout(60):
        await lost

    found = await row_of(job)
    assert (found["status"], found["attempts"], first.cancelled.is_set()) == ("SUCCEEDED", 2, True)
    assert await objects(adapters.storage, acme) == [result_key(acme.org_id, found["claim"])]
    assert len(await finished(acme)) == 1


@pytest.mark.parametrize("fault", [None, Invalid("Wrong."), RuntimeError("wrong")])
async def test_who_comes_late_changes_nothing(adapters: Adapters, acme: Tenant, fault: Exception | None) -> None:
    job, first = await ask(acme.member, acme), Gate()

    async def does(job: JobRow, progress: Progress) -> Result:
        progress.tell(0.7, "late")
        result = await first.does(job, progress)
        if fault is not None:
            raise fault
        return result

    # It was stopped, as a process can be, and finds out nothing before it is done.
    with telling_every(3600):
        late = await begun(acme, job, adapters.storage, first, does)
        await perform(acme, job, adapters.storage, csv)
        before = await row_of(job)
        first.may_go_on.set()
        await asyncio.gather(late, return_exceptions=True)

    assert await row_of(job) == before
    assert before["status"] == "SUCCEEDED"
    assert await content(adapters.storage, before) == CONTENT
    assert await objects(adapters.storage, acme) == [result_key(acme.org_id, before["claim"])]
    assert len(await finished(acme)) == 1


async def test_what_a_dead_attempt_had_stored_is_removed_by_the_next(adapters: Adapters, acme: Tenant) -> None:
    job = await ask(acme.member, acme)
    # Killed between the upload and the end.
    with acting_for([acme.org_id]):
        left = await running._begin(job.id)
    assert left is not None
    assert left[0].claim is not None
    key = result_key(acme.org_id, left[0].claim)
    await adapters.storage.write(key, made(b"half"), content_type="text/csv")

    await perform(acme, job, adapters.storage, csv)

    found = await row_of(job)
    assert await objects(adapters.storage, acme) == [result_key(acme.org_id, found["claim"])] != [key]


async def test_a_job_that_kills_its_workers_has_failed_after_three(adapters: Adapters, acme: Tenant) -> None:
    job, gate = await ask(acme.member, acme), Gate()
    for _ in range(MOST_ATTEMPTS):
        with acting_for([acme.org_id]):
            assert await running._begin(job.id) is not None

    await perform(acme, job, adapters.storage, gate.does)

    found = await row_of(job)
    assert (found["status"], found["message"], found["attempts"], gate.times) == ("FAILED", OUR_FAULT, 3, 0)
    assert len(await finished(acme)) == 1


async def test_a_worker_that_has_to_end_gives_the_attempt_back(adapters: Adapters, acme: Tenant) -> None:
    job, gate = await ask(acme.member, acme), Gate()
    for _ in range(MOST_ATTEMPTS + 1):
        gate.begun.clear()
        task = await begun(acme, job, adapters.storage, gate, gate.uploads)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    given_back = await row_of(job)
    gate.may_go_on.set()
    await perform(acme, job, adapters.storage, gate.uploads)

    found = await row_of(job)
    assert (given_back["status"], given_back["attempts"]) == ("RUNNING", 0)
    assert (found["status"], found["attempts"]) == ("SUCCEEDED", 1)
    assert await objects(adapters.storage, acme) == [result_key(acme.org_id, found["claim"])]


async def test_who_leaves_gets_nothing_and_sees_it_again_once_they_are_back(
    settings: Settings, adapters: Adapters, acme: Tenant
) -> None:
    gate = Gate()
    document = "{ viewer { jobs { nodes { status resultUrl } } } }"

    async def jobs() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await acme.member.client.ok(document))["viewer"]["jobs"]["nodes"]
        return found

    async def membership(change: str) -> None:
        await execute(f"UPDATE membership SET {change} WHERE user_id = $1", acme.member.user_id)

    async with performing(settings, adapters, acme, gate.does):
        await ask(acme.member, acme)
        await gate.begun.wait()
        await membership("ended_at = now()")
        gone = await jobs()
        gate.may_go_on.set()
        await until(lambda: all_done(acme.org_id))
        still_gone = await jobs()
        await membership("ended_at = NULL")
        (back,) = await jobs()

    assert gone == still_gone == []
    assert back["status"] == "SUCCEEDED"
    assert back["resultUrl"].startswith("http")


async def test_a_file_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "CHUNK_BYTES", 5)
    path = tmp_path / "file"
    path.write_bytes(CONTENT)

    chunks = [chunk async for chunk in file_chunks(path)]

    assert [len(chunk) for chunk in chunks] == [5, 5, 4]
    assert b"".join(chunks) == CONTENT
