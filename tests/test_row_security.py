"""Laws over the database: every table is a tenant's or listed, and the application role can get round nothing."""

import asyncpg
import pytest

from domain.base import database
from domain.base.clock import new_id
from domain.base.database import NoTenant, acting_for, address_of, role_names, role_password
from domain.base.row_security import GLOBAL_TABLES
from domain.base.settings import Settings
from domain.base.sql import Row, sql
from tests.factories import Tenant, rows

DIGESTS = {("credential", "password_digest"), ("session", "token_digest"), ("api_key", "secret_digest")}


async def test_every_table_has_forced_row_security_or_is_on_the_list(settings: Settings) -> None:
    found = await rows(
        "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity AS forced, "
        "(SELECT array_agg(p.policyname::text ORDER BY p.policyname) FROM pg_policies p WHERE p.tablename = c.relname) "
        "AS policies FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
    )
    tenants = [row for row in found if row["relname"] not in GLOBAL_TABLES]

    assert len(tenants) > 15
    assert {row["relname"] for row in found} >= set(GLOBAL_TABLES)
    assert [row for row in tenants if not row["forced"] or row["policies"] != ["system", "tenant"]] == []


async def test_every_foreign_key_between_tenant_tables_carries_the_organization(settings: Settings) -> None:
    found = await rows(
        "SELECT conrelid::regclass::text AS source, confrelid::regclass::text AS target, conname, "
        "(SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = conrelid AND attnum = ANY(conkey)) "
        "AS columns FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace"
    )
    between = [row for row in found if not {row["source"], row["target"]} & set(GLOBAL_TABLES)]

    assert len(between) > 15
    assert [row["conname"] for row in between if "org_id" not in row["columns"]] == []


async def test_the_application_role_owns_nothing_and_cannot_bypass(settings: Settings) -> None:
    role, _ = role_names(address_of(settings)["database"])
    (found,) = await rows(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolcanlogin, "
        "(SELECT count(*) FROM pg_class WHERE relowner = r.oid) AS owned, "
        "(SELECT count(*) FROM pg_auth_members WHERE member = r.oid) AS memberships FROM pg_roles r WHERE rolname = $1",
        role,
    )

    assert found == {
        "rolsuper": False,
        "rolbypassrls": False,
        "rolcreaterole": False,
        "rolcreatedb": False,
        "rolcanlogin": True,
        "owned": 0,
        "memberships": 0,
    }


@pytest.mark.parametrize(("table", "column"), sorted(DIGESTS))
async def test_the_application_role_reads_no_digest(acme: Tenant, table: str, column: str) -> None:
    with acting_for([acme.org_id]), pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.fetch(sql(f"SELECT {column} FROM {table}"), Row)


@pytest.mark.parametrize("statement", ["SET ROLE planwire_system", "SET SESSION AUTHORIZATION postgres"])
async def test_the_application_role_cannot_become_another(acme: Tenant, statement: str) -> None:
    with acting_for([acme.org_id]), pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.fetch(sql(statement), Row)


async def test_switching_row_security_off_is_an_error_and_shows_nothing(settings: Settings, acme: Tenant) -> None:
    address = address_of(settings)
    role, _ = role_names(address["database"])
    connection = await asyncpg.connect(**address, user=role, password=role_password(settings, role))
    try:
        await connection.execute("SET row_security = off")
        await connection.execute(f"SET app.org_ids = '{{{acme.org_id}}}'")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT * FROM organization")
    finally:
        await connection.close()


async def test_a_statement_without_a_tenant_is_refused(settings: Settings) -> None:
    with pytest.raises(NoTenant):
        await database.fetch(sql("SELECT 1 FROM organization"), Row)


async def test_an_empty_tenant_set_is_somebody_in_no_organization(acme: Tenant) -> None:
    with acting_for([]):
        assert await database.fetch(sql("SELECT id FROM organization"), Row) == []


async def test_a_row_cannot_be_written_into_another_organization(acme: Tenant, globex: Tenant) -> None:
    statement = sql(
        "INSERT INTO label (id, org_id, name, color, created_at, updated_at) "
        "VALUES ({}, {}, 'x', '#000000', now(), now())",
        new_id(),
        globex.org_id,
    )

    with acting_for([acme.org_id]), pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await database.fetch(statement, Row)

    assert await rows("SELECT 1 FROM label WHERE org_id = $1", globex.org_id) == []


async def test_the_log_is_only_ever_added_to(acme: Tenant) -> None:
    with acting_for([acme.org_id]):
        for statement in ("UPDATE event SET type = 'x'", "DELETE FROM event", "TRUNCATE event"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await database.fetch(sql(statement), Row)
