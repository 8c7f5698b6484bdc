"""Connections, transactions and the tenant set that row-level security reads.

Two roles: the application's, which owns nothing and sees only the rows of the caller's organizations, and the
system's, which sees all and is reached through the doors of `Door` alone. Every acquire of a connection compares the
tenant set with what the connection is known to carry and has it told where they differ (`connections.py`), so what an
earlier user left on it never counts, and an operation that set none is refused.

No wait is without end: for a connection, a lock, a statement, the way back. What goes wrong with the server becomes
Unavailable or Timeout in one place, `_told`; a statement that is wrong in itself stays what it is.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from enum import Enum
from typing import Any, TypeVar, cast
from uuid import UUID

import structlog
from tortoise import Tortoise
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.connection import get_connection, get_connections

from domain.base.connection import Connection, TenantSet, setting
from domain.base.connections import GIVE_BACK_TIMEOUT_S, Kept, Pool
from domain.base.database_address import (
    CONNECT_TIMEOUT_S,
    PROBES,
    address_of,
    reaching,
    role_names,
    role_password,
    tortoise_config,
)
from domain.base.database_faults import cause_of, told_of
from domain.base.errors import RequestError
from domain.base.settings import Settings
from domain.base.sql import Row, Sql

R = TypeVar("R", bound=Row)

# A statement that runs longer than this is a fault of ours; the transport's own deadline comes first.
STATEMENT_TIMEOUT_MS = 30_000
# Less than the wait for a connection (ACQUIRE_TIMEOUT_S): when one tenant's changes all wait for a lock, their
# connections come free before the others have given up waiting for one.
LOCK_TIMEOUT_MS = 3_000
# The server keeps to its own time-out; this one is for a server that no longer answers at all.
COMMAND_TIMEOUT_S = STATEMENT_TIMEOUT_MS / 1000 + 5
log = structlog.get_logger("database")


class NoTenant(RuntimeError):
    """A statement was about to run for nobody in particular."""


class Door(Enum):
    """The only ways to the system connection. Each is opened in one function, which a test holds to its place."""

    MEMBERSHIPS_OF_A_USER = "domain.organizations.memberships.standings_of"
    SIGN_UP = "domain.identity.accounts.sign_up"
    SIGN_IN = "domain.identity.accounts.sign_in"
    CREDENTIAL_CHECK = "domain.identity.credentials.check"
    SIGN_IN_FAILURE = "domain.identity.credentials._note_failure"
    CREDENTIAL_RESET = "domain.identity.password_changes.reset"
    CREDENTIAL_CHANGE = "domain.identity.password_changes.change"
    MAILED_LINK = "domain.identity.account_tokens._by_digest"
    INVITED_SIGN_UP = "domain.invitations.signing_up.sign_up"
    INVITATION_LINK = "domain.invitations.links._by_digest"
    SESSION_CHECK = "domain.organizations.callers._look_up"
    SESSION_USE = "domain.identity.sessions._touch"
    API_KEY_CHECK = "domain.organizations.api_keys._look_up"
    API_KEY_USE = "domain.organizations.api_keys._touch"
    OPEN_SOCKETS = "domain.organizations.presence._ask"
    HEALTH = "domain.base.migrate.current"
    SEED = "domain.demo.seed.seed"
    STRIPE_EVENT = "domain.billing.webhooks.receive"
    STRIPE_EVENT_READ = "domain.billing.webhooks.about"
    STRIPE_CUSTOMER = "domain.billing.customers.organization_of"
    RELAY = "domain.deliveries.relaying.relay_logs"
    ACCOUNT_RELAY = "domain.deliveries.relaying.relay_accounts"
    QUEUE = "domain.deliveries.queueing.take_due"
    QUEUE_AGAIN = "domain.deliveries.queueing.give_back"
    QUEUE_ALL = "domain.deliveries.queueing.forget_queued"
    LEASES = "domain.deliveries.claims.keep"
    JOBS_OF_NO_ORGANIZATION = "domain.deliveries.claims._run"
    ACCOUNT_ENTRY = "domain.deliveries.claims.entry_of"
    DEAD_JOBS = "domain.deliveries.dead.listed"
    JOBS_RETRIED = "domain.deliveries.dead.retry"
    TICKS = "domain.deliveries.ticks.begin"
    STRAY_OBJECTS = "domain.attachments.sweeping._organizations"
    CLEAN_UP = "domain.deliveries.cleaning.clean"
    METRICS = "domain.deliveries.metrics.measure"
    SEARCH_MODEL = "domain.search.serving.register"
    SEARCH_START = "domain.search.serving.warn"
    SEARCH_SWITCH = "domain.search.reindex._switch"
    REINDEX = "domain.search.reindex._organizations"
    SEARCH_INDEXES = "domain.search.vector_indexes.lacking"
    INVARIANTS = "domain.deliveries.invariants.broken"


_tenant: ContextVar[Collection[UUID] | None] = ContextVar("tenant", default=None)
_open: ContextVar["Transaction | None"] = ContextVar("transaction", default=None)
_kept: ContextVar[Kept | None] = ContextVar("kept", default=None)
_app_pool: Pool | None = None
_system_pool: Pool | None = None


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


def _tenants() -> TenantSet:
    org_ids = _tenant.get()
    if org_ids is None:
        raise NoTenant("no tenant set: enter acting_for(...) first")
    return tuple(org_ids)


def _no_tenants() -> None:
    """The system's connections carry no set."""


async def tenant_changed() -> None:
    """Bring the open transaction up to the tenant set after the caller joined an organization."""
    connection = require_transaction().connection
    connection.forget()
    await connection.execute(setting(_tenants()))


def pool_sizes(settings: Settings) -> tuple[int, int]:
    """How many connections of a process are the application's, and how many the system's."""
    # The callers of all operations at a moment are found in one statement, so what is left for the system's is that
    # one, the note of a use, and sign-ins. All reads and writes go through the application's.
    system_size = max(1, settings.database_pool_size // 5)
    return settings.database_pool_size - system_size, system_size


async def connect(settings: Settings, *, system_size: int | None = None) -> None:
    """Open both pools and warm them. `system_size` of the connections are the system's, where it needs more of them.

    Raises Unreachable.
    """
    global _app_pool, _system_pool
    address = address_of(settings)
    app_role, system_role = role_names(address["database"])
    if system_size is None:
        app_size, system_size = pool_sizes(settings)
    else:
        app_size = settings.database_pool_size - system_size
    common: dict[str, Any] = {
        "server_settings": {
            "statement_timeout": str(STATEMENT_TIMEOUT_MS),
            "lock_timeout": str(LOCK_TIMEOUT_MS),
            # Instants and days are told as they are written, so how they are written is no server's choice.
            "timezone": "UTC",
            "datestyle": "ISO",
            # A plan for these values alone costs more than most statements, and takes a condition that holds twice for
            # two.
            "plan_cache_mode": "force_generic_plan",
            "jit": "off",
            **PROBES,
        },
        "timeout": CONNECT_TIMEOUT_S,
        "command_timeout": COMMAND_TIMEOUT_S,
        **address,
    }
    # Requests run in tasks that the start-up task did not make, so the context must be found without inheritance.
    await Tortoise.init(config=tortoise_config(settings), _enable_global_fallback=True)
    _app_pool = Pool(app_size, _tenants, user=app_role, password=role_password(settings, app_role), **common)
    _system_pool = Pool(
        system_size, _no_tenants, user=system_role, password=role_password(settings, system_role), **common
    )
    # Tortoise's statements go over the same connections.
    cast(Any, get_connection("default"))._pool = _app_pool
    try:
        with reaching(settings):
            await _app_pool.warm()
            await _system_pool.warm()
    except BaseException:
        await disconnect()
        raise


async def disconnect() -> None:
    """Close both pools."""
    global _app_pool, _system_pool
    pools, _app_pool, _system_pool = (_app_pool, _system_pool), None, None
    for pool in pools:
        if pool is not None:
            await pool.close()
    await Tortoise.close_connections()


def _client() -> AsyncpgDBClient:
    client = get_connection("default")
    # A task that was begun inside a transaction keeps it in its context when it has ended.
    return client._parent if isinstance(client, Transaction) else cast(AsyncpgDBClient, client)


def app_pool() -> Pool:
    """The application role's pool."""
    if _app_pool is None:
        raise RuntimeError("a statement came before connect()")
    return _app_pool


def _system(door: Door) -> Pool:
    if _system_pool is None:
        raise RuntimeError(f"{door.value} came before connect()")
    return _system_pool


def _told(fault: Exception, connection: Connection | None) -> RequestError | None:
    """Unavailable or Timeout for what the server cannot do now, logged; None for what is no fault of the server's."""
    told = told_of(fault, without_connection=connection is None or connection.is_closed())
    if told is not None:
        cause = cause_of(fault)
        log.warning(
            "database fault",
            code=told.code,
            fault=type(cause).__name__,
            sqlstate=getattr(cause, "sqlstate", None),
        )
    return told


async def _fetch(pool: Pool | Kept, text: str, values: Sequence[Any], row: type[R]) -> list[R]:
    """The rows of one statement, in a transaction of its own."""
    connection: Connection | None = None
    try:
        connection = pool.at_hand() or await pool.acquire(for_statements=True)
        return cast("list[R]", await connection.fetch(text, *values, record_class=row))
    except Exception as fault:
        if connection is not None and isinstance(fault, TimeoutError):
            # COMMAND_TIMEOUT_S has passed: nobody is at the other end.
            connection.terminate()
        if (told := _told(fault, connection)) is None:
            raise
        raise told from fault
    finally:
        if connection is not None:
            pool.give(connection)


@asynccontextmanager
async def _begun(pool: Pool) -> AsyncIterator[Connection]:
    """A connection in a transaction. A roll-back takes no longer than GIVE_BACK_TIMEOUT_S and hides no failure.

    Who is cut off does not wait for it at all: the pool does it.
    """
    connection: Connection | None = None
    try:
        connection = await pool.acquire(begin=True)
        yield connection
        await connection.commit()
    except Exception as fault:
        if connection is not None:
            await _undo(connection, "ROLLBACK")
        if (told := _told(fault, connection)) is None:
            raise
        raise told from fault
    finally:
        if connection is not None:
            pool.give(connection)


async def _undo(connection: Connection, text: str) -> None:
    """Roll back what failed, or close the connection, which does the same."""
    if connection.is_closed() or not connection.is_in_transaction():
        return
    is_undone = False
    try:
        with suppress(Exception):
            await connection.execute(text, timeout=GIVE_BACK_TIMEOUT_S)
            is_undone = True
    finally:
        if not is_undone:
            connection.terminate()


@asynccontextmanager
async def system(door: Door) -> AsyncIterator[Connection]:
    """A connection that sees every organization, inside one transaction. `door` names the caller.

    Raises Unavailable; Timeout.
    """
    async with _begun(_system(door)) as connection:
        yield connection


async def system_fetch(door: Door, text: str, *values: Any) -> list[Row]:
    """The rows of one statement that sees every organization. `door` names the caller. Raises Unavailable; Timeout."""
    return await _fetch(_system(door), text, values, Row)


class _Ended:
    """Stands for the connection of a transaction that has ended, which is somebody else's by then."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("the transaction has ended")


class Transaction(TransactionWrapper):
    """An open transaction, and what is still to be written at its end."""

    connection: Connection

    def __init__(self, base: AsyncpgDBClient, connection: Connection) -> None:
        super().__init__(base)
        self.connection = self._connection = connection
        self.at_end: dict[Callable[[list[Any]], Awaitable[None]], list[Any]] = {}
        self.committed: list[Callable[[], None]] = []

    def end(self) -> None:
        """Let nobody who still holds this use the connection."""
        self._finalized = True
        self.connection = self._connection = cast(Connection, _Ended())

    def collect(self, write: Callable[[list[Any]], Awaitable[None]], item: Any) -> None:
        """Keep `item`; `write` gets all that were kept for it just before the commit."""
        self.at_end.setdefault(write, []).append(item)


def transaction() -> Transaction | None:
    """The transaction that is open in this task. One that has ended does not count, where a task began inside it."""
    open_ = _open.get()
    return None if open_ is None or open_._finalized else open_


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
    # Whoever holds one connection does not wait for another.
    spare_connection()
    async with _opened(app_pool()) as opened:
        yield opened


@asynccontextmanager
async def system_tx(door: Door) -> AsyncIterator[Transaction]:
    """As `tx`, on a connection that sees every organization: services called inside join it. `door` names the caller.

    Raises RuntimeError inside another transaction, which it could not be part of; Unavailable; Timeout.
    """
    if transaction() is not None:
        raise RuntimeError(f"{door.value} came inside another transaction")
    async with _opened(_system(door)) as opened:
        yield opened


@asynccontextmanager
async def _opened(pool: Pool) -> AsyncIterator[Transaction]:
    client, connections = _client(), get_connections()
    async with _begun(pool) as connection:
        opened = Transaction(client, connection)
        of_tortoise, of_this = connections.set("default", opened), _open.set(opened)
        try:
            yield opened
            for write, items in opened.at_end.items():
                await write(items)
        finally:
            opened.end()
            _open.reset(of_this)
            connections.reset(of_tortoise)
    for act in opened.committed:
        act()


@asynccontextmanager
async def savepoint() -> AsyncIterator[None]:
    """A part of the open transaction: what fails in it undoes it alone, together with what it left for the end.

    Raises RuntimeError outside a transaction.
    """
    open_ = require_transaction()
    at_end, committed = {write: list(items) for write, items in open_.at_end.items()}, list(open_.committed)
    connection = open_.connection
    # One name is enough: of several with it the innermost counts.
    await connection.execute("SAVEPOINT part")
    try:
        yield
    except BaseException:
        open_.at_end, open_.committed = at_end, committed
        await _undo(connection, "ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part")
        raise
    await connection.execute("RELEASE SAVEPOINT part")


@contextmanager
def one_connection() -> Iterator[None]:
    """Let the block's statements go over one connection, so that it is told the tenant set once.

    For reads that follow each other closely: nobody else has it meanwhile.
    """
    kept = Kept(app_pool())
    token = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(token)
        kept.end()


def spare_connection() -> None:
    """Keep none of `one_connection` while something else is waited for; the next statement takes one again."""
    if (kept := _kept.get()) is not None:
        kept.spare()


async def run(text: str, values: Sequence[Any], row: type[R]) -> list[R]:
    """The rows of a rendered statement as `row`, inside the open transaction if there is one.

    Raises Unavailable; Timeout.
    """
    open_ = _open.get()
    if open_ is not None and not open_._finalized:
        return cast("list[R]", await open_.connection.fetch(text, *values, record_class=row))
    return await _fetch(_kept.get() or app_pool(), text, values, row)


async def fetch(statement: Sql, row: type[R]) -> list[R]:
    """The statement's rows as `row`, inside the open transaction if there is one. Raises Unavailable; Timeout."""
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
