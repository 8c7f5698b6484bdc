"""node and nodes: any object by its id."""

from typing import Any

import strawberry

from domain.base.errors import BadInput
from graph.base.context import Info
from graph.base.fields import query
from graph.base.ids import split_id
from graph.base.nodes import Node, node_of

MOST_IDS = 100


async def _load(info: Info, id: str, *path: str) -> Any:
    return await node_of(info, *split_id(id, *path))


@strawberry.type
class NodeQueries:
    """Reads by id."""

    @query
    async def node(self, info: Info, id: strawberry.ID) -> Node | None:
        """Any object by its id; null when there is no such node for the viewer."""
        info.context.actor  # noqa: B018  # a signed-out caller is refused whatever the id
        found: Node | None = await _load(info, id)
        return found

    @query(per="ids")
    async def nodes(self, info: Info, ids: list[strawberry.ID]) -> list[Node | None]:
        """At most 100 ids; order kept; null where there is no such node for the viewer."""
        info.context.actor  # noqa: B018
        if len(ids) > MOST_IDS:
            raise BadInput(f"At most {MOST_IDS} ids; there are {len(ids)}.", path=["ids"])
        for index, id in enumerate(ids):
            split_id(id, "ids", str(index))
        return [_load(info, id) for id in ids]  # type: ignore[misc]  # graphql-core awaits the items together
