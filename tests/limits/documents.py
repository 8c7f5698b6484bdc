"""Documents that are counted by the tests of the limits, and what is found of them."""

from typing import Any

from graph.base.limits import LIMITS, Limits, Measured, measured, parsed
from graph.schema import schema

SCHEMA = schema


def only(document: str, limits: Limits = LIMITS) -> Measured:
    """The one operation of a document that is let through."""
    (found,) = measured(SCHEMA, parsed(document, limits), limits).values()
    return found


def cost(document: str, **variables: Any) -> int:
    """The points of a document's one operation."""
    return only(document).cost(variables)
