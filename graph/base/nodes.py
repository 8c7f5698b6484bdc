"""Node: the types that have an id. Their source is a domain row; which row belongs to which type is said here."""

import re
from functools import cache
from typing import Any, ClassVar, Self, cast
from uuid import UUID

import strawberry

from domain.base.cached_rows import CachedRow
from domain.base.reads import One
from domain.base.sql import Part, Row
from graph.base.context import Info
from graph.base.ids import global_id
from graph.base.selection import DECLARED, Declared, columns


@cache
def kind_of(type_name: str) -> str:
    """The type's name in lower snake case, as its ids begin."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type_name).lower()


def _id(root: Any, info: Info) -> strawberry.ID:
    return strawberry.ID(global_id(kind_of(info._raw_info.parent_type.name), root.id))


class FromRow:
    """A type whose source is a row of the class `row`. `read` reads one by its id, where the type has any."""

    row: ClassVar[type[Any]]
    read: ClassVar[One[Any]]

    @classmethod
    def of(cls, row: Any) -> Self:
        """The row as the source of this type: nothing is copied, the fields read from it."""
        return cast(Self, row)

    @classmethod
    def is_type_of(cls, source: object, _info: Any) -> bool:
        """How an interface or a union tells its members apart."""
        return isinstance(source, cls.row) or (isinstance(source, Part | CachedRow) and source.row is cls.row)


@strawberry.interface
class Node(FromRow):
    """Anything with an id."""

    row: ClassVar[type[Any]] = Row

    id: strawberry.ID = strawberry.field(
        resolver=_id,
        description="Opaque and stable.",
        metadata={DECLARED: Declared("identifier", ("id",))},
    )


def nodes_by_kind() -> dict[str, type[Node]]:
    """Every type that implements Node, by the beginning of its ids."""
    return {kind_of(node.__name__): node for node in Node.__subclasses__()}


async def node_of(info: Info, kind: str, id: UUID) -> Any:
    """The row of any node, with what the running field asks of it; None when there is no such node for the viewer."""
    type_ = nodes_by_kind().get(kind)
    return None if type_ is None else await info.context.load(type_.read, id, columns(info, type_.__name__))
