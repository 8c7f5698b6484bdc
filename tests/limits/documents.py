"""Documents that are counted by the tests of the limits, and what is found of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from graph.base.cost import MOST
from graph.base.limits import LIMITS, Limits, Measured, measured, parsed
from graph.schema import schema

SCHEMA = schema
AT_ANY_COST = replace(LIMITS, cost=MOST)


def only(document: str, limits: Limits = LIMITS) -> Measured:
    """The one operation of a document that is let through."""
    (found,) = measured(SCHEMA, parsed(document, limits), limits).values()
    return found


def cost(document: str, variables: Mapping[str, Any] | None = None) -> int:
    """The points of a document's one operation, however many."""
    return only(document, AT_ANY_COST).check(variables or {}).points
