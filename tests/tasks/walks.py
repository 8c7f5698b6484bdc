"""Walks through a connection, page by page, to its end."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from tests.client import GraphQL

CONNECTION = "totalCount edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
Read = Callable[..., Awaitable[dict[str, Any]]]


def reader(client: GraphQL, document: str, *path: str, **variables: Any) -> Read:
    """Reads one page of the connection at `path`, given the arguments of the place."""

    async def read(**place: Any) -> dict[str, Any]:
        found = await client.ok(document, **variables, **place)
        for name in path:
            found = found[name]
        return found

    return read


async def forward(read: Read, sizes: Iterator[int]) -> list[str]:
    """The ids of all pages after each other; each page says truly where it stands."""
    ids: list[str] = []
    after: str | None = None
    while True:
        size = next(sizes)
        page = await read(first=size, after=after)
        seen = ids_of(page)
        ids += seen
        info = page["pageInfo"]
        assert len(seen) <= size
        assert info["hasNextPage"] == (len(ids) < page["totalCount"])
        assert info["hasPreviousPage"] == (after is not None)
        if not info["hasNextPage"]:
            return ids
        assert len(seen) == size
        after = info["endCursor"]


async def backward(read: Read, sizes: Iterator[int]) -> list[str]:
    """As `forward`, from the end to the beginning; the ids in the list's order."""
    ids: list[str] = []
    before: str | None = None
    while True:
        size = next(sizes)
        page = await read(first=None, last=size, before=before)
        seen = ids_of(page)
        ids = seen + ids
        info = page["pageInfo"]
        assert len(seen) <= size
        assert info["hasPreviousPage"] == (len(ids) < page["totalCount"])
        assert info["hasNextPage"] == (before is not None)
        if not info["hasPreviousPage"]:
            return ids
        assert len(seen) == size
        before = info["startCursor"]


def ids_of(page: dict[str, Any]) -> list[str]:
    """The ids of a page, whose edges and pageInfo agree."""
    cursors = [edge["cursor"] for edge in page["edges"]]
    assert (page["pageInfo"]["startCursor"], page["pageInfo"]["endCursor"]) == (
        (cursors[0], cursors[-1]) if cursors else (None, None)
    )
    return [edge["node"]["id"] for edge in page["edges"]]
