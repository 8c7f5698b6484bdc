"""Laws over the database: every table is a tenant's or listed, and the application role can get round nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import pytest

from domain.base import database
from domain.base.clock import new_id
from domain.base.database import NoTenant, acting_for
from domain.base.database_address import address_of, role_names, role_password
from domain.base.migrate import migrate
from domain.base.row_security import GLOBAL_TABLES
from domain.base.settings import Settings
from domain.base.sql import Row, sql
from tests.factories import Tenant, execute, rows

# Migrating an almost current database; beyond it, it waits for a lock.
MIGRATE_WITHIN_S = 20.0
DIGESTS = {("credential", "password_digest"), ("session", "token_digest"), ("api_key", "secret_digest")}
DIGESTS |= {("account_token", "token_digest"), ("invitation", "token_digest")}


async def test_every_table_has_forced_row_security_or_is_on_the_list(settings: Settings) -> None:
    found = await rows(
        "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity AS forced, "
        "(SELECT array_agg(p.policyname::text ORDER BY p.policyname) FROM pg_policies p "
        "WHERE p.schemaname = 'public' AND p.tablename = c.relname) "
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


async def secured() -> list[dict[str, Any]]:
    """All that the database says about row security, policies, and grants of tables, columns and functions."""
    return [
        *await rows(
            "SELECT relname::text, relrowsecurity, relforcerowsecurity, relacl::text[] FROM pg_class "
            "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1"
        ),
        *await rows(
            "SELECT attrelid::regclass::text, attname::text, attacl::text[] FROM pg_attribute "
            "WHERE attacl IS NOT NULL AND attrelid >= 16384 ORDER BY 1, 2"
        ),
        *await rows("SELECT * FROM pg_policies WHERE schemaname = 'public' ORDER BY tablename, policyname"),
        *await rows(
            "SELECT proname::text, proowner::regrole::text, proacl::text[] FROM pg_proc WHERE proacl IS NOT NULL "
            "AND pronamespace = 'public'::regnamespace ORDER BY 1"
        ),
    ]


async def as_owner(settings: Settings) -> "asyncpg.Connection[Any]":
    """A connection of its own as the owner of the database."""
    user = unquote(urlsplit(settings.database_url or "").username or "postgres")
    connection: asyncpg.Connection[Any] = await asyncpg.connect(**address_of(settings), user=user)
    return connection


async def in_time(migrating: Awaitable[list[str]]) -> list[str]:
    """What was applied. Fails when it waits for somebody's lock."""
    async with asyncio.timeout(MIGRATE_WITHIN_S):
        return await migrating


async def test_migrate_on_a_current_database_waits_for_nobody_and_changes_nothing(settings: Settings) -> None:
    written = "SELECT proname, xmin::text FROM pg_proc WHERE proname LIKE 'search_%' AND proacl IS NOT NULL"
    before, functions = await secured(), await rows(written)
    tables = [
        row["name"] for row in await rows("SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'public'")
    ]
    reader, writer = await as_owner(settings), await as_owner(settings)
    try:
        async with reader.transaction(), writer.transaction():
            for table in tables:
                # What a SELECT and what an UPDATE takes and keeps to the end of its transaction.
                await reader.execute(f"LOCK TABLE {table} IN ACCESS SHARE MODE")
                await writer.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")

            applied = [await in_time(migrate(settings)) for _ in range(2)]
    finally:
        await reader.close()
        await writer.close()

    assert applied == [[], []]
    assert await secured() == before
    assert [row["proname"] for row in functions] != []
    assert await rows(written) == functions


WEAKENINGS: dict[str, Callable[[str], tuple[str, ...]]] = {
    "a policy that shows all": lambda app: ("ALTER POLICY tenant ON label USING (true)",),
    "a policy that takes all": lambda app: ("ALTER POLICY tenant ON task WITH CHECK (true)",),
    "a policy for everybody": lambda app: ("ALTER POLICY system ON project TO PUBLIC",),
    "a policy that only restricts": lambda app: (
        "DROP POLICY system ON label",
        f"CREATE POLICY system ON label AS RESTRICTIVE TO {app} USING (true) WITH CHECK (true)",
    ),
    "a policy for one command": lambda app: (
        "DROP POLICY tenant ON comment",
        f"CREATE POLICY tenant ON comment FOR SELECT TO {app} USING (true)",
    ),
    "a foreign policy": lambda app: (f'CREATE POLICY "let me in" ON organization TO {app} USING (true)',),
    "no policy": lambda app: ("DROP POLICY tenant ON membership",),
    "no row security": lambda app: ("ALTER TABLE task DISABLE ROW LEVEL SECURITY",),
    "row security that the owner passes": lambda app: ("ALTER TABLE task NO FORCE ROW LEVEL SECURITY",),
    "a grant too many": lambda app: (f"GRANT DELETE ON event TO {app}",),
    "a grant to everybody": lambda app: ("GRANT UPDATE ON event TO PUBLIC",),
    "a grant that may be passed on": lambda app: (f"GRANT SELECT ON label TO {app} WITH GRANT OPTION",),
    "a column too many": lambda app: (f"GRANT SELECT (token_digest) ON session TO {app}",),
    "a table instead of columns": lambda app: (f"GRANT SELECT ON api_key TO {app}",),
    "a grant too few": lambda app: (f"REVOKE SELECT ON task FROM {app}",),
    "a function for everybody": lambda app: ("GRANT EXECUTE ON FUNCTION search_words TO PUBLIC",),
    "an owner's function for the application": lambda app: (f"GRANT EXECUTE ON FUNCTION search_register TO {app}",),
    "a function of another role": lambda app: ("ALTER FUNCTION search_words OWNER TO CURRENT_USER",),
}


@pytest.mark.parametrize("weakening", sorted(WEAKENINGS))
async def test_migrate_puts_right(settings: Settings, weakening: str) -> None:
    before = await secured()
    app = f'"{role_names(address_of(settings)["database"])[0]}"'
    for statement in WEAKENINGS[weakening](app):
        await execute(statement)
    weakened = await secured()

    await in_time(migrate(settings))

    assert weakened != before
    assert by_name(await secured()) == by_name(before)


def by_name(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with grants in one order: a renewed one stands behind the others."""
    return [{name: sorted(value) if isinstance(value, list) else value for name, value in row.items()} for row in found]


async def test_policies_of_another_schema_count_for_nothing(settings: Settings) -> None:
    await execute("CREATE SCHEMA elsewhere")
    try:
        await execute("CREATE TABLE elsewhere.label (org_id uuid)")
        await execute("CREATE POLICY tenant ON elsewhere.label USING (true)")
        await execute("DROP POLICY tenant ON public.label")

        await in_time(migrate(settings))

        found = await rows(
            "SELECT qual FROM pg_policies WHERE tablename = 'label' AND policyname = 'tenant' ORDER BY 1"
        )
    finally:
        await execute("DROP SCHEMA elsewhere CASCADE")
    assert [row["qual"] for row in found] == ["(org_id = ANY (( SELECT app_org_ids() AS app_org_ids)::uuid[]))", "true"]
