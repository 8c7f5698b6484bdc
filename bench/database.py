"""The database that is measured: the embedded PostgreSQL as Planwire starts it, and a fresh copy for each server.

The data set lies in a template named for its size. Each server gets a copy under the same name, so all start equal,
whatever those before have written. PostgreSQL's settings are its defaults, as `domain.base.embedded` leaves them.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from bench import data
from bench.data import Size
from domain.base.embedded import DATABASE, running
from domain.base.migrate import migrate
from domain.base.settings import Settings, load

MAINTENANCE = "postgres"


@dataclass(frozen=True)
class Database:
    """A running PostgreSQL with data sets in it, and Redis beside it."""

    settings: Settings
    sockets: Path
    postgres_pid: int

    async def prepare(self, size: Size) -> float:
        """Make the template of the size unless it is there; the seconds that this took."""
        template = _template(size)
        owner = await data.owner_of(self.settings, MAINTENANCE)
        try:
            if await owner.fetchval("SELECT true FROM pg_database WHERE datname = $1", template):
                return 0.0
            await owner.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
            await owner.execute(f"CREATE DATABASE {DATABASE}")
            await migrate(self.settings)
            took = await data.write(self.settings, size)
            # Its own name comes last: a half that was left by a crash is never taken for whole.
            await owner.execute(f"ALTER DATABASE {DATABASE} RENAME TO {template}")
            return took
        finally:
            await owner.close()

    async def renew(self, size: Size) -> None:
        """Put a fresh copy of the data set in the place of what the last server left."""
        owner = await data.owner_of(self.settings, MAINTENANCE)
        try:
            await owner.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
            await owner.execute(f"CREATE DATABASE {DATABASE} TEMPLATE {_template(size)} STRATEGY FILE_COPY")
        finally:
            await owner.close()
        owner = await data.owner_of(self.settings)
        try:
            # A session that was not used for a minute is written at its next use, and a kept template is older.
            await owner.execute("UPDATE session SET last_used_at = now(), expires_at = now() + interval '30 days'")
            await owner.execute("VACUUM session")
            await owner.execute("CHECKPOINT")
        finally:
            await owner.close()


def _template(size: Size) -> str:
    return f"bench_{size.tasks}"


@asynccontextmanager
async def running_in(directory: Path) -> AsyncIterator[Database]:
    """PostgreSQL and Redis in the directory, as children of this process and so on its core."""
    async with running(directory) as servers:
        settings = replace(load({}, data_dir=directory), database_url=servers.database_url, redis_url=servers.redis_url)
        if urlsplit(servers.database_url).path.lstrip("/") != DATABASE:
            raise RuntimeError(f"the database is not named {DATABASE}")
        pid = next(each.process.pid for each in servers.started if each.name == "postgres")
        yield Database(settings, servers.sockets, pid)
