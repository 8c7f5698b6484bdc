"""Roles, grants and the tenant policy of every table: the second layer of tenancy, below the predicates of the reads.

It is put in place by every `planwire migrate` from what the database holds, so a new table cannot be forgotten: one
with `org_id` gets the policy, any other must stand in GLOBAL_TABLES.
"""

from typing import Any

from domain.base.database import address_of, role_names, role_password
from domain.base.settings import Settings

# The tables that belong to no organization, and what the application role may do there. Digests are left out.
GLOBAL_TABLES: dict[str, tuple[str, ...]] = {
    "users": ("SELECT", "UPDATE"),
    "credential": (),
    "preferences": ("SELECT", "UPDATE"),
    "session": ("SELECT (id, user_id, user_agent, created_at, last_used_at, expires_at)", "DELETE"),
    "tortoise_migrations": ("SELECT",),
}

# Tenant tables of which the application role may do less than everything. The log is only ever added to.
NARROWER: dict[str, tuple[str, ...]] = {
    "organization": ("SELECT", "INSERT", "UPDATE"),
    "membership": ("SELECT", "INSERT", "UPDATE"),
    "subscription": ("SELECT", "INSERT"),
    "api_key": (
        "SELECT (id, org_id, user_id, name, prefix, permissions, created_at, updated_at, last_used_at, expires_at, "
        "revoked_at)",
        "INSERT",
        "UPDATE",
    ),
    "event": ("SELECT", "INSERT"),
    "event_values": ("SELECT", "INSERT"),
    "event_counter": ("SELECT", "INSERT", "UPDATE"),
}
_EVERYTHING = ("SELECT", "INSERT", "UPDATE", "DELETE")

_TENANT_FUNCTION = """
CREATE OR REPLACE FUNCTION app_org_ids() RETURNS uuid[] LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT current_setting('app.org_ids')::uuid[] $$
"""


def tenant_column(table: str) -> str:
    """The column that says whose row it is."""
    return "id" if table == "organization" else "org_id"


async def make_roles(owner: Any, settings: Settings) -> None:
    """Create the two roles, or bring their passwords up to date. `owner` is a connection that may create roles."""
    for role in role_names(address_of(settings)["database"]):
        name, password = _quoted(role), role_password(settings, role)
        if not await owner.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
            await owner.execute(f"CREATE ROLE {name} LOGIN")
        await owner.execute(f"ALTER ROLE {name} LOGIN PASSWORD '{password}'")


async def secure(owner: Any, settings: Settings) -> None:
    """Grants and policies for every table. Raises RuntimeError for a table that is neither a tenant's nor listed."""
    app, system = (_quoted(role) for role in role_names(address_of(settings)["database"]))
    await owner.execute(_TENANT_FUNCTION)
    await owner.execute(f"GRANT USAGE ON SCHEMA public TO {app}, {system}")
    await owner.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {system}")
    await owner.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {app}")
    for table, has_org in await owner.fetch(
        "SELECT c.relname, EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'org_id') "
        "FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
    ):
        if has_org or table == "organization":
            await _isolate(owner, table, app, system)
            granted = NARROWER.get(table, _EVERYTHING)
        elif table in GLOBAL_TABLES:
            granted = GLOBAL_TABLES[table]
        else:
            raise RuntimeError(f"table {table} has no org_id and is not in GLOBAL_TABLES")
        for privilege in granted:
            await owner.execute(f"GRANT {privilege} ON {_quoted(table)} TO {app}")


async def _isolate(owner: Any, table: str, app: str, system: str) -> None:
    name = _quoted(table)
    await owner.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    await owner.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
    # The cast keeps the sub-select from being read as a set of rows; as a sub-select it runs once a statement.
    mine = f"{tenant_column(table)} = ANY ((SELECT app_org_ids())::uuid[])"
    policies = {
        "tenant": f"TO {app} USING ({mine}) WITH CHECK ({mine})",
        "system": f"TO {system} USING (true) WITH CHECK (true)",
    }
    present = {
        row["policyname"] for row in await owner.fetch("SELECT policyname FROM pg_policies WHERE tablename = $1", table)
    }
    for policy, rule in policies.items():
        if policy not in present:
            await owner.execute(f"CREATE POLICY {policy} ON {name} {rule}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
