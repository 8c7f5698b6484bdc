"""The tables asked directly, as the application role with a tenant set: what the policies alone keep apart."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson

from domain.base.clock import new_id
from domain.base.connection import Connection
from domain.base.database import acting_for, app_pool
from domain.base.row_security import tenant_column
from tests.isolation.ledger import own_columns
from tests.isolation.sweep import Tenants


class _Undone(Exception):
    """Ends a transaction whose changes nobody wants."""


@asynccontextmanager
async def _trying(tenants: Tenants) -> AsyncIterator[Connection]:
    """A connection as `mine`, on which nothing that is done stays."""
    with acting_for([tenants.mine.tenant.org_id]):
        async with app_pool().lent() as connection:
            try:
                async with connection.transaction():
                    yield connection
                    raise _Undone
            except _Undone:
                return


async def table_leaks(tenants: Tenants, tables: list[str]) -> list[str]:
    """What `mine` can read, change, delete and add of rows of `theirs` in these tables."""
    return [f"{table}: {leak}" for table in tables for leak in await _leaks(tenants, table)]


async def _leaks(tenants: Tenants, table: str) -> list[str]:
    mine, theirs, column = tenants.mine.tenant.org_id, tenants.theirs.tenant.org_id, tenant_column(table)
    rows = orjson.loads(tenants.ledger.kept[theirs, table])
    if not rows:
        return ["the worlds have no row: make one in world.py"]
    found = []
    if await _touched(tenants, f"SELECT 1 FROM {table} WHERE {column} = $1", theirs):
        found.append("shows another tenant's rows")
    if await _touched(tenants, f"UPDATE {table} SET {column} = {column} WHERE {column} = $1", theirs):
        found.append("lets another tenant's rows be changed")
    if await _touched(tenants, f"DELETE FROM {table} WHERE {column} = $1", theirs):
        found.append("lets another tenant's rows be deleted")
    if await _touched(tenants, f"UPDATE {table} SET {column} = $2 WHERE {column} = $1", mine, theirs):
        found.append("lets rows be given to another tenant")
    # A key of its own, so that nothing but the policy can be in the way.
    stranger = rows[0] | ({"id": str(new_id())} if "id" in rows[0] and column != "id" else {})
    columns = await own_columns(tenants.ledger.owner, table)
    statement = f"INSERT INTO {table} ({columns}) SELECT {columns} FROM jsonb_populate_record(NULL::{table}, $1::jsonb)"
    if await _touched(tenants, statement, orjson.dumps(stranger).decode()):
        found.append("lets rows be added for another tenant")
    return found


async def _touched(tenants: Tenants, statement: str, *values: Any) -> bool:
    """Whether the statement reached any row, or was stopped by something else than the policy or a missing grant."""
    try:
        async with _trying(tenants) as connection:
            status = await connection.execute(statement, *values)
    except asyncpg.InsufficientPrivilegeError:
        return False
    except asyncpg.IntegrityConstraintViolationError:
        return True
    return int(status.rsplit(" ", 1)[-1]) > 0
