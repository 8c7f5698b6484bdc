"""Connection, Edge and PageInfo, built from a domain Page. Rows are read only when something of them is asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import strawberry

from domain.base.paging import Page, PageRequest
from domain.base.reads import KEYS, Columns
from graph.base.context import Info
from graph.base.prices import priced
from graph.base.selection import DECLARED, Declared

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Listed:
    """The source of a connection: which list, of what, which page of it, and the columns of its rows.

    `read` is what reads it: Pages, or what the compiler puts in their place.
    """

    read: Any
    key: Any
    asked: PageRequest
    columns: Columns


@dataclass(slots=True, eq=False)
class Placed:
    """The source of an edge: a row and its cursor."""

    cursor: str
    node: Any


def _edges(page: Page[Any]) -> list[Placed]:
    return [Placed(page.cursor(row), row) for row in page.rows]


def _nodes(page: Page[Any]) -> list[Any]:
    return page.rows


def _page_info(page: Page[Any]) -> "PageInfo":
    return PageInfo(
        has_next_page=page.has_next,
        has_previous_page=page.has_previous,
        start_cursor=page.cursor(page.rows[0]) if page.rows else None,
        end_cursor=page.cursor(page.rows[-1]) if page.rows else None,
    )


def _part(of: Callable[[Page[Any]], Any], description: str, *needs: str) -> Any:
    """A part of a connection's page."""

    async def resolve(root: Any, info: Info) -> Any:
        return of(await info.context.load(root.read, root.key, root.columns, root.asked))

    declared = Declared("part", needs, of, through=True)
    return strawberry.field(
        resolver=resolve, description=description, metadata={DECLARED: declared, **priced(of_page=True)}
    )


async def _total_count(root: Any, info: Info) -> int:
    return await info.context.load(root.read.totals, root.key, root.asked) or 0


@strawberry.type
class PageInfo:
    """Where a page begins and ends, and whether more lies beyond."""

    has_next_page: bool = strawberry.field(description="Whether more follows `endCursor`.")
    has_previous_page: bool = strawberry.field(description="Whether something precedes `startCursor`.")
    start_cursor: str | None = strawberry.field(description="The cursor of the first edge.")
    end_cursor: str | None = strawberry.field(description="The cursor of the last edge.")


@strawberry.type
class Edge(Generic[T]):
    """An item of a list and its place there."""

    cursor: str = strawberry.field(description="Opaque place of the item; pass it as `after` or `before`.")
    node: T = strawberry.field(description="The item.", metadata=priced(objects=False))


@strawberry.type
class Connection(Generic[T]):
    """One page of a list."""

    edges: list[Edge[T]] = _part(_edges, "The items with their cursors.", KEYS)
    nodes: list[T] = _part(_nodes, "The items alone.")
    page_info: PageInfo = _part(_page_info, "Where the page begins and ends.", KEYS)
    total_count: int = strawberry.field(
        resolver=_total_count,
        description="How many the whole list has under its filter; counted only when asked for.",
        # Counting a list takes a statement of its own, which may look at more than any page.
        metadata={DECLARED: Declared("total"), **priced(points=1)},
    )
