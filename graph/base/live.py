"""What subscriptions share: the follower of logs, the watch over open sockets, the way of an event to its reader."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from domain.adapters.wiring import Adapters
from domain.base import telemetry
from domain.base.errors import Unauthenticated
from domain.base.permissions import Permission
from domain.events import queries
from domain.events.follow import Follower, Kept
from domain.events.queries import EventRow
from graph.base.context import Info
from graph.base.presence import Presence


@dataclass(frozen=True)
class Live:
    """What serves all open sockets of this process."""

    follower: Follower
    presence: Presence = field(default_factory=Presence)

    @classmethod
    def of(cls, adapters: Adapters) -> "Live":
        """Over the adapters. Nothing runs yet."""
        return cls(Follower(adapters.pubsub))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow and watch inside the block."""
        work = [asyncio.create_task(self.follower.run()), asyncio.create_task(self.presence.run())]
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
    with telemetry.SUBSCRIPTIONS.track_inprogress(), live.presence.watching(actor) as watched:

        def require() -> None:
            if watched.ended.is_set():
                raise Unauthenticated("The session or key has ended.")
            actor.require(permission, org_id=org_id)

        async def recheck() -> None:
            await live.presence.fresh(watched)
            require()

        # The place may lie behind an event that took the standing away after the caller was found.
        await recheck()
        operation.recheck = recheck
        async with aclosing(live.follower.follow(actor, org_id, place, head, kept=kept, recheck=recheck)) as events:
            async for event in events:
                require()
                if queries.sees(actor, event):
                    # Nothing that an earlier event loaded may be shown with this one.
                    operation.forget()
                    if operation.shows_cursor:
                        operation.log_heads = await queries.heads(actor)
                    yield event
                    # A busy stream would never let the others run: sending to a reader that keeps up does not wait.
                    await asyncio.sleep(0)
