"""Witnesses: who listens with all that there is to see, and notes what came, what ended it and when.

Titles are numbered as they are written, so a frame says by itself how new what it shows is.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from domain.base.settings import Settings
from domain.events import cursors
from domain.tasks import service as tasks
from graph.base.ids import global_id
from tests.factories import Person, Tenant, make_project, make_task, rows
from tests.live_log.fleet import Fleet
from tests.sockets import Client, opened

EVENTS_A_SECOND = 100
WRITERS = 10
EVENTS = """
subscription ($id: ID!, $after: String) {
  events(organizationId: $id, after: $after) { id cursor type subject { ... on Task { title } } }
}
"""
# Nothing has to be read for these frames.
BARE = "subscription ($id: ID!, $after: String) { events(organizationId: $id, after: $after) { cursor type } }"
TASKS = """
subscription ($id: ID!, $after: String) {
  taskChanged(projectId: $id, after: $after) { event { id cursor type } task { title } }
}
"""


@dataclass(frozen=True)
class Frame:
    """An event that came, with the title that its subject had, and when it came."""

    seq: int
    type: str
    title: str | None
    at: float


@dataclass
class Witness:
    """A subscription on a socket of its own."""

    client: Client
    settings: Settings
    org_id: UUID
    document: str
    variables: dict[str, Any]
    frames: list[Frame] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    ended_at: float = 0.0
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def tells_all(self) -> bool:
        """Whether it is about all events, and not those of tasks alone."""
        return self.document != TASKS

    async def listen(self) -> None:
        """Note what comes, until the stream or the socket ends."""
        stream = await self.client.run(self.document, **self.variables)
        while (message := await stream.received.get()) is not None and message["type"] != "complete":
            payload = message["payload"]
            if message["type"] == "error" or payload.get("errors"):
                errors = payload if message["type"] == "error" else payload["errors"]
                self.codes += [error["extensions"]["code"] for error in errors]
                continue
            (told,) = payload["data"].values()
            event, shown = (told["event"], told["task"]) if "event" in told else (told, told.get("subject"))
            seq = cursors.read(self.settings, self.org_id, event["cursor"])
            self.frames.append(Frame(seq, event["type"], shown and shown.get("title"), time.monotonic()))
            self._news.set()
        self.ended_at = time.monotonic()
        self.ended.set()

    async def has_seen(self, count: int) -> None:
        """Wait until it has seen so many events."""
        while len(self.frames) < count:
            await self._more()

    async def has_passed(self, seq: int) -> None:
        """Wait until it has seen an event behind this number."""
        while not self.frames or self.frames[-1].seq <= seq:
            await self._more()

    async def _more(self) -> None:
        self._news.clear()
        await self._news.wait()


@dataclass(frozen=True)
class Flow:
    """A hundred changes a second in one project."""

    tenant: Tenant
    project_id: UUID
    task_ids: tuple[UUID, ...]

    async def titles(self) -> dict[str, int]:
        """Title -> the number of the event that it was written with."""
        found = await rows(
            "SELECT event.seq, event_values.data::jsonb #>> '{title,now}' AS title FROM event "
            "JOIN event_values ON event_values.event_id = event.id "
            "WHERE event.org_id = $1 AND event.type = 'TASK_UPDATED'",
            self.tenant.org_id,
        )
        return {row["title"]: row["seq"] for row in found}

    async def rate(self) -> float:
        """Events a second, from the first to the last."""
        (row,) = await rows(
            "SELECT (count(*) - 1) / extract(epoch FROM max(occurred_at) - min(occurred_at)) AS rate "
            "FROM event WHERE org_id = $1 AND type = 'TASK_UPDATED'",
            self.tenant.org_id,
        )
        return float(row["rate"])


@contextlib.asynccontextmanager
async def flowing(tenant: Tenant) -> AsyncIterator[Flow]:
    """Writers that change titles inside the block, each of its own task and at its own time."""
    project = await make_project(tenant.admin, tenant)
    task_ids = tuple([(await make_task(tenant.admin, project)).id for _ in range(WRITERS)])
    numbers = itertools.count(1)
    begun = time.monotonic()

    async def write(place: int) -> None:
        period_s = WRITERS / EVENTS_A_SECOND
        async with tenant.admin.acting() as actor:
            for turn in itertools.count():
                await asyncio.sleep(max(0.0, begun + period_s * (turn + place / WRITERS) - time.monotonic()))
                await tasks.update(actor, task_ids[place], title=f"title {next(numbers)}")

    async with asyncio.TaskGroup() as group:
        writing = [group.create_task(write(place)) for place in range(WRITERS)]
        yield Flow(tenant, project.id, task_ids)
        for task in writing:
            task.cancel()


# Document, and whether it begins far behind the head and is still reading pages when it ends.
WITNESSES = ((EVENTS, False), (TASKS, False), (BARE, False), (EVENTS, True), (TASKS, True))
BEHIND = 150


@contextlib.asynccontextmanager
async def watching(person: Person, flow: Flow, fleet: Fleet, settings: Settings) -> AsyncIterator[list[Witness]]:
    """All kinds of witnesses, each on a socket of the person's, in turn at each process."""
    org_id = flow.tenant.org_id
    (row,) = await rows("SELECT seq FROM event_counter WHERE org_id = $1", org_id)
    far_behind = cursors.write(settings, org_id, max(row["seq"] - BEHIND, 0))
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        witnesses, tasks = [], []
        for number, (document, is_behind) in enumerate(WITNESSES):
            address = fleet.addresses[number % len(fleet.addresses)]
            client = await stack.enter_async_context(opened(address, person.token))
            id = global_id("project", flow.project_id) if document == TASKS else flow.tenant.id
            variables = {"id": id, "after": far_behind if is_behind else None}
            witness = Witness(client, settings, org_id, document, variables)
            witnesses.append(witness)
            tasks.append(group.create_task(witness.listen()))
        yield witnesses
        for task in tasks:
            task.cancel()
