"""Every row of some tenants as the owner of the database sees it: what changed, and taking it back."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

import asyncpg

from domain.base.database_address import address_of
from domain.base.row_security import GLOBAL_TABLES, tenant_column
from domain.base.settings import Settings

# The tables of people, and the column that names whose row it is. They belong to no organization.
PEOPLE = {
    "users": "id",
    "credential": "user_id",
    "preferences": "user_id",
    "session": "user_id",
    "account_token": "user_id",
    "inbox": "user_id",
}
# When somebody last used what they came with: any request may write it, also one that is refused.
_USES = {"session": "{last_used_at,expires_at}", "api_key": "{last_used_at}"}
_UUID = re.compile("-".join(f"[0-9a-f]{{{length}}}" for length in (8, 4, 4, 4, 12)))

Place = tuple[UUID, str]
"""A tenant and a table."""


@dataclass
class Ledger:
    """All rows of the tenants, their people's too, at the moment of the last `keep`."""

    owner: "asyncpg.Connection[Any]"
    tables: list[str]
    people: dict[UUID, list[UUID]]
    kept: dict[Place, str] = field(default_factory=dict)
    digests: dict[Place, str] = field(default_factory=dict)

    def scope(self, org_id: UUID, table: str) -> str:
        """The condition under which a row of the table is the tenant's."""
        if table in PEOPLE:
            return f"{PEOPLE[table]} IN ({', '.join(repr(str(user_id)) for user_id in self.people[org_id])})"
        return f"{tenant_column(table)} = '{org_id}'"

    @property
    def places(self) -> list[Place]:
        """Every tenant with every table."""
        return [(org_id, table) for org_id in self.people for table in (*self.tables, *PEOPLE)]

    async def read(self) -> dict[Place, str]:
        """A digest of the rows that are in each place now, but for the times of last use."""
        pieces = [
            f"SELECT '{org_id}'::uuid AS org_id, '{table}' AS name, "
            f"md5(coalesce(string_agg(line, '' ORDER BY line), '')) AS digest "
            f"FROM (SELECT (to_jsonb(t) - '{_USES.get(table, '{}')}'::text[])::text AS line "
            f"FROM {table} t WHERE {self.scope(org_id, table)}) lines"
            for org_id, table in self.places
        ]
        found = await self.owner.fetch(" UNION ALL ".join(pieces))
        return {(row["org_id"], row["name"]): row["digest"] for row in found}

    async def keep(self) -> None:
        """Make the present rows those that `changed` and `restore` go by."""
        for org_id, table in self.places:
            self.kept[org_id, table] = await self.owner.fetchval(
                f"SELECT coalesce(jsonb_agg(to_jsonb(t)), '[]')::text FROM {table} t WHERE {self.scope(org_id, table)}"
            )
        self.digests = await self.read()

    async def changed(self, *org_ids: UUID) -> list[str]:
        """The tables in which rows of these tenants, or of all, differ from what is kept."""
        now = await self.read()
        return sorted(
            {
                table
                for org_id, table in self.places
                if org_id in (org_ids or self.people) and now[org_id, table] != self.digests[org_id, table]
            }
        )

    async def restore(self) -> None:
        """Bring back what is kept, wherever it differs."""
        now = await self.read()
        differing = [place for place in self.places if now[place] != self.digests[place]]
        if not differing:
            return
        async with self.owner.transaction():
            # Foreign keys hold again once all is back; until then nothing may cascade.
            await self.owner.execute("SET LOCAL session_replication_role = replica")
            for org_id, table in differing:
                await self.owner.execute(f"DELETE FROM {table} WHERE {self.scope(org_id, table)}")
            for org_id, table in differing:
                columns = await own_columns(self.owner, table)
                await self.owner.execute(
                    f"INSERT INTO {table} ({columns}) "
                    f"SELECT {columns} FROM jsonb_populate_recordset(NULL::{table}, $1::jsonb)",
                    self.kept[org_id, table],
                )

    def ids(self, org_id: UUID) -> set[str]:
        """Every UUID in the tenant's kept rows, written as global ids end."""
        texts = [text for (owner, _), text in self.kept.items() if owner == org_id]
        return {match.replace("-", "") for text in texts for match in _UUID.findall(text)}


async def own_columns(connection: Any, table: str) -> str:
    """The table's columns but for those that Postgres generates, as a statement names them."""
    found: str = await connection.fetchval(
        "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute "
        "WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
        table,
    )
    return found


@asynccontextmanager
async def open_ledger(settings: Settings, *org_ids: UUID) -> AsyncIterator[Ledger]:
    """A ledger of these tenants, on a connection of the owner of the database."""
    user = unquote(urlsplit(settings.database_url or "").username or "postgres")
    # The statement that reads it all is long, and planned once if it is kept.
    owner = await asyncpg.connect(**address_of(settings), user=user, max_cacheable_statement_size=0)
    try:
        tables = await owner.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
            "AND relname <> ALL($1) ORDER BY relname",
            list(GLOBAL_TABLES),
        )
        people = {org_id: await _people(owner, org_id) for org_id in org_ids}
        ledger = Ledger(owner, [row["relname"] for row in tables], people)
        await ledger.keep()
        yield ledger
    finally:
        await owner.close()


async def _people(owner: Any, org_id: UUID) -> list[UUID]:
    return [row["user_id"] for row in await owner.fetch("SELECT user_id FROM membership WHERE org_id = $1", org_id)]
