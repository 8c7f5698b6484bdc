"""A connection that one operation keeps: told its tenant set once, given back whatever happens, never used by two."""

import asyncio
from typing import Any

import pytest

from domain.base.clock import new_id
from domain.base.connection import Connection
from domain.base.connections import Pool
from domain.base.database import acting_for, app_pool, fetch_value, one_connection, tx
from domain.base.sql import sql
from tests.factories import Tenant

BACKEND = sql("SELECT pg_backend_pid()")
SET = sql("SELECT current_setting('app.org_ids')")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """The connections that were told a set, in order."""
    found: list[Connection] = []
    prepare: Any = Pool._prepare

    async def note(pool: Pool, connection: Connection, *rest: Any) -> None:
        found.append(connection)
        await prepare(pool, connection, *rest)

    monkeypatch.setattr(Pool, "_prepare", note)
    return found


async def test_its_statements_go_over_one_connection_that_is_told_once(acme: Tenant, told: list[Connection]) -> None:
    with acting_for([new_id()]), one_connection():
        backends = {await fetch_value(BACKEND) for _ in range(3)}
        backends |= set(await asyncio.gather(*(fetch_value(BACKEND) for _ in range(3))))

    assert len(backends) == 1
    assert len(told) == 1
    assert app_pool().idle_size == app_pool().size


async def test_a_set_that_changes_meanwhile_is_told(acme: Tenant) -> None:
    orgs = [acme.org_id]

    with acting_for(orgs), one_connection():
        before = await fetch_value(SET)
        orgs.append(added := new_id())
        after = await fetch_value(SET)

    assert before.replace("-", "") == f"{{{acme.org_id.hex}}}"
    assert added.hex in after.replace("-", "")


async def test_more_operations_than_connections_do_not_wait_for_each_other_without_end(acme: Tenant) -> None:
    async def read() -> None:
        with acting_for([acme.org_id]), one_connection():
            # Together: whoever took a second one while holding the first could starve all others.
            await asyncio.gather(*(fetch_value(BACKEND) for _ in range(3)))
            async with tx():
                await fetch_value(BACKEND)

    async with asyncio.timeout(4):
        await asyncio.gather(*(read() for _ in range(app_pool().max_size * 3)))

    assert app_pool().idle_size == app_pool().size


async def test_one_that_is_cut_off_is_not_kept(acme: Tenant) -> None:
    with acting_for([acme.org_id]), one_connection():
        first = await fetch_value(BACKEND)
        waiting = asyncio.create_task(fetch_value(sql("SELECT pg_sleep(5)")))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        second = await fetch_value(BACKEND)

    assert {type(first), type(second)} == {int}
    await asyncio.gather(*app_pool()._chores)
    assert app_pool().idle_size == app_pool().size


async def test_a_task_that_outlives_the_block_gives_back_what_it_uses(acme: Tenant) -> None:
    with acting_for([acme.org_id]):
        with one_connection():
            await fetch_value(BACKEND)
            late = asyncio.create_task(fetch_value(sql("SELECT 1 FROM pg_sleep(0.1)")))
            await asyncio.sleep(0.02)
        await late

    assert app_pool().idle_size == app_pool().size
