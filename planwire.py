"""The command line: dev, serve, work, jobs, migrate, seed, schema. Above all packages, without any product rule."""

import argparse
import asyncio
import contextlib
import difflib
import importlib
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import structlog
import uvicorn
from starlette.types import ASGIApp

from domain.base import database, database_address, embedded, migrate, telemetry
from domain.base.clock import now
from domain.base.data_directory import EmbeddedError
from domain.base.errors import Taken
from domain.base.settings import Settings, SettingsError, is_loopback, load
from domain.deliveries import dead
from domain.demo import seed
from graph import schema
from graph.app import create_app, metrics_alone
from graph.server import BACKLOG, REQUESTS_DEADLINE_S, calm_collector, take_descriptors
from graph.server import configuration as server_configuration
from jobs.reactions import Reactions
from jobs.run import FINISH_WITHIN_S, Part, system_size
from jobs.run import connected as jobs_connected
from jobs.run import run as run_jobs
from planwire_processes import CommandError, keep, run

SCHEMA_FILE = Path(__file__).resolve().parent / "schema.graphql"
DIFF_LINES = 40
READY_DEADLINE_S = 60.0
READY_POLL_S = 0.05
# After its requests the application closes its connections. With the servers' own deadlines every process has ended in
# under 5 s.
SHUTDOWN_DEADLINE_S = REQUESTS_DEADLINE_S + 0.4
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
            lines = [_ready_line(options.host, listener), seed.SIGN_IN]
            beside = [keep("jobs", _work_beside, live, end_within_s=DEV_JOBS_END_WITHIN_S)]
            if stripe:
                lines.append(f"fake Stripe: {stripe.origin}")
                own = _origin(_near(options.host), _port_of(listener))
                beside.append(stripe.run(f"{own}/webhooks/stripe", live.data_dir))
            await _all(_serve_here(live, listener, lines), *beside)

    with _listener(options.host, options.port) as listener:
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
            lines = (_ready_line(options.host, listener),)
            if options.workers == 1:
                await _serve_here(live, listener, lines)
            else:
                await _serve_in_workers(live, listener, options.workers, lines)

    with _listener(options.host, options.port) as listener:
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
                _say(f"working: {', '.join(options.only)}")
                if metrics is None:
                    await jobs
                else:
                    _say(f"metrics: {_origin(options.metrics_host, _port_of(metrics))}/metrics")
                    await _all(jobs, _serve_until_cancelled(metrics_alone(live), live, metrics))

    with contextlib.ExitStack() as stack:
        listener = None
        if options.metrics_port is not None:
            listener = stack.enter_context(_listener(options.metrics_host, options.metrics_port))
        run(work(listener))
    return 0


def _dead(options: argparse.Namespace) -> int:
    """List the jobs that failed for the last time."""

    async def work() -> None:
        found, at = await dead.listed(), now()
        for job in found:
            age_h = (at - job.created_at).total_seconds() / 3600
            whose = job.organization or "-"
            _say(f"{job.id}  {job.handler}  {whose}  {job.attempts} attempts  {age_h:.1f} h  {job.last_error or ''}")
        _say(f"{len(found)} dead")

    return _over_database(options, work)


def _retry(options: argparse.Namespace) -> int:
    """Try a dead job, or all, from the first attempt on."""

    async def work() -> None:
        count = await dead.retry(options.id)
        if options.id is not None and count == 0:
            raise CommandError(f"no dead job has the id {options.id}")
        _say(f"{count} to be tried again")

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
            _say("no migration is missing")
            return
        if options.make:
            names = await migrate.make(settings)
            _say("\n".join(f"written: {name}" for name in names) or "no migration is missing")
            return
        async with embedded.servers(settings, guest=True) as live:
            names = await migrate.migrate(live)
        _say("\n".join(f"applied: {name}" for name in names) or "the database is current")

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
        _say("demo data written" if written else "demo data were there already")
        _say(seed.SIGN_IN)

    return 130 if run(work()) else 0


def _schema(options: argparse.Namespace) -> int:
    """Print the schema to schema.graphql."""
    printed = schema.printed()
    present = SCHEMA_FILE.read_text(encoding="utf-8") if SCHEMA_FILE.exists() else ""
    if not options.check:
        SCHEMA_FILE.write_text(printed, encoding="utf-8")
        _say(f"{SCHEMA_FILE.name} {'was current' if printed == present else 'written'}")
    elif printed != present:
        diff = difflib.unified_diff(
            present.splitlines(), printed.splitlines(), "the file", "the code", lineterm="", n=1
        )
        _say("\n".join(islice(diff, DIFF_LINES)))
        raise CommandError(f"{SCHEMA_FILE.name} is not current: planwire schema writes it")
    else:
        _say(f"{SCHEMA_FILE.name} is current")
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


def _listener(host: str, port: int) -> socket.socket:
    """A listening socket, taken before anything is started. Raises CommandError when the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise CommandError(f"{host} is no address to listen on", 2) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Two sockets that are bound and do not listen yet can have the same port.
        listener.listen(BACKLOG)
    except OSError as fault:
        listener.close()
        reason = fault.strerror.lower() if fault.strerror else "cannot be used"
        raise CommandError(f"{_origin(host, port)} cannot be listened on: {reason}; choose another --port", 2) from None
    return listener


def _origin(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def _near(host: str) -> str:
    """Where this machine reaches what listens on a host."""
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104


def _ready_line(host: str, listener: socket.socket) -> str:
    return f"ready: {_origin(host, _port_of(listener))}/graphql"


def _at_own_address(settings: Settings, environ: Mapping[str, str], host: str, listener: socket.socket) -> Settings:
    """Settings whose origins are where `dev` really listens, as far as the environment does not say otherwise."""
    port = _port_of(listener)
    if not environ.get("PUBLIC_URL", "").strip():
        settings = replace(settings, public_url=_origin(_near(host), port))
    own = [settings.public_url]
    if is_loopback(urlsplit(settings.public_url).hostname or ""):
        own += [_origin("127.0.0.1", port), _origin("localhost", port)]
    given = settings.allowed_origins if environ.get("ALLOWED_ORIGINS", "").strip() else ()
    return replace(settings, allowed_origins=tuple(dict.fromkeys([*given, *own])))


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers, which end it before the servers it stands on could be stopped."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets=sockets)
        except SystemExit:
            raise CommandError("the application did not start; the lines above say why") from None


async def _serve_until_cancelled(app: ASGIApp, settings: Settings, listener: socket.socket) -> None:
    take_descriptors()
    server = _Server(server_configuration(app, settings))
    calm_collector()
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await asyncio.wait({serving}, timeout=SHUTDOWN_DEADLINE_S)
        if not serving.done():
            serving.cancel()
        raise
    raise CommandError("the server ended by itself; the lines above say why")


async def _serve_here(settings: Settings, listener: socket.socket, ready_lines: Sequence[str]) -> None:
    await _all(_serve_until_cancelled(create_app(settings), settings, listener), _announce(listener, ready_lines))


async def _serve_in_workers(
    settings: Settings, listener: socket.socket, count: int, ready_lines: Sequence[str]
) -> None:
    with tempfile.TemporaryDirectory(prefix="planwire-metrics-") as metrics:
        os.environ[telemetry.METRICS_DIRECTORY] = metrics
        try:
            workers = [
                keep(
                    f"worker {number}",
                    _serve_as_worker,
                    settings,
                    listener,
                    end_within_s=SHUTDOWN_DEADLINE_S + 0.2,
                    # While anybody holds it, new connections are taken and wait for workers that take none any more.
                    ending=listener.close,
                )
                for number in range(1, count + 1)
            ]
            await _all(*workers, _announce(listener, ready_lines))
        finally:
            del os.environ[telemetry.METRICS_DIRECTORY]


async def _all(*work: Coroutine[Any, Any, None]) -> None:
    """Run side by side; the first failure ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for part in work:
                group.create_task(part)
    except ExceptionGroup as faults:
        raise faults.exceptions[0] from None


async def _announce(listener: socket.socket, lines: Sequence[str]) -> None:
    """Write the lines once the system says that it is ready. Raises CommandError when it never does."""
    try:
        async with asyncio.timeout(READY_DEADLINE_S):
            while True:
                if await _is_ready(listener):
                    break
                await asyncio.sleep(READY_POLL_S)
    except TimeoutError:
        raise CommandError(f"not ready after {READY_DEADLINE_S:.0f} s; GET /health/ready says why") from None
    for line in lines:
        _say(line)


async def _is_ready(listener: socket.socket) -> bool:
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    writer = None
    try:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"GET /health/ready HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False
    finally:
        if writer is not None:
            writer.close()


def _serve_as_worker(settings: Settings, listener: socket.socket) -> None:
    """The life of a process that serves. Settings, with the servers' URLs, come from the parent."""
    telemetry.configure(settings)
    try:
        run(_serve_until_cancelled(create_app(settings), settings, listener))
    except CommandError as fault:
        log.error(str(fault))
        raise SystemExit(fault.status) from None


def _work_beside(settings: Settings) -> None:
    """The life of the process that does what follows commits beside `dev`."""
    telemetry.configure(settings)

    async def work() -> None:
        async with jobs_connected(settings):
            await run_jobs(settings, Reactions(), finish_within_s=DEV_JOBS_FINISH_WITHIN_S)

    run(work())


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    # Whoever waits for the ready line may read from a pipe.
    sys.stdout.flush()


def _complain(text: str) -> None:
    sys.stderr.write(f"planwire: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
