"""Connections, transactions and the tenant set that row-level security reads.

Two roles: the application's, which owns nothing and sees only the rows of the caller's organizations, and the
system's, which sees all and is reached through the doors of `Door` alone. The tenant set is written at every acquire
of a connection, so what an earlier user left on it never counts, and an operation that set none is refused.

No wait is without end: for a connection, a lock, a statement, the way back. What goes wrong with the server becomes
Unavailable or Timeout in one place, `_connection`; a statement that is wrong in itself stays what it is.
"""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from enum import Enum
from typing import Any, TypeVar, cast
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

import asyncpg
import structlog
from asyncpg.pool import Pool, PoolConnectionProxy
from tortoise import Tortoise
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.connection import get_connection, get_connections

from domain.base.database_faults import AWAY, WITHOUT_CONNECTION, away, cause_of, told_of
from domain.base.settings import Settings
from domain.base.sql import Row, Sql

R = TypeVar("R", bound=Row)

MODELS = (
    "domain.idempotency.models",
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
# Less than the wait for a connection: when one tenant's changes all wait for a lock, their connections come free before
# the others have given up waiting for one.
LOCK_TIMEOUT_MS = 3_000
ACQUIRE_TIMEOUT_S = 5.0
# The server keeps to its own time-out; this one is for a server that no longer answers at all.
COMMAND_TIMEOUT_S = STATEMENT_TIMEOUT_MS / 1000 + 5
# How long a connection may take to stop what was cut off and to roll back. It is closed then, which does the same.
GIVE_BACK_TIMEOUT_S = 1.0
# For the first connection of a process, to a server that may be far away.
CONNECT_TIMEOUT_S = 10.0

log = structlog.get_logger("database")


class NoTenant(RuntimeError):
    """A statement was about to run for nobody in particular."""


class Unreachable(Exception):
    """The database cannot be had at all. The message is one line for the person at the prompt, without a password."""


class Door(Enum):
    """The only ways to the system connection. Each is opened in one function, which a test holds to its place."""

    MEMBERSHIPS_OF_A_USER = "domain.organizations.memberships.standings_of"
    SIGN_UP = "domain.identity.accounts.sign_up"
    SIGN_IN = "domain.identity.accounts.sign_in"
    SIGN_IN_FAILURE = "domain.identity.accounts._note_failure"
    SESSION_CHECK = "domain.identity.sessions.authenticate"
    API_KEY_CHECK = "domain.organizations.api_keys.authenticate"
    OPEN_SOCKETS = "domain.organizations.presence.present"
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


async def _admit(connection: Any) -> None:
    """Set the tenant of a connection that was just acquired."""
    try:
        await _set_tenant(connection)
    except NoTenant:
        raise
    except BaseException:
        # asyncpg would take leave of the server, and wait without end for one that has stopped to answer.
        connection.terminate()
        raise


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


def pool_sizes(settings: Settings) -> tuple[int, int]:
    """How many connections of a process are the application's, and how many the system's."""
    # Each operation finds its caller through the system's, and reads and writes through the application's.
    system_size = max(1, settings.database_pool_size * 2 // 5)
    return settings.database_pool_size - system_size, system_size


@contextmanager
def reaching(settings: Settings) -> Iterator[None]:
    """Turn whatever keeps the block from connecting into Unreachable."""
    refused = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
    try:
        yield
    except (*refused, *AWAY, *WITHOUT_CONNECTION) as fault:
        address = address_of(settings)
        # The first line: the others are the server's details and hints.
        reason = str(cause_of(fault)).partition("\n")[0] or f"no answer within {CONNECT_TIMEOUT_S:.0f} s"
        where = f"{address['database']} at {address['host']}:{address['port']}"
        raise Unreachable(f"the database {where} cannot be used: {reason}") from fault


async def connect(settings: Settings) -> None:
    """Open both pools and warm them. Raises Unreachable."""
    global _system_pool
    address = address_of(settings)
    app_role, system_role = role_names(address["database"])
    app_size, system_size = pool_sizes(settings)
    common: dict[str, Any] = {
        "server_settings": {
            "statement_timeout": str(STATEMENT_TIMEOUT_MS),
            "lock_timeout": str(LOCK_TIMEOUT_MS),
            "timezone": "UTC",
            "plan_cache_mode": "force_generic_plan",
            "jit": "off",
        },
        "timeout": CONNECT_TIMEOUT_S,
        "command_timeout": COMMAND_TIMEOUT_S,
    }
    config = tortoise_config(
        settings,
        user=app_role,
        password=role_password(settings, app_role),
        minsize=1,
        maxsize=app_size,
        setup=_admit,
        reset=_keep,
        **common,
    )
    # Requests run in tasks that the start-up task did not make, so the context must be found without inheritance.
    await Tortoise.init(config=config, _enable_global_fallback=True)
    try:
        with reaching(settings), acting_for(()):
            await _app().execute_query("SELECT 1")
            _system_pool = await asyncpg.create_pool(
                **address,
                user=system_role,
                password=role_password(settings, system_role),
                min_size=1,
                max_size=system_size,
                **common,
            )
    except BaseException:
        await disconnect()
        raise


async def disconnect() -> None:
    """Close both pools."""
    global _system_pool
    await Tortoise.close_connections()
    if _system_pool is not None:
        await _system_pool.close()
        _system_pool = None


def _app() -> AsyncpgDBClient:
    client = get_connection("default")
    # A task that was begun inside a transaction keeps it in its context when it has ended.
    return client._parent if isinstance(client, Transaction) else cast(AsyncpgDBClient, client)


def app_pool() -> "Pool[Any]":
    """The application role's pool."""
    return cast("Pool[Any]", _app()._pool)


@asynccontextmanager
async def _connection(pool: "Pool[Any]") -> AsyncIterator["PoolConnectionProxy[Any]"]:
    """A connection of the pool. Raises Unavailable, Timeout for what the server cannot do now, here or in the block."""
    connection: PoolConnectionProxy[Any] | None = None
    try:
        connection = await pool.acquire(timeout=ACQUIRE_TIMEOUT_S)
        yield connection
    except Exception as fault:
        told = told_of(fault, without_connection=connection is None or _is_gone(connection))
        if connection is None and isinstance(fault, AttributeError):
            # asyncpg's pool stumbles over a connection that is lost while it is handed out.
            told = away()
        if told is None:
            raise
        cause = cause_of(fault)
        log.warning(
            "database fault",
            code=told.code,
            fault=type(cause).__name__,
            sqlstate=getattr(cause, "sqlstate", None),
        )
        raise told from fault
    finally:
        if connection is not None:
            # One that cannot be given back is closed by asyncpg; what was done with it stands.
            with suppress(*AWAY, *WITHOUT_CONNECTION):
                await pool.release(connection, timeout=GIVE_BACK_TIMEOUT_S)


@asynccontextmanager
async def _begun(connection: "PoolConnectionProxy[Any]") -> AsyncIterator[None]:
    """A transaction on the connection. A roll-back takes no longer than GIVE_BACK_TIMEOUT_S and hides no failure."""
    transaction = connection.transaction()
    await transaction.__aenter__()
    try:
        yield
    except BaseException as fault:
        is_undone = False
        try:
            with suppress(Exception):
                async with asyncio.timeout(GIVE_BACK_TIMEOUT_S):
                    await transaction.__aexit__(type(fault), fault, fault.__traceback__)
                is_undone = True
        finally:
            if not is_undone and not _is_gone(connection):
                connection.terminate()
        raise
    await transaction.__aexit__(None, None, None)


def _is_gone(connection: "PoolConnectionProxy[Any]") -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        # A lost connection leaves its proxy empty.
        return True


@asynccontextmanager
async def system(door: Door) -> AsyncIterator["PoolConnectionProxy[Any]"]:
    """A connection that sees every organization, inside one transaction. `door` names the caller.

    Raises Unavailable; Timeout.
    """
    if _system_pool is None:
        raise RuntimeError(f"{door.value} came before connect()")
    async with _connection(_system_pool) as connection, _begun(connection):
        yield connection


class Transaction(TransactionWrapper):
    """An open transaction, and what is still to be written at its end."""

    def __init__(self, base: AsyncpgDBClient, connection: "PoolConnectionProxy[Any]") -> None:
        super().__init__(base)
        self._connection = connection  # type: ignore[assignment]  # a pooled proxy has the same methods
        self.connection = connection
        self.at_end: dict[Callable[[list[Any]], Awaitable[None]], list[Any]] = {}
        self.committed: list[Callable[[], None]] = []

    def collect(self, write: Callable[[list[Any]], Awaitable[None]], item: Any) -> None:
        """Keep `item`; `write` gets all that were kept for it just before the commit."""
        self.at_end.setdefault(write, []).append(item)


def transaction() -> Transaction | None:
    """The transaction that is open in this task. One that has ended does not count, where a task began inside it."""
    connection = get_connections().get("default")
    return connection if isinstance(connection, Transaction) and not connection._finalized else None


def require_transaction() -> Transaction:
    """The open transaction. Raises RuntimeError outside one."""
    if (open_ := transaction()) is None:
        raise RuntimeError("this needs an open transaction: enter tx() first")
    return open_


def after_commit(act: Callable[[], None]) -> None:
    """Let `act` run once the open transaction is committed, at once when none is open.

    A process that dies between the commit and `act` never comes to it.
    """
    if (open_ := transaction()) is None:
        act()
    else:
        open_.committed.append(act)


@asynccontextmanager
async def tx() -> AsyncIterator[Transaction]:
    """A transaction, or the one that is open already.

    Tortoise's own leaks its connection when cancelled. The outermost block writes what was collected, last of all:
    the event counter's lock is then the last one taken. Never gather inside: one connection serves one statement.
    Raises Unavailable; Timeout.
    """
    if (open_ := transaction()) is not None:
        yield open_
        return
    base = _app()
    connections = get_connections()
    async with _connection(app_pool()) as connection, _begun(connection):
        opened = Transaction(base, connection)
        token = connections.set("default", opened)
        try:
            yield opened
            for write, items in opened.at_end.items():
                await write(items)
        finally:
            opened._finalized = True
            connections.reset(token)
    for act in opened.committed:
        act()


@asynccontextmanager
async def savepoint() -> AsyncIterator[None]:
    """A part of the open transaction: what fails in it undoes it alone, together with what it left for the end.

    Raises RuntimeError outside a transaction.
    """
    open_ = require_transaction()
    at_end, committed = {write: list(items) for write, items in open_.at_end.items()}, list(open_.committed)
    try:
        # Inside a transaction asyncpg begins a savepoint.
        async with _begun(open_.connection):
            yield
    except BaseException:
        open_.at_end, open_.committed = at_end, committed
        raise


async def run(text: str, values: Sequence[Any], row: type[R]) -> list[R]:
    """The rows of a statement with its values, inside the open transaction if there is one.

    Raises Unavailable; Timeout.
    """
    if (open_ := transaction()) is not None:
        return cast("list[R]", await open_.connection.fetch(text, *values, record_class=row))
    async with _connection(app_pool()) as connection:
        try:
            return cast("list[R]", await connection.fetch(text, *values, record_class=row))
        except TimeoutError:
            # COMMAND_TIMEOUT_S has passed: nobody is at the other end.
            connection.terminate()
            raise


async def fetch(statement: Sql, row: type[R]) -> list[R]:
    """The statement's rows as `row`, as `run` gives them."""
    return await run(*statement.render(), row)


async def fetch_value(statement: Sql) -> Any:
    """The first column of the first row, or None."""
    rows = await fetch(statement, Row)
    return rows[0][0] if rows else None


async def execute(statement: Sql) -> int:
    """Run the statement in the open transaction; the number of rows it touched."""
    text, values = statement.render()
    status = await require_transaction().connection.execute(text, *values)
    return int(status.rsplit(" ", 1)[-1])
