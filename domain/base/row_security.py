"""Roles, grants and the tenant policy of every table: the second layer of tenancy, below the predicates of the reads.

A function that runs as another role passes the policies, so it keeps to the caller's organizations itself.

Every `planwire migrate` compares what the database holds with what is wanted, and puts right what differs, each table
in a transaction of its own. A new table cannot be forgotten: one with `org_id` gets the policy, any other must stand in
GLOBAL_TABLES. Where nothing differs no lock is taken that a running statement would feel.
"""

from collections.abc import Iterable
from typing import Any

from domain.base.database_address import address_of, role_names, role_password
from domain.base.settings import Settings

# The tables that belong to no organization, and what the application role may do there. Digests are left out.
GLOBAL_TABLES: dict[str, tuple[str, ...]] = {
    "users": ("SELECT", "UPDATE"),
    "credential": (),
    "preferences": ("SELECT", "UPDATE"),
    "session": ("SELECT (id, user_id, user_agent, created_at, last_used_at, expires_at)", "DELETE"),
    "account_token": (
        "SELECT (id, user_id, purpose, generation, email, entry_id, expires_at, created_at, updated_at)",
        "INSERT",
        "UPDATE",
        "DELETE",
    ),
    "security_entry": ("SELECT", "INSERT"),
    "inbox": ("SELECT", "INSERT", "UPDATE"),
    # What identifies a row stays as it is.
    "idempotency": (
        "SELECT",
        "INSERT",
        "UPDATE (id, arguments_digest, outcome, lease_until, created_at)",
        "DELETE",
    ),
    # Cron's alone, and what Stripe told.
    "tick": (),
    "stripe_event": (),
    "search_model": ("SELECT",),
    "tortoise_migrations": ("SELECT",),
}

# Tenant tables of which the application role may do less than everything. The log is only ever added to.
NARROWER: dict[str, tuple[str, ...]] = {
    "organization": ("SELECT", "INSERT", "UPDATE"),
    "membership": ("SELECT", "INSERT", "UPDATE"),
    "subscription": ("SELECT", "INSERT", "UPDATE"),
    "api_key": (
        "SELECT (id, org_id, user_id, name, prefix, permissions, created_at, updated_at, last_used_at, expires_at, "
        "revoked_at)",
        "INSERT",
        "UPDATE",
    ),
    "invitation": (
        "SELECT (id, org_id, email, role, status, invited_by_id, generation, expires_at, responded_at, created_at, "
        "updated_at)",
        "INSERT",
        "UPDATE",
    ),
    "event": ("SELECT", "INSERT"),
    "event_values": ("SELECT", "INSERT"),
    "event_counter": ("SELECT", "INSERT", "UPDATE"),
    "relay_position": (),
    # A job makes what follows from it, and tells what became of it; the relay makes all else.
    "delivery": ("SELECT", "INSERT", "UPDATE (state, attempts, available_at, queue_at, claim, last_error, ended_at)"),
    "organization_metrics": ("SELECT",),
}
# Functions that run as the system role, which the application role may call.
AS_SYSTEM = ("search_words",)
# Functions that run as the owner, which the system role may call.
AS_OWNER = ("search_register",)
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
    app, system = role_names(address_of(settings)["database"])
    await owner.execute(_TENANT_FUNCTION)
    await owner.execute(f"GRANT USAGE ON SCHEMA public TO {_quoted(app)}, {_quoted(system)}")
    policies = {column: await _wanted_policies(owner, column, app, system) for column in ("id", "org_id")}
    for table, has_org in await owner.fetch(
        "SELECT c.relname, EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'org_id') "
        "FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
    ):
        is_tenants = has_org or table == "organization"
        if not is_tenants and table not in GLOBAL_TABLES:
            raise RuntimeError(f"table {table} has no org_id and is not in GLOBAL_TABLES")
        granted = NARROWER.get(table, _EVERYTHING) if is_tenants else GLOBAL_TABLES[table]
        async with owner.transaction():
            if is_tenants:
                await _isolate(owner, table, policies[tenant_column(table)])
            await _grant(owner, table, app, granted)
            await _grant(owner, table, system, _EVERYTHING)
            # What everybody may, the application role may as well.
            await _grant(owner, table, None, ())
    for function in AS_OWNER:
        await _let_call(owner, function, system)
    for function in AS_SYSTEM:
        await _hand_over(owner, function, app, system)


async def _hand_over(owner: Any, function: str, app: str, system: str) -> None:
    """Give the function to the system role, and let the application role call it."""
    if await _callers(owner, function) == (system, {system, app}):
        return
    async with owner.transaction():
        # What Postgres asks of an owner who is no superuser; both are taken back.
        await owner.execute(f"GRANT {_quoted(system)} TO CURRENT_USER WITH SET TRUE")
        await owner.execute(f"GRANT CREATE ON SCHEMA public TO {_quoted(system)}")
        await _let_call(owner, function, app)
        await owner.execute(f"ALTER FUNCTION public.{_quoted(function)} OWNER TO {_quoted(system)}")
        await owner.execute(f"REVOKE CREATE ON SCHEMA public FROM {_quoted(system)}")
        await owner.execute(f"REVOKE {_quoted(system)} FROM CURRENT_USER")


async def _let_call(owner: Any, function: str, role: str) -> None:
    """Let the role call the function, and nobody else but its owner."""
    name = f"public.{_quoted(function)}"
    its_owner, callers = await _callers(owner, function)
    for caller in callers - {its_owner, role}:
        await owner.execute(f"REVOKE ALL ON FUNCTION {name} FROM {_quoted(caller)}")
    if role not in callers:
        await owner.execute(f"GRANT EXECUTE ON FUNCTION {name} TO {_quoted(role)}")


async def _callers(owner: Any, function: str) -> tuple[str, set[str]]:
    """The function's owner, and who may call it: names of roles, and `public` for everybody."""
    its_owner, callers = await owner.fetchrow(
        "SELECT pg_get_userbyid(proowner)::text, ARRAY(SELECT coalesce(rolname::text, 'public') "
        "FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) LEFT JOIN pg_roles ON pg_roles.oid = grantee) "
        "FROM pg_proc WHERE oid = $1::text::regproc",
        f"public.{_quoted(function)}",
    )
    return its_owner, set(callers)


def _rules(column: str, app: str, system: str) -> dict[str, str]:
    """The policies of a tenant table by name, as CREATE POLICY takes them."""
    # The cast keeps the sub-select from being read as a set of rows; as a sub-select it runs once a statement.
    mine = f"{column} = ANY ((SELECT app_org_ids())::uuid[])"
    return {
        "tenant": f"TO {_quoted(app)} USING ({mine}) WITH CHECK ({mine})",
        "system": f"TO {_quoted(system)} USING (true) WITH CHECK (true)",
    }


async def _wanted_policies(owner: Any, column: str, app: str, system: str) -> dict[str, tuple[str, Any]]:
    """Policy -> its rule and what Postgres makes of it: it keeps rules in words of its own, so it is asked for them."""
    rules = _rules(column, app, system)
    async with owner.transaction():
        await owner.execute(f"CREATE TEMPORARY TABLE policy_scratch ({column} uuid) ON COMMIT DROP")
        for policy, rule in rules.items():
            await owner.execute(f"CREATE POLICY {policy} ON pg_temp.policy_scratch {rule}")
        made = await _policies(owner, "pg_temp.policy_scratch")
    return {policy: (rule, made[policy]) for policy, rule in rules.items()}


async def _policies(owner: Any, table: str) -> dict[str, Any]:
    """Policy -> all that it is, for a table named with its schema."""
    found = await owner.fetch(
        "SELECT polname, polpermissive, polcmd, polroles, pg_get_expr(polqual, polrelid) AS reads, "
        "pg_get_expr(polwithcheck, polrelid) AS writes FROM pg_policy WHERE polrelid = $1::text::regclass",
        table,
    )
    return {row["polname"]: row for row in found}


async def _isolate(owner: Any, table: str, wanted: dict[str, tuple[str, Any]]) -> None:
    name = f"public.{_quoted(table)}"
    enabled, forced = await owner.fetchrow(
        "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = $1::text::regclass", name
    )
    if not enabled:
        await owner.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    if not forced:
        await owner.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
    standing = await _policies(owner, name)
    right = {policy for policy, (_, made) in wanted.items() if standing.get(policy) == made}
    for policy in standing.keys() - right:
        await owner.execute(f"DROP POLICY {_quoted(policy)} ON {name}")
    for policy in wanted.keys() - right:
        await owner.execute(f"CREATE POLICY {policy} ON {name} {wanted[policy][0]}")


async def _grant(owner: Any, table: str, role: str | None, granted: Iterable[str]) -> None:
    """Let the role do on the table what is granted and nothing else. None stands for everybody."""
    name, grantee = f"public.{_quoted(table)}", "PUBLIC" if role is None else _quoted(role)
    # A right that may be passed on is another one, written with a star as Postgres does.
    standing = await owner.fetch(
        "SELECT privilege_type || CASE WHEN is_grantable THEN '*' ELSE '' END, column_name "
        "FROM (SELECT NULL AS column_name, relacl AS acl FROM pg_class WHERE oid = $1::text::regclass "
        "UNION ALL SELECT attname::text, attacl FROM pg_attribute "
        "WHERE attrelid = $1::text::regclass AND NOT attisdropped) held, aclexplode(acl) "
        "WHERE grantee = coalesce((SELECT oid FROM pg_roles WHERE rolname = $2), 0)",
        name,
        role,
    )
    if {tuple(row) for row in standing} == _rights(granted):
        return
    await owner.execute(f"REVOKE ALL ON {name} FROM {grantee}")
    for privilege in granted:
        await owner.execute(f"GRANT {privilege} ON {name} TO {grantee}")


def _rights(granted: Iterable[str]) -> set[tuple[str, str | None]]:
    """(privilege, column) of each, without a column where it is the whole table's."""
    found: set[tuple[str, str | None]] = set()
    for text in granted:
        privilege, _, columns = text.partition(" ")
        found |= {(privilege, column) for column in columns.strip("()").split(", ")} if columns else {(privilege, None)}
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
