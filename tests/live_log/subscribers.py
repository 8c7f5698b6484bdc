"""Subscribers that lose their connection again and again and go on behind the last event that they saw."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

import websockets

from tests.factories import Person, rows
from tests.live_log.fleet import Fleet
from tests.sockets import Client, Stream, opened

EVENTS = """
subscription ($id: ID!, $after: String, $filter: EventFilter) {
  events(organizationId: $id, after: $after, filter: $filter) { id cursor type }
}
"""
MEMBERSHIPS = """
subscription ($id: ID!, $after: String) {
  membershipChanged(organizationId: $id, after: $after) { event { id cursor } }
}
"""
TASKS = """
subscription ($id: ID!, $after: String) {
  taskChanged(projectId: $id, after: $after) { event { id cursor } task { id title } }
}
"""
# What a process that was killed leaves, whatever its client was about to do.
LOST = (OSError, EOFError, TimeoutError, websockets.WebSocketException)


class Cut(StrEnum):
    """How a subscriber loses its stream."""

    ABORT = "aborted"
    CLOSE = "closed"
    COMPLETE = "completed"


@dataclass(frozen=True)
class Logged:
    """An event as its row has it."""

    id: str
    seq: int
    type: str
    project_id: UUID | None
    subject_kind: str
    subject_id: UUID


@dataclass(frozen=True)
class Seen:
    """An event as a subscriber was told of it, and for how long it had been listening."""

    id: str
    cursor: str
    at: float
    listening_since: float


@dataclass(frozen=True)
class Interest:
    """What a subscriber asks for, and which events of the log answer it."""

    document: str
    variables: dict[str, Any]
    keeps: Callable[[Logged], bool]


async def log_of(org_id: UUID) -> list[Logged]:
    """The organization's events in order, as the owner of the database sees them."""
    found = await rows(
        "SELECT id, seq, type, project_id, subject_kind, subject_id FROM event WHERE org_id = $1 ORDER BY seq", org_id
    )
    return [Logged(**{**row, "id": f"event_{row['id'].hex}"}) for row in found]


@dataclass
class Subscriber:
    """Somebody who wants to know all that happens after a place in a log."""

    person: Person
    org_id: UUID
    interest: Interest
    after: str
    seen: list[Seen] = field(default_factory=list)
    faults: list[Any] = field(default_factory=list)
    sockets: int = 0
    _stream: tuple[Client, Stream] | None = None
    _listening: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self, fleet: Fleet, chance: random.Random) -> None:
        """Listen at one process after the other, until cancelled."""
        while True:
            with contextlib.suppress(*LOST):
                async with opened(chance.choice(fleet.addresses), self.person.token) as client:
                    self.sockets += 1
                    while await self._follow(client):
                        pass

    async def _follow(self, client: Client) -> bool:
        """Whether the socket outlived the stream."""
        after = self.seen[-1].cursor if self.seen else self.after
        stream = await client.run(self.interest.document, **self.interest.variables, after=after)
        since = time.monotonic()
        self._stream = client, stream
        self._listening.set()
        try:
            while (message := await stream.received.get()) is not None:
                if message["type"] == "cut":
                    return True
                if message["type"] != "next" or message["payload"].get("errors"):
                    self.faults.append(message)
                    return False
                (told,) = message["payload"]["data"].values()
                event = told.get("event", told)
                self.seen.append(Seen(event["id"], event["cursor"], time.monotonic(), since))
                self._news.set()
        finally:
            self._listening.clear()
        return False

    async def cut(self, how: Cut) -> None:
        """Take the stream away once there is one. What has come and was not looked at is lost, unless it is ended."""
        await self._listening.wait()
        assert self._stream is not None
        client, stream = self._stream
        self._listening.clear()
        if how is Cut.ABORT:
            client.cut()
            while not stream.received.empty():
                stream.received.get_nowait()
            stream.received.put_nowait(None)
        elif how is Cut.CLOSE:
            with contextlib.suppress(*LOST):
                await client.close()
        else:
            with contextlib.suppress(*LOST):
                await stream.stop()
            stream.received.put_nowait({"type": "cut"})

    async def has_seen(self, count: int) -> None:
        """Wait until it has seen so many, or something that it should not have."""
        while len(self.seen) < count and not self.faults:
            self._news.clear()
            await self._news.wait()


@contextlib.asynccontextmanager
async def listening(fleet: Fleet, chance: random.Random) -> AsyncIterator[Callable[[Subscriber], None]]:
    """A way to let subscribers begin, who end with the block."""
    async with asyncio.TaskGroup() as group:
        tasks: list[asyncio.Task[None]] = []

        def begin(subscriber: Subscriber) -> None:
            tasks.append(group.create_task(subscriber.listen(fleet, chance)))

        yield begin
        for task in tasks:
            task.cancel()
