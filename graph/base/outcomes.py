"""What is kept of a mutation's payload, and the payload made of it again.

A row is kept as its id and read afresh, by the reader's present rights; everything else is kept as it is, but for what
is shown once. The types of the payload's fields say which is which, so a payload needs no code of its own.
"""

import asyncio
from dataclasses import MISSING
from datetime import date, datetime
from typing import Any
from uuid import UUID

import orjson
import strawberry
from strawberry.types.base import StrawberryList, StrawberryOptional, has_object_definition
from strawberry.types.enum import StrawberryEnumDefinition
from strawberry.types.field import StrawberryField
from strawberry.types.lazy_type import LazyType
from strawberry.types.union import StrawberryUnion

from graph.base.context import Info
from graph.base.nodes import FromRow

_SHOWN_ONCE = "planwire_shown_once"


def shown_once(description: str) -> Any:
    """A field of a payload with a secret, which is not kept: in a repeat it is null."""
    return strawberry.field(default=None, description=description, metadata={_SHOWN_ONCE: True})


def kept(type_: Any, value: Any) -> str:
    """What is kept of a payload of the type, as JSON text."""
    return orjson.dumps(_kept(type_, value)).decode()


async def rebuilt(info: Info, type_: Any, text: str) -> Any:
    """The payload. A row that is gone, or is not the caller's to see any more, is null, and left out of a list."""
    return await _rebuilt(info, type_, orjson.loads(text))


def _kept(type_: Any, value: Any) -> Any:
    type_ = _plain(type_)
    if value is None:
        return None
    if isinstance(type_, StrawberryList):
        return [_kept(type_.of_type, item) for item in value]
    if members := _members(type_):
        member = next(each for each in members if _is_one(each, value))
        return {"as": member.__name__, "it": _kept(member, value)}
    if _is_row(type_):
        if not hasattr(type_, "read"):
            raise TypeError(f"{type_.__name__} cannot be read again by an id: give it a read")
        return value.id.hex
    if has_object_definition(type_):
        return {field.python_name: _kept_field(field, value) for field in _fields(type_)}
    return value.value if isinstance(type_, StrawberryEnumDefinition) else value


def _kept_field(field: StrawberryField, payload: Any) -> Any:
    return None if field.metadata.get(_SHOWN_ONCE) else _kept(field.type, getattr(payload, field.python_name))


async def _rebuilt(info: Info, type_: Any, found: Any) -> Any:
    type_ = _plain(type_)
    if found is None:
        return None
    if isinstance(type_, StrawberryList):
        # Together, so that the rows of all items are read by one statement.
        items = await asyncio.gather(*(_rebuilt(info, type_.of_type, item) for item in found))
        may_be_null = isinstance(type_.of_type, StrawberryOptional)
        return [item for item in items if may_be_null or item is not None]
    if members := _members(type_):
        member = next((each for each in members if each.__name__ == found["as"]), None)
        # What an older version of the code called something else cannot be shown any more.
        return None if member is None else await _rebuilt(info, member, found["it"])
    if _is_row(type_):
        # With every column, as services return what they changed.
        return await info.context.load(type_.read, UUID(found), type_.read.table.columns)
    if has_object_definition(type_):
        fields = [field for field in _fields(type_) if field.python_name in found]
        values = await asyncio.gather(*(_rebuilt(info, field.type, found[field.python_name]) for field in fields))
        # What a newer version of the code has added was not kept.
        added = {field.python_name: _absent(field) for field in _fields(type_) if field.python_name not in found}
        return type_(**added, **{field.python_name: value for field, value in zip(fields, values, strict=True)})
    if isinstance(type_, StrawberryEnumDefinition):
        choices: Any = type_.wrapped_cls
        return next((each for each in choices if each.value == found), None)
    return type_.fromisoformat(found) if type_ in (datetime, date) else found


def _absent(field: StrawberryField) -> Any:
    """The field's default, or else an empty list or null. A field that may not be null needs a default."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    if field.default is not MISSING:
        return field.default
    return [] if isinstance(field.type, StrawberryList) else None


def _plain(type_: Any) -> Any:
    """The type without null and laziness."""
    while isinstance(type_, StrawberryOptional | LazyType):
        type_ = type_.of_type if isinstance(type_, StrawberryOptional) else type_.resolve_type()
    return type_


def _members(type_: Any) -> list[Any]:
    """The concrete types of a union or an interface; none of any other type."""
    if isinstance(type_, StrawberryUnion):
        return [_plain(member) for member in type_.types]
    definition = getattr(type_, "__strawberry_definition__", None)
    return type_.__subclasses__() if definition is not None and definition.is_interface else []


def _is_row(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, FromRow)


def _is_one(member: Any, value: Any) -> bool:
    return isinstance(value, member.row if _is_row(member) else member)


def _fields(type_: Any) -> list[StrawberryField]:
    """Those whose values the payload itself holds."""
    return [field for field in type_.__strawberry_definition__.fields if field.base_resolver is None]
