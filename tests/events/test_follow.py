"""What reading on from a place promises: joining, leaving and losing the database change nothing about what comes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.base.clock import new_id
from domain.base.database import tx
from domain.base.errors import NotFound
from domain.base.permissions import Role
from domain.events import follow, log, queries
from domain.events.follow import PAGE, TAIL_CHARACTERS, TAIL_EVENTS, Follower, _Tail
from domain.events.queries import EventRow, Wanted
from domain.organizations.events import MembershipUpdated
from tests.events.live import gauges, tell, telling_nobody, until
from tests.factories import Tenant, execute, rows

LOG = "SELECT * , NULL::text AS erasable FROM event WHERE org_id = $1 ORDER BY seq"


@pytest.fixture
async def follower(adapters: Adapters) -> AsyncIterator[Follower]:
    """A follower that runs, over the real Redis."""
    made = Follower(adapters.pubsub)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    await asyncio.wait([running])
    assert made._tails == {}


class Reader:
    """Somebody who follows a log, and how often the standing was asked for."""

    def __init__(self, follower: Follower, tenant: Tenant, place: int, head: int, kept: Wanted | None = None) -> None:
        self.rechecks = 0
        self._org_id = tenant.org_id
        self._events = follower.follow(
            Actor.system(tenant.org_id), tenant.org_id, place, head, kept=kept or Wanted(), recheck=self._recheck
        )

    async def _recheck(self) -> None:
        self.rechecks += 1

    async def numbers(self, count: int) -> list[int]:
        """The numbers of the next events."""
        async with asyncio.timeout(10):
            return [(await anext(self._events)).seq for _ in range(count)]

    async def leave(self) -> None:
        await self._events.aclose()


@asynccontextmanager
async def reading(follower: Follower, tenant: Tenant, place: int, head: int, **more: Any) -> AsyncIterator[Reader]:
    """A reader who leaves at the end. What it reads it reads as a subscription does, with its tenant set."""
    reader = Reader(follower, tenant, place, head, **more)
    async with tenant.admin.acting():
        try:
            yield reader
        finally:
            await reader.leave()


async def log_of(tenant: Tenant, sizes: list[int]) -> list[EventRow]:
    """The events of a log whose texts are so long."""
    for size in sizes:
        await tell(tenant, 1, "x" * (size // 2) if size else None)
    async with tenant.admin.acting():
        return await queries.beyond({tenant.org_id: 0}, len(sizes))


async def test_a_tail_keeps_so_many_events_and_characters_and_the_newest_of_them(acme: Tenant) -> None:
    many = await log_of(acme, [0] * 3)
    tail = _Tail(acme.org_id, 0)
    for times in range(TAIL_EVENTS):
        for event in many:
            event_at = _numbered(event, 3 * times + event.seq)
            tail.feed([event_at])

    assert (tail.head, tail.start) == (3 * TAIL_EVENTS, 2 * TAIL_EVENTS)
    assert [event.seq for event in tail.after(tail.start)] == list(range(tail.start + 1, tail.start + 1 + PAGE))
    assert [event.seq for event in tail.after(tail.head - 1)] == [tail.head]
    assert tail.after(tail.head) == []


class _Numbered:
    """An event under another number."""

    def __init__(self, event: EventRow, seq: int) -> None:
        self._event, self.seq = event, seq

    def __getattr__(self, name: str) -> Any:
        return getattr(self._event, name)


def _numbered(event: EventRow, seq: int) -> Any:
    return _Numbered(event, seq)


async def test_a_tail_drops_the_oldest_when_its_texts_are_too_long_and_all_when_one_is(acme: Tenant) -> None:
    third = TAIL_CHARACTERS // 3
    events = await log_of(acme, [third, third, third, 10, TAIL_CHARACTERS + 1, 10])
    tail, held = _Tail(acme.org_id, 0), []

    for event in events:
        tail.feed([event])
        assert tail._characters == sum(follow._characters(each) for each in tail._events) <= TAIL_CHARACTERS
        held.append([each.seq for each in tail._events])

    assert held == [[1], [1, 2], [2, 3], [2, 3, 4], [], [6]]
    assert (tail.start, tail.head) == (5, 6)


async def test_who_waits_is_woken_and_who_comes_later_waits_for_the_next(acme: Tenant) -> None:
    (event,) = await log_of(acme, [0])
    tail = _Tail(acme.org_id, 0)
    before = tail.news

    tail.feed([event])

    assert before.is_set()
    assert not tail.news.is_set()


@pytest.mark.parametrize("before", [0, 1, PAGE, PAGE + 1])
async def test_readers_from_different_places_each_get_all_behind_theirs(
    follower: Follower, acme: Tenant, before: int
) -> None:
    await tell(acme, before)
    async with (
        reading(follower, acme, 0, before) as first,
        reading(follower, acme, before, before) as last,
        reading(follower, acme, before // 2, before) as middle,
    ):
        assert await first.numbers(before) == list(range(1, before + 1))
        waiting = asyncio.create_task(last.numbers(3))
        await tell(acme, 3)

        assert await waiting == [before + 1, before + 2, before + 3]
        assert await first.numbers(3) == [before + 1, before + 2, before + 3]
        total = before + 3
        assert await middle.numbers(total - before // 2) == list(range(before // 2 + 1, total + 1))
        assert len(follower._tails) == 1
    assert follower._tails == {}


async def test_who_has_seen_more_than_the_tail_holds_gets_nothing_twice(follower: Follower, acme: Tenant) -> None:
    with telling_nobody():
        async with reading(follower, acme, 0, 0) as behind:
            waiting = asyncio.create_task(behind.numbers(1))
            await tell(acme, 4)
            # This one has read the head of the log, which is ahead of the tail's.
            async with reading(follower, acme, 4, 4) as ahead:
                further = asyncio.create_task(ahead.numbers(1))
                await asyncio.sleep(0)
                await tell(acme, 1)

                assert await further == [5]
                assert await waiting == [1]
                assert await behind.numbers(4) == [2, 3, 4, 5]


async def test_who_leaves_and_joins_while_a_read_is_in_flight_begins_where_it_joined(
    follower: Follower, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, held, go = queries.beyond, asyncio.Event(), asyncio.Event()

    async def slowly(places: Any, most: int) -> list[EventRow]:
        found = await read(places, most)
        if acme.org_id in places and not go.is_set():
            held.set()
            await go.wait()
        return found

    monkeypatch.setattr(queries, "beyond", slowly)
    async with reading(follower, acme, 0, 0) as first:
        waiting = asyncio.create_task(first.numbers(1))
        await tell(acme, 2)
        await held.wait()
        waiting.cancel()
        await asyncio.wait([waiting])
        await first.leave()
        assert follower._tails == {}
        async with reading(follower, acme, 2, 2) as second:
            further = asyncio.create_task(second.numbers(2))
            await until(lambda: follower._tails)
            go.set()
            await tell(acme, 2)

            assert await further == [3, 4]


async def test_joining_and_leaving_over_and_over_counts_right(follower: Follower, acme: Tenant) -> None:
    before = gauges()

    async def come_and_go(times: int) -> None:
        for _ in range(times):
            (head,) = await rows("SELECT coalesce(max(seq), 0) AS seq FROM event WHERE org_id = $1", acme.org_id)
            async with reading(follower, acme, head["seq"], head["seq"]) as reader:
                waiting = asyncio.create_task(reader.numbers(1))
                await tell(acme)
                assert await waiting == [head["seq"] + 1] or times > 1

    await asyncio.gather(*(come_and_go(8) for _ in range(4)))

    assert follower._tails == {}
    assert gauges() == before


@pytest.mark.parametrize("tail", [TAIL_EVENTS, 0])
async def test_the_standing_is_asked_for_with_every_event_that_may_have_changed_it_wanted_or_not(
    follower: Follower, acme: Tenant, tail: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "TAIL_EVENTS", tail)
    none, changed = Wanted(types=()), log.Change(Role.ADMIN, Role.GUEST)
    async with reading(follower, acme, 0, 0) as reader, reading(follower, acme, 0, 0, kept=none) as other:
        waiting = asyncio.create_task(other.numbers(1))
        await tell(acme)
        assert await reader.numbers(1) == [1]
        before = reader.rechecks, other.rechecks

        async with acme.admin.acting() as actor, tx():
            user_id = acme.guest.user_id
            log.emit(actor, acme.org_id, MembershipUpdated(subject_id=new_id(), user_id=user_id, role=changed))
        assert await reader.numbers(1) == [2]
        await until(lambda: other.rechecks > before[1])
        waiting.cancel()
        await asyncio.wait([waiting])

    assert reader.rechecks == before[0] + 1


async def test_a_refusal_by_the_standing_ends_the_reading_before_the_next_event(
    follower: Follower, acme: Tenant
) -> None:
    await tell(acme, 3)

    async def gone() -> None:
        raise NotFound("organization")

    async with acme.admin.acting() as actor:
        events: AsyncGenerator[EventRow, None] = follower.follow(actor, acme.org_id, 0, 3, kept=Wanted(), recheck=gone)
        async with aclosing(events):
            with pytest.raises(NotFound):
                await anext(events)

    assert follower._tails == {}


async def test_a_database_that_goes_away_for_a_while_loses_nothing(follower: Follower, acme: Tenant) -> None:
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename LIKE $1"
    async with reading(follower, acme, 0, 0) as reader:
        waiting = asyncio.create_task(reader.numbers(30))
        for _ in range(10):
            await execute(ended, "%_app")
            await until(lambda: told_at_last(acme, 3))

        assert await waiting == list(range(1, 31))


async def told_at_last(tenant: Tenant, count: int) -> bool:
    """Write events; whether that was done, over a connection that may turn out to be dead."""
    try:
        await tell(tenant, count)
    except Exception:
        return False
    return True
