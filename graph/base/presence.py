"""The callers of open sockets, held against the database once a second: what ended, and what changed, takes effect."""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

import structlog

from domain.base.actor import Actor
from domain.base.endless import endlessly
from domain.organizations.presence import present

CHECK_EVERY_S = 1.0
AGAIN_AFTER_S = 0.2

log = structlog.get_logger("presence")


class Watched:
    """A caller whose standings are kept up to date, until `ended` says that its credential does not hold any more."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.ended = asyncio.Event()

    @property
    def credential(self) -> UUID:
        """The id of the session or key."""
        id = self.actor.session_id or self.actor.api_key_id
        if id is None:
            raise ValueError("the system needs no watching")
        return id


class Presence:
    """All watched callers of this process. `run` does the checking, in one look for many of them."""

    def __init__(self) -> None:
        self._watched: dict[UUID, set[Watched]] = {}
        self._asked: list[tuple[UUID, asyncio.Future[None]]] = []
        self._all_again = 0.0
        """When all are checked next, by the loop's clock."""
        self._is_asked = asyncio.Event()

    @contextmanager
    def watching(self, actor: Actor) -> Iterator[Watched]:
        """Watch the caller inside the block. Its standings are replaced where they are."""
        watched = Watched(actor)
        others = self._watched.setdefault(watched.credential, set())
        others.add(watched)
        try:
            yield watched
        finally:
            others.discard(watched)
            if not others:
                self._watched.pop(watched.credential, None)

    async def fresh(self, watched: Watched) -> None:
        """Wait for a check of this caller that begins after the call. Many share one; without a database it waits."""
        asked = asyncio.get_running_loop().create_future()
        self._asked.append((watched.credential, asked))
        self._is_asked.set()
        await asked

    async def run(self) -> None:
        """Check all once a second, and whoever is asked for at once, until cancelled."""
        await endlessly(self._check_due, again_after_s=AGAIN_AFTER_S, again_at_most_s=AGAIN_AFTER_S)

    async def _check_due(self) -> None:
        clock = asyncio.get_running_loop().time
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._all_again):
                await self._is_asked.wait()
        self._is_asked.clear()
        asked, self._asked = self._asked, []
        are_all_due = clock() >= self._all_again
        try:
            await self._check(tuple(self._watched) if are_all_due else {credential for credential, _ in asked})
        except BaseException:
            self._asked = asked + self._asked
            self._is_asked.set()
            raise
        if are_all_due:
            self._all_again = clock() + CHECK_EVERY_S
        for _, each in asked:
            if not each.done():
                each.set_result(None)

    async def _check(self, credentials: Collection[UUID]) -> None:
        # Whoever comes while the database answers is not in what it answers.
        watched = {id: tuple(self._watched[id]) for id in credentials if id in self._watched}
        if not watched:
            return
        sessions = {id for id, each in watched.items() if each[0].actor.session_id is not None}
        standings = await present(sessions, watched.keys() - sessions)
        for id, all_of_one in watched.items():
            found = standings.get(id)
            for each in all_of_one:
                each.actor.stand(found or {})
                if found is None:
                    each.ended.set()
