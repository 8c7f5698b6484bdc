"""Many tell many at once: numbers have no gap and follow the order of commits, nobody is told twice, nothing waits."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

import pytest

from domain.base.actor import Actor
from domain.base.database import acting_for, tx
from domain.base.permissions import Role
from domain.comments import service as comments
from domain.events.queries import EventRow
from domain.notifications import service
from domain.organizations import memberships
from tests.factories import Person, Tenant, make_person, make_project, make_task, rows
from tests.notifications.reading import assignments, ids_of
from tests.notifications.telling import events_of, inbox, tell


async def numbers(person: Person) -> list[int]:
    return [seq for seq, _ in await inbox(person.user_id)]


async def counter(user_id: UUID) -> int:
    (row,) = await rows("SELECT seq FROM inbox WHERE user_id = $1", user_id)
    return int(row["seq"])


async def test_events_at_once_are_numbered_without_a_gap_though_each_is_told_twice(acme: Tenant) -> None:
    events = await assignments(acme, acme.member, 20)

    await asyncio.gather(*(tell(event) for event in events * 2))

    assert await numbers(acme.member) == list(range(1, 21))
    assert await counter(acme.member.user_id) == 20
    assert len(await ids_of(acme.member.client)) == 20


async def test_an_audience_of_many_in_any_order_never_waits_in_a_circle(acme: Tenant, globex: Tenant) -> None:
    people = [await make_person(f"Person {n}") for n in range(6)]
    events: list[EventRow] = []
    for tenant in (acme, globex):
        for person in people:
            async with tenant.admin.acting() as actor:
                await memberships.join(actor, tenant.org_id, person.user_id, role=Role.MEMBER)
        project = await make_project(tenant.admin, tenant)
        task = await make_task(tenant.admin, project)
        for turn in range(8):
            mentioned = people[turn % 6 :] + people[: turn % 6]
            async with tenant.admin.acting() as actor:
                await comments.create(actor, task.id, body=" ".join(f"@({person.id})" for person in mentioned))
        events += await events_of(tenant.org_id, "COMMENT_CREATED")

    await asyncio.gather(*(tell(event) for event in events))

    assert [await numbers(person) for person in people] == [list(range(1, 17))] * 6


async def test_two_tellings_in_one_transaction_lock_in_one_order(acme: Tenant) -> None:
    first, second = await assignments(acme, acme.member, 12), await assignments(acme, acme.guest, 12)

    async def both(*events: EventRow) -> None:
        with acting_for([acme.org_id]):
            async with tx():
                for event in (*events, events[0]):
                    await service.notify_about(Actor.system(acme.org_id), event)

    pairs = [*zip(first[::2], second[::2], strict=True), *zip(second[1::2], first[1::2], strict=True)]
    await asyncio.gather(*(both(*pair) for pair in pairs))

    assert await numbers(acme.member) == await numbers(acme.guest) == list(range(1, 13))


@asynccontextmanager
async def held(event: EventRow) -> AsyncIterator[None]:
    """A telling whose transaction has not ended."""
    with acting_for([event.org_id]):
        async with tx():
            await service.notify_about(Actor.system(event.org_id), event)
            yield


class _Undone(Exception):
    """Ends a transaction that nobody wants."""


async def test_what_is_undone_takes_no_number(acme: Tenant) -> None:
    events = await assignments(acme, acme.member, 3)

    await tell(events[0])
    with pytest.raises(_Undone):
        async with held(events[1]):
            raise _Undone
    await tell(events[2])

    assert await inbox(acme.member.user_id) == [(1, "TASK_ASSIGNED"), (2, "TASK_ASSIGNED")]
    assert await counter(acme.member.user_id) == 2


async def test_who_has_seen_a_number_has_seen_all_before_it(acme: Tenant) -> None:
    events = await assignments(acme, acme.member, 60)
    seen: list[list[int]] = []
    over = asyncio.Event()

    async def look() -> None:
        while not over.is_set():
            seen.append(await numbers(acme.member))
            await asyncio.sleep(0)

    async with AsyncExitStack() as stack:
        looking = asyncio.create_task(look())
        stack.callback(looking.cancel)
        chance = random.Random(7)  # noqa: S311
        await asyncio.gather(*(tell(event) for event in chance.sample(events, len(events))))
        over.set()
        await looking

    assert [found for found in seen if found != list(range(1, len(found) + 1))] == []
    assert len({len(found) for found in seen}) > 2
