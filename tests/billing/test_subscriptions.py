"""Subscriptions: changed to what Stripe says, each change told once, and the grace of those that are not paid for."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from domain.base.actor import Actor
from domain.base.database import Door, acting_for, system, tx
from domain.base.errors import NotFound
from domain.billing import subscriptions
from domain.billing.plans import Plan
from domain.billing.states import GRACE, Status
from jobs.schedule import SCHEDULE
from tests.events.log import cursor
from tests.factories import Tenant, events, execute, make_project, rows
from tests.sockets import opened

AT = datetime.fromisoformat("2026-11-21T12:00:00+00:00")


async def change(tenant: Tenant, at: datetime = AT, **values: Any) -> bool:
    actor = Actor.system(tenant.org_id)
    with acting_for(actor.standings):
        return await subscriptions.change(actor, tenant.org_id, at=at, **values)


async def end_grace(tenant: Tenant, at: datetime) -> int:
    actor = Actor.system(tenant.org_id)
    with acting_for(actor.standings):
        return await subscriptions.end_grace(actor, at)


async def standing(tenant: Tenant) -> dict[str, Any]:
    (row,) = await rows("SELECT * FROM subscription WHERE org_id = $1", tenant.org_id)
    return row


async def told(tenant: Tenant) -> list[dict[str, tuple[Any, Any]]]:
    """What the admin reads in the log: field -> before and after, for each event."""
    data = await tenant.admin.client.ok(
        "query ($id: ID!) { changes(organizationId: $id, filter: {types: [SUBSCRIPTION_UPDATED]}) "
        "{ nodes { subjectId changes { field before after } } } }",
        id=tenant.id,
    )
    nodes = data["changes"]["nodes"]
    assert {node["subjectId"] for node in nodes} <= {tenant.id}
    return [{each["field"]: (each["before"], each["after"]) for each in node["changes"]} for node in nodes]


async def test_what_is_paid_for_is_written_and_told_once(acme: Tenant) -> None:
    ends = AT + timedelta(days=30)
    paid: dict[str, Any] = {
        "plan": Plan.PRO,
        "stripe_customer_id": f"cus_{uuid4().hex}",
        "stripe_subscription_id": f"sub_{uuid4().hex}",
        "current_period_end": ends,
        "seats": 4,
    }

    assert await change(acme, **paid)
    assert not await change(acme, **paid)

    found = await standing(acme)
    assert {name: found[name] for name in paid} == paid
    assert await told(acme) == [
        {"plan": ("FREE", "PRO"), "seats": (0, 4), "currentPeriodEnd": (None, "2026-12-21T12:00:00Z")}
    ]


async def test_what_no_client_sees_is_written_and_not_told(acme: Tenant) -> None:
    assert not await change(acme, stripe_customer_id=(customer := f"cus_{uuid4().hex}"), sync_begun=3, sync_written=3)

    found = await standing(acme)
    assert (found["stripe_customer_id"], found["sync_begun"], found["sync_written"]) == (customer, 3, 3)
    assert await events(acme.org_id) == []


async def test_twenty_changes_at_once_to_the_same_are_told_once(acme: Tenant) -> None:
    changed = await asyncio.gather(*(change(acme, plan=Plan.PRO, seats=4) for _ in range(20)))

    assert sorted(changed) == [False] * 19 + [True]
    assert await events(acme.org_id) == ["SUBSCRIPTION_UPDATED"]


async def test_a_stranger_has_no_subscription_to_change(acme: Tenant, globex: Tenant) -> None:
    before = await standing(globex)
    actor = Actor.system(acme.org_id)

    with acting_for(actor.standings), pytest.raises(NotFound):
        await subscriptions.change(actor, globex.org_id, at=AT, plan=Plan.PRO)

    assert await standing(globex) == before
    assert await events(globex.org_id) == []


async def test_a_lock_needs_a_transaction(acme: Tenant) -> None:
    with acting_for([acme.org_id]):
        with pytest.raises(RuntimeError):
            await subscriptions.lock(acme.org_id)
        async with tx():
            assert (await subscriptions.lock(acme.org_id)).plan == Plan.FREE


async def test_the_first_failed_payment_begins_the_grace_and_the_next_do_not_lengthen_it(acme: Tenant) -> None:
    await change(acme, plan=Plan.PRO)

    assert await change(acme, status=Status.PAST_DUE)
    assert not await change(acme, AT + timedelta(days=3), status=Status.PAST_DUE)

    found = await standing(acme)
    assert (found["past_due_since"], found["grace_ends_at"]) == (AT, AT + GRACE)
    assert await told(acme) == [
        {"plan": ("FREE", "PRO")},
        {"status": ("ACTIVE", "PAST_DUE"), "graceEndsAt": (None, "2026-12-05T12:00:00Z")},
    ]


async def test_what_is_paid_late_ends_the_grace_and_a_second_one_is_whole(acme: Tenant) -> None:
    later = AT + timedelta(days=40)
    await change(acme, plan=Plan.PRO)
    await change(acme, status=Status.PAST_DUE)
    await end_grace(acme, AT + GRACE)

    await change(acme, AT + timedelta(days=20), status=Status.ACTIVE)
    between = await standing(acme)
    await change(acme, later, status=Status.PAST_DUE)

    names = ("past_due_since", "grace_ends_at", "grace_ended_at")
    assert [between[name] for name in names] == [None, None, None]
    assert [(await standing(acme))[name] for name in names] == [later, later + GRACE, None]


async def test_the_end_of_the_grace_is_told_once_and_not_before(acme: Tenant) -> None:
    await change(acme, plan=Plan.PRO, status=Status.PAST_DUE)
    ends = AT + GRACE

    early = await end_grace(acme, ends - timedelta(microseconds=1))
    ended = await asyncio.gather(*(end_grace(acme, ends) for _ in range(5)))

    assert (early, sorted(ended)) == (0, [0, 0, 0, 0, 1])
    assert (await told(acme))[1:] == [{"graceEndedAt": (None, "2026-12-05T12:00:00Z")}]
    assert (await standing(acme))["grace_ended_at"] == ends


async def test_cron_looks_after_the_organizations_whose_grace_has_ended(acme: Tenant, globex: Tenant) -> None:
    (line,) = [line for line in SCHEDULE if line.handler.name == "billing.end_grace"]
    await change(acme, plan=Plan.PRO, status=Status.PAST_DUE)
    await change(globex, AT + timedelta(minutes=1), plan=Plan.PRO, status=Status.PAST_DUE)

    async def due(at: datetime) -> set[UUID]:
        async with system(Door.TICKS) as connection:
            found = {row["id"] for row in await connection.fetch(str(line.statement), at)}
        return found & {acme.org_id, globex.org_id}

    assert await due(AT + GRACE - timedelta(seconds=1)) == set()
    assert await due(AT + GRACE) == {acme.org_id}
    await end_grace(acme, AT + GRACE)
    assert await due(AT + GRACE + timedelta(minutes=1)) == {globex.org_id}
    await end_grace(globex, AT + GRACE + timedelta(minutes=1))


async def test_a_move_that_is_in_no_table_is_written_and_logged(acme: Tenant) -> None:
    await change(acme, plan=Plan.PRO, status=Status.CANCELED)

    with capture_logs() as logged:
        await change(acme, status=Status.UNPAID)

    assert (await standing(acme))["status"] == "UNPAID"
    assert [(entry["event"], entry["source"], entry["target"]) for entry in logged] == [
        ("an unexpected move", "CANCELED", "UNPAID")
    ]


@pytest.mark.parametrize(
    "broken",
    [
        "status = 'PAST_DUE'",
        "grace_ends_at = now()",
        "grace_ended_at = now()",
        "past_due_since = now(), grace_ends_at = now()",
        "sync_written = 1",
    ],
)
async def test_the_database_refuses_what_cannot_be(acme: Tenant, broken: str) -> None:
    before = await standing(acme)

    with pytest.raises(Exception, match="subscription_"):
        await execute(f"UPDATE subscription SET {broken} WHERE org_id = $1", acme.org_id)

    assert await standing(acme) == before


async def test_the_log_of_payments_is_for_who_reads_bills(acme: Tenant) -> None:
    await change(acme, plan=Plan.PRO)

    asked = (
        "query ($id: ID!) { changes(organizationId: $id) { nodes { type subject { ... on Organization { slug } } } } }"
    )
    seen = {
        who: (await getattr(acme, who).client.ok(asked, id=acme.id))["changes"]["nodes"]
        for who in ("admin", "billing", "member", "guest")
    }

    event = {"type": "SUBSCRIPTION_UPDATED", "subject": {"slug": acme.slug}}
    assert seen == {"admin": [event], "billing": [event], "member": [], "guest": []}


async def test_a_dashboard_is_told_of_a_new_plan_and_shows_it_at_once(acme: Tenant, address: str) -> None:
    start = await cursor(acme.admin.client, acme)
    dashboard = """subscription ($id: ID!, $after: String) { events(organizationId: $id, after: $after) { type
      subject { ... on Organization { subscription { plan { key } } entitlements { feature limit } } } } }"""
    other = "subscription ($id: ID!, $after: String) { events(organizationId: $id, after: $after) { type } }"
    async with opened(address, acme.billing.token) as client, opened(address, acme.member.token) as member:
        stream = await client.run(dashboard, id=acme.id, after=start)
        of_member = await member.run(other, id=acme.id, after=start)
        await change(acme, plan=Plan.PRO)
        event = await stream.data()
        await make_project(acme.member, acme)
        first_of_member = await of_member.data()

    assert event["type"] == "SUBSCRIPTION_UPDATED"
    assert event["subject"]["subscription"] == {"plan": {"key": "PRO"}}
    assert {"feature": "projects", "limit": 200} in event["subject"]["entitlements"]
    assert first_of_member == {"type": "PROJECT_CREATED"}
