"""The reads called directly: every declared read and every function that uses a predicate, with keys of the other.

The schema does not lead to all of them with a foreign key. Here each is called as a data loader would call it.
"""

import ast
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.base.actor import Actor
from domain.base.database import tx
from domain.base.errors import NotFound
from domain.base.paging import Key, KeyKind, Order, PageRequest
from domain.base.permissions import Permission
from domain.base.reads import Counts, One, Pages
from domain.base.row_security import NARROWER
from domain.base.sql import TRUE
from domain.billing import entitlements
from domain.events import queries as events
from domain.identity import queries as identity
from domain.notifications import queries as notifications
from domain.organizations import queries as organizations
from domain.projects import queries as projects
from domain.tasks import queries as tasks
from tests.isolation.layers import Read, declared_reads, predicates
from tests.isolation.sweep import Probe, Tenants
from tests.isolation.world import World

Ask = Callable[[Actor, World], Awaitable[Any]]

# Reads that are more than a declaration: what each gives for things of a world. A stranger must get nothing.
FUNCTIONS: dict[str, Ask] = {
    "domain.billing.entitlements.of_organizations": lambda actor, world: entitlements.of_organizations(
        actor, [world.tenant.org_id]
    ),
    "domain.events.queries.between": lambda actor, world: events.between(
        actor, world.tenant.org_id, 0, 1_000, condition=TRUE, most=1
    ),
    "domain.identity.queries.sessions_of": lambda actor, world: identity.sessions_of(
        actor, [world.ids["own user"]], ("id",)
    ),
    "domain.notifications.queries.between": lambda actor, world: notifications.between(
        actor, world.ids["own user"], 0, 1_000, most=1
    ),
    "domain.organizations.queries.by_slugs": lambda actor, world: organizations.by_slugs(
        actor, [world.texts["slug"]], ("id",)
    ),
    "domain.projects.queries.allowed_next": lambda actor, world: projects.allowed_next(
        actor, [world.ids["done workflow_state"]], ("id",)
    ),
    "domain.projects.queries.transitions_from": lambda actor, world: projects.transitions_from(
        actor, [world.ids["workflow_state"]], ("id",)
    ),
    "domain.tasks.queries.relations_of": lambda actor, world: tasks.relations_of(actor, [world.ids["task"]], ("id",)),
    "domain.tasks.queries.former_identifiers_of": lambda actor, world: tasks.former_identifiers_of(
        actor, [world.ids["moved task"]]
    ),
    "domain.tasks.queries.progress_of_projects": lambda actor, world: tasks.progress_of_projects(
        actor, [world.ids["project"]]
    ),
    "domain.tasks.queries.id_of_identifier": lambda actor, world: tasks.id_of_identifier(
        actor, world.texts["slug"], world.texts["identifier"]
    ),
}


@dataclass(frozen=True)
class FunctionCall(Probe):
    """One of FUNCTIONS."""

    name: str

    async def leaks(self, tenants: Tenants) -> list[str]:
        ask = FUNCTIONS[self.name]
        found = []
        async with tenants.theirs.admin.acting() as actor:
            if not await ask(actor, tenants.theirs):
                found.append("gives nothing to those whose it is")
        async with tenants.mine.admin.acting() as actor:
            if given := await ask(actor, tenants.theirs):
                found.append(f"gives {given}")
        return found


@dataclass(frozen=True)
class DeclaredRead(Probe):
    """One, Many, Pages or Counts."""

    name: str
    read: Read

    async def leaks(self, tenants: Tenants) -> list[str]:
        keys = await self._keys(tenants)
        found = []
        async with tenants.theirs.admin.acting() as actor:
            if not await self._given(actor, keys):
                found.append("gives nothing to those whose it is")
        async with tenants.mine.admin.acting() as actor:
            found += [f"gives {given}" for given in await self._given(actor, keys)]
            if isinstance(self.read, One) and self.read.table.org in self.read.table.columns and self._can_be_locked:
                found += await self._locked(actor, self.read, keys[0])
        return found

    @property
    def _can_be_locked(self) -> bool:
        """Whether the application role changes rows of the table at all; the log is only ever added to."""
        return "UPDATE" in NARROWER.get(self.read.table.name, ("UPDATE",))

    async def _keys(self, tenants: Tenants) -> list[Any]:
        """What the other tenant's rows are found by."""
        table, org_id = self.read.table, tenants.theirs.tenant.org_id
        scope = tenants.ledger.scope(org_id, table.name)
        column = scope.split(" ", 1)[0]
        qualified = scope.replace(column, f"{table.name}.{column}", 1)
        key = f"{table.name}.{self.read.key}" if isinstance(self.read, One) else self.read.key
        source = getattr(self.read, "source", "")
        statement = f"SELECT DISTINCT {key} AS key FROM {table.name} {source} WHERE {qualified} AND {key} IS NOT NULL"
        return [row["key"] for row in await tenants.ledger.owner.fetch(statement)]

    async def _given(self, actor: Actor, keys: list[Any]) -> list[Any]:
        read = self.read
        if isinstance(read, Pages):
            asked = PageRequest(Order((Key(f"{read.table.name}.id", KeyKind.UUID),)), 100)
            pages = await read(actor, keys, ("id",), asked)
            totals = await read.totals(actor, keys, asked)
            return [*(row for page in pages.values() for row in page.rows), *totals.values()]
        if isinstance(read, Counts):
            return list((await read(actor, keys)).values())
        columns = read.table.columns if isinstance(read, One) else ("id",)
        return list((await read(actor, keys, columns)).values())

    async def _locked(self, actor: Actor, read: One[Any], key: Any) -> list[str]:
        try:
            async with tx():
                await read.get_for_update(actor, key, Permission.ORG_READ)
        except NotFound as refusal:
            there = f"There is no such {read.table.noun}."
            return [] if refusal.message == there else [f"locks a row and says {refusal.message}"]
        return ["gives a row to change"]


def using_predicates() -> set[str]:
    """Every function that calls a predicate in the module that has one: reads that are more than a declaration."""
    names = {predicate.name for predicate in predicates()}
    found = set()
    for module in {predicate.module for predicate in predicates()}:
        for function in ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and _calls(function, names):
                found.add(f"{module.__name__}.{function.name}")
    return found


def _calls(function: ast.AST, names: set[str]) -> bool:
    called = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    return any((call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")) in names for call in called)


def read_probes() -> list[Probe]:
    """Every declared read, and every function that uses a predicate."""
    unknown = using_predicates() ^ set(FUNCTIONS)
    if unknown:
        raise AssertionError(f"FUNCTIONS must name just what uses a predicate; it differs by {sorted(unknown)}")
    declared: list[Probe] = [DeclaredRead(name, read) for name, read in declared_reads().items()]
    return declared + [FunctionCall(name) for name in FUNCTIONS]
