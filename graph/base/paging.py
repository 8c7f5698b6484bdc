"""Connection, Edge and PageInfo, built from a domain Page. Rows are read only when something of them is asked for."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import strawberry

from domain.base.paging import Page

T = TypeVar("T")


@dataclass(frozen=True)
class Listed:
    """The source of a connection: how to get its page and its total."""

    page: Callable[[], Awaitable[Page[Any]]]
    total: Callable[[], Awaitable[int | None]]


@dataclass(frozen=True)
class Placed:
    """The source of an edge: a row and its cursor."""

    cursor: str
    node: Any


async def _edges(root: Listed) -> list[Placed]:
    page = await root.page()
    return [Placed(page.cursor(row), row) for row in page.rows]


async def _nodes(root: Listed) -> list[Any]:
    return (await root.page()).rows


async def _page_info(root: Listed) -> "PageInfo":
    page = await root.page()
    return PageInfo(
        has_next_page=page.has_next,
        has_previous_page=page.has_previous,
        start_cursor=page.cursor(page.rows[0]) if page.rows else None,
        end_cursor=page.cursor(page.rows[-1]) if page.rows else None,
    )


async def _total_count(root: Listed) -> int:
    return await root.total() or 0


def _made_by(resolver: Callable[..., Any], description: str) -> Any:
    return strawberry.field(resolver=resolver, description=description)


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
    node: T = strawberry.field(description="The item.")


@strawberry.type
class Connection(Generic[T]):
    """One page of a list."""

    edges: list[Edge[T]] = _made_by(_edges, "The items with their cursors.")
    nodes: list[T] = _made_by(_nodes, "The items alone.")
    page_info: PageInfo = _made_by(_page_info, "Where the page begins and ends.")
    total_count: int = _made_by(
        _total_count, "How many the whole list has under its filter; counted only when asked for."
    )
