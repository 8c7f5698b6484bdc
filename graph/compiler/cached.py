"""Pages and totals of a list that may come from the cache. All that is below their rows is read as ever."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from graphql.execution import Executor

from domain.adapters.cache import Codec, Kind
from domain.base.actor import Actor
from domain.base.cached_rows import decode_page, encode_page
from domain.base.paging import Page, PageRequest
from domain.base.reads import Columns, Pages
from domain.events import queries as log_queries
from domain.events.cached import cached
from graph.base.context import Context
from graph.compiler.plan import FieldPlan

T = TypeVar("T")
_NUMBER = Codec[int](encode=int, decode=int)


class CachedPages:
    """Reads what the field's own read would, or takes it from the cache. One for a field of an operation."""

    def __init__(self, context: Context, field: FieldPlan) -> None:
        self._context = context
        self._read: Pages[Any] = field.declared.read
        self._ttl_s: int = field.declared.cached_s or 0
        self._name = f"{field.parent.name}.{field.name}"
        self._path = (*field.above, field.key)

    async def __call__(
        self, actor: Actor, org_ids: Sequence[UUID], columns: Columns, asked: PageRequest
    ) -> dict[UUID, Page[Any] | None]:
        """Organization -> page."""
        codec: Codec[Page[Any]] = Codec(
            encode=partial(encode_page, columns=columns),
            decode=partial(decode_page, row=self._read.table.row, columns=columns, asked=asked),
        )
        # The scope says which list it is, under which filter and in which order.
        arguments = (columns, asked.scope, asked.size, asked.backward, asked.place)
        kind = Kind(self._name, codec, self._ttl_s)
        return await self._cached(
            kind, actor, org_ids, lambda its, missing: self._read(its, missing, columns, asked), arguments
        )

    async def totals(self, actor: Actor, org_ids: Sequence[UUID], asked: PageRequest) -> dict[UUID, int | None]:
        """Organization -> number of rows."""
        kind = Kind(f"{self._name}.totalCount", _NUMBER, self._ttl_s)
        return await self._cached(
            kind, actor, org_ids, lambda its, missing: self._read.totals(its, missing, asked), asked.scope
        )

    async def _cached(
        self,
        kind: Kind[T],
        actor: Actor,
        org_ids: Sequence[UUID],
        load: Callable[[Actor, list[UUID]], Awaitable[Mapping[UUID, T]]],
        arguments: Any,
    ) -> dict[UUID, T | None]:
        operation = self._context.operation
        marks = await operation.read(log_queries.marks, org_ids)
        cache = self._context.adapters.cache
        found, misses = await cached(cache, kind, actor, org_ids, load, arguments=arguments, marks=marks)
        operation.note_cached(self._path, len(found) - misses, misses)
        return found


def cached_pages(executor: Executor[Any], field: FieldPlan) -> CachedPages:
    """What reads the pages of the field, the same throughout the operation."""
    context: Context = executor.context_value
    made: CachedPages = context.operation.once(("cached", id(field)), lambda: CachedPages(context, field))
    return made
