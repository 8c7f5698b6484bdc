"""The chain: what a superuser changes in the log is found, and what may be erased leaves it whole."""

import asyncio
from uuid import UUID

import pytest

from domain.base.database import acting_for
from domain.base.permissions import Permission
from domain.events import chain
from domain.labels import service as labels
from domain.organizations import api_keys
from tests.factories import Tenant, execute, make_project, make_task, statements


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
