"""A tenant set that goes out in one flight with a statement: never without it, and gone where the statement fails."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest

from domain.base import database
from domain.base.clock import new_id
from domain.base.connections import Pool
from domain.base.database import acting_for, app_pool, fetch_value, run, tx
from domain.base.database_address import address_of, role_names
from domain.base.settings import Settings
from domain.base.sql import Row, sql
from tests.base.test_connections import is_sleeping, until
from tests.factories import execute

CARRIED = "SELECT current_setting('app.org_ids') AS carried"
ECHO = "SELECT $1::int AS number, current_setting('app.org_ids') AS carried"


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    """A pool of one connection, which everybody has to share."""
    await database.disconnect()
    await database.connect(replace(settings, database_pool_size=2))
    assert app_pool().max_size == 1
    yield app_pool()
    await database.disconnect()
    await database.connect(settings)


def carried_by(org_id: UUID) -> str:
    """How a set of one looks on a connection."""
    return f"{{{org_id.hex}}}"


async def carried() -> str:
    """What the connection carries."""
    (row,) = await run(CARRIED, (), Row)
    return str(row["carried"])


async def backend() -> int:
    """Which connection it is."""
    return int(await fetch_value(sql("SELECT pg_backend_pid()")))


async def test_each_statement_runs_under_the_set_of_who_sends_it(pool: Pool) -> None:
    org_ids = [new_id() for _ in range(20)]

    async def look(org_id: UUID) -> tuple[int, str]:
        with acting_for([org_id]):
            (row,) = await run(ECHO, [7], Row)
            return row["number"], row["carried"]

    for _ in range(3):
        found = await asyncio.gather(*(look(org_id) for org_id in org_ids))
        assert found == [(7, carried_by(org_id)) for org_id in org_ids]


async def test_a_statement_that_fails_undoes_the_set_and_the_next_tells_its_own(pool: Pool) -> None:
    one, two, three = new_id(), new_id(), new_id()
    with acting_for([one]):
        assert await carried() == carried_by(one)
        before = await backend()

    with acting_for([two]):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await run("SELECT 1 / $1::int", [0], Row)
        (connection,) = pool._idle
        assert (connection.carries, connection.untold) == (None, None)
        # Sent past the pool, so that nothing is told: the server has gone back to what it had.
        assert (await connection.fetchrow(CARRIED))["carried"] == carried_by(one)  # type: ignore[index]
        assert await carried() == carried_by(two)
        assert await backend() == before
    with acting_for([three]):
        assert await carried() == carried_by(three)


async def test_a_value_that_cannot_be_sent_ends_the_connection_that_was_told(pool: Pool) -> None:
    one, two = new_id(), new_id()
    with acting_for([one]):
        await run(ECHO, [1], Row)
        before = await backend()

    with acting_for([two]), pytest.raises(asyncpg.DataError):
        await run(ECHO, ["no number"], Row)

    with acting_for([one]):
        assert [dict(row) for row in await run(ECHO, [2], Row)] == [{"number": 2, "carried": carried_by(one)}]
        assert await backend() != before


async def test_who_is_cut_off_in_the_flight_leaves_nothing(pool: Pool, settings: Settings) -> None:
    one, two = new_id(), new_id()
    role = role_names(address_of(settings)["database"])[0]
    with acting_for([one]):
        await carried()

    with acting_for([two]):
        cut_off = asyncio.create_task(run("SELECT pg_sleep($1::int)", [10], Row))
        await until(lambda: is_sleeping(role))
        cut_off.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cut_off

    with acting_for([one]):
        assert await carried() == carried_by(one)


async def test_a_statement_that_a_migration_outdated_is_sent_anew_with_its_set(pool: Pool, settings: Settings) -> None:
    one, two = new_id(), new_id()
    await execute("CREATE TABLE outdated (a int); INSERT INTO outdated VALUES (1)")
    await execute(f'GRANT SELECT ON outdated TO "{role_names(address_of(settings)["database"])[0]}"')
    text = "SELECT *, current_setting('app.org_ids') AS carried FROM outdated"
    try:
        with acting_for([one]):
            before = await run(text, (), Row)
        await execute("ALTER TABLE outdated ADD COLUMN b text DEFAULT 'new'")
        with acting_for([two]):
            after = await run(text, (), Row)
            again = await carried()
    finally:
        await execute("DROP TABLE outdated")

    assert [dict(row) for row in before] == [{"a": 1, "carried": carried_by(one)}]
    assert [dict(row) for row in after] == [{"a": 1, "b": "new", "carried": carried_by(two)}]
    assert again == carried_by(two)


async def test_nothing_goes_out_past_the_set(pool: Pool) -> None:
    one, two = new_id(), new_id()
    with acting_for([one]):
        await carried()

    with acting_for([two]):
        connection = await pool.acquire(for_statements=True)
        with pytest.raises(RuntimeError, match="beside statements"):
            await connection.execute("SELECT 1")
        with pytest.raises(RuntimeError, match="beside statements"):
            await connection.prepare("SELECT 1")
        pool.give(connection)
        async with tx():
            assert await carried() == carried_by(two)
