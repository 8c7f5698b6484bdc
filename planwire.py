"""The command line: dev, serve, work, jobs, migrate, seed, schema. Above all packages, without any product rule."""

import argparse
import contextlib
import difflib
import importlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import structlog

from domain.base import database, database_address, embedded, migrate, telemetry
from domain.base.clock import now
from domain.base.data_directory import EmbeddedError
from domain.base.errors import Taken
from domain.base.setting_values import is_loopback
from domain.base.settings import Settings, SettingsError, load
from domain.deliveries import dead
from domain.demo import seed
from graph import schema
from graph.app import metrics_alone
from jobs.reactions import Reactions
from jobs.run import FINISH_WITHIN_S, Part, system_size
from jobs.run import connected as jobs_connected
from jobs.run import run as run_jobs
from planwire_processes import CommandError, keep, run, say, side_by_side
from planwire_serving import (
    listening,
    near,
    origin,
    port_of,
    ready_line,
    serve_here,
    serve_in_workers,
    serve_until_cancelled,
)

SCHEMA_FILE = Path(__file__).resolve().parent / "schema.graphql"
DIFF_LINES = 40
# Who presses Ctrl-C does not wait for jobs: what is given back goes on at the next start.
DEV_JOBS_FINISH_WITHIN_S = 1.0
DEV_JOBS_END_WITHIN_S = 4.0

log = structlog.get_logger("planwire")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status. 2 means that nothing was started: bad arguments, settings or a taken port."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except SettingsError as fault:
        lines = "\n".join(f"  {line}" for line in str(fault).splitlines())
        _complain(f"the settings cannot be used:\n{lines}")
        return 2
    except CommandError as fault:
        _complain(str(fault))
        return fault.status
    except (EmbeddedError, database_address.Unreachable) as fault:
        _complain(str(fault))
        return 1


def _parser() -> argparse.ArgumentParser:
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", type=Path, metavar="DIR", help="where the embedded servers keep their data")
    address = argparse.ArgumentParser(add_help=False)
    address.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    address.add_argument("--port", type=_port, default=8000, help="0 takes a free one (default %(default)s)")
    parser = argparse.ArgumentParser(prog="planwire", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], *parents: argparse.ArgumentParser) -> Any:
        added = commands.add_parser(name, help=run.__doc__, description=run.__doc__, parents=parents)
        added.set_defaults(command=run)
        return added

    command("dev", _dev, data, address).add_argument(
        "--fake-stripe", action="store_true", help="bill by a Stripe of the tests, with pages to click through"
    )
    serve = command("serve", _serve, data, address)
    serve.add_argument("--workers", type=_count, default=1, help="processes that share the port (default %(default)s)")
    work = command("work", _work, data)
    work.add_argument("--only", type=_parts, default=tuple(Part), metavar="PARTS", help="of relay,worker,cron")
    work.add_argument("--concurrency", type=_count, help="jobs at a time (default: a connection for each)")
    work.add_argument(
        "--finish-within",
        type=_count,
        default=int(FINISH_WITHIN_S),
        metavar="SECONDS",
        help="how long running jobs may take at the end (default %(default)s)",
    )
    work.add_argument("--metrics-host", default="127.0.0.1", metavar="HOST", help="(default %(default)s)")
    work.add_argument("--metrics-port", type=_port, metavar="PORT", help="serve /metrics there; 0 takes a free one")
    # A module with tables of its own in the place of ours, for tests.
    work.add_argument("--reactions", metavar="MODULE", help=argparse.SUPPRESS)
    jobs = commands.add_parser("jobs", help="Show and retry what failed.").add_subparsers(required=True)
    listing = jobs.add_parser("dead", help=_dead.__doc__, description=_dead.__doc__, parents=[data])
    listing.set_defaults(command=_dead)
    retrying = jobs.add_parser("retry", help=_retry.__doc__, description=_retry.__doc__, parents=[data])
    retrying.set_defaults(command=_retry)
    which = retrying.add_mutually_exclusive_group(required=True)
    which.add_argument("id", nargs="?", type=UUID, metavar="ID")
    which.add_argument("--all", action="store_true", help="all that are dead")
    migrations = command("migrate", _migrate, data).add_mutually_exclusive_group()
    migrations.add_argument("--make", action="store_true", help="write a migration for what the models hold beyond it")
    migrations.add_argument("--check", action="store_true", help="fail when a migration is missing")
    command("seed", _seed, data)
    command("schema", _schema).add_argument("--check", action="store_true", help="fail when the file is not current")
    return parser


def _port(value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) < 65536):
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(value)


def _count(value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise argparse.ArgumentTypeError("has to be a whole number above 0")
    return int(value)


def _parts(value: str) -> tuple[Part, ...]:
    try:
        return tuple(Part(name.strip()) for name in value.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"has to be of {','.join(Part)}, with commas between") from None


def _dev(options: argparse.Namespace) -> int:
    """Start everything on this machine, with demo data, and serve."""
    stripe = _fake_stripe() if options.fake_stripe else None
    settings = _settings(options, {"LOG_FORMAT": "console"}, stripe.settings if stripe else {})

    async def work(listener: socket.socket, local: Settings) -> None:
        async with embedded.servers(local) as live:
            await migrate.migrate(live)
            async with _connected(live):
                if await seed.is_empty():
                    await seed.seed()
            lines = [ready_line(options.host, listener), seed.SIGN_IN]
            beside = [keep("jobs", _work_beside, live, end_within_s=DEV_JOBS_END_WITHIN_S)]
            if stripe:
                lines.append(f"fake Stripe: {stripe.origin}")
                own = origin(near(options.host), port_of(listener))
                beside.append(stripe.run(f"{own}/webhooks/stripe", live.data_dir))
            await side_by_side(serve_here(live, listener, lines), *beside)

    with listening(options.host, options.port) as listener:
        run(work(listener, _at_own_address(settings, os.environ, options.host, listener)))
    return 0


def _fake_stripe() -> Any:
    """The fake Stripe. Raises CommandError where the tests that hold it are not."""
    # An installation looks for our packages alone, not for what lies beside them.
    sys.path.insert(0, str(SCHEMA_FILE.parent))
    try:
        return importlib.import_module("tests.stripe.demo").Demo()
    except ModuleNotFoundError as fault:
        raise CommandError(f"--fake-stripe needs the tests and what they stand on: {fault}", 2) from None


def _serve(options: argparse.Namespace) -> int:
    """Serve the API; the servers of DATABASE_URL and REDIS_URL, or embedded ones."""
    settings = _settings(options)

    async def work(listener: socket.socket) -> None:
        async with embedded.servers(settings) as live:
            if live.embedded:
                await migrate.migrate(live)
            # Uvicorn would show what is wrong with the database as a traceback.
            async with _connected(live):
                pass
            lines = (ready_line(options.host, listener),)
            if options.workers == 1:
                await serve_here(live, listener, lines)
            else:
                await serve_in_workers(live, listener, options.workers, lines)

    with listening(options.host, options.port) as listener:
        run(work(listener))
    return 0


def _work(options: argparse.Namespace) -> int:
    """Do what follows commits: relay events, run jobs, keep the schedule."""
    settings = _settings(options)
    reactions = Reactions.of(importlib.import_module(options.reactions)) if options.reactions else Reactions()
    most = settings.database_pool_size - system_size(settings)
    if options.concurrency is not None and options.concurrency > most:
        raise CommandError(f"--concurrency is at most {most} with DATABASE_POOL_SIZE={settings.database_pool_size}", 2)

    async def work(metrics: socket.socket | None) -> None:
        async with embedded.servers(settings, guest=True) as live:
            if live.embedded:
                await migrate.migrate(live)
            async with jobs_connected(live):
                jobs = run_jobs(
                    live,
                    reactions,
                    parts=options.only,
                    concurrency=options.concurrency,
                    finish_within_s=options.finish_within,
                )
                say(f"working: {', '.join(options.only)}")
                if metrics is None:
                    await jobs
                else:
                    say(f"metrics: {origin(options.metrics_host, port_of(metrics))}/metrics")
                    await side_by_side(jobs, serve_until_cancelled(metrics_alone(live), live, metrics))

    with contextlib.ExitStack() as stack:
        listener = None
        if options.metrics_port is not None:
            listener = stack.enter_context(listening(options.metrics_host, options.metrics_port))
        run(work(listener))
    return 0


def _dead(options: argparse.Namespace) -> int:
    """List the jobs that failed for the last time."""

    async def work() -> None:
        found, at = await dead.listed(), now()
        for job in found:
            age_h = (at - job.created_at).total_seconds() / 3600
            whose = job.organization or "-"
            say(f"{job.id}  {job.handler}  {whose}  {job.attempts} attempts  {age_h:.1f} h  {job.last_error or ''}")
        say(f"{len(found)} dead")

    return _over_database(options, work)


def _retry(options: argparse.Namespace) -> int:
    """Try a dead job, or all, from the first attempt on."""

    async def work() -> None:
        count = await dead.retry(options.id)
        if options.id is not None and count == 0:
            raise CommandError(f"no dead job has the id {options.id}")
        say(f"{count} to be tried again")

    return _over_database(options, work)


def _over_database(options: argparse.Namespace, work: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Do the work over the database of the settings, which is there already."""
    settings = _settings(options)

    async def connected() -> None:
        async with embedded.servers(settings, guest=True) as live, _connected(live):
            await work()

    return 130 if run(connected()) else 0


def _migrate(options: argparse.Namespace) -> int:
    """Make the database current, with DATABASE_URL as its owner."""
    settings = _settings(options)

    async def work() -> None:
        if options.check:
            if await migrate.missing(settings):
                raise CommandError("a migration is missing: planwire migrate --make writes it")
            say("no migration is missing")
            return
        if options.make:
            names = await migrate.make(settings)
            say("\n".join(f"written: {name}" for name in names) or "no migration is missing")
            return
        async with embedded.servers(settings, guest=True) as live:
            names = await migrate.migrate(live)
        say("\n".join(f"applied: {name}" for name in names) or "the database is current")

    return 130 if run(work()) else 0


def _seed(options: argparse.Namespace) -> int:
    """Write the demo data; where they are already, change nothing."""
    settings = _settings(options)

    async def work() -> None:
        async with embedded.servers(settings, guest=True) as live:
            await migrate.migrate(live)
            async with _connected(live):
                try:
                    written = await seed.seed()
                except Taken as fault:
                    raise CommandError(f"the demo data cannot be written: {fault}") from fault
        say("demo data written" if written else "demo data were there already")
        say(seed.SIGN_IN)

    return 130 if run(work()) else 0


def _schema(options: argparse.Namespace) -> int:
    """Print the schema to schema.graphql."""
    printed = schema.printed()
    present = SCHEMA_FILE.read_text(encoding="utf-8") if SCHEMA_FILE.exists() else ""
    if not options.check:
        SCHEMA_FILE.write_text(printed, encoding="utf-8")
        say(f"{SCHEMA_FILE.name} {'was current' if printed == present else 'written'}")
    elif printed != present:
        diff = difflib.unified_diff(
            present.splitlines(), printed.splitlines(), "the file", "the code", lineterm="", n=1
        )
        say("\n".join(islice(diff, DIFF_LINES)))
        raise CommandError(f"{SCHEMA_FILE.name} is not current: planwire schema writes it")
    else:
        say(f"{SCHEMA_FILE.name} is current")
    return 0


def _settings(
    options: argparse.Namespace, defaults: Mapping[str, str] | None = None, fixed: Mapping[str, str] | None = None
) -> Settings:
    """From the environment, which goes before `defaults`, and behind what is `fixed`."""
    settings = load({**(defaults or {}), **os.environ, **(fixed or {})}, data_dir=options.data)
    telemetry.configure(settings)
    return settings


@contextlib.asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[None]:
    await database.connect(settings)
    try:
        yield
    finally:
        await database.disconnect()


def _at_own_address(settings: Settings, environ: Mapping[str, str], host: str, listener: socket.socket) -> Settings:
    """Settings whose origins are where `dev` really listens, as far as the environment does not say otherwise."""
    port = port_of(listener)
    if not environ.get("PUBLIC_URL", "").strip():
        settings = replace(settings, public_url=origin(near(host), port))
    own = [settings.public_url]
    if is_loopback(urlsplit(settings.public_url).hostname or ""):
        own += [origin("127.0.0.1", port), origin("localhost", port)]
    given = settings.allowed_origins if environ.get("ALLOWED_ORIGINS", "").strip() else ()
    return replace(settings, allowed_origins=tuple(dict.fromkeys([*given, *own])))


def _work_beside(settings: Settings) -> None:
    """The life of the process that does what follows commits beside `dev`."""
    telemetry.configure(settings)

    async def work() -> None:
        async with jobs_connected(settings):
            await run_jobs(settings, Reactions(), finish_within_s=DEV_JOBS_FINISH_WITHIN_S)

    run(work())


def _complain(text: str) -> None:
    sys.stderr.write(f"planwire: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
