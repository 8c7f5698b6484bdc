"""How long an event takes from its commit to its subscribers, and what a socket costs.

`python -m bench.subscriptions` starts embedded servers, `planwire serve` with one process a core, a process that
changes tasks and one that holds the sockets, all on this machine, and prints one line of figures. Each change is made
in an organization at random, and goes to all subscribers of that organization.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from domain.adapters.pubsub import PubSub
from domain.base import database, telemetry
from domain.base.database import acting_for
from domain.base.embedded import running
from domain.base.migrate import migrate
from domain.base.permissions import Role
from domain.base.settings import Settings, load
from domain.events.follow import Follower
from domain.tasks import service as tasks
from tests import factories

SUBSCRIPTIONS = {
    "event": "subscription ($id: ID!) { events(organizationId: $id) { id type cursor subjectId } }",
    "task": """subscription ($id: ID!) { events(organizationId: $id) {
      id type cursor subject { ... on Task { title priority version } } } }""",
    "board": """subscription ($id: ID!) { events(organizationId: $id) {
      id type cursor subject { ... on Task { title state { name } assignee { name } labels { name } } } } }""",
}
PROTOCOL = Subprotocol("graphql-transport-ws")
# Sockets that are opened at once.
OPENING = 50
# After the last change, for what is still under way.
LAST_S = 5.0
SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Plan:
    """What is run."""

    subscribers: int
    organizations: int
    changes_per_s: float
    seconds: float
    processes: int
    payload: str


@dataclass(frozen=True)
class Team:
    """An organization: its people's tokens, and who changes which task there."""

    org_id: UUID
    id: str
    tokens: list[str]
    person: factories.Person
    task_id: UUID


async def make_team(size: int) -> Team:
    """An organization with a task, and as many sessions as it has subscribers."""
    tenant = await factories.make_tenant("bench")
    project = await factories.make_project(tenant.admin, tenant)
    task = await factories.make_task(tenant.member, project, assignee_id=tenant.member.user_id)
    people = [await factories.make_member(tenant.org_id, Role.MEMBER) for _ in range(size)]
    return Team(tenant.org_id, tenant.id, [person.token for person in people], tenant.member, task.id)


async def change(teams: list[Team], plan: Plan) -> list[tuple[UUID, float]]:
    """Make the changes at their times; the organization and the moment behind each commit."""
    commits: list[tuple[UUID, float]] = []
    start = time.monotonic()

    async def one(number: int) -> None:
        team = random.choice(teams)  # noqa: S311
        async with locks[team.org_id], team.person.acting() as actor:
            await tasks.update(actor, team.task_id, title=f"Change {number}")
            commits.append((team.org_id, time.monotonic()))

    locks = {team.org_id: asyncio.Lock() for team in teams}
    async with asyncio.TaskGroup() as group:
        for number in range(int(plan.changes_per_s * plan.seconds)):
            await asyncio.sleep(max(0.0, start + number / plan.changes_per_s - time.monotonic()))
            group.create_task(one(number))
    return commits


def write(settings: Settings, teams: list[Team], plan: Plan, found: Any) -> None:
    """The process that changes tasks."""

    async def work() -> None:
        await database.connect(settings)
        follower = Follower(pubsub := PubSub(settings.redis_url or ""))
        telling = asyncio.create_task(follower.run())
        await asyncio.sleep(1)
        found.send(await change(teams, plan))
        await asyncio.sleep(1)
        telling.cancel()
        await asyncio.wait([telling])
        await pubsub.close()
        await database.disconnect()

    telemetry.configure(settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())


def listen(address: str, teams: list[Team], query: str, ready: Any, found: Any) -> None:
    """The process that holds the sockets: says when all are open, and at the end what came when."""
    received: list[tuple[str, float]] = []

    async def hold(
        team: Team, token: str, gate: asyncio.Semaphore, stack: contextlib.AsyncExitStack
    ) -> ClientConnection:
        async with gate:
            connection = await stack.enter_async_context(
                connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL], compression=None, ping_interval=None)
            )
            await connection.send(
                json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}})
            )
            await connection.recv()
            payload = {"query": query, "variables": {"id": team.id}}
            await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            return connection

    async def read(connection: ClientConnection) -> None:
        async for message in connection:
            now = time.monotonic()
            # The id comes first, and reading all of it would cost the server its core.
            received.append((str(message).partition('"id":"event_')[2][:32], now))

    async def work() -> None:
        gate = asyncio.Semaphore(OPENING)
        async with contextlib.AsyncExitStack() as stack:
            asked = [hold(team, token, gate, stack) for team in teams for token in team.tokens]
            readers = [asyncio.create_task(read(each)) for each in await asyncio.gather(*asked)]
            await asyncio.sleep(3)
            ready.set()
            await asyncio.to_thread(found.recv)
            for reader in readers:
                reader.cancel()
        found.send(received)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())


@contextlib.contextmanager
def server(settings: Settings, processes: int) -> Any:
    """`planwire serve` over the settings' servers; its host:port and its process."""
    environ = {
        **os.environ,
        "DATABASE_URL": str(settings.database_url),
        "REDIS_URL": str(settings.redis_url),
        "SECRET_KEY": settings.secret_key,
        "LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "planwire", "serve", "--port", "0", "--workers", str(processes)]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            ready = process.stdout.readline().split() if process.stdout else []
            yield ready[1].removeprefix("http://").removesuffix("/graphql"), psutil.Process(process.pid)
        finally:
            process.terminate()


def memory_of(process: psutil.Process) -> int:
    """Bytes that the worker processes hold."""
    return sum(each.memory_info().rss for each in process.children(recursive=True)) or process.memory_info().rss


def cpu_of(process: psutil.Process) -> float:
    """Seconds of processor that it and its workers used."""
    return sum(sum(each.cpu_times()[:2]) for each in [process, *process.children(recursive=True)])


@contextlib.asynccontextmanager
async def data(plan: Plan) -> AsyncIterator[tuple[Settings, list[Team]]]:
    """Embedded servers and the organizations."""
    with tempfile.TemporaryDirectory() as directory:
        async with running(Path(directory)) as servers:
            settings = replace(
                load({}, data_dir=Path(directory)), database_url=servers.database_url, redis_url=servers.redis_url
            )
            await migrate(settings)
            await database.connect(settings)
            await factories.connect(settings)
            with acting_for(()):
                each = plan.subscribers // plan.organizations
                teams = [await make_team(each) for _ in range(plan.organizations)]
            yield settings, teams
            await factories.disconnect()
            await database.disconnect()


async def measure(plan: Plan) -> dict[str, Any]:
    """One run; its figures."""
    async with data(plan) as (settings, teams):
        with server(settings, plan.processes) as (address, process):
            empty = memory_of(process)
            ready, (ours, theirs), (mine, writers) = SPAWN.Event(), SPAWN.Pipe(), SPAWN.Pipe()
            listener = SPAWN.Process(target=listen, args=(address, teams, SUBSCRIPTIONS[plan.payload], ready, theirs))
            listener.start()
            await asyncio.to_thread(ready.wait)
            full, busy = memory_of(process), cpu_of(process)
            writer = SPAWN.Process(target=write, args=(settings, teams, plan, writers))
            writer.start()
            commits = await asyncio.to_thread(mine.recv)
            await asyncio.sleep(LAST_S)
            used = cpu_of(process) - busy
            ours.send(None)
            received = await asyncio.to_thread(ours.recv)
            listener.join()
            writer.join()
        rows = await factories.rows("SELECT org_id, id FROM event WHERE type = 'TASK_UPDATED' ORDER BY org_id, seq")
    at: dict[str, float] = {}
    in_order: dict[UUID, list[float]] = {}
    for org_id, moment in commits:
        in_order.setdefault(org_id, []).append(moment)
    for row in rows:
        at[row["id"].hex] = in_order[row["org_id"]].pop(0)
    delays = sorted((moment - at[id]) * 1000 for id, moment in received if id in at)
    size = plan.subscribers // plan.organizations
    return {
        "subscribers": size * plan.organizations,
        "payload": plan.payload,
        "organizations": plan.organizations,
        "changes_per_s": round(len(commits) / plan.seconds, 1),
        "deliveries": len(delays),
        "missing": len(commits) * size - len(delays),
        "p50_ms": round(statistics.median(delays), 1),
        "p99_ms": round(delays[int(len(delays) * 0.99)], 1),
        "max_ms": round(delays[-1], 1),
        "kib_per_socket": round((full - empty) / 1024 / (size * plan.organizations), 1),
        "server_us_per_delivery": round(used * 1e6 / len(delays)),
    }


def main() -> None:
    """Run once and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=2000)
    parser.add_argument("--organizations", type=int, default=200)
    parser.add_argument("--changes", type=float, default=100.0, help="a second, in all organizations together")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--payload", choices=SUBSCRIPTIONS, default="task", help="what each event is asked for")
    given = parser.parse_args()
    plan = Plan(given.subscribers, given.organizations, given.changes, given.seconds, given.processes, given.payload)
    sys.stdout.write(json.dumps(asyncio.run(measure(plan))) + "\n")


if __name__ == "__main__":
    main()
