"""What subscriptions share: who follows what, the watch over open sockets, the way to the reader."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from domain.adapters.watch import Recheck
from domain.adapters.wiring import Adapters
from domain.ai.streams import Answers
from domain.base import telemetry
from domain.base.actor import Actor
from domain.base.errors import Unauthenticated
from domain.base.permissions import Permission
from domain.events import queries
from domain.events.follow import Follower, Kept
from domain.events.queries import EventRow
from domain.notifications.follow import Inboxes
from domain.work.follow import Jobs
from graph.base.context import Info
from graph.base.presence import Presence, Watched

T = TypeVar("T")


@dataclass(frozen=True)
class Live:
    """What serves all open sockets of this process."""

    follower: Follower
    inboxes: Inboxes
    jobs: Jobs
    answers: Answers
    presence: Presence = field(default_factory=Presence)

    @classmethod
    def of(cls, adapters: Adapters) -> "Live":
        """Over the adapters. Nothing runs yet."""
        return cls(
            Follower(adapters.pubsub),
            Inboxes(adapters.inboxes),
            Jobs(adapters.jobs),
            Answers(adapters.answers, adapters.texts),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow and watch inside the block."""
        parts = (self.follower, self.inboxes, self.jobs, self.answers, self.presence)
        work = [asyncio.create_task(each.run()) for each in parts]
        try:
            yield
        finally:
            for task in work:
                task.cancel()
            await asyncio.wait(work)


async def events_of(
    info: Info, org_id: UUID, permission: Permission, *, after: str | None, kept: Kept
) -> AsyncGenerator[EventRow, None]:
    """The organization's events after the cursor, or from now on, as far as the viewer may see each as it comes.

    The place is settled when this returns; the events are read as they are asked for. Raises Unauthenticated; NotFound
    for a stranger's organization; Forbidden (`permission`); BadInput (`after`); ResyncRequired. The same, but for the
    last two, end the iteration once they come true.
    """
    context = info.context
    actor, live = context.actor, context.live
    actor.require(permission, org_id=org_id)
    place, head = await live.follower.place(context.settings, actor, org_id, after)
    return _seen(info, org_id, permission, place, head, kept)


async def _seen(
    info: Info, org_id: UUID, permission: Permission, place: int, head: int, kept: Kept
) -> AsyncGenerator[EventRow, None]:
    operation, live = info.context.operation, info.context.live
    actor = operation.actor

    def require() -> None:
        actor.require(permission, org_id=org_id)

    with _standing(info, require) as standing:
        # The place may lie behind an event that took the standing away after the caller was found.
        await standing.recheck()
        followed = live.follower.follow(actor, org_id, place, head, kept=kept, recheck=standing.recheck)
        async with aclosing(followed) as events:
            async for event in events:
                standing.require()
                if queries.sees(actor, event):
                    await _renew(info)
                    yield event
                    # A busy stream would never let the others run: sending to a reader that keeps up does not wait.
                    await asyncio.sleep(0)


async def own_of(info: Info, follow: Callable[[Actor, Recheck], AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """What `follow` gives of the viewer's own. Raises Unauthenticated once the session or key has ended."""
    actor = info.context.actor
    with _standing(info, lambda: None) as standing:
        async with aclosing(follow(actor, standing.recheck)) as found:
            async for each in found:
                standing.require()
                await _renew(info)
                yield each
                await asyncio.sleep(0)


@dataclass(frozen=True)
class _Standing:
    """What a running subscription needs to be and to hold. Both raise Unauthenticated, and what `also` raises."""

    presence: Presence
    watched: Watched
    also: Callable[[], None]

    def require(self) -> None:
        if self.watched.ended.is_set():
            raise Unauthenticated("The session or key has ended.")
        self.also()

    async def recheck(self) -> None:
        await self.presence.fresh(self.watched)
        self.require()


@contextmanager
def _standing(info: Info, also: Callable[[], None]) -> Iterator[_Standing]:
    operation, presence = info.context.operation, info.context.live.presence
    with telemetry.SUBSCRIPTIONS.track_inprogress(), presence.watching(operation.actor) as watched:
        standing = _Standing(presence, watched, also)
        operation.recheck = standing.recheck
        yield standing


async def _renew(info: Info) -> None:
    """Nothing that was loaded for what came before may be shown with what comes now."""
    operation = info.context.operation
    operation.forget()
    if operation.shows_cursor:
        operation.log_heads = await queries.heads(operation.actor)
