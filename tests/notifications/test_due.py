"""Reminders of due dates: at 09:00 of the day before where the assignee lives, once for each date, of open tasks."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from domain.base.actor import Actor
from domain.base.database import acting_for, tx
from domain.organizations import memberships
from domain.projects import service as projects
from domain.projects.queries import ProjectRow
from domain.tasks import due
from domain.tasks import service as tasks
from tests.events.chain import first_fault
from tests.factories import Person, Tenant, execute, make_project, make_task, rows, states_of
from tests.notifications.telling import inbox, tell_all

DUE = date(2026, 11, 20)
NINE = datetime(2026, 11, 19, 9, tzinfo=UTC)
SOON = timedelta(minutes=1)


async def remind(tenant: Tenant, at: datetime) -> int:
    """What cron does."""
    with acting_for([tenant.org_id]):
        return await due.remind(Actor.system(tenant.org_id), at)


async def live_in(person: Person, zone: str) -> None:
    await execute("UPDATE preferences SET time_zone = $1 WHERE user_id = $2", zone, person.user_id)


@pytest.fixture
async def project(acme: Tenant) -> ProjectRow:
    """Where the tasks are."""
    return await make_project(acme.admin, acme)


async def make_due(acme: Tenant, project: ProjectRow, **values: Any) -> UUID:
    """A task of the member's that is due."""
    given = {"assignee_id": acme.member.user_id, "due_date": DUE, **values}
    return (await make_task(acme.admin, project, **given)).id


async def reminded(tenant: Tenant) -> list[tuple[UUID, dict[str, Any]]]:
    """Task and data of each reminder in the log, in order."""
    statement = (
        "SELECT subject_id, data, actor_kind FROM event WHERE org_id = $1 AND type = 'TASK_DUE_SOON' ORDER BY seq"
    )
    found = await rows(statement, tenant.org_id)
    assert {row["actor_kind"] for row in found} <= {"SYSTEM"}
    return [(row["subject_id"], orjson.loads(row["data"])) for row in found]


ZONES = {
    "UTC": datetime(2026, 11, 19, 9, tzinfo=UTC),
    "Europe/Zurich": datetime(2026, 11, 19, 8, tzinfo=UTC),
    "America/Los_Angeles": datetime(2026, 11, 19, 17, tzinfo=UTC),
    "Asia/Kathmandu": datetime(2026, 11, 19, 3, 15, tzinfo=UTC),
    "Pacific/Kiritimati": datetime(2026, 11, 18, 19, tzinfo=UTC),
    "Pacific/Pago_Pago": datetime(2026, 11, 19, 20, tzinfo=UTC),
    "No/Such_Place": datetime(2026, 11, 19, 9, tzinfo=UTC),
}


@pytest.mark.parametrize("zone", ZONES)
async def test_it_is_given_at_nine_where_the_assignee_lives(acme: Tenant, project: ProjectRow, zone: str) -> None:
    await live_in(acme.member, zone)
    task_id = await make_due(acme, project)

    early = await remind(acme, ZONES[zone] - SOON)
    on_time = await remind(acme, ZONES[zone])
    later = await remind(acme, ZONES[zone] + timedelta(hours=5))

    assert (early, on_time, later) == (0, 1, 0)
    assert await reminded(acme) == [
        (task_id, {"due_date": "2026-11-20", "assignee_id": str(acme.member.user_id)}),
    ]
    assert await first_fault(acme.org_id) is None


@pytest.mark.parametrize(
    ("zone", "due_date", "begin", "end"),
    [
        # The clocks go forward in the night before the due date, and back.
        ("Europe/Zurich", date(2026, 3, 29), "2026-03-28T08:00", "2026-03-29T22:00"),
        ("Europe/Zurich", date(2026, 3, 30), "2026-03-29T07:00", "2026-03-30T22:00"),
        ("Europe/Zurich", date(2026, 10, 25), "2026-10-24T07:00", "2026-10-25T23:00"),
        ("Europe/Zurich", date(2026, 10, 26), "2026-10-25T08:00", "2026-10-26T23:00"),
        ("America/New_York", date(2026, 3, 9), "2026-03-08T13:00", "2026-03-10T04:00"),
        ("Australia/Lord_Howe", date(2026, 4, 6), "2026-04-04T22:30", "2026-04-06T13:30"),
        ("", DUE, "2026-11-19T09:00", "2026-11-21T00:00"),
    ],
)
def test_the_window_follows_the_clocks_of_the_place(zone: str, due_date: date, begin: str, end: str) -> None:
    expected = tuple(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (begin, end))

    assert due.window(due_date, zone) == expected


async def test_a_late_reminder_is_given_until_the_day_is_over(acme: Tenant, project: ProjectRow) -> None:
    await live_in(acme.member, "Europe/Zurich")
    await make_due(acme, project)

    assert await remind(acme, datetime(2026, 11, 20, 23, tzinfo=UTC)) == 0
    assert await remind(acme, datetime(2026, 11, 20, 22, 59, tzinfo=UTC)) == 1


async def complete(acme: Tenant, task_id: UUID, actor: Actor, project: ProjectRow) -> None:
    await tasks.update(actor, task_id, state_id=(await states_of(project))["Done"])


async def cancel(acme: Tenant, task_id: UUID, actor: Actor, project: ProjectRow) -> None:
    await tasks.update(actor, task_id, state_id=(await states_of(project))["Canceled"])


async def archive(acme: Tenant, task_id: UUID, actor: Actor, project: ProjectRow) -> None:
    await tasks.archive(actor, task_id)


async def archive_project(acme: Tenant, task_id: UUID, actor: Actor, project: ProjectRow) -> None:
    await projects.archive(actor, project.id)


async def unassign(acme: Tenant, task_id: UUID, actor: Actor, project: ProjectRow) -> None:
    await tasks.update(actor, task_id, assignee_id=None)


async def take_the_date_away(acme: Tenant, task_id: UUID, actor: Actor, project: ProjectRow) -> None:
    await tasks.update(actor, task_id, due_date=None)


async def put_the_date_off(acme: Tenant, task_id: UUID, actor: Actor, project: ProjectRow) -> None:
    await tasks.update(actor, task_id, due_date=DUE + timedelta(days=3))


async def remove_the_assignee(acme: Tenant, task_id: UUID, actor: Actor, project: ProjectRow) -> None:
    (row,) = await rows("SELECT id FROM membership WHERE user_id = $1", acme.member.user_id)
    await memberships.delete(actor, row["id"])


Deed = Callable[[Tenant, UUID, Actor, ProjectRow], Awaitable[None]]
SPARED: list[Deed] = [
    complete,
    cancel,
    archive,
    archive_project,
    unassign,
    take_the_date_away,
    put_the_date_off,
    remove_the_assignee,
]


@pytest.mark.parametrize("deed", SPARED, ids=lambda deed: deed.__name__)
async def test_nobody_is_reminded_of_what_needs_no_doing(acme: Tenant, project: ProjectRow, deed: Deed) -> None:
    task_id, other_id = await make_due(acme, project), None
    if deed is not archive_project:
        other_id = await make_due(acme, project, assignee_id=acme.guest.user_id)
    async with acme.admin.acting() as actor:
        await deed(acme, task_id, actor, project)

    count = await remind(acme, NINE)

    assert [id for id, _ in await reminded(acme)] == ([other_id] if other_id else [])
    assert count == len(await rows("SELECT 1 FROM due_reminder WHERE org_id = $1", acme.org_id))


async def test_each_date_is_reminded_of_once_whatever_changes(acme: Tenant, project: ProjectRow) -> None:
    task_id = await make_due(acme, project)
    later, counts = DUE + timedelta(days=7), [await remind(acme, NINE)]

    async with acme.admin.acting() as actor:
        for values, at in (
            ({"assignee_id": acme.guest.user_id}, NINE + SOON),
            ({"due_date": later}, NINE + SOON),
            ({}, NINE + timedelta(days=7)),
            ({"due_date": DUE}, NINE + SOON),
            ({"due_date": later}, NINE + timedelta(days=7)),
        ):
            await tasks.update(actor, task_id, **values)
            counts.append(await remind(acme, at))

    assert counts == [1, 0, 0, 1, 0, 0]
    assert [data for _, data in await reminded(acme)] == [
        {"due_date": "2026-11-20", "assignee_id": str(acme.member.user_id)},
        {"due_date": "2026-11-27", "assignee_id": str(acme.guest.user_id)},
    ]


async def test_the_assignee_of_the_moment_is_told_where_they_live(acme: Tenant, project: ProjectRow) -> None:
    await live_in(acme.member, "Europe/Zurich")
    await live_in(acme.guest, "America/Los_Angeles")
    task_id = await make_due(acme, project)
    async with acme.admin.acting() as actor:
        await tasks.update(actor, task_id, assignee_id=acme.guest.user_id)

    counts = [await remind(acme, at) for at in (ZONES["Europe/Zurich"], ZONES["America/Los_Angeles"])]
    await tell_all(acme.org_id)

    assert counts == [0, 1]
    assert [kind for _, kind in await inbox(acme.guest.user_id)] == ["TASK_ASSIGNED", "DUE_SOON"]
    found = await acme.guest.client.ok("{ viewer { notifications { nodes { title actor { __typename } } } } }")
    assert found["viewer"]["notifications"]["nodes"][0] == {
        "title": "WEB-1 Write the page is due soon",
        "actor": {"__typename": "SystemActor"},
    }


async def test_many_crons_at_once_remind_of_each_task_once(
    acme: Tenant, globex: Tenant, project: ProjectRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "_AT_ONCE", 3)
    ids = [await make_due(acme, project) for _ in range(10)]
    theirs = await make_due(globex, await make_project(globex.admin, globex))

    await asyncio.gather(*(remind(acme, NINE) for _ in range(5)))
    # Who waited for another's lock has left it to the next time.
    await remind(acme, NINE)

    assert sorted(id for id, _ in await reminded(acme)) == sorted(ids)
    assert await reminded(globex) == []
    assert await remind(globex, NINE) == 1
    assert [id for id, _ in await reminded(globex)] == [theirs]


async def test_too_many_for_one_transaction_have_their_turn_at_the_next_ticks(
    acme: Tenant, project: ProjectRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "_AT_ONCE", 2)
    monkeypatch.setattr(due, "_AT_MOST", 4)
    ids = [await make_due(acme, project) for _ in range(9)]

    counts = [await remind(acme, NINE) for _ in range(4)]

    assert counts == [4, 4, 1, 0]
    assert sorted(id for id, _ in await reminded(acme)) == sorted(ids)


async def test_cron_looks_where_there_may_be_something_to_do(acme: Tenant, globex: Tenant, project: ProjectRow) -> None:
    await make_due(acme, project)
    await make_due(acme, project, due_date=DUE + timedelta(days=60))
    await make_task(globex.admin, await make_project(globex.admin, globex), due_date=DUE)

    async def found(at: datetime) -> set[UUID]:
        return {row["id"] for row in await rows(due.ORGANIZATIONS, at)} & {acme.org_id, globex.org_id}

    begins, ends = ZONES["Pacific/Kiritimati"], datetime(2026, 11, 21, 11, 59, tzinfo=UTC)
    assert [await found(at) for at in (begins, NINE, ends, NINE - timedelta(days=3))] == [{acme.org_id}] * 3 + [set()]
    await remind(acme, NINE)
    assert await found(NINE) == set()


class _Undone(Exception):
    """Ends a transaction that nobody wants."""


async def remind_and_fail(tenant: Tenant) -> None:
    with acting_for([tenant.org_id]):
        async with tx():
            assert await due.remind(Actor.system(tenant.org_id), NINE) == 1
            raise _Undone


async def test_a_reminder_that_is_undone_is_given_the_next_time(acme: Tenant, project: ProjectRow) -> None:
    await make_due(acme, project)

    with pytest.raises(_Undone):
        await remind_and_fail(acme)

    assert await reminded(acme) == []
    assert await remind(acme, NINE) == 1


async def test_nobody_waits_for_a_task_that_is_being_changed(acme: Tenant, project: ProjectRow) -> None:
    held, free = await make_due(acme, project), await make_due(acme, project)
    before = contextvars.copy_context()
    async with acme.admin.acting() as actor, tx():
        await tasks.update(actor, held, title="Being changed")
        # A context of its own, which knows nothing of this transaction.
        found = await asyncio.create_task(remind(acme, NINE), context=before)

    assert found == 1
    assert [id for id, _ in await reminded(acme)] == [free]
    assert await remind(acme, NINE) == 1
