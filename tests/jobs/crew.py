"""Processes of `planwire work` over this test's servers, and what their handlers have counted."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

import planwire
from domain.base.database_address import address_of, role_names
from domain.base.settings import Settings
from domain.labels import service as labels
from jobs.broker import KNOWN, QUEUE
from tests.factories import Tenant, execute, rows
from tests.jobs import counting
from tests.processes import ENVIRON, ROOT

PATIENCE_S = 90.0
POLL_S = 0.05
COUNTING = ("--reactions", "tests.jobs.counting")
# Each process is the command as a person starts it, but for the seconds that its imports take: they are made once, in a
# process from which the others are forked.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["planwire", "commands.database", "commands.working", "tests.jobs.counting"])


async def until(holds: Callable[[], Awaitable[Any]], patience_s: float = PATIENCE_S) -> Any:
    """What `holds` gives once it is true. Raises TimeoutError."""
    async with asyncio.timeout(patience_s):
        while not (found := await holds()):  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(POLL_S)
        return found


async def make_tables(settings: Settings) -> None:
    """What the handlers of `counting` write into."""
    await execute(counting.TABLES)
    for role in role_names(address_of(settings)["database"]):
        await execute(f'GRANT USAGE ON SCHEMA counting TO "{role}"')
        await execute(f'GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA counting TO "{role}"')


async def leave_the_past(settings: Settings) -> None:
    """Let nobody do what earlier tests have left: of thousands of events, these workers would tell each once."""
    await execute(
        "INSERT INTO relay_position (org_id, seq) SELECT org_id, seq FROM event_counter "
        "ON CONFLICT (org_id) DO UPDATE SET seq = excluded.seq"
    )
    await execute("UPDATE security_entry SET relayed_at = now() WHERE relayed_at IS NULL")
    await execute("DELETE FROM delivery WHERE state = 'PENDING'")
    async with Redis.from_url(str(settings.redis_url)) as redis:
        await redis.delete(QUEUE)
        await redis.set(KNOWN, b"1")


async def wish(tenant: Tenant, *what: str) -> None:
    """Let the organization's handlers do so, instead of what was wished before."""
    await execute("DELETE FROM counting.wish WHERE org_id = $1", tenant.org_id)
    for each in what:
        await execute("INSERT INTO counting.wish VALUES ($1, $2)", tenant.org_id, each)


async def make_labels(tenant: Tenant, count: int) -> None:
    """So many changes, each with one event."""
    async with tenant.admin.acting() as actor:
        for _ in range(count):
            (row,) = await rows("SELECT count(*) FROM label WHERE org_id = $1", tenant.org_id)
            await labels.create(actor, tenant.org_id, name=f"label {row['count']}", color="#336699")


async def effects(org_id: UUID) -> Counter[int]:
    """How often each event's effect is there, by its number."""
    return Counter(row["seq"] for row in await rows("SELECT seq FROM counting.effect WHERE org_id = $1", org_id))


async def calls(org_id: UUID) -> list[dict[str, Any]]:
    """The calls that were made outside."""
    return await rows("SELECT seq, job_id, pid FROM counting.call WHERE org_id = $1 ORDER BY seq", org_id)


async def deliveries(org_id: UUID, handler: str) -> list[dict[str, Any]]:
    """The organization's deliveries for a handler, in order."""
    return await rows("SELECT * FROM delivery WHERE org_id = $1 AND handler = $2 ORDER BY id", org_id, handler)


async def all_done(org_id: UUID) -> bool:
    """Whether every event of the log is relayed, and nothing is left to do."""
    (row,) = await rows(
        "SELECT coalesce((SELECT seq FROM event_counter WHERE org_id = $1), 0) = "
        "coalesce((SELECT seq FROM relay_position WHERE org_id = $1), 0) AND NOT EXISTS "
        "(SELECT FROM delivery WHERE org_id = $1 AND state = 'PENDING') AS is_done",
        org_id,
    )
    return bool(row["is_done"])


async def hurry(org_id: UUID) -> None:
    """End the pauses after failures."""
    await execute(
        "UPDATE delivery SET available_at = now(), queue_at = now() "
        "WHERE org_id = $1 AND state = 'PENDING' AND claim IS NULL AND available_at > now()",
        org_id,
    )


async def hurried(org_id: UUID) -> bool:
    """Whether nothing is left to do; pauses are cut short."""
    await hurry(org_id)
    return await all_done(org_id)


async def end_leases(org_id: UUID) -> None:
    """Let the leases of workers that are dead have ended."""
    await execute(
        "UPDATE delivery SET available_at = now(), queue_at = now() WHERE org_id = $1 AND claim IS NOT NULL", org_id
    )


@dataclass
class Crew:
    """Starts workers; those that still run are killed at the end of the block."""

    settings: Settings
    directory: Path
    stack: contextlib.ExitStack
    redis_url: str = ""
    more: dict[str, str] = field(default_factory=dict)
    """Settings of the processes beside these."""

    @property
    def environ(self) -> dict[str, str]:
        """The settings of a process."""
        return {
            "DATABASE_URL": str(self.settings.database_url),
            "DATABASE_POOL_SIZE": "8",
            "REDIS_URL": self.redis_url or str(self.settings.redis_url),
            "SECRET_KEY": self.settings.secret_key,
            "PLANWIRE_DATA": str(self.directory),
            "LOG_LEVEL": "warning",
            **self.more,
        }

    async def start(self, *arguments: str) -> ForkServerProcess:
        """A worker process that has said that it works."""
        process, said = self._fork("work", *COUNTING, *arguments)
        with open(said.fileno(), closefd=False) as lines:  # noqa: ASYNC230  # a pipe
            line = await asyncio.to_thread(lines.readline)
        assert line.startswith("working: "), line
        return process

    async def start_command(self, *arguments: str) -> "subprocess.Popen[str]":
        """As `start`, from a prompt."""
        process = subprocess.Popen(  # noqa: ASYNC220, S603
            [sys.executable, "-m", "planwire", "work", *COUNTING, *arguments],
            cwd=ROOT,
            env={**ENVIRON, **self.environ},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        assert process.stdout is not None
        self.stack.callback(process.stdout.close)
        line = await asyncio.to_thread(process.stdout.readline)
        assert line.startswith("working: "), line
        return process

    async def command(self, *arguments: str) -> tuple[int | None, str]:
        """The exit status of a command over the same database, and what it said."""
        process, said = self._fork(*arguments)
        with open(said.fileno(), closefd=False) as lines:  # noqa: ASYNC230  # a pipe
            text = await asyncio.to_thread(lines.read)
        return await ended(process), text

    def _fork(self, *arguments: str) -> tuple[ForkServerProcess, "Connection[Any, Any]"]:
        said, says = FORKS.Pipe(duplex=False)
        process = FORKS.Process(target=_planwire, args=(arguments, {**ENVIRON, **self.environ}, says))
        process.start()
        says.close()
        self.stack.callback(said.close)
        self.stack.callback(process.join)
        self.stack.callback(process.kill)
        return process, said

    async def flush_redis(self) -> None:
        """Let Redis lose everything."""
        async with Redis.from_url(str(self.settings.redis_url)) as redis:
            await redis.flushall()


def _planwire(arguments: tuple[str, ...], environ: dict[str, str], says: "Connection[Any, Any]") -> None:
    """The life of a forked process."""
    os.setsid()
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environ)
    sys.stdout = open(says.fileno(), "w", closefd=False)  # a pipe
    sys.exit(planwire.main(arguments))


async def ended(process: ForkServerProcess) -> int | None:
    """The exit status; None when it does not end."""
    await asyncio.to_thread(process.join, PATIENCE_S)
    return process.exitcode


async def kill(process: ForkServerProcess) -> None:
    """Without a word."""
    process.kill()
    assert await ended(process) == -signal.SIGKILL


@contextlib.asynccontextmanager
async def crew(settings: Settings, directory: Path) -> AsyncIterator[Crew]:
    """Processes for the block."""
    await make_tables(settings)
    await leave_the_past(settings)
    with contextlib.ExitStack() as stack:
        yield Crew(settings, directory, stack)
