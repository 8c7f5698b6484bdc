"""The server is killed and another takes its place: every client goes on behind the last event that it has seen."""

import signal
from contextlib import AsyncExitStack
from uuid import UUID

from domain.base.settings import Settings
from domain.tasks import service as tasks
from graph.base.ids import global_id, parse_id
from tests.clients.conftest import Given
from tests.clients.node import running
from tests.clients.test_clients import CLIENTS
from tests.factories import Tenant, rows
from tests.processes import free_port, serving

CHANGES = 10


async def rename(acme: Tenant, task_id: UUID, word: str) -> None:
    """Several changes, each with its event."""
    async with acme.admin.acting() as actor:
        for number in range(CHANGES):
            await tasks.update(actor, task_id, title=f"{word} {number}")


async def events(acme: Tenant) -> list[str]:
    """The ids of all events, in order."""
    found = await rows("SELECT id FROM event WHERE org_id = $1 ORDER BY seq", acme.org_id)
    return [global_id("event", row["id"]) for row in found]


async def test_every_client_has_each_event_once_though_the_server_is_killed(
    settings: Settings, acme: Tenant, given: Given
) -> None:
    task_id = parse_id(given["taskId"], "task")
    before = await events(acme)
    port = free_port()
    asked = {**given, "url": f"http://127.0.0.1:{port}/graphql", "story": "follow"}

    async with AsyncExitStack() as stack:
        with serving(settings, port) as server:
            drivers = [await stack.enter_async_context(running(f"{client}.mjs", **asked)) for client in CLIENTS]
            await rename(acme, task_id, "While one serves")
            received = [[(await driver.line())["id"]] for driver in drivers]
            server.end(signal.SIGKILL)
        await rename(acme, task_id, "While nobody serves")
        with serving(settings, port):
            await rename(acme, task_id, "While another serves")
            expected = (await events(acme))[len(before) :]
            for driver, ids in zip(drivers, received, strict=True):
                while len(ids) < len(expected):
                    ids.append((await driver.line())["id"])

    assert len(expected) == 3 * CHANGES
    assert dict(zip(CLIENTS, received, strict=True)) == dict.fromkeys(CLIENTS, expected)
