"""Faults of the server as the callers get to know them, over this process's own database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import psutil
import pytest
from structlog.testing import capture_logs

from domain.base import connections, database, migrate
from domain.base.actor import Actor
from domain.base.database import acting_for, app_pool, fetch_value, pool_sizes, savepoint, tx
from domain.base.database_address import address_of, role_names
from domain.base.errors import Conflict, RequestError, Taken, Timeout, Unavailable
from domain.base.permissions import Role
from domain.base.settings import Settings
from domain.base.sql import sql
from domain.labels import service as labels
from domain.labels.models import Label
from domain.organizations import memberships
from tests.events.chain import first_fault
from tests.factories import Tenant, events, execute, rows

ONE = sql("SELECT 1")
# Far below any time-out of the code, so what ends within it did not run into one.
SOON_S = 2.0


@pytest.mark.parametrize(("size", "split"), [(2, (1, 1)), (9, (8, 1)), (10, (8, 2)), (100, (80, 20))])
def test_the_two_pools_share_the_size_between_them(settings: Settings, size: int, split: tuple[int, int]) -> None:
    assert pool_sizes(replace(settings, database_pool_size=size)) == split


def test_the_pools_are_no_larger_than_that(settings: Settings) -> None:
    assert database._system_pool is not None
    assert (app_pool().max_size, database._system_pool.max_size) == pool_sizes(settings)


async def test_every_connection_bounds_its_waits(acme: Tenant) -> None:
    # Over a Unix socket there is nothing to probe, and the server shows no more of it than who asked for it.
    shown = sql(
        "SELECT current_setting('lock_timeout') || ' ' || current_setting('statement_timeout') || ' ' || "
        "(SELECT string_agg(DISTINCT source, ' ') FROM pg_settings WHERE name LIKE 'tcp\\_keepalives\\_%')"
    )

    with acting_for([]):
        of_app = await fetch_value(shown)
    assert database._system_pool is not None
    async with database._system_pool.lent() as connection:
        of_system = await connection.fetchval(shown.render()[0])

    assert (of_app, of_system) == ("3s 30s client", "3s 30s client")


async def test_a_task_begun_inside_a_transaction_does_not_get_the_finished_one(acme: Tenant) -> None:
    ended = asyncio.Event()

    async def later() -> tuple[Any, Any, bool]:
        await ended.wait()
        found = database.transaction()
        read = await fetch_value(ONE)
        async with tx() as own:
            return found, read, own is not opened

    with acting_for([acme.org_id]):
        async with tx() as opened:
            task = asyncio.create_task(later())
        ended.set()
        result = await task

    assert result == (None, 1, True)


async def names_of(tenant: Tenant) -> list[str]:
    """The names of the tenant's labels."""
    return [row["name"] for row in await rows("SELECT name FROM label WHERE org_id = $1 ORDER BY 1", tenant.org_id)]


async def add(actor: Actor, tenant: Tenant, name: str) -> None:
    """A label and its event."""
    await labels.create(actor, tenant.org_id, name=name, color="#123456")


async def add_in_vain(actor: Actor, tenant: Tenant, name: str) -> None:
    """A label and its event, both undone."""
    with pytest.raises(Conflict):
        async with savepoint(), refusing():
            await add(actor, tenant, name)


@asynccontextmanager
async def refusing() -> AsyncIterator[None]:
    """The block, and then a refusal."""
    yield
    raise Conflict("no")


async def test_what_fails_in_a_savepoint_undoes_it_alone_with_its_events(acme: Tenant) -> None:
    async with acme.admin.acting() as actor, tx():
        await add(actor, acme, "before")
        await add_in_vain(actor, acme, "undone")
        async with savepoint():
            await add(actor, acme, "kept")
            await add_in_vain(actor, acme, "undone inside")
        await add(actor, acme, "after")

    assert await names_of(acme) == ["after", "before", "kept"]
    assert await events(acme.org_id) == ["LABEL_CREATED"] * 3
    assert await first_fault(acme.org_id) is None


async def test_a_failed_statement_in_a_savepoint_leaves_the_transaction_good(acme: Tenant) -> None:
    async with acme.admin.acting() as actor, tx():
        await add(actor, acme, "kept")
        for work in (fetch_value(sql("SELECT nothing FROM label")), add(actor, acme, "kept")):
            with pytest.raises((asyncpg.UndefinedColumnError, Taken)):
                async with savepoint():
                    await work
        assert await fetch_value(ONE) == 1

    assert await names_of(acme) == ["kept"]
    assert await events(acme.org_id) == ["LABEL_CREATED"]


async def test_a_savepoint_gives_back_the_tenant_set(acme: Tenant, globex: Tenant) -> None:
    count = sql("SELECT count(*) FROM organization")
    async with acme.admin.acting() as actor, tx():
        with pytest.raises(Conflict):
            async with savepoint(), refusing(), memberships.entering(actor, globex.org_id, Role.ADMIN):
                assert await fetch_value(count) == 2

        assert await fetch_value(count) == 1


async def test_a_savepoint_that_is_cut_off_takes_the_whole_transaction_along(acme: Tenant) -> None:
    reached = asyncio.Event()

    async def change() -> None:
        async with acme.admin.acting() as actor, tx():
            await add(actor, acme, "undone")
            async with savepoint():
                await add(actor, acme, "undone too")
                reached.set()
                await fetch_value(sql("SELECT pg_sleep(10)"))

    task = asyncio.create_task(change())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (await names_of(acme), await events(acme.org_id)) == ([], [])
    with acting_for([acme.org_id]):
        assert await fetch_value(ONE) == 1


async def test_a_connection_that_breaks_in_a_savepoint_is_unavailable(acme: Tenant) -> None:
    async def change_over_a_broken_connection() -> None:
        async with tx(), savepoint():
            await execute("SELECT pg_terminate_backend($1, 2000)", await fetch_value(sql("SELECT pg_backend_pid()")))
            await fetch_value(ONE)

    with acting_for([acme.org_id]):
        with pytest.raises(Unavailable):
            await change_over_a_broken_connection()

        assert await fetch_value(ONE) == 1


async def test_a_savepoint_needs_a_transaction() -> None:
    with pytest.raises(RuntimeError, match="tx"):
        async with savepoint():
            pass


async def label_of(tenant: Tenant) -> UUID:
    """A label of the tenant's."""
    (made,) = await rows(
        "INSERT INTO label (id, org_id, name, color, created_at, updated_at) "
        "VALUES (gen_random_uuid(), $1, gen_random_uuid()::text, '#000000', now(), now()) RETURNING id",
        tenant.org_id,
    )
    return UUID(str(made["id"]))


async def rename(label_id: UUID) -> None:
    """Change the label through Tortoise."""
    await Label.filter(id=label_id).update(name=f"renamed {label_id}")


@asynccontextmanager
async def telling(error: type[RequestError], cause: type[BaseException], *, times: int = 1) -> AsyncIterator[None]:
    """The block fails as `error` for the given cause, which is logged once and with nothing of the statement."""
    with capture_logs() as logged, pytest.raises(error) as raised:
        yield

    assert type(raised.value.__cause__) is cause
    faults = [entry for entry in logged if entry["event"] == "database fault"]
    assert [(entry["log_level"], entry["code"], entry["fault"]) for entry in faults] == [
        ("warning", error.code, cause.__name__)
    ] * times
    assert set(faults[0]) == {"event", "log_level", "code", "fault", "sqlstate"}


async def test_a_lock_that_is_held_too_long_is_a_timeout(acme: Tenant) -> None:
    label_id = await label_of(acme)
    with acting_for([acme.org_id]):
        async with app_pool().lent() as other, other.transaction():
            await other.execute("UPDATE label SET name = 'held' WHERE id = $1", label_id)

            async with telling(Timeout, asyncpg.LockNotAvailableError), tx():
                await fetch_value(sql("SELECT set_config('lock_timeout', '50', true)"))
                await rename(label_id)


async def test_a_statement_that_takes_too_long_is_a_timeout(acme: Tenant) -> None:
    with acting_for([acme.org_id]):
        async with telling(Timeout, asyncpg.QueryCanceledError), tx():
            await fetch_value(sql("SELECT set_config('statement_timeout', '50', true)"))
            await fetch_value(sql("SELECT pg_sleep(10)"))


async def test_one_of_two_that_wait_for_each_other_is_unavailable(acme: Tenant) -> None:
    labels = [await label_of(acme), await label_of(acme)]
    both_hold = asyncio.Barrier(2)

    async def change(first: UUID, second: UUID) -> str:
        try:
            async with tx():
                await rename(first)
                await both_hold.wait()
                await rename(second)
        except Unavailable as refusal:
            return type(refusal.__cause__).__name__
        return "done"

    with acting_for([acme.org_id]):
        outcomes = await asyncio.gather(change(*labels), change(*reversed(labels)))

    assert sorted(outcomes) == ["DeadlockDetectedError", "done"]


async def test_no_free_connection_is_unavailable(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    with acting_for([acme.org_id]):
        held = [await app_pool().acquire() for _ in range(app_pool().max_size)]
        # Not before: opening one may take longer.
        monkeypatch.setattr(connections, "ACQUIRE_TIMEOUT_S", 0.05)
        try:
            async with telling(Unavailable, TimeoutError):
                await fetch_value(ONE)
            async with telling(Unavailable, TimeoutError), tx():
                pass
        finally:
            for connection in held:
                app_pool().give(connection)

        assert await fetch_value(ONE) == 1


def renew() -> None:
    """Let what comes next open a connection of its own."""
    for connection in app_pool()._idle:
        connection.terminate()


async def test_a_server_without_room_is_unavailable(acme: Tenant, settings: Settings) -> None:
    role = role_names(address_of(settings)["database"])[0]
    await execute(f'ALTER ROLE "{role}" CONNECTION LIMIT 0')
    renew()
    try:
        with acting_for([acme.org_id]):
            async with telling(Unavailable, asyncpg.TooManyConnectionsError):
                await fetch_value(ONE)
    finally:
        await execute(f'ALTER ROLE "{role}" CONNECTION LIMIT -1')

    with acting_for([acme.org_id]):
        assert await fetch_value(ONE) == 1


@pytest.mark.parametrize("by", ["fetch", "tortoise", "commit"])
async def test_a_connection_that_breaks_is_unavailable_and_the_next_one_works(acme: Tenant, by: str) -> None:
    label_id = await label_of(acme)

    async def change_over_a_broken_connection() -> None:
        async with tx():
            await execute("SELECT pg_terminate_backend($1, 2000)", await fetch_value(sql("SELECT pg_backend_pid()")))
            if by == "fetch":
                await fetch_value(ONE)
            elif by == "tortoise":
                await rename(label_id)

    with acting_for([acme.org_id]):
        with pytest.raises(Unavailable):
            await change_over_a_broken_connection()

        async with tx():
            await rename(label_id)


async def test_a_server_that_never_answers_is_unavailable(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    with acting_for([acme.org_id]):
        with monkeypatch.context() as patched:
            patched.setitem(app_pool()._opening, "command_timeout", 0.1)
            renew()
            async with telling(Unavailable, TimeoutError):
                await fetch_value(sql("SELECT pg_sleep(10)"))
        renew()

        assert await fetch_value(ONE) == 1


async def test_a_faulty_statement_stays_a_fault_of_ours(acme: Tenant) -> None:
    with capture_logs() as logged, acting_for([acme.org_id]):
        with pytest.raises(asyncpg.PostgresSyntaxError):
            await fetch_value(sql("SELEKT 1"))
        with pytest.raises(asyncpg.UndefinedColumnError):
            async with tx():
                await fetch_value(sql("SELECT nothing FROM label"))
        with pytest.raises(FileNotFoundError):
            async with tx():
                raise FileNotFoundError
        with pytest.raises(TimeoutError):
            async with tx(), asyncio.timeout(0.01):
                await asyncio.sleep(1)

    assert logged == []


async def test_what_is_cut_off_ends_soon_also_when_the_server_has_stopped(acme: Tenant) -> None:
    (found,) = await rows("SELECT pg_backend_pid() AS pid")
    server = psutil.Process(found["pid"]).parent()
    assert server is not None
    loop = asyncio.get_running_loop()

    async def read() -> None:
        with acting_for([acme.org_id]):
            await fetch_value(ONE)

    async def change() -> None:
        with acting_for([acme.org_id]):
            async with tx():
                await fetch_value(ONE)

    for work in (migrate.current, read, change):
        stopped = [server, *server.children()]
        for process in stopped:
            process.suspend()
        begun = loop.time()
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await work()
            took_s = loop.time() - begun
        finally:
            for process in reversed(stopped):
                process.resume()
        assert took_s < SOON_S
        await work()


async def test_nobody_keeps_a_connection_and_waits_for_another(acme: Tenant) -> None:
    many = app_pool().max_size
    all_keep_one = asyncio.Barrier(many)

    async def operation() -> Any:
        with acting_for([acme.org_id]), database.one_connection():
            await fetch_value(ONE)
            await all_keep_one.wait()
            return await asyncio.gather(*(fetch_value(sql(f"SELECT {n}")) for n in range(3)))

    async with asyncio.timeout(connections.ACQUIRE_TIMEOUT_S / 2):
        told = await asyncio.gather(*(operation() for _ in range(many)))

    assert told == [[0, 1, 2]] * many
