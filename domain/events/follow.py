"""Reading on from a place in an organization's log, for as long as somebody wants to.

Follower: one a process. Tail: the newest events of one followed log, read once for all who follow it here.
A process that has committed events wakes all processes through Redis; each reads, in one statement, what is new in the
logs it was woken for and follows. A wake-up is a hint: the heads of all followed logs are looked at once a second, so
one that is lost (a crash after the commit, Redis away) costs a second and never an event. Numbers follow the order of
commits, so whoever has seen a number has seen all before it. Who is behind the tail, with an old cursor or because he
reads slowly, reads pages of the log for himself until he has caught up; what he holds meanwhile is one page.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from itertools import islice
from typing import Protocol
from uuid import UUID

import structlog

from domain.adapters.bell import Bell
from domain.adapters.pubsub import PubSub
from domain.base import telemetry
from domain.base.actor import Actor
from domain.base.database import acting_for
from domain.base.endless import endlessly
from domain.base.errors import ResyncRequired
from domain.base.settings import Settings
from domain.base.sql import Sql
from domain.events import cursors, log, queries
from domain.events.queries import EventRow
from domain.events.types import CHANGES_STANDING

LOOK_EVERY_S = 1.0
READ_AT_ONCE = 500
# A tail holds no more than either.
TAIL_EVENTS = 500
TAIL_CHARACTERS = 1_000_000
PAGE = 50
# How far a page looks at most: a filter that keeps next to nothing must not read a long log in one statement.
STRETCH = 10_000
# Logs that are read at once. With READ_AT_ONCE it bounds what one read brings.
LOGS_AT_ONCE = 50
# After the database refused an answer: the first wait, and the longest.
AGAIN_AFTER_S = 0.1
AGAIN_AT_MOST_S = 2.0

_log = structlog.get_logger("follow")


class Kept(Protocol):
    """Which events a follower wants: for events in the database, and for one that is read already."""

    def condition(self) -> Sql:
        """Holds for the events to keep."""

    def keeps(self, event: EventRow) -> bool:
        """Whether the condition holds for this one."""


class _Tail:
    """The newest events of one log, up to number `head`. Those up to `start` are not held, or not any more."""

    def __init__(self, org_id: UUID, head: int) -> None:
        self.org_id = org_id
        self.start = self.head = head
        self.followers = 0
        self.news = asyncio.Event()
        self._events: deque[EventRow] = deque()
        self._characters = 0

    def feed(self, events: Collection[EventRow]) -> None:
        """Add what comes right after the head, and wake who waits for it."""
        for event in events:
            self._events.append(event)
            self._characters += _characters(event)
            self.head = event.seq
        while self._events and (len(self._events) > TAIL_EVENTS or self._characters > TAIL_CHARACTERS):
            dropped = self._events.popleft()
            self._characters -= _characters(dropped)
            self.start = dropped.seq
        news, self.news = self.news, asyncio.Event()
        news.set()

    def after(self, place: int) -> list[EventRow]:
        """The next events behind a place that is not before `start`, at most a page."""
        # Numbers have no gaps, so the distance says where it lies.
        offset = place - self.start
        return list(islice(self._events, offset, offset + PAGE))


def _characters(event: EventRow) -> int:
    return len(event.data) + len(event.erasable or "")


class Follower:
    """Follows the logs that somebody in this process wants to know about. `run` does the reading."""

    def __init__(self, pubsub: PubSub) -> None:
        self._pubsub = pubsub
        self._tails: dict[UUID, _Tail] = {}
        self._grown: set[UUID] = set()
        self._has_grown = asyncio.Event()
        self._bell = Bell(pubsub, log.grown)

    async def run(self) -> None:
        """Read and wake until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._bell.run())
            for step in (self._listen, self._look, self._read):
                again = endlessly(step, again_after_s=AGAIN_AFTER_S, again_at_most_s=AGAIN_AT_MOST_S)
                group.create_task(again)

    async def place(self, settings: Settings, actor: Actor, org_id: UUID, after: str | None) -> tuple[int, int]:
        """The number to go on from, the log's last when there is no cursor, and the log's last.

        Raises BadInput (`after`) for what is no cursor of this log; ResyncRequired for one that is too old, and for one
        that the log has not come to: it was put back to an earlier day.
        """
        place = None if after is None else cursors.read(settings, org_id, after)
        head = (await queries.heads(actor)).get(org_id, 0)
        if place is not None and place > head:
            raise ResyncRequired("The cursor is ahead of the log, which was put back to an earlier day.")
        return head if place is None else place, head

    async def follow(
        self,
        actor: Actor,
        org_id: UUID,
        place: int,
        head: int,
        *,
        kept: Kept,
        recheck: Callable[[], Awaitable[None]],
    ) -> AsyncGenerator[EventRow, None]:
        """The events behind the number `place` in order, each once, without end; `head` is the log's last, or was.

        `recheck` brings the caller's standing up to the present. It has been awaited after every event that may have
        changed it and before the next is given, so none that was committed after a revocation is given under the old
        standing; whether the caller may see the event is still to be asked (`sees`).
        """
        tail = self._join(org_id, head)
        try:
            while True:
                news = tail.news
                if place < tail.start:
                    last = min(tail.head, place + STRETCH)
                    # The page may leave out the events that the standing changed with; and what the caller has come to
                    # see among these must be in it.
                    await recheck()
                    page = await queries.between(actor, org_id, place, last, condition=kept.condition(), most=PAGE)
                    for event in page:
                        yield event
                    place = page[-1].seq if len(page) == PAGE else last
                elif place >= tail.head:
                    await news.wait()
                else:
                    for event in tail.after(place):
                        place = event.seq
                        if event.type in CHANGES_STANDING:
                            await recheck()
                        if kept.keeps(event):
                            yield event
                    # Events that nobody wants must not hold the others up.
                    await asyncio.sleep(0)
        finally:
            self._leave(tail)

    def _join(self, org_id: UUID, head: int) -> _Tail:
        tail = self._tails.get(org_id)
        if tail is None:
            tail = self._tails[org_id] = _Tail(org_id, head)
            telemetry.FOLLOWED_LOGS.inc()
            self._note_grown((org_id,))
        tail.followers += 1
        return tail

    def _leave(self, tail: _Tail) -> None:
        tail.followers -= 1
        if tail.followers == 0:
            del self._tails[tail.org_id]
            telemetry.FOLLOWED_LOGS.dec()

    def _note_grown(self, org_ids: Collection[UUID]) -> None:
        if grown := self._tails.keys() & org_ids:
            self._grown |= grown
            self._has_grown.set()

    async def _listen(self) -> None:
        async for org_ids in self._pubsub.wakes():
            self._note_grown(self._tails.keys() if org_ids is None else org_ids)

    async def _look(self) -> None:
        """Find what grew without a wake-up."""
        await asyncio.sleep(LOOK_EVERY_S)
        if org_ids := list(self._tails):
            with acting_for(org_ids):
                heads = await queries.heads(Actor.system(*org_ids))
            self._note_grown([id for id, head in heads.items() if id in self._tails and head > self._tails[id].head])

    async def _read(self) -> None:
        """Read what is new in the logs that have grown, in one statement."""
        await self._has_grown.wait()
        self._has_grown.clear()
        grown = set(islice(self._grown, LOGS_AT_ONCE))
        self._grown -= grown
        if self._grown:
            self._has_grown.set()
        tails = {org_id: tail for org_id in grown if (tail := self._tails.get(org_id)) is not None}
        if not tails:
            return
        try:
            with acting_for(tails):
                events = await queries.beyond({org_id: tail.head for org_id, tail in tails.items()}, READ_AT_ONCE)
        except BaseException:
            self._note_grown(grown)
            raise
        found: dict[UUID, list[EventRow]] = {}
        for event in events:
            found.setdefault(event.org_id, []).append(event)
        for org_id, new in found.items():
            # One that was left and joined again meanwhile is another, and begins elsewhere.
            if self._tails.get(org_id) is tails[org_id]:
                tails[org_id].feed(new)
                if len(new) == READ_AT_ONCE:
                    self._note_grown((org_id,))
