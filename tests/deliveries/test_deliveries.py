"""Relaying, taking and ending deliveries, in this process."""

import asyncio
from collections.abc import Sequence
from contextvars import Context
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from domain.base.database import acting_for, tx
from domain.base.settings import Settings
from domain.deliveries import claims, dead, queueing, relaying
from domain.deliveries.claims import Claim, Gone
from jobs.worker import FIRST_PAUSE, LONGEST_PAUSE, pause_after
from tests.factories import Tenant, execute, rows
from tests.jobs.crew import make_labels

TABLE: dict[str, Sequence[str]] = {"LABEL_CREATED": ("test.first", "test.second")}


async def _relayed(tenant: Tenant, count: int) -> list[dict[str, Any]]:
    """The organization's deliveries after so many changes were relayed."""
    await make_labels(tenant, count)
    while (await relaying.relay_logs(TABLE, [tenant.org_id])).is_more:
        pass
    return await _rows(tenant)


async def _rows(tenant: Tenant) -> list[dict[str, Any]]:
    return await rows("SELECT * FROM delivery WHERE org_id = $1 ORDER BY id", tenant.org_id)


async def _claimed(tenant: Tenant) -> Claim:
    row, *_ = await _relayed(tenant, 1)
    claim = await claims.claim(row["id"], tenant.org_id)
    assert claim is not None
    return claim


async def test_each_event_makes_a_delivery_for_each_handler_in_order(acme: Tenant) -> None:
    found = await _relayed(acme, 3)

    wanted = [(seq, handler) for seq in (1, 2, 3) for handler in TABLE["LABEL_CREATED"]]
    assert [(row["seq"], row["handler"]) for row in found] == wanted
    assert await relaying.relay_logs(TABLE, [acme.org_id]) == relaying.Relayed(0, False)
    assert await _rows(acme) == found


async def test_a_handler_that_waits_has_its_deliveries_due_later(acme: Tenant) -> None:
    await make_labels(acme, 1)

    await relaying.relay_logs(TABLE, [acme.org_id], delays={"test.second": timedelta(minutes=1)})

    first, second = await _rows(acme)
    assert first["available_at"] == first["queue_at"] == first["created_at"]
    assert second["available_at"] == second["queue_at"] == second["created_at"] + timedelta(minutes=1)
    due = {each.id for each in await queueing.take_due(1000)}
    assert due & {first["id"], second["id"]} == {first["id"]}
    assert await claims.claim(second["id"], acme.org_id) is None


async def test_several_relays_make_each_delivery_once(acme: Tenant, globex: Tenant) -> None:
    for tenant in (acme, globex):
        await make_labels(tenant, 20)

    async def relay() -> None:
        for _ in range(5):
            await relaying.relay_logs(TABLE, [acme.org_id, globex.org_id])

    await asyncio.gather(*(relay() for _ in range(6)))

    for tenant in (acme, globex):
        assert [row["seq"] for row in await _rows(tenant)] == [seq for seq in range(1, 21) for _ in range(2)]


async def test_a_log_that_another_relay_is_at_is_left_alone(settings: Settings, acme: Tenant, globex: Tenant) -> None:
    await _relayed(acme, 1)
    for tenant in (acme, globex):
        await make_labels(tenant, 1)
    other = await asyncpg.connect(settings.database_url)
    try:
        async with other.transaction():
            await other.execute("SELECT FROM relay_position WHERE org_id = $1 FOR UPDATE", acme.org_id)

            relayed = await relaying.relay_logs(TABLE, [acme.org_id, globex.org_id])
    finally:
        await other.close()

    assert relayed.deliveries == 2
    assert [row["seq"] for row in await _rows(acme)] == [1, 1]
    assert [row["seq"] for row in await _rows(globex)] == [1, 1]


async def test_what_is_due_is_taken_once_until_it_is_given_back(acme: Tenant) -> None:
    await execute("UPDATE delivery SET state = 'DONE' WHERE state = 'PENDING'")
    ids = [row["id"] for row in await _relayed(acme, 2)]

    taken = await queueing.take_due(100)

    assert [due.id for due in taken] == ids
    assert await queueing.take_due(100) == []
    await queueing.give_back(taken[:1])
    assert [due.id for due in await queueing.take_due(100)] == ids[:1]
    await queueing.forget_queued()
    assert [due.id for due in await queueing.take_due(3)] == ids[:3]


async def test_a_delivery_is_taken_by_one(acme: Tenant) -> None:
    row, *_ = await _relayed(acme, 1)

    tries = await asyncio.gather(*(claims.claim(row["id"], acme.org_id) for _ in range(20)))

    assert len([claim for claim in tries if claim is not None]) == 1
    (row, _) = await _rows(acme)
    assert row["attempts"] == 1


async def test_another_organization_cannot_take_it(acme: Tenant, globex: Tenant) -> None:
    row, *_ = before = await _relayed(acme, 1)

    assert await claims.claim(row["id"], globex.org_id) is None

    assert await _rows(acme) == before


async def test_who_comes_late_changes_nothing(acme: Tenant) -> None:
    late = await _claimed(acme)
    await execute("UPDATE delivery SET available_at = now() WHERE id = $1", late.id)
    present = await claims.claim(late.id, acme.org_id)
    assert present is not None
    before = await _rows(acme)

    with acting_for([acme.org_id]):
        async with tx():
            with pytest.raises(Gone):
                await claims.hold(late)
        with pytest.raises(Gone):
            await claims.done(late)
        await claims.put_off(late, timedelta(0), RuntimeError("late"))
        await claims.bury(late, RuntimeError("late"))
        await claims.release(late)
    assert await claims.keep([late]) == set()

    assert await _rows(acme) == before
    assert await claims.keep([late, present]) == {present.token}
    await claims.done(present)
    (row, _) = await _rows(acme)
    assert (row["state"], row["attempts"], row["claim"]) == ("DONE", 2, None)


async def test_what_is_undone_is_not_noted_as_done(acme: Tenant) -> None:
    claim = await _claimed(acme)
    before = await _rows(acme)

    async def undone() -> None:
        async with tx():
            await claims.hold(claim)
            await claims.done(claim)
            raise RuntimeError

    with acting_for([acme.org_id]), pytest.raises(RuntimeError):
        await undone()

    assert await _rows(acme) == before


async def test_a_held_delivery_is_nobody_elses_when_its_lease_ends(acme: Tenant) -> None:
    claim = await _claimed(acme)
    await execute("UPDATE delivery SET available_at = now(), queue_at = now() WHERE id = $1", claim.id)

    async def try_to_take() -> tuple[Claim | None, list[queueing.Due]]:
        return await claims.claim(claim.id, acme.org_id), await queueing.take_due(10_000)

    with acting_for([acme.org_id]):
        async with tx():
            await claims.hold(claim)
            taken, due = await asyncio.create_task(try_to_take(), context=Context())
            await claims.done(claim)

    assert taken is None
    assert claim.id not in {each.id for each in due}


async def test_pauses_grow_to_an_hour() -> None:
    pauses = [pause_after(attempt) for attempt in range(1, 9)]

    assert FIRST_PAUSE / 2 <= pauses[0] <= FIRST_PAUSE
    assert all(pause <= LONGEST_PAUSE for pause in pauses)
    assert pauses[7] >= LONGEST_PAUSE / 2


async def test_the_dead_are_listed_and_retried(acme: Tenant) -> None:
    await execute("DELETE FROM delivery WHERE state = 'DEAD'")
    claim = await _claimed(acme)
    await claims.bury(claim, ValueError("of ada@example.test\nDETAIL: secret"))

    (found,) = await dead.listed()

    assert (found.id, found.handler, found.organization, found.attempts) == (claim.id, "test.first", acme.slug, 1)
    assert found.last_error == "ValueError: of [redacted]"
    assert await dead.retry(claim.source_id) == 0
    assert await dead.retry(claim.id) == 1
    assert await dead.listed() == []
    (row, _) = await _rows(acme)
    assert (row["state"], row["attempts"], row["ended_at"]) == ("PENDING", 0, None)
