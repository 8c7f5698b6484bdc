"""Snapshots: one moment however long they last, no writing, and rows a few at a time."""

import asyncpg
import pytest

from domain.base.database import NoTenant, acting_for, execute, fetch_value, tx
from domain.base.snapshots import in_steps, snapshot
from domain.base.sql import Row, sql
from domain.labels import service as labels
from tests.factories import Tenant, rows

LABELS = sql("SELECT name FROM label ORDER BY name")
COUNTED = sql("SELECT count(*) FROM label")


async def _label(tenant: Tenant, *names: str) -> None:
    async with tenant.admin.acting() as actor:
        for name in names:
            await labels.create(actor, tenant.org_id, name=name, color="#aabbcc")


async def test_what_is_committed_meanwhile_does_not_show(acme: Tenant) -> None:
    await _label(acme, "before")

    with acting_for([acme.org_id]):
        async with snapshot():
            first = await fetch_value(COUNTED)
            await rows("UPDATE label SET name = 'after' WHERE org_id = $1", acme.org_id)
            second = await fetch_value(LABELS)
        third = await fetch_value(LABELS)

    assert (first, second, third) == (1, "before", "after")


async def test_nothing_can_be_written_in_it(acme: Tenant) -> None:
    await _label(acme, "kept")

    with acting_for([acme.org_id]), pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with snapshot():
            await execute(sql("UPDATE label SET name = 'changed'"))

    assert [row["name"] for row in await rows("SELECT name FROM label WHERE org_id = $1", acme.org_id)] == ["kept"]


async def test_the_next_transaction_of_its_connection_writes_again(acme: Tenant) -> None:
    with acting_for([acme.org_id]):
        async with snapshot():
            await fetch_value(COUNTED)
        async with tx():
            level = await fetch_value(sql("SELECT current_setting('transaction_isolation')"))
            is_read_only = await fetch_value(sql("SELECT current_setting('transaction_read_only')"))

    assert (level, is_read_only) == ("read committed", "off")


async def test_it_shows_the_rows_of_its_tenants_alone(acme: Tenant, globex: Tenant) -> None:
    await _label(acme, "mine")
    await _label(globex, "theirs")

    with acting_for([acme.org_id]):
        async with snapshot():
            found = [row.name async for some in in_steps(LABELS, Row, most=10) for row in some]

    assert found == ["mine"]
    with pytest.raises(NoTenant):
        async with snapshot():
            pass


async def test_rows_come_a_few_at_a_time_and_all_of_them(acme: Tenant) -> None:
    await _label(acme, *"abcdefg")
    numbered = sql("SELECT name FROM label WHERE name > {} ORDER BY name", "a")

    with acting_for([acme.org_id]):
        async with snapshot():
            steps = [[row.name for row in some] async for some in in_steps(numbered, Row, most=3)]

    assert steps == [["b", "c", "d"], ["e", "f", "g"]]


async def test_it_is_no_part_of_another_transaction(acme: Tenant) -> None:
    with acting_for([acme.org_id]):
        async with tx():
            with pytest.raises(RuntimeError, match="inside a transaction"):
                async with snapshot():
                    pass
