"""Jobs that nobody does any more have failed; files go after seven days, jobs after thirty."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.adapters.storage import result_key
from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.database import acting_for, fetch
from domain.base.settings import Settings
from domain.base.sql import Row, sql
from domain.work import upkeep
from domain.work.running import OUR_FAULT
from domain.work.upkeep import ABANDONED, ENDED
from jobs import work
from jobs.reactions import Reactions
from tests.factories import Tenant, events, execute, rows
from tests.jobs.crew import deliveries, hurried, until
from tests.work.doing import (
    NOBODY,
    Gate,
    ask,
    ask_nobody,
    csv,
    id_of,
    made,
    performing,
    row_of,
    status_of,
)
from tests.work.test_asking import CANCEL

URL = "query ($id: ID!) { node(id: $id) { ... on Job { status resultUrl } } }"


async def end_abandoned(tenant: Tenant) -> int:
    """As the tick does it."""
    with acting_for([tenant.org_id]):
        return await upkeep.end_abandoned(Actor.system(tenant.org_id))


async def are_due(statement: str, *values: Any) -> set[UUID]:
    """The organizations that a tick is made for."""
    return {row["id"] for row in await rows(statement, *values)}


@pytest.mark.usefixtures("quiet")
async def test_a_job_whose_handler_this_version_lacks_fails_once_its_delivery_is_dead(
    settings: Settings, adapters: Adapters, acme: Tenant
) -> None:
    job = await ask(acme.member, acme, handler=NOBODY)
    async with performing(settings, adapters, acme, csv):
        await until(lambda: hurried(acme.org_id))
    (delivery,) = await deliveries(acme.org_id, NOBODY)
    before = await status_of(job)

    assert (delivery["state"], delivery["last_error"]) == ("DEAD", "LookupError: no such handler in this version")
    assert acme.org_id in await are_due(ABANDONED)
    assert await end_abandoned(acme) == 1

    found = await row_of(job)
    assert (before, found["status"], found["message"]) == ("QUEUED", "FAILED", OUR_FAULT)
    assert await events(acme.org_id) == ["JOB_FINISHED"]
    assert acme.org_id not in await are_due(ABANDONED)
    assert await end_abandoned(acme) == 0
    # Whoever retries the delivery by hand finds nothing to do.
    await execute("UPDATE delivery SET state = 'PENDING', handler = 'test.do' WHERE id = $1", delivery["id"])
    async with performing(settings, adapters, acme, csv):
        await until(lambda: hurried(acme.org_id))
    assert await status_of(job) == "FAILED"


@pytest.mark.usefixtures("quiet")
async def test_a_job_that_somebody_will_do_is_not_abandoned(
    settings: Settings, adapters: Adapters, acme: Tenant
) -> None:
    waits, gate = await ask_nobody(acme.member, acme), Gate()
    async with performing(settings, adapters, acme, gate.does):
        runs = await ask(acme.member, acme)
        await gate.begun.wait()

        assert await end_abandoned(acme) == 0

        assert [await status_of(job) for job in (waits, runs)] == ["QUEUED", "RUNNING"]
        gate.may_go_on.set()
        await until(lambda: rows("SELECT FROM job WHERE id = $1 AND status = 'SUCCEEDED'", runs.id))


async def succeeded(tenant: Tenant, adapters: Adapters, *, age: timedelta) -> Any:
    """A job that ended so long ago, and its file."""
    job, claim = await ask_nobody(tenant.member, tenant), new_id()
    await adapters.storage.write(result_key(tenant.org_id, claim), made(b"1"), content_type="text/csv")
    await execute(
        "UPDATE job SET status = 'SUCCEEDED', claim = $2, result_filename = 'a.csv', result_type = 'text/csv', "
        "result_size_bytes = 1, finished_at = $3, expires_at = $3::timestamptz + interval '7 days' WHERE id = $1",
        job.id,
        claim,
        now() - age,
    )
    return job


async def test_files_go_after_seven_days_and_jobs_after_thirty(adapters: Adapters, acme: Tenant) -> None:
    day = timedelta(days=1)
    young, old, _ = [await succeeded(acme, adapters, age=age) for age in (6.9 * day, 7.1 * day, 30.1 * day)]
    canceled, broken = await ask_nobody(acme.member, acme), await succeeded(acme, adapters, age=day)
    await acme.member.client.done(CANCEL, id=id_of(canceled))
    # A worker was killed before it could remove what it had stored.
    await execute(
        "UPDATE job SET status = 'FAILED', result_filename = NULL, result_type = NULL, result_size_bytes = NULL, "
        "expires_at = NULL WHERE id = $1",
        broken.id,
    )
    urls = [(await acme.member.client.ok(URL, id=id_of(job)))["node"]["resultUrl"] for job in (young, old, broken)]
    assert acme.org_id in await are_due(ENDED, now())

    with acting_for([acme.org_id]):
        gone = await upkeep.clean(Actor.system(acme.org_id), now(), adapters.storage)
        again = await upkeep.clean(Actor.system(acme.org_id), now(), adapters.storage)

    assert (gone, again) == ((3, 1), (0, 0))
    # An address ends with the file's time, not with the clean-up.
    assert [url is None for url in urls] == [False, True, True]
    left = await rows("SELECT id FROM job WHERE org_id = $1 ORDER BY id", acme.org_id)
    assert [row["id"] for row in left] == [young.id, old.id, canceled.id, broken.id]
    found = [each.key async for each in adapters.storage.list(f"org/{acme.org_id}/")]
    assert found == [result_key(acme.org_id, (await row_of(young))["claim"])]
    assert acme.org_id not in await are_due(ENDED, now())


async def test_a_file_that_somebody_has_removed_by_hand_is_in_nobodys_way(adapters: Adapters, acme: Tenant) -> None:
    job = await succeeded(acme, adapters, age=timedelta(days=8))
    await adapters.storage.delete(result_key(acme.org_id, (await row_of(job))["claim"]))

    with acting_for([acme.org_id]):
        assert await upkeep.clean(Actor.system(acme.org_id), now(), adapters.storage) == (1, 0)


async def test_the_upkeep_sees_no_other_organization(adapters: Adapters, acme: Tenant, globex: Tenant) -> None:
    job = await succeeded(globex, adapters, age=timedelta(days=8))

    with acting_for([acme.org_id]):
        assert await upkeep.clean(Actor.system(acme.org_id), now(), adapters.storage) == (0, 0)
        assert await fetch(sql("SELECT id FROM job WHERE id = {}", job.id), Row) == []
    assert (await row_of(job))["claim"] is not None


def test_the_ticks_are_those_of_the_product() -> None:
    assert {work.end_abandoned.name, work.clean.name} <= set(Reactions().by_name)
