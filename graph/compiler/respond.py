"""The answer as it is built: where each object stands, what a null there does to those above, and leaf values."""

from collections.abc import Callable
from typing import Any

from graphql import (
    GraphQLLeafType,
    Undefined,
    located_error,
)
from graphql.execution.executor import CollectedErrors
from graphql.pyutils import Path, inspect

from graph.base.scalars import PLAIN

Leaf = Callable[[Any], Any]


class Spot:
    """A place in the answer: an object or a list, or the root. `out` is what stands there while it is filled."""

    __slots__ = ("container", "is_required", "key", "out", "parent", "source", "type_name")

    def __init__(
        self,
        source: Any,
        out: Any,
        parent: "Spot | None",
        container: Any,
        key: str | int,
        is_required: bool,
        type_name: str | None,
    ) -> None:
        self.source = source
        self.out = out
        self.parent = parent
        self.container = container
        """What it is in, under its key; None for the root, and once null stands here."""
        self.key = key
        self.is_required = is_required
        self.type_name = type_name
        """The type whose field it is; None for an item of a list."""

    @property
    def is_given_up(self) -> bool:
        """Whether null stands here by now, or above."""
        place = self
        while place.parent is not None:
            if place.container is None:
                return True
            place = place.parent
        return False

    def path(self) -> Path | None:
        """Where it stands; None for the root."""
        return None if self.parent is None else Path(self.parent.path(), self.key, self.type_name)


class NullData(Exception):
    """The whole answer is null."""


def refuse(errors: CollectedErrors, fault: Exception, nodes: list[Any], at: Spot) -> None:
    """Note what went wrong at a place, and put null there, or into the nearest place above that takes it.

    Raises NullData when there is none.
    """
    place = at
    while place.is_required and place.parent is not None:
        place = place.parent
    path = at.path()
    error = located_error(fault, nodes, path.as_list() if path else None)
    errors.add(error, place.path())
    if place.parent is None:
        raise NullData
    if place.container is not None:
        place.container[place.key] = None
        place.container = None


def leaf(type_: GraphQLLeafType) -> Leaf:
    """How a value of the type is told. What is told as it is costs no call of graphql-core's."""
    coerce = type_.coerce_output_value

    def told(value: Any) -> Any:
        found = coerce(value)
        if found is Undefined or found is None:
            raise TypeError(
                f"Expected `{inspect(type_)}.coerce_output_value({inspect(value)})` to return non-nullable value, "
                f"returned: {inspect(found)}"
            )
        return found

    plain = PLAIN.get(type_)
    if plain is None:
        return told
    return lambda value: value if plain(value) else told(value)
