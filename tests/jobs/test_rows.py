"""Rows that have asked for a job, once they are committed."""

import asyncio
from uuid import UUID

import pytest

from domain.adapters.wiring import Adapters
from domain.base import outbox
from domain.base.actor import Actor
from domain.base.clock import new_id
from domain.base.database import tx
from domain.base.errors import Forbidden
from domain.base.settings import Settings
from jobs.handlers import GivenUp, row_handler
from jobs.reactions import Reactions
from tests.factories import Tenant, rows
from tests.jobs.crew import deliveries, hurried, until
from tests.jobs.working import WORKING_AT_ONCE, working

pytestmark = pytest.mark.usefixtures("quiet")

seen: list[tuple[UUID, UUID]] = []
refused: set[UUID] = set()
failing: list[UUID] = []


@row_handler("test.look")
async def look(actor: Actor, row_id: UUID, _adapters: Adapters, _job_id: UUID) -> None:
    """Note the row and the organization that it is done in."""
    if row_id in refused:
        raise GivenUp("there is nothing to see")
    if row_id in failing:
        failing.remove(row_id)
        raise RuntimeError("not yet")
    (org_id,) = actor.standings
    seen.append((org_id, row_id))


class Long:
    """Rows that take until they may end. `running` are being done."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.running = self.most = self.done = 0


long = Long()


@row_handler("test.take_long", is_long=True)
async def take_long(_actor: Actor, _row_id: UUID, _adapters: Adapters, _job_id: UUID) -> None:
    """Be at it until it may end."""
    long.running += 1
    long.most = max(long.most, long.running)
    await long.may_end.wait()
    long.running -= 1
    long.done += 1


ALONE = Reactions(events={}, accounts={}, listeners={}, rows=(look, take_long), inbound=(), lines=())


async def test_a_row_is_looked_at_once_after_the_commit(settings: Settings, adapters: Adapters, acme: Tenant) -> None:
    row_id, failed = new_id(), new_id()
    failing.append(failed)
    async with working(settings, adapters, ALONE):
        async with acme.admin.acting(), tx():
            for asked in (row_id, row_id, failed):
                await outbox.ask(look.name, asked, org_id=acme.org_id)
        await until(lambda: hurried(acme.org_id))
        async with acme.admin.acting(), tx():
            await outbox.ask(look.name, row_id, org_id=acme.org_id)
        await until(lambda: hurried(acme.org_id))

    assert sorted(each for each in seen if each[1] in (row_id, failed)) == [
        (acme.org_id, row_id),
        (acme.org_id, failed),
    ]
    found = await deliveries(acme.org_id, look.name)
    assert sorted((row["state"], row["attempts"]) for row in found) == [("DONE", 1), ("DONE", 2)]


async def test_what_takes_long_leaves_places_to_others(settings: Settings, adapters: Adapters, acme: Tenant) -> None:
    short = new_id()
    async with working(settings, adapters, ALONE):
        async with acme.admin.acting(), tx():
            for _ in range(WORKING_AT_ONCE + 1):
                await outbox.ask(take_long.name, new_id(), org_id=acme.org_id)
        # Each of them has been somebody's, or is.
        await until(lambda: _are_looked_at(acme))
        async with acme.admin.acting(), tx():
            await outbox.ask(look.name, short, org_id=acme.org_id)
        await until(lambda: _is_seen(short))
        was_done = long.done
        long.may_end.set()
        await until(lambda: hurried(acme.org_id))

    assert was_done == 0
    assert (long.most, long.done) == (WORKING_AT_ONCE // 2, WORKING_AT_ONCE + 1)
    found = await deliveries(acme.org_id, take_long.name)
    assert {(row["state"], row["attempts"]) for row in found} == {("DONE", 1)}


async def _are_looked_at(tenant: Tenant) -> bool:
    """Whether none is left that nobody took: one that was given back is due later than those that are new."""
    found = await rows("SELECT available_at > now() AS is_taken FROM delivery WHERE org_id = $1", tenant.org_id)
    return all(row["is_taken"] for row in found)


async def _is_seen(row_id: UUID) -> bool:
    return any(row_id == each for _, each in seen)


async def refusing(tenant: Tenant) -> None:
    async with tenant.admin.acting(), tx():
        await outbox.ask(look.name, new_id(), org_id=tenant.org_id)
        raise Forbidden("TASK_UPDATE")


async def test_what_is_not_committed_asks_for_nothing(acme: Tenant) -> None:
    with pytest.raises(Forbidden):
        await refusing(acme)
    async with acme.admin.acting():
        with pytest.raises(RuntimeError, match="transaction"):
            await outbox.ask(look.name, new_id(), org_id=acme.org_id)

    assert await deliveries(acme.org_id, look.name) == []


async def test_a_row_that_can_never_be_done_is_given_up(settings: Settings, adapters: Adapters, acme: Tenant) -> None:
    row_id = new_id()
    refused.add(row_id)
    async with working(settings, adapters, ALONE):
        async with acme.admin.acting(), tx():
            await outbox.ask(look.name, row_id, org_id=acme.org_id)
        await until(lambda: hurried(acme.org_id))

    (found,) = await deliveries(acme.org_id, look.name)
    assert (found["state"], found["attempts"]) == ("DEAD", 1)
    assert found["last_error"] == "GivenUp: there is nothing to see"


async def test_nobody_asks_for_another_organization(acme: Tenant, globex: Tenant) -> None:
    with pytest.raises(Exception, match="row-level security"):
        async with acme.admin.acting(), tx():
            await outbox.ask(look.name, new_id(), org_id=globex.org_id)

    assert await deliveries(globex.org_id, look.name) == []
