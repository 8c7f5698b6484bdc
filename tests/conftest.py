"""Real servers for every test process, and two tenants that know nothing of each other."""

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
import structlog
from xdist.remote import Producer
from xdist.scheduler import LoadGroupScheduling

from domain.adapters.wiring import Adapters
from domain.base import database
from domain.base.embedded import running
from domain.base.migrate import migrate
from domain.base.settings import Settings, load
from graph.app import create_app
from graph.server import calm_collector, configuration
from tests import client, factories
from tests.compiler import referee
from tests.factories import Tenant
from tests.ports import Server
from tests.processes import filled

# Files whose tests one process runs, by the name that they have together. They share what takes long to start, or
# measure what the machine is busy with.
TOGETHER = {
    "tests/base/test_command_line.py": "command line",
    "tests/compiler/test_costs.py": "costs",
    "tests/graphiql/test_examples.py": "graphiql",
    "tests/live_log/test_drill.py": "live_log",
    "tests/live_log/test_revocation_drill.py": "live_log",
    "tests/test_isolation.py": "isolation",
    "tests/test_outages.py": "outages",
    "tests/transport/test_socket_outages.py": "socket outages",
}


SHOWN = 3_000
"""Characters of what a failed test has printed."""


class Scheduling(LoadGroupScheduling):  # type: ignore[misc]  # without types
    """By file, as the mark of pytest-xdist 3.8 does nothing under pytest 9: it is written where nobody reads it."""

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER.get(nodeid.partition("::")[0], nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """The larger groups first, then the other tests, each for itself."""
    return Scheduling(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_configure() -> None:
    """Let a failure that is logged be written as Python does: structlog would color it, with all local variables."""
    processors = structlog.get_config()["processors"]
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*processors[:-1], plain])


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    """Spare the collector of cycles what comes now: all tests are imported, and nearly all of it stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    """As in a server that runs: the collector does not look again and again at what the start has made."""
    calm_collector()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show only the last of what a test has printed: hundreds of operations' lines would hide why it failed."""
    report = yield
    report.sections = [(title, text[-SHOWN:]) for title, text in report.sections]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Let what a file's tests have left in cycles, such as streams that nobody reads to their end, end with them.

    What is left then stays for long, such as plans: the looks after later files need not look at it again.
    """
    ends = nextitem is None or nextitem.path != item.path
    if ends:
        gc.collect()
    yield
    if ends:
        gc.collect()
        gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the drills and the random comparisons are, and what is compared besides."""
    parser.addoption("--long", action="store_true", help="run drills and random comparisons at full length")
    parser.addoption("--seed", type=int, help="repeat the chance of a drill; it prints its seed when it fails")
    parser.addoption("--referee", action="store_true", help="compare every query of a client with graphql-core's")


@pytest.fixture(autouse=True)
def judge(request: pytest.FixtureRequest) -> None:
    """With --referee, all tests but those whose rows change meanwhile, or that count what one query does."""
    asked_once = request.node.get_closest_marker("asked_once") is not None
    client.judged_by(referee.watch if request.config.getoption("--referee") and not asked_once else None)


async def do_not_wait_for_the_disk(settings: Settings) -> None:
    """Spare each commit the wait. No test cuts the power; those that kill a server start one of their own."""
    owner = await asyncpg.connect(settings.database_url)
    await owner.execute("ALTER SYSTEM SET synchronous_commit = off")
    await owner.execute("SELECT pg_reload_conf()")
    await owner.close()


@pytest.fixture(scope="session")
async def settings(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    """Settings of this process's own Postgres and Redis, migrated and connected."""
    directory = tmp_path_factory.mktemp("planwire")
    async with running(directory) as servers:
        loaded = replace(
            load({}, data_dir=directory),
            database_url=servers.database_url,
            redis_url=servers.redis_url,
            # Races hold many connections at once, each waiting for a lock.
            database_pool_size=25,
            # Of what everybody may ask for, somebody in a test asks for more.
            rate_points_minute=2_000_000_000,
        )
        await migrate(loaded)
        await do_not_wait_for_the_disk(loaded)
        await database.connect(loaded)
        await factories.connect(loaded)
        yield loaded
        await factories.disconnect()
        await database.disconnect()


@pytest.fixture(scope="session")
def fill(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Makes a data directory in which `dev` has run before, with demo data."""
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    return lambda directory: filled(directory, shared)


@pytest.fixture(scope="session")
async def adapters(settings: Settings) -> AsyncIterator[Adapters]:
    """The adapters over this process's servers."""
    built = Adapters.of(settings)
    client.use(settings, built)
    yield built
    await built.close()


@pytest.fixture
async def acme(adapters: Adapters) -> Tenant:
    """A fresh organization with one person of each role."""
    return await factories.make_tenant("acme")


@pytest.fixture
async def globex(adapters: Adapters) -> Tenant:
    """Another fresh organization: the stranger's."""
    return await factories.make_tenant("globex")


@pytest.fixture(scope="session")
async def address(settings: Settings, adapters: Adapters) -> AsyncIterator[str]:
    """host:port of the application under uvicorn, in this process, over this process's servers."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(settings)
    # Its own start would connect to the database a second time.
    server = Server(configuration(app, settings, lifespan=False))
    async with app.state.live.running():
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await serving
    await app.state.adapters.close()
    listener.close()
