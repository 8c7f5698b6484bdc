"""Connections, transactions and the tenant set that row-level security reads.

Two roles: the application's, which owns nothing and sees only the rows of the caller's organizations, and the
system's, which sees all and is reached through the doors of `Door` alone. The tenant set is written at every acquire
of a connection, so what an earlier user left on it never counts, and an operation that set none is refused.
"""

import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import Any, TypeVar, cast
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

import asyncpg
from asyncpg.pool import Pool, PoolConnectionProxy
from tortoise import Tortoise
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.connection import get_connection, get_connections
from tortoise.exceptions import IntegrityError

from domain.base.errors import UserError
from domain.base.settings import Settings
from domain.base.sql import Row, Sql

R = TypeVar("R", bound=Row)

MODELS = (
    "domain.identity.models",
    "domain.organizations.models",
    "domain.billing.models",
    "domain.projects.models",
    "domain.labels.models",
    "domain.tasks.models",
    "domain.comments.models",
    "domain.events.models",
)

# A statement that runs longer than this is a fault of ours; the transport's own deadline comes first.
STATEMENT_TIMEOUT_MS = 30_000


class NoTenant(RuntimeError):
    """A statement was about to run for nobody in particular."""


class Door(Enum):
    """The only ways to the system connection. Each is opened in one function, which a test holds to its place."""

    MEMBERSHIPS_OF_A_USER = "domain.organizations.memberships.standings_of"
    SIGN_UP = "domain.identity.accounts.sign_up"
    SIGN_IN = "domain.identity.accounts.sign_in"
    SESSION_CHECK = "domain.identity.sessions.authenticate"
    API_KEY_CHECK = "domain.organizations.api_keys.authenticate"
    HEALTH = "domain.base.migrate.current"
    SEED = "domain.demo.seed.seed"


_tenant: ContextVar[Collection[UUID] | None] = ContextVar("tenant", default=None)
_system_pool: "Pool[Any] | None" = None


@contextmanager
def acting_for(org_ids: Collection[UUID]) -> Iterator[None]:
    """Run the block's statements for these organizations. The collection is read anew at every acquire."""
    token = _tenant.set(org_ids)
    try:
        yield
    finally:
        _tenant.reset(token)


def act_for(org_ids: Collection[UUID]) -> None:
    """As `acting_for`, to the end of the running task."""
    _tenant.set(org_ids)


async def _set_tenant(connection: Any) -> None:
    org_ids = _tenant.get()
    if org_ids is None:
        raise NoTenant("no tenant set: enter acting_for(...) first")
    value = "{" + ",".join(str(org_id) for org_id in org_ids) + "}"
    await connection.fetchval("SELECT set_config('app.org_ids', $1, false)", value)


async def tenant_changed() -> None:
    """Bring the open transaction up to the tenant set after the caller joined an organization."""
    await _set_tenant(require_transaction().connection)


async def _keep(connection: Any) -> None:
    """Reset nothing on release: every acquire overwrites the one setting that is ever made."""


def role_names(database: str) -> tuple[str, str]:
    """The application's and the system's role for a database. Roles belong to the server, so they carry its name."""
    return f"{database}_app", f"{database}_system"


def role_password(settings: Settings, role: str) -> str:
    """The role's password: derived, so that no second secret has to be kept."""
    return hmac.new(settings.secret_key.encode(), f"database role {role}".encode(), hashlib.sha256).hexdigest()


def address_of(settings: Settings) -> dict[str, Any]:
    """Host (or socket folder), port and database of DATABASE_URL as asyncpg takes them."""
    url = urlsplit(settings.database_url or "")
    query = {name: values[-1] for name, values in parse_qs(url.query).items()}
    address: dict[str, Any] = {
        "host": query.get("host") or url.hostname or "localhost",
        "port": int(query.get("port") or url.port or 5432),
        "database": unquote(url.path.lstrip("/")),
    }
    if "sslmode" in query:
        address["ssl"] = query["sslmode"]
    return address


def tortoise_config(settings: Settings, **credentials: Any) -> dict[str, Any]:
    """Tortoise's configuration for the models and migrations, over the given credentials."""
    return {
        "connections": {
            "default": {
                "engine": "tortoise.backends.asyncpg",
                "credentials": {**address_of(settings), **credentials},
            }
        },
        "apps": {
            "planwire": {"models": list(MODELS), "migrations": "domain.migrations", "default_connection": "default"}
        },
        "use_tz": True,
        "timezone": "UTC",
    }


async def connect(settings: Settings) -> None:
    """Open both pools and warm them. Raises what asyncpg raises when the server does not answer."""
    global _system_pool
    address = address_of(settings)
    app_role, system_role = role_names(address["database"])
    options = {"statement_timeout": str(STATEMENT_TIMEOUT_MS), "timezone": "UTC"}
    config = tortoise_config(
        settings,
        user=app_role,
        password=role_password(settings, app_role),
        minsize=1,
        maxsize=settings.database_pool_size,
        server_settings=options,
        setup=_set_tenant,
        reset=_keep,
    )
    # Requests run in tasks that the start-up task did not make, so the context must be found without inheritance.
    await Tortoise.init(config=config, _enable_global_fallback=True)
    with acting_for(()):
        await _app().execute_query("SELECT 1")
    _system_pool = await asyncpg.create_pool(
        **address,
        user=system_role,
        password=role_password(settings, system_role),
        min_size=1,
        max_size=max(2, settings.database_pool_size // 2),
        server_settings=options,
    )


async def disconnect() -> None:
    """Close both pools."""
    global _system_pool
    await Tortoise.close_connections()
    if _system_pool is not None:
        await _system_pool.close()
        _system_pool = None


def _app() -> AsyncpgDBClient:
    return cast(AsyncpgDBClient, get_connection("default"))


def app_pool() -> "Pool[Any]":
    """The application role's pool, for tests that count its connections."""
    return cast("Pool[Any]", _app()._pool)


@asynccontextmanager
async def system(door: Door) -> AsyncIterator["PoolConnectionProxy[Any]"]:
    """A connection that sees every organization, inside one transaction. `door` names the caller."""
    if _system_pool is None:
        raise RuntimeError(f"{door.value} came before connect()")
    async with _system_pool.acquire() as connection, connection.transaction():
        yield connection


class Transaction(TransactionWrapper):
    """An open transaction, and what is still to be written at its end."""

    def __init__(self, base: AsyncpgDBClient, connection: "PoolConnectionProxy[Any]") -> None:
        super().__init__(base)
        self._connection = connection  # type: ignore[assignment]  # a pooled proxy has the same methods
        self.connection = connection
        self.at_end: dict[Callable[[list[Any]], Awaitable[None]], list[Any]] = {}

    def collect(self, write: Callable[[list[Any]], Awaitable[None]], item: Any) -> None:
        """Keep `item`; `write` gets all that were kept for it just before the commit."""
        self.at_end.setdefault(write, []).append(item)


def transaction() -> Transaction | None:
    """The transaction that is open in this task."""
    connection = get_connections().get("default")
    return connection if isinstance(connection, Transaction) else None


def require_transaction() -> Transaction:
    """The open transaction. Raises RuntimeError outside one."""
    if (open_ := transaction()) is None:
        raise RuntimeError("this needs an open transaction: enter tx() first")
    return open_


@asynccontextmanager
async def tx() -> AsyncIterator[Transaction]:
    """A transaction, or the one that is open already.

    Tortoise's own leaks its connection when cancelled. The outermost block writes what was collected, last of all:
    the event counter's lock is then the last one taken. Never gather inside: one connection serves one statement.
    """
    if (open_ := transaction()) is not None:
        yield open_
        return
    base = _app()
    pool = cast("Pool[Any]", base._pool)
    connections = get_connections()
    async with pool.acquire() as connection, connection.transaction():
        opened = Transaction(base, connection)
        token = connections.set("default", opened)
        try:
            yield opened
            for write, items in opened.at_end.items():
                await write(items)
        finally:
            opened._finalized = True
            connections.reset(token)


async def fetch(statement: Sql, row: type[R]) -> list[R]:
    """The statement's rows as `row`, inside the open transaction if there is one."""
    text, values = statement.render()
    if (open_ := transaction()) is not None:
        return cast("list[R]", await open_.connection.fetch(text, *values, record_class=row))
    pool = cast("Pool[Any]", _app()._pool)
    async with pool.acquire() as connection:
        return cast("list[R]", await connection.fetch(text, *values, record_class=row))


async def fetch_value(statement: Sql) -> Any:
    """The first column of the first row, or None."""
    rows = await fetch(statement, Row)
    return rows[0][0] if rows else None


async def execute(statement: Sql) -> int:
    """Run the statement in the open transaction; the number of rows it touched."""
    text, values = statement.render()
    status = await require_transaction().connection.execute(text, *values)
    return int(status.rsplit(" ", 1)[-1])


@contextmanager
def unique(constraint: str, error: UserError) -> Iterator[None]:
    """Turn a violation of the named unique constraint into `error`; any other goes on as it is."""
    try:
        yield
    except IntegrityError as failure:
        if getattr(failure.__cause__, "constraint_name", None) == constraint:
            raise error from failure
        raise
    except asyncpg.UniqueViolationError as failure:
        if failure.constraint_name == constraint:
            raise error from failure
        raise
