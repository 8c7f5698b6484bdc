"""Cron's own work: clean-up, metrics, invariants, and ticks that begin once."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.base.clock import new_id, now
from domain.deliveries import cleaning, invariants, metrics, ticks
from domain.deliveries.invariants import INVARIANTS
from tests.factories import Tenant, execute, make_project, make_task, rows

AT = datetime(2026, 11, 21, 2, tzinfo=UTC)


async def _broken(tenant: Tenant) -> set[str]:
    """The names of the invariants that this organization breaks."""
    (project,) = await rows("SELECT id FROM project WHERE org_id = $1", tenant.org_id) or [{"id": None}]
    mine = {tenant.org_id, project["id"], tenant.member.user_id}
    found = await asyncio.gather(*(rows(statement) for statement in INVARIANTS.values()))
    return {
        name
        for name, broken in zip(INVARIANTS, found, strict=True)
        if mine & {value for row in broken for value in row.values()}
    }


async def test_a_period_begins_once(acme: Tenant, globex: Tenant) -> None:
    name = f"test.{acme.slug}"
    one = f"SELECT id FROM organization WHERE slug = '{acme.slug}'"

    begun = await asyncio.gather(*(ticks.begin(name, AT, name, one) for _ in range(5)))

    assert sorted(begun) == [False] * 4 + [True]
    found = await rows("SELECT org_id, tick_at, state FROM delivery WHERE handler = $1", name)
    assert found == [{"org_id": acme.org_id, "tick_at": AT, "state": "PENDING"}]
    assert await ticks.begin(name, AT + timedelta(hours=1), name, None)
    assert len(await rows("SELECT FROM delivery WHERE handler = $1 AND org_id IS NULL", name)) == 1
    await execute("DELETE FROM delivery WHERE handler = $1", name)


async def test_what_has_served_its_time_goes_and_nothing_else(acme: Tenant) -> None:
    at, old = now(), now() - timedelta(days=31)
    made: dict[str, list[Any]] = {}
    for table, statement in {
        "session": "INSERT INTO session (id, user_id, token_digest, created_at, last_used_at, expires_at) "
        f"VALUES ($1, '{acme.member.user_id}', uuid_send($1), $2, $2, $2)",
        "idempotency": "INSERT INTO idempotency (id, actor_kind, actor_id, field, key, arguments_digest, outcome, "
        "created_at) VALUES ($1, 'USER', $1, 'f', 'k', '', '{}', $2)",
        "delivery": "INSERT INTO delivery (id, org_id, kind, source_id, seq, handler, state, attempts, available_at, "
        f"queue_at, created_at, ended_at) VALUES ($1, '{acme.org_id}', 'EVENT', $1, 1, 'h', 'DONE', 1, $2, $2, $2, $2)",
        "tick": "INSERT INTO tick (id, name, period_start, begun_at) VALUES ($1, $1::uuid::text, $2, $2)",
        "notification": "INSERT INTO notification (id, org_id, user_id, seq, event_id, kind, actor_kind, subject_kind, "
        "subject_id, read_at, created_at) VALUES ($1, "
        f"'{acme.org_id}', '{acme.member.user_id}', extract(epoch FROM $2::timestamptz)::bigint, $1, 'COMMENTED', "
        "'SYSTEM', 'comment', $1, $2, $2)",
        "stripe_event": "INSERT INTO stripe_event (id, stripe_id, type, livemode, created_at, received_at) "
        "VALUES ($1, $1::uuid::text, 'invoice.paid', false, $2, $2)",
        "account_token": "INSERT INTO account_token (id, user_id, purpose, generation, token_digest, email, entry_id, "
        f"expires_at, created_at, updated_at) VALUES ($1, '{acme.member.user_id}', $1::uuid::text, 1, uuid_send($1), "
        "'', $1, $2, $2, $2)",
    }.items():
        made[table] = [new_id(), new_id()]
        await execute(statement, made[table][0], old)
        await execute(statement, made[table][1], at + timedelta(hours=1))
    pending = new_id()
    await execute(
        "INSERT INTO stripe_event (id, stripe_id, type, livemode, created_at, received_at) "
        "VALUES ($1, $1::uuid::text, 'invoice.paid', false, $2, $2)",
        pending,
        old,
    )
    await execute(
        "INSERT INTO delivery (id, org_id, kind, source_id, seq, handler, state, attempts, available_at, queue_at, "
        "created_at) VALUES ($1, $2, 'EVENT', $1, 1, 'h', 'PENDING', 1, now() + interval '1 day', "
        "now() + interval '1 day', $3)",
        pending,
        acme.org_id,
        old,
    )

    gone = await cleaning.clean(at)

    assert set(gone) == set(made)
    for table, (first, second) in made.items():
        left = await rows(f"SELECT id FROM {table} WHERE id = ANY($1)", [first, second])
        assert left == [{"id": second}], table
    assert await rows("SELECT id FROM delivery WHERE id = $1", pending) == [{"id": pending}]
    assert await rows("SELECT id FROM stripe_event WHERE id = $1", pending) == [{"id": pending}]
    assert await rows("SELECT id FROM session WHERE id = $1", acme.member.session_id) != []
    await execute("DELETE FROM delivery WHERE id = $1", pending)


async def test_metrics_are_written_once_an_hour(acme: Tenant) -> None:
    project = await make_project(acme.admin, acme)
    task = await make_task(acme.admin, project)
    await make_task(acme.admin, project)
    await execute("UPDATE task SET completed_at = now() WHERE id = $1", task.id)

    assert await metrics.measure(AT) > 0
    before = await rows("SELECT * FROM organization_metrics WHERE org_id = $1", acme.org_id)
    assert await metrics.measure(AT) == 0

    (found,) = await rows(
        "SELECT members, projects, tasks_open, tasks_done, events FROM organization_metrics WHERE org_id = $1",
        acme.org_id,
    )
    assert found == {"members": 4, "projects": 1, "tasks_open": 1, "tasks_done": 1, "events": 3}
    assert await rows("SELECT * FROM organization_metrics WHERE org_id = $1", acme.org_id) == before


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("organization_has_admin", "UPDATE membership SET role = 'MEMBER' WHERE org_id = $1"),
        ("events_are_sent", "UPDATE event SET occurred_at = now() - interval '6 minutes' WHERE org_id = $1"),
        ("position_is_in_log", "INSERT INTO relay_position (org_id, seq) VALUES ($1, 999)"),
        ("event_counter_counts", "UPDATE event_counter SET seq = seq + 1 WHERE org_id = $1"),
        (
            "inbox_counts",
            "WITH box AS (INSERT INTO inbox (user_id, seq, version) SELECT user_id, 1, 1 FROM membership "
            "WHERE org_id = $1 RETURNING user_id) INSERT INTO notification (id, org_id, user_id, seq, event_id, kind, "
            "actor_kind, subject_kind, subject_id, created_at) SELECT gen_random_uuid(), $1, user_id, 2, "
            "gen_random_uuid(), 'COMMENTED', 'SYSTEM', 'comment', gen_random_uuid(), now() FROM box",
        ),
        ("chain_head_fits", "UPDATE event_counter SET digest = '' WHERE org_id = $1"),
        ("task_numbers_are_counted", "UPDATE project_counter SET last_number = 0 WHERE org_id = $1"),
    ],
)
async def test_what_does_not_hold_is_found(acme: Tenant, globex: Tenant, name: str, fault: str) -> None:
    for tenant in (acme, globex):
        project = await make_project(tenant.admin, tenant)
        await make_task(tenant.admin, project)
    assert await _broken(acme) == set()

    await execute(fault, acme.org_id)

    assert await _broken(acme) == {name}
    assert await _broken(globex) == set()
    told = {each.name: each for each in await invariants.broken()}
    assert told[name].count >= 1
    # The rest of the suite counts on it.
    await execute("DELETE FROM organization WHERE id = $1", acme.org_id)


async def test_an_entry_that_nobody_relays_is_found(acme: Tenant) -> None:
    entry_id = new_id()
    await execute(
        "INSERT INTO security_entry (id, user_id, at, action) VALUES ($1, $2, now() - interval '6 minutes', 'DENIED')",
        entry_id,
        acme.member.user_id,
    )

    found = await rows(INVARIANTS["account_entries_are_sent"])

    assert entry_id in {row["id"] for row in found}
    await execute("DELETE FROM security_entry WHERE id = $1", entry_id)
