"""What surrounds every operation: its caller, its tenant, its log line, and a look at its strings."""

import random
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID

import structlog
from graphql import (
    DocumentNode,
    FloatValueNode,
    GraphQLError,
    IntValueNode,
    StringValueNode,
    ValueNode,
    Visitor,
    visit,
)

from domain.base import telemetry
from domain.base.actor import Actor
from domain.base.database import act_for, acting_for
from domain.base.errors import Forbidden, Unauthenticated
from domain.events import queries as log_queries
from domain.identity import security_log
from graph.base.auth import actor_of, credentials_of
from graph.base.context import Context, Operation

log = structlog.get_logger("graph")

# Longer than any number that a field takes; Python refuses to read one of more than 4,300 digits.
LONGEST_NUMBER = 400
# Half a character, which JSON can spell and UTF-8 cannot.
SURROGATE = re.compile("[\ud800-\udfff]")
# Any of them makes a browser ask before it sends a GET of another origin's page.
PREFLIGHTED = ("x-requested-with", "apollo-require-preflight", "x-apollo-operation-name")
# Of a name in a path of the variables, which may be as long as a body.
LONGEST_TOLD = 100
# What holds strings.
_HOLDING = (str, dict, list)
# The place above, and the name or index in it.
_Place: TypeAlias = "tuple[_Place | None, str | int]"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# No spelling of a field's name gets round this: GraphQL has no escapes in names, and an alias stands beside the name.
_EVENT_CURSOR = "eventCursor"
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def asks_for_cursor(document: str | None) -> bool:
    """Whether the text may ask for eventCursor, which is read before all else."""
    return _EVENT_CURSOR in (document or "")


async def begin(context: Context, *, shows_cursor: bool) -> Operation:
    """Find the caller, set the tenant that it acts for, and make this the running operation. `end` it in any case.

    The caller is found anew for each operation, also on a long-lived socket.
    """
    started = time.perf_counter()
    security_log.come_from(context.client_address, context.headers.get("user-agent"))
    caller: Actor | None = None
    refusal: Exception | None = None
    log_heads: dict[UUID, int] = {}
    try:
        caller = await caller_of(context)
        if caller is not None and shows_cursor:
            with acting_for(caller.standings):
                log_heads = await log_queries.heads(caller)
            # What the caller may do is shown too, and was read before the positions.
            caller = await caller_of(context)
    except Exception as failure:
        # Raised to the fields that ask who calls; a field that does not ask, like signIn, still answers.
        refusal = failure
    request_id, trace_id = request_and_trace(context.headers)
    operation = Operation(caller, refusal, request_id)
    operation.log_heads, operation.shows_cursor = log_heads, shows_cursor
    operation.started = started
    operation.begin()
    act_for(caller.standings if caller else {})
    user_id = str(caller.user_id) if caller else None
    # No token: it would point at the context that points at the operation, and leave both to the collector.
    operation.said_before = telemetry.about.get()
    telemetry.about.set({"request_id": request_id, "trace_id": trace_id, "user_id": user_id})
    return operation


async def end(operation: Operation, name: str | None, kind: str, errors: Sequence[dict[str, Any]]) -> None:
    """Note what the caller was refused, and leave the line in the log that every operation leaves."""
    caller = operation.known_as
    # Its loaders point back at it, and would leave it, with all rows that it has read, to the collector.
    operation.forget()
    if errors:
        await note_denials(operation, errors)
    telemetry.operation_ended(
        operation=name,
        kind=kind,
        org_ids=[str(org_id) for org_id in caller.standings] if caller else [],
        duration_ms=round((time.perf_counter() - operation.started) * 1000, 2),
        errors=len(errors),
    )
    telemetry.about.set(operation.said_before)


async def note_denials(operation: Operation, errors: Sequence[dict[str, Any]]) -> None:
    """Tell the caller's account what it was refused, each permission once. That this fails takes no answer away."""
    told = [error.get("extensions") or {} for error in errors]
    denied = {str(each.get("permission")) for each in told if each.get("code") == Forbidden.code}
    caller = operation.caller
    if caller is not None and (new := denied - operation.denied):
        operation.denied |= new
        try:
            await security_log.note_denials(caller, sorted(new))
        except Exception:
            log.exception("denials were not noted", permissions=sorted(new))


async def caller_of(context: Context) -> Actor | None:
    """Whoever sent the request or opened the socket, as it stands now; None without credentials.

    Raises Unauthenticated.
    """
    credentials = credentials_of(context)
    if credentials is not None and credentials.is_cookie:
        _hold_cookie_to_its_origin(context)
    return await actor_of(credentials)


def _hold_cookie_to_its_origin(context: Context) -> None:
    """A browser sends the cookie for any page that asks, so it counts only where one of ours asks.

    A page cannot forge the Origin header. That the request is not a simple one, which a form or a link could make too,
    is asked as well: a POST of JSON is none, and a GET is none by any of the headers that ask for a preflight.
    Raises Unauthenticated. Source: OWASP, Cross-Site Request Forgery Prevention.
    """
    sent = context.headers
    is_simple = context.connection.scope.get("method") == "GET" and not any(name in sent for name in PREFLIGHTED)
    if is_simple or sent.get("origin") not in context.settings.allowed_origins:
        raise Unauthenticated("The cookie does not count from this Origin. Send a bearer token.")


def bad_variable(variables: Any) -> GraphQLError | None:
    """Why the variables are refused before any field runs, or None: the database cannot hold each string."""
    if (path := _bad_string(variables, "variables")) is None:
        return None
    return _refusal(f"{path} holds a NUL or an unpaired surrogate.", path)


def bad_literal(document: DocumentNode) -> GraphQLError | None:
    """Why the document is refused before any field runs, or None: a value that Python or the database cannot hold."""
    visitor = _Literals()
    visit(document, visitor)
    return None if visitor.fault is None else _refusal(visitor.fault, "document")


def _refusal(fault: str, path: str) -> GraphQLError:
    return GraphQLError(fault, extensions={"code": "BAD_USER_INPUT", "path": path.split(".")})


def request_and_trace(headers: Mapping[str, str]) -> tuple[str, str]:
    """The ids that the other end sent, where they have the right form, else new ones.

    Source: W3C Trace Context, traceparent header.
    """
    sent, trace = headers.get("x-request-id", ""), _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    return sent if _REQUEST_ID.fullmatch(sent) else _new_id(), trace[1] if trace else _new_id()


def _new_id() -> str:
    # It tells requests apart and keeps nothing secret.
    return random.randbytes(16).hex()  # noqa: S311


def _bad_string(value: Any, path: str) -> str | None:
    """Where a string lies that the database cannot hold, or None. Iterative: nesting costs no stack."""
    # Paths are put together at a fault alone: a long name above many values would be copied for each of them.
    pending: list[tuple[Any, _Place]] = [(value, (None, path))]
    while pending:
        item, place = pending.pop()
        if isinstance(item, str):
            if _is_bad(item):
                return _path(place)
        elif isinstance(item, dict):
            if any(_is_bad(key) for key in item):
                return _path(place)
            pending.extend((inner, (place, key)) for key, inner in item.items() if isinstance(inner, _HOLDING))
        elif isinstance(item, list):
            pending.extend((inner, (place, index)) for index, inner in enumerate(item) if isinstance(inner, _HOLDING))
    return None


def _path(place: "_Place") -> str:
    names = list[str]()
    above: _Place | None = place
    while above is not None:
        above, name = above
        names.append(str(name)[:LONGEST_TOLD])
    return ".".join(reversed(names))


def _is_bad(text: str) -> bool:
    return "\x00" in text or (not text.isascii() and SURROGATE.search(text) is not None)


class _Literals(Visitor):
    """Looks for the first literal of a document that cannot be held, and says what is wrong with it."""

    fault: str | None = None

    def enter_string_value(self, node: StringValueNode, *_: Any) -> None:
        if _is_bad(node.value):
            self._note(node, "a NUL or an unpaired surrogate")

    def enter_int_value(self, node: IntValueNode, *_: Any) -> None:
        if len(node.value) > LONGEST_NUMBER:
            self._note(node, f"a number of more than {LONGEST_NUMBER} digits")

    def enter_float_value(self, node: FloatValueNode, *_: Any) -> None:
        if len(node.value) > LONGEST_NUMBER:
            self._note(node, f"a number of more than {LONGEST_NUMBER} digits")

    def _note(self, node: ValueNode, what: str) -> None:
        if self.fault is None:
            line = node.loc.start_token.line if node.loc else 0
            self.fault = f"Line {line} of the document holds {what}."
