"""Shared scalars. What they refuse is BAD_USER_INPUT before any resolver runs."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, NewType

from graphql import GraphQLBoolean, GraphQLError, GraphQLID, GraphQLInt, GraphQLString
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition, scalar

BigInt = NewType("BigInt", int)

_LARGEST = 2**53 - 1
_LARGEST_INT = 2**31


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_int(value: Any) -> bool:
    return type(value) is int and -_LARGEST_INT <= value < _LARGEST_INT


PLAIN: dict[Any, Callable[[Any], bool]] = {
    GraphQLID: _is_text,
    GraphQLString: _is_text,
    GraphQLInt: _is_int,
    GraphQLBoolean: lambda value: type(value) is bool,
}
"""Whether a value of GraphQL's own scalars is taken, or told, as it is. What these do not know is graphql-core's."""

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def _write_instant(value: datetime) -> str:
    in_utc = value if value.tzinfo is UTC else value.astimezone(UTC)
    return in_utc.isoformat()[:-6] + "Z"


def _read_instant(value: Any) -> datetime:
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise GraphQLError("Must be an RFC 3339 instant with a zone, for example 2026-11-20T09:30:00Z.")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise GraphQLError(f"There is no instant {value}.") from None


def _read_day(value: Any) -> date:
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise GraphQLError("Must be a calendar day, for example 2026-11-20.")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise GraphQLError(f"There is no day {value}.") from None


def _read_big_int(value: Any) -> int:
    if type(value) is not int or abs(value) > _LARGEST:
        raise GraphQLError("Must be an integer from -(2^53 - 1) to 2^53 - 1.")
    return value


SCALARS: dict[object, ScalarDefinition] = {
    datetime: scalar(
        name="DateTime",
        description="RFC 3339 instant in UTC, for example 2026-11-20T09:30:00Z.",
        serialize=_write_instant,
        parse_value=_read_instant,
    ),
    date: scalar(
        name="Date",
        description="Calendar day without a time zone, for example 2026-11-20.",
        serialize=date.isoformat,
        parse_value=_read_day,
    ),
    BigInt: scalar(
        name="BigInt",
        description="Integer from -(2^53 - 1) to 2^53 - 1, as a JSON number.",
        serialize=int,
        parse_value=_read_big_int,
    ),
}

__all__ = ["JSON", "PLAIN", "SCALARS", "BigInt"]
