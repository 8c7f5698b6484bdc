"""Jobs in worker processes that are killed, asked to end, or told in another process to stop."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from domain.adapters.storage_local import LocalStorage
from domain.work import service
from domain.work.queries import JobRow
from tests.events.live import begun
from tests.factories import Tenant, rows
from tests.jobs.crew import Crew, all_done, ended, kill, until
from tests.sockets import opened
from tests.work.doing import ask, id_of, row_of, status_of
from tests.work.hands import do
from tests.work.test_following import UPDATED, completes
from tests.work.test_running import content, objects

HANDS = ("--reactions", "tests.work.hands")


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """Where workers say what they do."""
    directory = tmp_path / "stage"
    directory.mkdir()
    return directory


def storage_of(crew: Crew) -> LocalStorage:
    """What the crew's processes write into."""
    return LocalStorage(crew.directory / "files", origin="http://127.0.0.1", signing_key=b"k" * 32)


async def asked(tenant: Tenant, stage: Path, **given: Any) -> JobRow:
    return await ask(tenant.member, tenant, handler=do.name, directory=str(stage), **given)


def said(stage: Path, word: str) -> list[int]:
    """The processes that have said the word."""
    return sorted(int(path.suffix[1:]) for path in stage.glob(f"{word}.*"))


async def has_said(stage: Path, word: str, count: int = 1) -> list[int]:
    async def have() -> bool:
        return len(said(stage, word)) >= count

    await until(have)
    return said(stage, word)


@pytest.mark.parametrize("upload", [False, True])
async def test_a_killed_workers_job_is_done_by_another(
    workers: Crew, address: str, acme: Tenant, stage: Path, upload: bool
) -> None:
    crew = {process.pid: process for process in [await workers.start(*HANDS) for _ in range(2)]}
    job = await asked(acme, stage, upload=upload)
    async with opened(address, acme.member.token) as socket:
        stream = await begun(socket, UPDATED, id=id_of(job))
        (first,) = await has_said(stage, "begun")

        await kill(crew.pop(first))
        (other,) = crew
        assert await has_said(stage, "begun", 2) == sorted(pid for pid in (first, other) if pid)
        assert (await row_of(job))["attempts"] == 2
        (stage / "go").touch()

        while (last := await stream.data())["status"] != "SUCCEEDED":
            assert last["status"] in ("QUEUED", "RUNNING")
        await completes(stream)

    await until(lambda: all_done(acme.org_id))
    storage, found = storage_of(workers), await row_of(job)
    assert (found["status"], found["attempts"]) == ("SUCCEEDED", 2)
    assert await content(storage, found) == b"one two"
    assert len(await objects(storage, acme)) == 1
    assert len(await rows("SELECT FROM event WHERE org_id = $1 AND type = 'JOB_FINISHED'", acme.org_id)) == 1


async def test_a_worker_that_is_asked_to_end_gives_its_job_back(workers: Crew, acme: Tenant, stage: Path) -> None:
    worker = await workers.start(*HANDS, "--finish-within", "1")
    job = await asked(acme, stage)
    await has_said(stage, "begun")

    worker.terminate()
    assert await ended(worker) == 0

    found = await row_of(job)
    assert (found["status"], found["attempts"], said(stage, "cancelled")) == ("RUNNING", 0, [worker.pid])
    (stage / "go").touch()
    await workers.start(*HANDS)
    await until(lambda: all_done(acme.org_id))
    found = await row_of(job)
    assert (found["status"], found["attempts"]) == ("SUCCEEDED", 1)


@pytest.mark.parametrize("upload", [False, True])
async def test_a_job_is_canceled_in_the_process_that_is_at_it(
    workers: Crew, acme: Tenant, stage: Path, upload: bool
) -> None:
    worker = await workers.start(*HANDS)
    job = await asked(acme, stage, upload=upload)
    await has_said(stage, "begun")

    async with acme.member.acting() as actor:
        await service.cancel(actor, job.id)

    assert await has_said(stage, "cancelled") == [worker.pid]
    await until(lambda: all_done(acme.org_id))
    assert await status_of(job) == "CANCELED"
    assert await objects(storage_of(workers), acme) == []


async def test_a_worker_that_was_stopped_for_long_changes_nothing_when_it_goes_on(
    workers: Crew, acme: Tenant, stage: Path
) -> None:
    crew = {process.pid: process for process in [await workers.start(*HANDS) for _ in range(2)]}
    job = await asked(acme, stage, upload=True)
    (first,) = await has_said(stage, "begun")
    os.kill(first, signal.SIGSTOP)
    try:
        await has_said(stage, "begun", 2)
        (stage / "go").touch()
        await until(lambda: all_done(acme.org_id))
        before = await row_of(job)
    finally:
        os.kill(first, signal.SIGCONT)
    crew[first].terminate()
    assert await ended(crew[first]) == 0

    assert (before["status"], before["attempts"]) == ("SUCCEEDED", 2)
    assert await row_of(job) == before
    assert len(await objects(storage_of(workers), acme)) == 1
