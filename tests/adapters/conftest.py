"""A Redis of the adapters' own, which a test may kill, stop for a while and start again; and a server for S3."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from domain.base import embedded
from domain.base.data_directory import REDIS, account_for
from domain.base.embedded import Running, Server, running
from tests.adapters import s3_server

END_DEADLINE_S = 10.0


class OwnRedis:
    """The server, and a client of its operator's."""

    def __init__(self, directory: Path, servers: Running) -> None:
        self._directory = directory
        self._servers = servers
        self._server: Server | None = servers.started[0]
        self.url = servers.redis_url

    async def kill(self) -> None:
        """End it without a word."""
        if self._server is not None:
            self._server.process.kill()
            await asyncio.to_thread(self._server.process.wait, END_DEADLINE_S)
            self._server = None

    async def start(self) -> None:
        """Start it where it was, with what it had."""
        self._server = embedded._start_redis(self._directory, self._servers.sockets, account_for(self._directory))
        await embedded._until_ready([self._server], self._directory, self._servers.sockets)

    @asynccontextmanager
    async def hanging(self) -> AsyncIterator[None]:
        """Connections are open inside the block, and nothing answers."""
        assert self._server is not None
        self._server.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._server.process.send_signal(signal.SIGCONT)

    @asynccontextmanager
    async def operator(self) -> AsyncIterator[Redis]:
        """A client of its own for what an adapter would not do."""
        client = Redis.from_url(self.url, decode_responses=True)
        async with client:
            yield client

    async def calls(self, command: str) -> int:
        """How often the command was called since the server started."""
        async with self.operator() as client:
            stats = await client.info("commandstats")
        return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))


@pytest.fixture(scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OwnRedis]:
    """One server for all tests of the adapters."""
    directory = tmp_path_factory.mktemp("redis")
    async with running(directory, (REDIS,)) as servers:
        own = OwnRedis(directory, servers)
        yield own
        await own.kill()


@pytest.fixture
async def redis(server: OwnRedis) -> AsyncIterator[OwnRedis]:
    """The server, empty; it runs again when a test has left it killed."""
    async with server.operator() as client:
        await client.flushall()
        await client.config_resetstat()
    yield server
    if server._server is None:
        await server.start()


@pytest.fixture(scope="session")
async def s3_url() -> AsyncIterator[str]:
    """Where a server for S3 answers that has one bucket."""
    with s3_server.serving() as url:
        await s3_server.make_bucket(url)
        yield url
