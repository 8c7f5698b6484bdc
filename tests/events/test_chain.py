"""The chain: what a superuser changes in the log is found, and what may be erased leaves it whole."""

import asyncio
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest

from domain.base.actor import Actor
from domain.base.clock import new_id
from domain.base.database import acting_for, tx
from domain.base.permissions import Permission
from domain.events import chain, log
from domain.labels import service as labels
from domain.labels.events import LabelDeleted
from domain.organizations import api_keys
from tests.events.chain import first_fault
from tests.factories import Person, Tenant, events, execute, make_project, make_task, statements


async def verify(org_id: UUID) -> int | None:
    with acting_for([org_id]):
        return await chain.verify(org_id)


async def make_log(tenant: Tenant) -> None:
    """A log of 16 events with and without erasable values, projects and lists."""
    project = await make_project(tenant.admin, tenant)
    await make_task(tenant.admin, project, assignee_id=tenant.guest.user_id)
    async with tenant.admin.acting() as actor:
        await api_keys.create(actor, tenant.org_id, name="CI", permissions=list(Permission))
        for number in range(12):
            await labels.create(actor, tenant.org_id, name=f"Ünïcode {number}", color="#ff0000")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the log takes several."""
    monkeypatch.setattr(chain, "_BATCH", 5)


async def test_a_log_that_nobody_touched_is_whole(acme: Tenant, globex: Tenant) -> None:
    assert await verify(acme.org_id) is None
    await make_log(acme)
    await make_log(globex)

    assert await verify(acme.org_id) is None
    assert await verify(globex.org_id) is None


async def facts(person: Person, org_id: UUID) -> None:
    """Three facts with and without erasable values, in the open transaction."""
    async with person.acting() as actor:
        label = await labels.create(actor, org_id, name=f'Ünïcode "{new_id()}"', color="#ff0000")
        await labels.update(actor, label.id, description="A\nline, \u2028 and \\0", color="#00ff00")
        await labels.delete(actor, label.id)


async def test_three_facts_of_one_transaction_follow_each_other(acme: Tenant) -> None:
    async with acme.admin.acting(), tx():
        await facts(acme.admin, acme.org_id)

    assert await events(acme.org_id) == ["LABEL_CREATED", "LABEL_UPDATED", "LABEL_DELETED"]
    assert await verify(acme.org_id) is None
    assert await first_fault(acme.org_id) is None


async def test_a_transaction_in_two_organizations_goes_on_with_both_chains(acme: Tenant, globex: Tenant) -> None:
    system = Actor.system(acme.org_id, globex.org_id)
    event = LabelDeleted(subject_id=new_id(), name="Gone")

    for _ in range(2):
        with acting_for(system.standings):
            async with tx():
                for org_id in (globex.org_id, acme.org_id, globex.org_id):
                    log.emit(system, org_id, event)

    for org_id, count in ((acme.org_id, 2), (globex.org_id, 4)):
        assert await events(org_id) == ["LABEL_DELETED"] * count
        assert await verify(org_id) is None
        assert await first_fault(org_id) is None


async def test_more_facts_than_fit_in_a_statement_go_on_with_one_chain(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_MOST_AT_ONCE", 2)

    async with acme.admin.acting(), tx():
        for _ in range(3):
            await facts(acme.admin, acme.org_id)

    assert await events(acme.org_id) == ["LABEL_CREATED", "LABEL_UPDATED", "LABEL_DELETED"] * 3
    assert await first_fault(acme.org_id) is None


async def test_many_who_write_an_organizations_first_facts_at_once_share_a_chain(acme: Tenant) -> None:
    async def write() -> None:
        async with acme.admin.acting(), tx():
            await facts(acme.admin, acme.org_id)

    await asyncio.gather(*(write() for _ in range(12)))

    assert await events(acme.org_id) == ["LABEL_CREATED", "LABEL_UPDATED", "LABEL_DELETED"] * 12
    assert await verify(acme.org_id) is None
    assert await first_fault(acme.org_id) is None


class Undone(Exception):
    """Ends a transaction without a commit."""


async def test_what_is_undone_leaves_no_gap(acme: Tenant) -> None:
    async def undo(_: list[Any]) -> None:
        raise Undone

    await make_log(acme)
    with suppress(Undone):
        async with acme.admin.acting(), tx() as open_:
            await facts(acme.admin, acme.org_id)
            # Comes when the log is written already.
            open_.collect(undo, None)
    assert len(await events(acme.org_id)) == 16
    async with acme.admin.acting(), tx():
        await facts(acme.admin, acme.org_id)

    assert len(await events(acme.org_id)) == 19
    assert await first_fault(acme.org_id) is None


async def test_erasing_values_leaves_the_chain_whole(acme: Tenant) -> None:
    await make_log(acme)

    await execute("DELETE FROM event_values WHERE org_id = $1", acme.org_id)

    assert await verify(acme.org_id) is None


TAMPERED = {
    "a type": "UPDATE event SET type = 'TASK_MOVED' WHERE org_id = $1 AND seq = 7",
    "an instant": "UPDATE event SET occurred_at = occurred_at + interval '1 microsecond' WHERE org_id = $1 AND seq = 7",
    "a doer": "UPDATE event SET actor_kind = 'SYSTEM', actor_id = NULL WHERE org_id = $1 AND seq = 7",
    "a project": "UPDATE event SET project_id = subject_id WHERE org_id = $1 AND seq = 7",
    "a subject": "UPDATE event SET subject_id = org_id WHERE org_id = $1 AND seq = 7",
    "an id": "UPDATE event SET id = gen_random_uuid() WHERE org_id = $1 AND seq = 7",
    "data": "UPDATE event SET data = data || ' ' WHERE org_id = $1 AND seq = 7",
    "an erasable value": (
        'UPDATE event_values SET data = \'{"name":"Forged"}\' '
        "WHERE event_id = (SELECT id FROM event WHERE org_id = $1 AND seq = 7)"
    ),
    "a digest": "UPDATE event SET digest = sha256(digest) WHERE org_id = $1 AND seq = 7",
    "a row that is gone": "DELETE FROM event WHERE org_id = $1 AND seq = 7",
}


@pytest.mark.parametrize("what", TAMPERED)
async def test_what_a_superuser_changed_is_found(acme: Tenant, what: str) -> None:
    await make_log(acme)
    if what == "an id":
        await execute("DELETE FROM event_values WHERE org_id = $1", acme.org_id)

    await execute(TAMPERED[what], acme.org_id)

    assert await verify(acme.org_id) == 7


async def test_an_end_that_was_cut_off_is_found(acme: Tenant) -> None:
    await make_log(acme)

    await execute("DELETE FROM event WHERE org_id = $1 AND seq > 14", acme.org_id)

    assert await verify(acme.org_id) == 15


async def test_an_end_that_was_cut_off_with_the_counter_put_back_is_found(acme: Tenant) -> None:
    await make_log(acme)

    await execute("DELETE FROM event WHERE org_id = $1 AND seq > 14", acme.org_id)
    await execute("UPDATE event_counter SET seq = 14 WHERE org_id = $1", acme.org_id)

    assert await verify(acme.org_id) == 14


async def test_a_log_that_grows_meanwhile_is_whole(acme: Tenant) -> None:
    await make_log(acme)

    async def write() -> None:
        async with acme.admin.acting() as actor:
            for number in range(10):
                await labels.create(actor, acme.org_id, name=f"Late {number}", color="#ff0000")

    found = await asyncio.gather(write(), *(verify(acme.org_id) for _ in range(10)))

    assert found == [None] * 11


async def test_a_log_is_read_in_batches(acme: Tenant) -> None:
    await make_log(acme)

    with statements() as sent:
        await verify(acme.org_id)

    # Sixteen events in batches of five, and the counter.
    assert len(sent) == 1 + 4
