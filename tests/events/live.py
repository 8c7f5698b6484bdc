"""Following the log over sockets: documents, servers of one's own, and waiting until something holds."""

import asyncio
import contextlib
import inspect
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from domain.base import telemetry
from domain.base.clock import new_id
from domain.base.database import tx
from domain.base.settings import Settings
from domain.events import log
from domain.events.follow import Follower
from domain.labels.events import LabelUpdated
from graph.app import create_app
from graph.base.limits import LIMITS, Limits
from graph.server import configuration
from tests.factories import Tenant
from tests.ports import Server
from tests.sockets import Client, Stream

EVENTS = """
subscription ($id: ID!, $after: String, $filter: EventFilter) {
  events(organizationId: $id, after: $after, filter: $filter) { id type subjectId }
}
"""
# Long enough for a machine that others use too; nothing waits so long when all is well.
WITHIN_S = 8.0
LOOK_AGAIN_S = 0.01


async def until(holds: Callable[[], Any | Awaitable[Any]], within_s: float = WITHIN_S) -> None:
    """Wait until it holds. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while True:
            found = holds()
            if await found if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(LOOK_AGAIN_S)


@dataclass(frozen=True)
class Gauges:
    """What the metrics of this process show."""

    sockets: float
    subscriptions: float
    followed_logs: float


def gauges() -> Gauges:
    """What they show now."""
    shown = (telemetry.SOCKETS, telemetry.SUBSCRIPTIONS, telemetry.FOLLOWED_LOGS)
    return Gauges(*(sample.value for gauge in shown for metric in gauge.collect() for sample in metric.samples))


@contextlib.asynccontextmanager
async def leaving_nothing() -> AsyncIterator[None]:
    """After the block the gauges come back to what they were before it."""
    before = gauges()
    yield
    await until(lambda: gauges() == before)


async def begun(client: Client, document: str, **variables: Any) -> Stream:
    """A subscription that is settled: what is committed from now on comes to it."""
    before = gauges().subscriptions
    stream = await client.run(document, **variables)
    await until(lambda: gauges().subscriptions == before + 1)
    return stream


async def tell(tenant: Tenant, count: int = 1, name: str | None = None) -> None:
    """Write as many events, in one transaction, that anybody in the organization may see."""
    async with tenant.admin.acting() as actor, tx():
        for _ in range(count):
            change = log.Change(name, name) if name else None
            log.emit(actor, tenant.org_id, LabelUpdated(subject_id=new_id(), name=change))


async def taken(stream: Stream, count: int) -> list[Any]:
    """The next values of the root field."""
    return [await stream.data() for _ in range(count)]


async def next_is_told(tenant: Tenant, stream: Stream) -> None:
    """Nothing has come that was not taken: the next is what is told now."""
    await tell(tenant)
    found = await stream.data()
    assert found["type"] == "LABEL_UPDATED"
    assert stream.received.empty()


@contextlib.contextmanager
def telling_nobody() -> Iterator[None]:
    """Commits inside the block wake nobody, as those of a process that dies right after them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log.grown, "_listeners", set())
        yield


async def never(_: Any) -> None:
    """In place of a step of what is made from now on. What runs already keeps its own: all tests share that server."""
    await asyncio.Event().wait()


@dataclass(frozen=True)
class Served:
    """A server of its own in this process, over this process's servers."""

    address: str
    follower: Follower
    connections: set[Any]


@contextlib.asynccontextmanager
async def served(
    settings: Settings,
    protocol: type[asyncio.Protocol] | None = None,
    limits: Limits = LIMITS,
    **options: Any,
) -> AsyncIterator[Served]:
    """The application as `address` has it, with other settings, another websocket protocol or other options."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(settings, limits)
    config = configuration(app, settings, lifespan=False)
    if protocol is not None:
        config.ws = protocol
    for name, value in options.items():
        setattr(config, name, value)
    server = Server(config)
    async with app.state.live.running():
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield Served(f"127.0.0.1:{listener.getsockname()[1]}", app.state.live.follower, server.server_state.connections)
        server.should_exit = True
        await serving
    await app.state.adapters.close()
    listener.close()
