"""The pool of the application's connections: what they carry is always what their user acts for, and none gets lost."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from domain.base import database
from domain.base.clock import new_id
from domain.base.connection import Connection, TenantSet
from domain.base.connections import Pool
from domain.base.database import acting_for, app_pool, fetch_value, run, savepoint, tenant_changed, tx
from domain.base.database_address import address_of, role_names
from domain.base.errors import Unavailable
from domain.base.settings import Settings
from domain.base.sql import Row, sql
from tests.factories import execute, rows
from tests.test_cancel import unseen_failures

CARRIED = "SELECT current_setting('app.org_ids') AS carried"
ROUNDS = 12
AT_ONCE = 40


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    """A pool of four, for which all have to compete."""
    await database.disconnect()
    await database.connect(replace(settings, database_pool_size=5))
    assert app_pool().max_size == 4
    yield app_pool()
    await database.disconnect()
    await database.connect(settings)


@pytest.fixture
def role(settings: Settings) -> str:
    """The application's role."""
    return role_names(address_of(settings)["database"])[0]


def carried_by(org_ids: Iterable[UUID]) -> str:
    """How the set looks on a connection."""
    return "{" + ",".join(org_id.hex for org_id in org_ids) + "}"


async def carried() -> str:
    """What the connection of the next statement carries."""
    (row,) = await run(CARRIED, (), Row)
    return str(row["carried"])


class Boom(Exception):
    """A failure in the middle of something."""


@dataclass
class Chaos:
    """Users of the pool that do anything, and what they saw of others' tenants."""

    chance: random.Random
    role: str
    wrong: list[tuple[str, str]] = field(default_factory=list)
    seen: int = 0

    async def look(self, org_ids: Iterable[UUID]) -> None:
        """Compare."""
        found = await carried()
        self.seen += 1
        if found != carried_by(org_ids):
            self.wrong.append((found, carried_by(org_ids)))

    async def use(self, known: list[UUID]) -> None:
        """One user with a set of its own, which may grow on the way."""
        org_ids: dict[UUID, None] = dict.fromkeys(self.chance.sample(known, self.chance.choice([0, 1, 1, 1, 2])))
        act = self.chance.choice([self.read, self.read, self.change, self.join, self.fail, self.sleep, self.kill])
        with acting_for(org_ids), suppress(Boom, Unavailable, asyncpg.DivisionByZeroError):
            await act(org_ids)
            await self.look(org_ids)

    async def read(self, org_ids: dict[UUID, None]) -> None:
        await self.look(org_ids)

    async def change(self, org_ids: dict[UUID, None]) -> None:
        async with tx():
            await self.look(org_ids)
            if self.chance.random() < 0.5:
                raise Boom

    async def join(self, org_ids: dict[UUID, None]) -> None:
        async with tx():
            before = dict(org_ids)
            with suppress(Boom):
                async with savepoint():
                    org_ids[new_id()] = None
                    await tenant_changed()
                    await self.look(org_ids)
                    if self.chance.random() < 0.5:
                        org_ids.clear()
                        org_ids.update(before)
                        raise Boom
            await self.look(org_ids)
            if self.chance.random() < 0.3:
                raise Boom

    async def fail(self, org_ids: dict[UUID, None]) -> None:
        if self.chance.random() < 0.5:
            await run("SELECT 1 / 0", (), Row)
        async with tx():
            await run("SELECT 1 / 0", (), Row)

    async def sleep(self, org_ids: dict[UUID, None]) -> None:
        async with asyncio.timeout(None if self.chance.random() < 0.5 else 0.005):
            await run("SELECT pg_sleep(0.01)", (), Row)

    async def kill(self, org_ids: dict[UUID, None]) -> None:
        await execute(
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE usename = $1 "
            "ORDER BY random() LIMIT 1) AS victim",
            self.role,
        )


async def prove_whole(pool: Pool, role: str) -> None:
    """Nobody holds or awaits a connection, all can be had, and the server has no others."""
    async with AsyncExitStack() as stack:
        with acting_for([]):
            for _ in range(pool.max_size):
                async with asyncio.timeout(10):
                    connection = await stack.enter_async_context(pool.lent())
                assert not connection.is_in_transaction()
                assert await connection.fetchval(CARRIED) == "{}"
    assert (pool.idle_size, pool.size, len(pool._lent)) == (pool.max_size, pool.max_size, 0)
    await until(lambda: _is_alone(pool, role))


async def _is_alone(pool: Pool, role: str) -> bool:
    return len(await rows("SELECT pid FROM pg_stat_activity WHERE usename = $1", role)) == pool.max_size


async def is_sleeping(role: str) -> bool:
    """Whether a statement of the role sleeps on the server."""
    return bool(await rows("SELECT pid FROM pg_stat_activity WHERE usename = $1 AND wait_event = 'PgSleep'", role))


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what the server does in its own time."""
    async with asyncio.timeout(10):
        for pause_s in itertools.repeat(0.01):
            if await holds():
                return
            await asyncio.sleep(pause_s)


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_each_sees_the_set_it_acts_for(pool: Pool, role: str, seed: int) -> None:
    chaos = Chaos(random.Random(seed), role)  # noqa: S311  # chooses moments, not secrets
    known = [new_id() for _ in range(5)]
    loop = asyncio.get_running_loop()

    with unseen_failures() as failures:
        for _ in range(ROUNDS):
            users = [asyncio.create_task(chaos.use(known)) for _ in range(AT_ONCE)]
            for user in users:
                if chaos.chance.random() < 0.4:
                    loop.call_later(chaos.chance.uniform(0, 0.03), user.cancel)
            for outcome in await asyncio.gather(*users, return_exceptions=True):
                assert outcome is None or isinstance(outcome, asyncio.CancelledError | TimeoutError), repr(outcome)
        await prove_whole(pool, role)

    assert (chaos.wrong, failures) == ([], [])
    assert chaos.seen > ROUNDS * AT_ONCE / 4


async def settings_sent(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that tell a connection its set, from now on."""
    sent: list[str] = []
    really = Connection.execute

    async def note(self: Connection, query: str, *args: Any, **kwargs: Any) -> str:
        sent.append(query.partition("=")[0])
        return await really(self, query, *args, **kwargs)

    tell = Connection.tell

    def note_set(self: Connection, wanted: TenantSet) -> None:
        sent.append("beside a statement")
        tell(self, wanted)

    monkeypatch.setattr(Connection, "execute", note)
    monkeypatch.setattr(Connection, "tell", note_set)
    return sent


async def test_a_set_is_sent_only_to_a_connection_that_does_not_carry_it(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = new_id(), new_id()
    sent = await settings_sent(pool, monkeypatch)

    for org_id in (one, one, two, two):
        with acting_for([org_id]):
            assert await carried() == carried_by([org_id])
    first = list(sent)
    sent.clear()
    with acting_for([two]):
        async with tx():
            pass
    with acting_for([one]):
        async with tx():
            assert await carried() == carried_by([one])
        assert await carried() == carried_by([one])

    assert first == ["beside a statement"] * 2
    assert sent == ["BEGIN", "COMMIT", "BEGIN; SET app.org_ids ", "COMMIT"]


async def test_a_rolled_back_transaction_takes_its_set_along(pool: Pool) -> None:
    one, two = new_id(), new_id()
    with acting_for([one]):
        assert await carried() == carried_by([one])

    with acting_for([two]):
        with pytest.raises(Boom):
            async with tx():
                raise Boom
        assert await carried() == carried_by([two])


async def test_a_live_set_is_compared_when_the_connection_is_there(pool: Pool) -> None:
    one, two = new_id(), new_id()
    live = {one: None}
    async with AsyncExitStack() as stack:
        with acting_for([one]):
            held = [await stack.enter_async_context(pool.lent()) for _ in range(pool.max_size)]
        assert len(held) == pool.max_size
        with acting_for(live):
            reading = asyncio.create_task(carried())
        await asyncio.sleep(0)
        live[two] = None

    assert await reading == carried_by([one, two])


async def test_a_failed_statement_that_was_passed_over_ends_in_an_error(pool: Pool) -> None:
    one = new_id()

    async def pass_over() -> None:
        async with tx():
            with suppress(asyncpg.DivisionByZeroError):
                await run("SELECT 1 / 0", (), Row)

    with acting_for([one]):
        with pytest.raises(RuntimeError, match="nothing was kept"):
            await pass_over()

        assert await carried() == carried_by([one])


async def test_connections_go_to_those_who_wait_in_the_order_of_asking(pool: Pool) -> None:
    order: list[int] = []

    async def take(number: int) -> None:
        async with pool.lent():
            order.append(number)

    with acting_for([]):
        held = [await pool.acquire() for _ in range(pool.max_size)]
        waiting = [asyncio.create_task(take(number)) for number in range(10)]
        await asyncio.sleep(0)
        waiting[3].cancel()
        for connection in held:
            pool.give(connection)
        await asyncio.wait(waiting)

    assert order == [0, 1, 2, 4, 5, 6, 7, 8, 9]


async def test_who_is_cut_off_in_a_statement_does_not_hold_up_the_next(pool: Pool, role: str) -> None:
    with acting_for([]):
        reading = asyncio.create_task(fetch_value(sql("SELECT pg_sleep(10)")))
        await until(lambda: is_sleeping(role))
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        async with asyncio.timeout(2):
            assert await fetch_value(sql("SELECT 1")) == 1


async def test_a_connection_is_given_back_once(pool: Pool) -> None:
    with acting_for([]):
        connection = await pool.acquire()
    pool.give(connection)

    with pytest.raises(KeyError):
        pool.give(connection)


async def test_a_transaction_that_ended_lends_nobody_its_connection(pool: Pool) -> None:
    with acting_for([]):
        async with tx() as opened:
            pass

    with pytest.raises(RuntimeError, match="ended"):
        await opened.execute_query("SELECT 1")
    with pytest.raises(RuntimeError, match="ended"):
        await opened.connection.fetch("SELECT 1")


async def test_a_statement_that_a_migration_outdated_is_prepared_anew(pool: Pool, role: str) -> None:
    await execute("CREATE TABLE changing (a int); INSERT INTO changing VALUES (1)")
    await execute(f'GRANT SELECT ON changing TO "{role}"')
    try:
        with acting_for([]):
            before = await run("SELECT * FROM changing", (), Row)
            await execute("ALTER TABLE changing ADD COLUMN b text DEFAULT 'new'")
            after = await run("SELECT * FROM changing", (), Row)
    finally:
        await execute("DROP TABLE changing")

    assert [dict(row) for row in (*before, *after)] == [{"a": 1}, {"a": 1, "b": "new"}]


async def test_a_closed_pool_waits_for_those_in_use_and_refuses_others(settings: Settings) -> None:
    await database.disconnect()
    try:
        await database.connect(settings)
        pool = app_pool()
        with acting_for([]):
            connection = await pool.acquire()
            closing = asyncio.create_task(pool.close())
            await asyncio.sleep(0)
            with pytest.raises(Unavailable):
                await fetch_value(sql("SELECT 1"))
            assert await connection.fetchval("SELECT 1") == 1
            pool.give(connection)
            async with asyncio.timeout(2):
                await closing
        assert pool.size == 0
    finally:
        await database.disconnect()
        await database.connect(settings)
