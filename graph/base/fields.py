"""Fields as data: a column, a to-one, a to-many, a page, a count; a function is the exception.

Each carries what a query needs to know before it runs (the columns of its own row, the batched read with its table,
key and predicate). The query compiler runs them; data loaders do where graphql-core is the referee.
"""

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, overload

import strawberry
from graphql import is_non_null_type
from strawberry.utils.str_converters import to_camel_case

from domain.base.errors import NotFound
from domain.base.paging import PageRequest
from domain.base.permissions import Permission, in_order
from domain.base.reads import One, Pages
from graph.base.context import Info
from graph.base.ids import parse_id
from graph.base.paging import Listed
from graph.base.prices import priced
from graph.base.selection import DECLARED, Declared, columns

Read = Callable[..., Awaitable[dict[Any, Any]]]
Key = str | tuple[str, ...]


def column(description: str, *, long: bool = False) -> Any:
    """A column of the row, under its own name. `long`: it may hold a text that is longer than a line."""
    metadata = {DECLARED: Declared("column"), **priced(text=long)}
    return strawberry.field(description=description, metadata=metadata)


def to_one(read: Read, *, key: Key, description: str) -> Any:
    """The row that the key points at. Where the schema allows no null, a row that is gone is NOT_FOUND."""

    async def resolve(root: Any, info: Info) -> Any:
        value = _value(root, key)
        row = None if value is None else await info.context.load(read, value, columns(info))
        if row is None and is_non_null_type(info._raw_info.return_type):
            raise NotFound(info.field_name)
        return row

    return _field(resolve, Declared("to_one", _names(key), read), description)


def found(read: One[Any], *, key: Callable[..., Any], description: str, whole: bool = False) -> Any:
    """The row whose key the function makes of `info` and the field's arguments; null where either is missing.

    It is a plain function, or one that gives an awaitable where it has to read. `whole` reads every column.
    """

    async def resolve(info: Info, **given: Any) -> Any:
        sought = key(info, **given)
        if isinstance(sought, Awaitable):
            sought = await sought
        listed = read.table.columns if whole else columns(info)
        return None if sought is None else await info.context.load(read, sought, listed)

    return _field(resolve, Declared("found", read=read, asked=key, whole=whole), description, key)


def itself(description: str) -> Any:
    """The same row as a source of the field's type."""

    def resolve(root: Any) -> Any:
        return root

    return _field(resolve, Declared("itself", ("id",), through=True), description)


def to_many(
    read: Read,
    *,
    description: str,
    key: Key = "id",
    permission: Permission | None = None,
    org: str = "org_id",
    length: int | None = None,
) -> Any:
    """All rows that point at this one: a short list. `permission` is needed in the organization that `org` names.

    `length`: as how many rows a document's cost counts it, where that is not SHORT_LIST.
    """

    async def resolve(root: Any, info: Info) -> Any:
        if permission is not None:
            info.context.actor.require(permission, org_id=getattr(root, org))
        return await info.context.load(read, _value(root, key), columns(info)) or []

    needs = (*_names(key), *((org,) if permission is not None else ()))
    return _field(resolve, Declared("to_many", needs, read, permission=permission), description, length=length)


def pages(
    read: Pages[Any],
    *,
    arguments: Callable[..., PageRequest],
    description: str,
    key: str = "id",
    permission: Permission | None = None,
    org: str = "org_id",
    cached_s: int | None = None,
) -> Any:
    """A connection of the rows that point at this one. `arguments` turns the field's arguments into a request.

    `permission` is needed in the organization that `org` names. `cached_s`: the compiler may take its pages and totals
    from the cache for so long, until the organization's next event. That is for lists of an organization alone, whose
    rows change with an event in the same transaction, and which all with the same permissions see alike.
    """
    if cached_s is not None and read.key != f"{read.table.name}.{read.table.org}":
        raise TypeError(f"{read.key} is not the organization of a {read.table.noun}")

    async def resolve(root: Any, info: Info, **given: Any) -> Any:
        if permission is not None:
            info.context.actor.require(permission, org_id=getattr(root, org))
        return listed(info, read, getattr(root, key), lambda: arguments(**given))

    needs = (key, *((org,) if permission is not None else ()))
    declared = Declared("pages", needs, read, asked=arguments, permission=permission, cached_s=cached_s)
    return _field(resolve, declared, description, arguments)


def listed(info: Info, read: Pages[Any], key: Any, make: Callable[[], PageRequest]) -> Listed:
    """The connection of one key. The request is made once for all rows that the field is resolved for."""
    nodes = tuple(map(id, info._raw_info.field_nodes))
    asked: PageRequest = info.context.operation.once(("page", *nodes), make)
    return Listed(read, key, asked, columns(info))


def count(read: Read, *, description: str, key: str = "id") -> Any:
    """The number of rows that point at this one."""

    async def resolve(root: Any, info: Info) -> Any:
        return await info.context.load(read, getattr(root, key)) or 0

    return _field(resolve, Declared("count", (key,), read), description)


def computed(
    function: Callable[..., Any],
    *,
    needs: tuple[str, ...],
    description: str,
    through: bool = False,
    cost: int | None = None,
    length: int | None = None,
    long: bool = False,
) -> Any:
    """The exception: a function of the row (`root`), `info` and its arguments, and the columns that it reads.

    `cost`: its points in a document's cost, beside its objects; `length`: as how many of them a list counts there;
    `long`: it may give a text that is longer than a line.
    """
    declared = Declared("function", needs, through=through)
    return _field(function, declared, description, points=cost, length=length, text=long)


def viewer_permissions(*, key: str = "org_id") -> Any:
    """What the viewer may do in the organization that the key names."""

    def resolve(root: Any, info: Info) -> list[Permission]:
        return in_order(info.context.actor.permissions(getattr(root, key)))

    return computed(resolve, needs=(key,), description="What the viewer may do here.")


@overload
def query(function: Callable[..., Any]) -> Any: ...


@overload
def query(*, cost: int | None = ..., per: str | None = ...) -> Callable[[Callable[..., Any]], Any]: ...


def query(function: Callable[..., Any] | None = None, *, cost: int | None = None, per: str | None = None) -> Any:
    """A query field; its description is the function's docstring.

    `cost`: its points in a document's cost, beside its objects. `per`: the argument, by its name in the schema, that
    says of how many; the points are for each of them.
    """
    if function is None:
        return partial(query, cost=cost, per=per)
    return strawberry.field(
        resolver=function, description=inspect.getdoc(function), metadata=priced(points=cost, per=per)
    )


def subscription(function: Callable[..., Any]) -> Any:
    """A subscription field; its description is the function's docstring.

    The function gives the iterator once it has looked at its arguments: what it raises before is an `error` message.
    """
    return strawberry.subscription(resolver=function, description=inspect.getdoc(function))


def required(description: str) -> Any:
    """An input field that must be given."""
    return strawberry.field(description=description)


def optional(description: str) -> Any:
    """An input field that may be absent, which differs from null."""
    return strawberry.field(description=description, default=strawberry.UNSET)


def changes(
    input: Any, *without: str, ids: dict[str, str] | None = None, path: tuple[str, ...] = ("input",)
) -> dict[str, Any]:
    """What an input gives, by Python names: absent fields are left out, null stays None.

    `ids` names the fields that hold ids and the kind that each must be of; `path` is where the input stands.
    """
    given = {
        name: value for name, value in vars(input).items() if value is not strawberry.UNSET and name not in without
    }
    for name, kind in (ids or {}).items():
        if (value := given.get(name)) is None:
            continue
        place = (*path, to_camel_case(name))
        if isinstance(value, list):
            given[name] = [parse_id(item, kind, *place) for item in value]
        else:
            given[name] = parse_id(value, kind, *place)
    return given


def _field(
    resolve: Callable[..., Any],
    declared: Declared,
    description: str,
    arguments: Callable[..., Any] | None = None,
    **cost: int | None,
) -> Any:
    if arguments is not None:
        # Strawberry reads a field's arguments from its resolver's signature.
        own = [
            parameter for name, parameter in inspect.signature(resolve).parameters.items() if name in ("root", "info")
        ]
        asked = [
            each for name, each in inspect.signature(arguments).parameters.items() if name not in ("info", "_info")
        ]
        resolve.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [*own, *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in asked)]
        )
    metadata = {DECLARED: declared, **priced(**cost)}
    return strawberry.field(resolver=resolve, description=description, metadata=metadata)


def _names(key: Key) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else key


def _value(root: Any, key: Key) -> Any:
    return getattr(root, key) if isinstance(key, str) else tuple(getattr(root, name) for name in key)
