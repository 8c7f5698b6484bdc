"""Several API processes over one database, as a load balancer would have them behind it."""

import asyncio
import contextlib
import itertools
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx

from domain.base.settings import Settings
from tests.ports import http_client
from tests.processes import Started, started

# With those of the test process well under the 200 connections of its server.
POOL_SIZE = 16
ANSWER_WITHIN_S = 30.0
BUSY = {"TIMEOUT", "UNAVAILABLE"}


class BusyError(Exception):
    """The process could not do it now."""


class Fleet:
    """The processes that serve, and GraphQL over HTTP at any of them."""

    def __init__(self, settings: Settings, redis_url: str, directory: Path) -> None:
        self._environ = {
            "DATABASE_URL": settings.database_url or "",
            "DATABASE_POOL_SIZE": str(POOL_SIZE),
            "REDIS_URL": redis_url,
            "SECRET_KEY": settings.secret_key,
            "PLANWIRE_DATA": str(directory),
            "LOG_LEVEL": "warning",
        }
        self._stack = contextlib.ExitStack()
        self._processes: list[Started] = []
        self._turns: Iterator[int] = itertools.count()
        # A connection that is kept may be closed by the server just when it is used again.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = http_client(timeout=ANSWER_WITHIN_S, limits=limits, trust_env=False)

    @property
    def addresses(self) -> list[str]:
        """host:port of each process."""
        return [process.origin.removeprefix("http://") for process in self._processes]

    @contextlib.asynccontextmanager
    async def running(self, count: int) -> AsyncIterator[None]:
        """So many processes inside the block."""
        with self._stack:
            async with self._http:
                self._processes = list(await asyncio.gather(*(asyncio.to_thread(self._begin) for _ in range(count))))
                yield

    def _begin(self) -> Started:
        return self._stack.enter_context(started("serve", "--port", "0", **self._environ))

    async def lose(self, place: int) -> None:
        """Kill a process without a word."""
        await asyncio.to_thread(self._processes[place].end, signal.SIGKILL)

    async def lose_one(self, place: int) -> None:
        """Kill a process without a word; another one takes its place at another port."""
        await self.lose(place)
        self._processes[place] = await asyncio.to_thread(self._begin)

    async def answer(self, document: str, token: str, **variables: Any) -> Any:
        """The data of an operation at the process whose turn it is; it must have no top-level error.

        Raises httpx.TransportError when that process is gone; BusyError.
        """
        address = self.addresses[next(self._turns) % len(self._processes)]
        response = await self._http.post(
            f"http://{address}/graphql",
            json={"query": document, "variables": variables},
            headers={"authorization": f"Bearer {token}"},
        )
        found = response.json()
        errors = found.get("errors", [])
        if errors and {error["extensions"]["code"] for error in errors} <= BUSY:
            raise BusyError
        assert errors == []
        return found["data"]

    async def change(self, document: str, token: str, **variables: Any) -> Any:
        """The payload of a single mutation, which must have done what it was asked."""
        (payload,) = (await self.answer(document, token, **variables)).values()
        assert payload["errors"] == []
        return payload
