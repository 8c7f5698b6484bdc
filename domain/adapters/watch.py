"""Watch: wakes those in this process who follow something, by its id, whenever it has changed in the database.

Whoever changes it tells of its commit (`Commits`), and all processes are woken through Redis. A wake-up is a hint: the
states of all that is followed are looked at once a second, in one statement, so one that is lost costs a second and
never a change. A follower takes `news` before it reads, and waits for that: what it has not read is news.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Generic, TypeVar
from uuid import UUID

from domain.adapters.bell import Bell
from domain.adapters.pubsub import PubSub
from domain.base.commits import Commits
from domain.base.database import acting_for
from domain.base.endless import endlessly

LOOK_EVERY_S = 1.0
# After the database or Redis refused an answer: the first wait, and the longest.
AGAIN_AFTER_S = 0.1
AGAIN_AT_MOST_S = 2.0

S = TypeVar("S")

Recheck = Callable[[], Awaitable[None]]
"""Brings the caller's standings up to the present. Raises when the caller may not follow any more."""


class Followed(Generic[S]):
    """What somebody follows here. `news` is set, and replaced, whenever it has changed."""

    def __init__(self, org_id: UUID | None) -> None:
        self.org_id = org_id
        self.state: S | None = None
        self.followers = 0
        self.news = asyncio.Event()

    def come_to(self, state: S | None) -> None:
        """Note its state; another one than before is news."""
        if state != self.state:
            self.state = state
            news, self.news = self.news, asyncio.Event()
            news.set()


class Watch(Generic[S]):
    """All of one kind that somebody in this process follows. `run` looks for what is new.

    `look` gives the state of each of those with these ids, which differs after every change; what is not there is left
    out. It is called for the organizations that they belong to.
    """

    def __init__(
        self, pubsub: PubSub, changed: Commits, look: Callable[[Collection[UUID]], Awaitable[Mapping[UUID, S]]]
    ) -> None:
        self._pubsub = pubsub
        self._bell = Bell(pubsub, changed)
        self._states_of = look
        self._followed: dict[UUID, Followed[S]] = {}
        self._changed: set[UUID] = set()
        self._has_changed = asyncio.Event()

    async def run(self) -> None:
        """Tell, look and wake until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._bell.run())
            for step in (self._listen, self._look, self._read):
                again = endlessly(step, again_after_s=AGAIN_AFTER_S, again_at_most_s=AGAIN_AT_MOST_S)
                group.create_task(again)

    @contextmanager
    def following(self, id: UUID, org_id: UUID | None = None) -> Iterator[Followed[S]]:
        """Follow it inside the block. `org_id` is the organization that it belongs to, if any."""
        followed = self._followed.setdefault(id, Followed(org_id))
        followed.followers += 1
        try:
            yield followed
        finally:
            followed.followers -= 1
            if followed.followers == 0:
                del self._followed[id]

    def _note(self, ids: Collection[UUID]) -> None:
        if changed := self._followed.keys() & ids:
            self._changed |= changed
            self._has_changed.set()

    async def _listen(self) -> None:
        async for ids in self._pubsub.wakes():
            self._note(self._followed.keys() if ids is None else ids)

    async def _look(self) -> None:
        """Find what changed without a wake-up."""
        await asyncio.sleep(LOOK_EVERY_S)
        self._note(self._followed.keys())

    async def _read(self) -> None:
        """Read the states of those that may have changed, in one statement."""
        await self._has_changed.wait()
        self._has_changed.clear()
        ids, self._changed = self._changed, set()
        changed = {id: self._followed[id] for id in ids if id in self._followed}
        try:
            with acting_for({each.org_id for each in changed.values() if each.org_id is not None}):
                states = await self._states_of(list(changed))
        except BaseException:
            self._note(ids)
            raise
        for id, followed in changed.items():
            followed.come_to(states.get(id))


async def until_news(news: asyncio.Event, holds: Callable[[], bool]) -> None:
    """Wait for the news, or until the condition holds, which nobody tells: it is asked once a second."""
    while not news.is_set() and not holds():
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY_S):
                await news.wait()
