"""Commands over a database that end by themselves: migrate, seed, and what shows and retries failed jobs."""

import argparse
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from commands.processes import CommandError, run, say, settings_of
from domain.base import database, embedded
from domain.base import migrate as migrations
from domain.base.clock import now
from domain.base.errors import Taken
from domain.base.settings import Settings
from domain.deliveries import dead as dead_jobs
from domain.demo import seed as demo


def migrate(options: argparse.Namespace) -> int:
    """Make the database current, with DATABASE_URL as its owner."""
    settings = settings_of(options)

    async def work() -> None:
        if options.check:
            if await migrations.missing(settings):
                raise CommandError("a migration is missing: planwire migrate --make writes it")
            say("no migration is missing")
            return
        if options.make:
            names = await migrations.make(settings)
            say("\n".join(f"written: {name}" for name in names) or "no migration is missing")
            return
        async with embedded.servers(settings, guest=True) as live:
            names = await migrations.migrate(live)
        say("\n".join(f"applied: {name}" for name in names) or "the database is current")

    return 130 if run(work()) else 0


def seed(options: argparse.Namespace) -> int:
    """Write the demo data; where they are already, change nothing."""
    settings = settings_of(options)

    async def work() -> None:
        async with embedded.servers(settings, guest=True) as live:
            await migrations.migrate(live)
            async with connected(live):
                try:
                    written = await demo.seed()
                except Taken as fault:
                    raise CommandError(f"the demo data cannot be written: {fault}") from fault
        say("demo data written" if written else "demo data were there already")
        say(demo.SIGN_IN)

    return 130 if run(work()) else 0


def dead(options: argparse.Namespace) -> int:
    """List the jobs that failed for the last time."""

    async def work() -> None:
        found, at = await dead_jobs.listed(), now()
        for job in found:
            age_h = (at - job.created_at).total_seconds() / 3600
            whose = job.organization or "-"
            say(f"{job.id}  {job.handler}  {whose}  {job.attempts} attempts  {age_h:.1f} h  {job.last_error or ''}")
        say(f"{len(found)} dead")

    return _over_database(options, work)


def retry(options: argparse.Namespace) -> int:
    """Try a dead job, or all, from the first attempt on."""

    async def work() -> None:
        count = await dead_jobs.retry(options.id)
        if options.id is not None and count == 0:
            raise CommandError(f"no dead job has the id {options.id}")
        say(f"{count} to be tried again")

    return _over_database(options, work)


@contextlib.asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[None]:
    """The database for the block. Raises Unreachable."""
    await database.connect(settings)
    try:
        yield
    finally:
        await database.disconnect()


def _over_database(options: argparse.Namespace, work: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Do the work over the database of the settings, which is there already."""
    settings = settings_of(options)

    async def work_over_it() -> None:
        async with embedded.servers(settings, guest=True) as live, connected(live):
            await work()

    return 130 if run(work_over_it()) else 0
