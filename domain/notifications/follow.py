"""Reading on in an inbox, for as long as its owner wants to.

Inboxes: one in every process that people follow their inboxes in. A wake-up is a hint: the states of all followed
inboxes are looked at once a second, so one that is lost costs a second and never an entry. Each follower reads for
itself, from its own place: an inbox has few followers. Numbers follow the order of commits, so whoever has seen a
number has seen all before it.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from domain.adapters.bell import Bell
from domain.adapters.pubsub import PubSub
from domain.base.actor import Actor
from domain.base.database import acting_for
from domain.base.endless import endlessly
from domain.base.errors import ResyncRequired
from domain.base.settings import Settings
from domain.notifications import cursors, queries, service
from domain.notifications.queries import NotificationRow, State

LOOK_EVERY_S = 1.0
PAGE = 50
# After the database or Redis refused an answer: the first wait, and the longest.
AGAIN_AFTER_S = 0.1
AGAIN_AT_MOST_S = 2.0

Recheck = Callable[[], Awaitable[None]]
"""Brings the caller's standings up to the present. Raises when the caller may not follow any more."""


async def _again(step: Callable[[], Awaitable[None]]) -> None:
    await endlessly(step, again_after_s=AGAIN_AFTER_S, again_at_most_s=AGAIN_AT_MOST_S)


class _Followed:
    """An inbox that somebody follows here. `news` is set, and replaced, whenever it has changed."""

    def __init__(self) -> None:
        self.state: State | None = None
        self.followers = 0
        self.news = asyncio.Event()

    def come_to(self, state: State) -> None:
        if state != self.state:
            self.state = state
            news, self.news = self.news, asyncio.Event()
            news.set()


class Inboxes:
    """Follows the inboxes that somebody in this process wants to know about. `run` looks for what is new."""

    def __init__(self, pubsub: PubSub) -> None:
        self._pubsub = pubsub
        self._bell = Bell(pubsub, service.changed)
        self._followed: dict[UUID, _Followed] = {}
        self._changed: set[UUID] = set()
        self._has_changed = asyncio.Event()

    async def run(self) -> None:
        """Tell, look and wake until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._bell.run())
            for step in (self._listen, self._look, self._read):
                group.create_task(_again(step))

    async def place(self, settings: Settings, user_id: UUID, after: str | None) -> int:
        """The number to go on from, the inbox's last when there is no cursor.

        Raises BadInput (`after`) for what is no cursor of this inbox; ResyncRequired for one that the inbox has not
        come to: the database was put back to an earlier day.
        """
        place = None if after is None else cursors.read(settings, user_id, after)
        last = (await queries.state_of(user_id)).seq
        if place is not None and place > last:
            raise ResyncRequired(
                "The cursor is ahead of the inbox, which was put back to an earlier day.",
                "Read viewer.notifications anew, and go on from the first one's cursor.",
            )
        return last if place is None else place

    async def entries(self, actor: Actor, place: int, recheck: Recheck) -> AsyncGenerator[NotificationRow, None]:
        """The caller's entries behind the number `place` in order, each once, without end.

        Those of organizations that the caller is not in at the time are passed over. `recheck` is awaited before each
        page is read, and so after the entries in it were committed: who had joined an organization to get one stands
        there by then.
        """
        user_id = actor.require_person()
        with self._following(user_id) as inbox:
            while True:
                news = inbox.news
                last = (await queries.state_of(user_id)).seq
                while place < last:
                    await recheck()
                    page = await queries.between(actor, user_id, place, last, most=PAGE)
                    for entry in page:
                        place = entry.seq
                        # It may have been left while the page was shown.
                        if entry.org_id in actor.standings:
                            yield entry
                    if len(page) < PAGE:
                        place = last
                await news.wait()

    async def counts(self, actor: Actor, recheck: Recheck) -> AsyncGenerator[int, None]:
        """How many of the caller's entries are unread: now, and again whenever it is another number, without end.

        Changes that follow each other fast may come as one.
        """
        user_id = actor.require_person()
        with self._following(user_id) as inbox:
            shown: int | None = None
            while True:
                news = inbox.news
                await recheck()
                standing = frozenset(actor.standings)
                if (count := await queries.unread(actor)) != shown:
                    shown = count
                    yield count
                # Joining and leaving an organization changes the count as well, and not the inbox.
                while not news.is_set() and standing == frozenset(actor.standings):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_EVERY_S):
                            await news.wait()

    @contextmanager
    def _following(self, user_id: UUID) -> Iterator[_Followed]:
        inbox = self._followed.setdefault(user_id, _Followed())
        inbox.followers += 1
        try:
            yield inbox
        finally:
            inbox.followers -= 1
            if inbox.followers == 0:
                del self._followed[user_id]

    def _note(self, user_ids: Collection[UUID]) -> None:
        if changed := self._followed.keys() & user_ids:
            self._changed |= changed
            self._has_changed.set()

    async def _listen(self) -> None:
        async for user_ids in self._pubsub.wakes():
            self._note(self._followed.keys() if user_ids is None else user_ids)

    async def _look(self) -> None:
        """Find what changed without a wake-up."""
        await asyncio.sleep(LOOK_EVERY_S)
        self._note(self._followed.keys())

    async def _read(self) -> None:
        """Read how far those have come that may have changed, in one statement."""
        await self._has_changed.wait()
        self._has_changed.clear()
        changed, self._changed = self._changed, set()
        try:
            # Counters belong to no organization.
            with acting_for(()):
                states = await queries.states_of(changed)
        except BaseException:
            self._note(changed)
            raise
        for user_id, state in states.items():
            if (inbox := self._followed.get(user_id)) is not None:
                inbox.come_to(state)
