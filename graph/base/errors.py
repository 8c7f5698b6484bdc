"""How failures reach the client: a user error in the payload, everything else at the top level with its code."""

import inspect
from collections.abc import Callable, Sequence
from functools import cache, partial, wraps
from typing import Any, cast, get_args, get_type_hints, overload

import strawberry
import structlog
from graphql import GraphQLError
from strawberry.utils.str_converters import to_camel_case

from domain.base import errors
from domain.base.errors import BadInput, ErrorCode, RequestError, UserErrors
from domain.idempotency import service
from domain.idempotency.service import PATH
from graph.base import idempotency
from graph.base.context import Info, Operation
from graph.base.nodes import Node
from graph.base.prices import priced
from graph.base.scalars import BigInt

strawberry.enum(ErrorCode, description="What a user error is about.")
log = structlog.get_logger("graph")


@strawberry.interface
class UserError:
    """What the caller can mend."""

    code: ErrorCode = strawberry.field(description="What it is about.")
    message: str = strawberry.field(description="For people; its wording may change.")
    path: list[str] = strawberry.field(description="The argument, outermost name first.")


@strawberry.type
class InputError(UserError):
    """Bad value, duplicate, expired token, wrong password: all that needs no more than a code and a path."""


@strawberry.type
class StaleVersionError(UserError):
    """`ifVersion` did not match; `current` is the row as it stands now."""

    current_version: int = strawberry.field(description="The version that the row has now.")
    current: Node | None = strawberry.field(description="The row as it stands now.")


@strawberry.type
class TransitionError(UserError):
    """A state machine refused."""

    from_: str = strawberry.field(name="from", description="The state it is in.")
    allowed: list[str] = strawberry.field(description="The states that can be reached from here.")


@strawberry.type
class LimitError(UserError):
    """The plan's limit, or a stated cap, is reached."""

    feature: str = strawberry.field(description="What is limited.")
    limit: BigInt = strawberry.field(description="How many may be there.")
    used: BigInt = strawberry.field(description="How many are there.")


ERROR_TYPES = (InputError, StaleVersionError, TransitionError, LimitError)


def no_errors() -> Any:
    """The `errors` field of a payload."""
    return strawberry.field(default_factory=list, description="Why it was refused; empty when it was done.")


@overload
def mutation(function: Callable[..., Any]) -> Any: ...


@overload
def mutation(
    *, credential: bool = ..., calls_outside: bool = ..., cost: int | None = ..., per: str | None = ...
) -> Callable[[Callable[..., Any]], Any]: ...


def mutation(
    function: Callable[..., Any] | None = None,
    *,
    credential: bool = False,
    calls_outside: bool = False,
    cost: int | None = None,
    per: str | None = None,
) -> Any:
    """A mutation field: user errors come back in its payload, whose type the function's return annotation names.

    What was loaded before it is dropped, so that its payload shows what it did. Under a key it runs at most once, in a
    transaction of its own. One that `calls_outside` is a plain function that only says what is to be done: it gives an
    OutsideCall whose second type is its payload, and has no other body. A `credential` is not given twice, so such a
    field refuses a key. `cost`: its points in a document's cost, where they are more than WRITE. `per`: the argument,
    by its name in the schema, that says on how many things it works; the points are for each of them.
    """
    if function is None:
        return partial(mutation, credential=credential, calls_outside=calls_outside, cost=cost, per=per)
    arguments = [name for name in inspect.signature(function).parameters if name not in ("self", "info")]

    @wraps(function)
    async def resolve(*args: Any, **kwargs: Any) -> Any:
        info: Info = kwargs["info"]
        info.context.operation.forget()
        run = partial(function, *args, **kwargs)
        try:
            if (key := idempotency.key_of(info)) is None:
                return await (service.outside(run()) if calls_outside else run())
            if credential:
                raise BadInput(f"{info.field_name} cannot be repeated under a key.", path=list(PATH))
            once = idempotency.asked(info, key, payload_type(), refused)
            return await (once.run_outside(run) if calls_outside else once.run(run))
        except (errors.UserError, UserErrors) as refusal:
            return refused(refusal)

    def refused(refusal: errors.UserError | UserErrors) -> Any:
        found = refusal.errors if isinstance(refusal, UserErrors) else (refusal,)
        return payload_type()(errors=[shown(error, arguments) for error in found])

    @cache
    def payload_type() -> Any:
        given = get_args(get_type_hints(function)["return"])
        return given[1] if calls_outside else next(part for part in given if part is not type(None))

    if calls_outside:
        # Strawberry takes the field's type from the signature.
        signature = inspect.signature(function)
        cast(Any, resolve).__signature__ = signature.replace(
            return_annotation=get_args(signature.return_annotation)[1] | None
        )
    return strawberry.mutation(
        resolver=resolve, description=inspect.getdoc(function), metadata=priced(points=cost, per=per)
    )


def shown(error: errors.UserError, arguments: Sequence[str], *above: str) -> UserError:
    """The error as clients get it. Its path begins at one of the arguments, which themselves stand below `above`."""
    path = list(error.path)
    if path and path[0] not in arguments and "input" in arguments and path[0] != PATH[0]:
        path.insert(0, "input")
    path = [*above, *path]
    common: dict[str, Any] = {
        "code": error.code,
        "message": error.message,
        "path": [to_camel_case(name) for name in path],
    }
    if isinstance(error, errors.StaleVersion):
        return StaleVersionError(**common, current_version=error.current.version, current=error.current)
    if isinstance(error, errors.TransitionNotAllowed):
        return TransitionError(**common, from_=error.source, allowed=list(error.allowed))
    if isinstance(error, errors.LimitReached):
        return LimitError(**common, feature=error.feature, limit=BigInt(error.limit), used=BigInt(error.used))
    return InputError(**common)


def coded(failure: Exception, operation: Operation | None = None) -> dict[str, Any]:
    """The failure as clients get it, with its code; a bug is logged and told without its message."""
    error = failure if isinstance(failure, GraphQLError) else GraphQLError(str(failure), original_error=failure)
    cause = error.original_error
    if "code" in (error.extensions or {}):
        return dict(error.formatted)
    if isinstance(cause, RequestError):
        return _with(error, cause.message, {"code": cause.code, **cause.details})
    if cause is None or isinstance(cause, GraphQLError):
        # Only graphql-core itself raises without a cause: syntax, validation, coercion of variables.
        return _with(error, error.message, {"code": "BAD_USER_INPUT"})
    if isinstance(cause, RecursionError) and not error.path:
        return _with(error, "The document nests too deep.", {"code": "BAD_USER_INPUT"})
    request_id = operation.request_id if operation else None
    log.error("resolver failed", path=error.path, exc_info=cause)
    message = "Something went wrong on our side."
    return _with(error, message, {"code": "INTERNAL", "requestId": request_id})


def _with(error: GraphQLError, message: str, extensions: dict[str, Any]) -> dict[str, Any]:
    told = GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=extensions,
    )
    return dict(told.formatted)
