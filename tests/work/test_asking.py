"""Asking for jobs and canceling them: who may, how many, and what is left when it is refused."""

import asyncio
from typing import Any

import pytest

from domain.base.actor import Actor
from domain.base.database import acting_for, tx
from domain.base.errors import Conflict, Forbidden, LimitReached, NotFound
from domain.base.permissions import Permission
from domain.organizations import api_keys
from domain.work import service
from domain.work.models import JobKind
from domain.work.queries import JobRow
from domain.work.service import MOST_OPEN
from tests.client import GraphQL
from tests.factories import Tenant, events, rows
from tests.work.doing import NOBODY, ask, ask_nobody, do, id_of, row_of, status_of

CANCEL = "mutation ($id: ID!) { jobCancel(id: $id) { job { id status } errors { code message path } } }"
JOBS = "{ viewer { jobs(first: 3) { totalCount nodes { id kind status progress message resultUrl finishedAt } } } }"


async def jobs_of(tenant: Tenant) -> list[dict[str, Any]]:
    return await rows("SELECT id, status FROM job WHERE org_id = $1 ORDER BY created_at", tenant.org_id)


async def deliveries_of(tenant: Tenant) -> list[dict[str, Any]]:
    return await rows("SELECT source_id, handler FROM delivery WHERE org_id = $1 AND kind = 'ROW'", tenant.org_id)


async def ask_by_key(tenant: Tenant) -> tuple[JobRow, str]:
    """A job of a key that the admin has made, and the key's secret."""
    async with tenant.admin.acting() as actor:
        made = await api_keys.create(actor, tenant.org_id, name="key", permissions=[Permission.TASK_READ])
        key = Actor.of_api_key(made.key.id, tenant.admin.user_id, actor.standings)
        job = await service.ask(key, tenant.org_id, JobKind.REPORT, Permission.TASK_READ, NOBODY, {})
    return job, made.secret


async def test_a_job_is_asked_for_with_its_delivery(acme: Tenant) -> None:
    given = {"kind": "WORKLOAD", "days": [1, None]}

    async with acme.member.acting() as actor:
        job = await service.ask(actor, acme.org_id, JobKind.REPORT, Permission.REPORT_CREATE, NOBODY, given)

    assert job.given == given
    assert (job.kind, job.status, job.progress, job.attempts) == ("REPORT", "QUEUED", 0.0, 0)
    assert (job.asked_by_kind, job.asked_by_id, job.user_id) == ("USER", acme.member.user_id, acme.member.user_id)
    assert await deliveries_of(acme) == [{"source_id": job.id, "handler": NOBODY}]
    assert await events(acme.org_id) == []


async def test_who_lacks_the_permission_and_strangers_ask_for_nothing(acme: Tenant, globex: Tenant) -> None:
    with pytest.raises(Forbidden, match="REPORT_CREATE"):
        await ask(acme.guest, acme, permission=Permission.REPORT_CREATE)
    with pytest.raises(NotFound, match="organization"):
        await ask(globex.admin, acme)
    with acting_for([acme.org_id]), pytest.raises(ValueError, match="system"):
        await service.ask(Actor.system(acme.org_id), acme.org_id, JobKind.EXPORT, Permission.ORG_UPDATE, do.name, {})

    assert (await jobs_of(acme), await deliveries_of(acme)) == ([], [])


async def ask_and_undo(tenant: Tenant) -> None:
    async with tx():
        await ask(tenant.member, tenant, handler=NOBODY)
        raise Conflict("no")


async def test_what_is_undone_has_asked_for_nothing(acme: Tenant) -> None:
    async with acme.member.acting():
        with pytest.raises(Conflict):
            await ask_and_undo(acme)

    assert (await jobs_of(acme), await deliveries_of(acme)) == ([], [])


async def test_of_twenty_at_once_ten_are_taken_for_each_person_and_organization(acme: Tenant) -> None:
    await ask_by_key(acme)

    found = await asyncio.gather(*(ask(acme.admin, acme, handler=NOBODY) for _ in range(20)), return_exceptions=True)

    refused = [each for each in found if isinstance(each, BaseException)]
    assert {type(each) for each in refused} == {LimitReached}
    # What a key asks for counts for its maker.
    assert len(refused) == 20 + 1 - MOST_OPEN
    assert len(await jobs_of(acme)) == len(await deliveries_of(acme)) == MOST_OPEN
    # Others are not in the way, nor is what has ended.
    await ask(acme.member, acme, handler=NOBODY)
    async with acme.admin.acting() as actor:
        await service.cancel(actor, next(each.id for each in found if not isinstance(each, BaseException)))
    await ask(acme.admin, acme, handler=NOBODY)
    with pytest.raises(LimitReached, match="open jobs"):
        await ask(acme.admin, acme, handler=NOBODY)
    assert len(await jobs_of(acme)) == len(await deliveries_of(acme)) == MOST_OPEN + 2


async def test_a_job_that_waits_is_canceled_by_its_owner_alone(acme: Tenant, globex: Tenant) -> None:
    job = await ask_nobody(acme.member, acme)

    for person in (acme.admin, globex.admin):
        answer = await person.client.run(CANCEL, id=id_of(job))
        assert (answer.data, answer.codes) == ({"jobCancel": None}, ["NOT_FOUND"])
    assert (await status_of(job), await events(acme.org_id)) == ("QUEUED", [])

    done = await acme.member.client.done(CANCEL, id=id_of(job))

    assert done["job"] == {"id": id_of(job), "status": "CANCELED"}
    assert (await row_of(job))["finished_at"] is not None
    assert await events(acme.org_id) == ["JOB_FINISHED"]
    (refusal,) = await acme.member.client.refused(CANCEL, id=id_of(job))
    assert (refusal["code"], refusal["path"]) == ("CONFLICT", ["id"])
    assert refusal["message"] == "The job has ended already: it is CANCELED."
    assert await events(acme.org_id) == ["JOB_FINISHED"]


async def test_a_repeat_under_a_key_cancels_once(acme: Tenant) -> None:
    job = await ask_nobody(acme.member, acme)
    keyed = CANCEL.replace("jobCancel(id: $id)", 'jobCancel(id: $id) @idempotent(key: "once")')

    answers = [await acme.member.client.done(keyed, id=id_of(job)) for _ in range(2)]

    assert answers == [{"job": {"id": id_of(job), "status": "CANCELED"}, "errors": []}] * 2
    assert await events(acme.org_id) == ["JOB_FINISHED"]


async def test_two_that_cancel_at_once_are_one(acme: Tenant) -> None:
    job = await ask_nobody(acme.member, acme)

    async def cancel() -> None:
        async with acme.member.acting() as actor:
            await service.cancel(actor, job.id)

    found = await asyncio.gather(*(cancel() for _ in range(5)), return_exceptions=True)

    assert sorted(type(each).__name__ for each in found) == ["Conflict"] * 4 + ["NoneType"]
    assert await events(acme.org_id) == ["JOB_FINISHED"]


async def test_the_viewer_has_their_own_jobs_the_newest_first(acme: Tenant, globex: Tenant) -> None:
    mine = [await ask_nobody(acme.member, acme, kind) for kind in (JobKind.REPORT, JobKind.EXPORT)]
    await ask_nobody(acme.admin, acme)
    await ask_nobody(globex.member, globex)

    found = (await acme.member.client.ok(JOBS))["viewer"]["jobs"]

    empty = {"status": "QUEUED", "progress": 0.0, "message": None, "resultUrl": None, "finishedAt": None}
    assert found == {
        "totalCount": 2,
        "nodes": [{"id": id_of(job), "kind": job.kind, **empty} for job in reversed(mine)],
    }


async def test_a_key_has_jobs_of_its_own(acme: Tenant) -> None:
    theirs = await ask_nobody(acme.member, acme)
    job, secret = await ask_by_key(acme)
    client = GraphQL(secret)

    of_the_key = (await client.ok(JOBS))["viewer"]["jobs"]
    of_its_maker = (await acme.admin.client.ok(JOBS))["viewer"]["jobs"]

    assert [node["id"] for node in of_the_key["nodes"]] == [id_of(job)]
    assert of_its_maker == {"totalCount": 0, "nodes": []}
    assert (await acme.admin.client.run(CANCEL, id=id_of(job))).codes == ["NOT_FOUND"]
    assert (await client.run(CANCEL, id=id_of(theirs))).codes == ["NOT_FOUND"]
    assert [await status_of(each) for each in (theirs, job)] == ["QUEUED", "QUEUED"]
    assert (await client.done(CANCEL, id=id_of(job)))["job"]["status"] == "CANCELED"
