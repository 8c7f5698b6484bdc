"""Taking one layer of tenancy away: the policies of the database, or the predicates of the reads."""

import importlib
import pkgutil
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import domain
from domain.base import row_security
from domain.base.database_address import address_of, role_names
from domain.base.reads import Counts, ForActor, Many, One, Pages
from domain.base.settings import Settings
from domain.base.sql import TRUE
from graph.compiler import run
from graph.compiler.plan import Plans
from tests.isolation.ledger import Ledger

Read = One[Any] | Many[Any] | Pages[Any] | Counts
_NAMES = ("visible", "own_")


@dataclass(frozen=True)
class Predicate:
    """The piece of SQL that says which rows an actor sees."""

    module: ModuleType
    name: str
    piece: ForActor

    def __str__(self) -> str:
        return f"{self.module.__name__}.{self.name}"


@cache
def modules() -> list[ModuleType]:
    """Every module of the domain but the migrations."""
    found = pkgutil.walk_packages(domain.__path__, "domain.")
    return [importlib.import_module(each.name) for each in found if not each.name.startswith("domain.migrations")]


@cache
def predicates() -> list[Predicate]:
    """Every predicate of the domain: they are known by how their names begin. Found once, before any is replaced."""
    return [
        Predicate(module, name, value)
        for module in modules()
        for name, value in vars(module).items()
        if name.startswith(_NAMES) and isinstance(value, ForActor)
    ]


@cache
def declared_reads() -> dict[str, Read]:
    """Every declared read of the domain, by its name. Found once: they stay what they are, whatever they hold."""
    return {
        f"{module.__name__}.{name}": value
        for module in modules()
        for name, value in vars(module).items()
        if isinstance(value, One | Many | Pages | Counts)
    }


_EVERYTHING = ForActor(TRUE)


@contextmanager
def replaced(owner: Any, name: str) -> Iterator[None]:
    """Let a predicate, of a module or of a read, hold for every row."""
    before = getattr(owner, name)
    # The reads are frozen, which this has to get round.
    object.__setattr__(owner, name, _EVERYTHING)
    _forget_statements()
    try:
        yield
    finally:
        object.__setattr__(owner, name, before)
        _forget_statements()


def _forget_statements() -> None:
    """Let statements be put together anew that hold a predicate: those of the reads, and those that plans keep."""
    for read in declared_reads().values():
        if isinstance(read, Counts):
            vars(read).pop("_statement", None)
        else:
            read._statements.clear()
    run._plans = Plans()


@contextmanager
def without_predicates(dropped: Iterable[Predicate]) -> Iterator[None]:
    """Let these predicates hold for every row, wherever they are used."""
    with ExitStack() as stack:
        for predicate in dropped:
            for read in declared_reads().values():
                if read.visible is predicate.piece:
                    stack.enter_context(replaced(read, "visible"))
            stack.enter_context(replaced(predicate.module, predicate.name))
        yield


@asynccontextmanager
async def without_policies(ledger: Ledger) -> AsyncIterator[None]:
    """Switch row-level security off for all tables."""
    await _row_security(ledger, "DISABLE")
    try:
        yield
    finally:
        await _row_security(ledger, "ENABLE")


async def _row_security(ledger: Ledger, verb: str) -> None:
    await ledger.owner.execute(";".join(f"ALTER TABLE {table} {verb} ROW LEVEL SECURITY" for table in ledger.tables))


@asynccontextmanager
async def every_right(ledger: Ledger, settings: Settings) -> AsyncIterator[None]:
    """Let the application role do everything that the policies let it."""
    app, _ = role_names(address_of(settings)["database"])
    for table in ledger.tables:
        await ledger.owner.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO "{app}"')
    try:
        yield
    finally:
        await row_security.secure(ledger.owner, settings)


@asynccontextmanager
async def with_policy(ledger: Ledger, table: str, clause: str) -> AsyncIterator[None]:
    """Let USING or WITH CHECK of a table's tenant policy hold for every row."""
    rule = await ledger.owner.fetchval(
        "SELECT qual FROM pg_policies WHERE tablename = $1 AND policyname = 'tenant'", table
    )
    await ledger.owner.execute(f"ALTER POLICY tenant ON {table} {clause} (true)")
    try:
        yield
    finally:
        await ledger.owner.execute(f"ALTER POLICY tenant ON {table} {clause} ({rule})")
