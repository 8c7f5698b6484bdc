"""One process of all that leads: it holds a session's advisory lock, which ends with its connection.

A leader whose connection is lost stops leading when it learns of it, and another may lead by then. Two at once are so
possible for a moment; what they do must bear it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from domain.base.database_address import CONNECT_TIMEOUT_S, PROBES, address_of, role_names, role_password
from domain.base.settings import Settings

ASK_EVERY_S = 1.0
CLOSE_TIMEOUT_S = 2.0


class Lead:
    """The lead while it lasts."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def lasts(self) -> bool:
        """Whether it is still ours: the server is asked."""
        try:
            await self._connection.execute("SELECT", timeout=CLOSE_TIMEOUT_S)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True


@asynccontextmanager
async def leading(settings: Settings, number: int) -> AsyncIterator[Lead]:
    """Wait for the lead of those who ask for this number, and hold it for the block.

    On a connection of its own: one of a pool is somebody else's in the next moment. Raises what asyncpg.connect raises.
    """
    address = address_of(settings)
    app_role, _ = role_names(address["database"])
    connection = await asyncpg.connect(
        **address,
        user=app_role,
        password=role_password(settings, app_role),
        timeout=CONNECT_TIMEOUT_S,
        server_settings=PROBES,
    )
    try:
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", number):  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(ASK_EVERY_S)
        yield Lead(connection)
    finally:
        # Ending the session gives the lock back.
        with suppress(Exception):
            await connection.close(timeout=CLOSE_TIMEOUT_S)
