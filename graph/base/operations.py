"""What surrounds every operation: its caller, its tenant, its log line, and a look at its strings."""

import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID, uuid4

import structlog
from graphql import (
    DocumentNode,
    FloatValueNode,
    GraphQLError,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    StringValueNode,
    ValueNode,
    Visitor,
    visit,
)
from starlette.requests import HTTPConnection
from strawberry.extensions import SchemaExtension

from domain.base.actor import Actor
from domain.base.database import act_for, acting_for
from domain.base.errors import Forbidden, Unauthenticated
from domain.events import queries as log_queries
from domain.identity import security_log
from graph.base.auth import actor_of, credentials_of
from graph.base.context import Context, Operation, running

log = structlog.get_logger("graph")

# Longer than any number that a field takes; Python refuses to read one of more than 4,300 digits.
LONGEST_NUMBER = 400
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# No spelling of a field's name gets round this: GraphQL has no escapes in names, and an alias stands beside the name.
_EVENT_CURSOR = "eventCursor"
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


class Operations(SchemaExtension):
    """Finds the caller anew for each operation, also on a long-lived socket, and sets the tenant that it acts for."""

    async def on_operation(self) -> AsyncIterator[None]:
        context: Context = self.execution_context.context
        credentials = credentials_of(context.connection, context.connection_params)
        started = time.perf_counter()
        security_log.come_from(context.client_address, context.connection.headers.get("user-agent"))
        caller: Actor | None = None
        refusal: Exception | None = None
        log_heads: dict[UUID, int] = {}
        shows_cursor = _EVENT_CURSOR in (self.execution_context.query or "")
        try:
            caller = await actor_of(credentials)
            if caller is not None and shows_cursor:
                with acting_for(caller.standings):
                    log_heads = await log_queries.heads(caller)
                # What the caller may do is shown too, and was read before the positions.
                caller = await actor_of(credentials)
        except Exception as failure:
            # Raised to the fields that ask who calls; a field that does not ask, like signIn, still answers.
            refusal = failure
        request_id, trace_id = _request_and_trace(context.connection)
        operation = Operation(caller, refusal, request_id, by_cookie=credentials is not None and credentials.is_cookie)
        operation.log_heads, operation.shows_cursor = log_heads, shows_cursor
        operation.begin()
        act_for(caller.standings if caller else {})
        with structlog.contextvars.bound_contextvars(
            request_id=request_id, trace_id=trace_id, user_id=str(caller.user_id) if caller else None
        ):
            try:
                yield
            finally:
                await self._note_denials(self.execution_context.result)
                log.info(
                    "operation",
                    operation=self.execution_context.operation_name,
                    kind=_kind(self.execution_context),
                    org_ids=[str(org_id) for org_id in caller.standings] if caller else [],
                    duration_ms=round((time.perf_counter() - started) * 1000, 2),
                    errors=len(getattr(self.execution_context.result, "errors", None) or ()),
                )

    async def on_stream_result(self, result: Any) -> AsyncIterator[None]:
        """Over a socket each result comes by here, with the codes of its errors once it was sent."""
        if (operation := running()) is not None:
            await operation.confirm()
        yield
        await self._note_denials(result)

    async def _note_denials(self, result: Any) -> None:
        """Tell the caller's account what it was refused, each permission once. That this fails takes no answer away."""
        operation = running()
        caller = operation.caller if operation else None
        told = [error.extensions or {} for error in getattr(result, "errors", None) or ()]
        denied = {str(each.get("permission")) for each in told if each.get("code") == Forbidden.code}
        if operation is not None and caller is not None and (new := denied - operation.denied):
            operation.denied |= new
            try:
                await security_log.note_denials(caller, sorted(new))
            except Exception:
                log.exception("denials were not noted", permissions=sorted(new))

    def on_validate(self) -> Iterator[None]:
        self._refuse_bad_literals()
        self._hold_cookie_to_its_origin()
        self._refuse_subscription_without_socket()
        yield

    def _refuse_bad_literals(self) -> None:
        """Values that Python or the database cannot hold are refused where they are written, before any field runs."""
        fault: str | None = None
        if (path := _bad_string(self.execution_context.variables, "variables")) is not None:
            fault = f"{path} holds a NUL or an unpaired surrogate."
        elif (document := self.execution_context.graphql_document) is not None:
            fault, path = _bad_literal(document), "document"
        if fault is not None and path is not None:
            extensions = {"code": "BAD_USER_INPUT", "path": path.split(".")}
            self.execution_context.pre_execution_errors = [GraphQLError(fault, extensions=extensions)]

    def _hold_cookie_to_its_origin(self) -> None:
        """A browser sends the cookie for any page that asks, so a change by cookie must come from one of ours."""
        context: Context = self.execution_context.context
        operation = context.operation
        from_socket = context.connection.scope["type"] == "websocket"
        if operation.by_cookie and (from_socket or _kind(self.execution_context) != "query"):
            origin = context.connection.headers.get("origin")
            if origin not in context.settings.allowed_origins:
                operation.caller = None
                operation.refusal = Unauthenticated("The cookie does not count from this Origin. Send a bearer token.")
                act_for({})

    def _refuse_subscription_without_socket(self) -> None:
        from_socket = self.execution_context.context.connection.scope["type"] == "websocket"
        if not from_socket and _kind(self.execution_context) == OperationType.SUBSCRIPTION.value:
            fault = "Subscriptions come over graphql-transport-ws."
            self.execution_context.pre_execution_errors = [GraphQLError(fault, extensions={"code": "BAD_USER_INPUT"})]


def _request_and_trace(connection: HTTPConnection) -> tuple[str, str]:
    """The ids that the other end sent, where they have the right form, else new ones.

    Source: W3C Trace Context, traceparent header.
    """
    sent = connection.headers.get("x-request-id", "")
    trace = _TRACEPARENT.fullmatch(connection.headers.get("traceparent", ""))
    return sent if _REQUEST_ID.fullmatch(sent) else uuid4().hex, trace[1] if trace else uuid4().hex


def _kind(execution_context: Any) -> str:
    document = execution_context.graphql_document
    operations = (
        [node for node in document.definitions if isinstance(node, OperationDefinitionNode)] if document else []
    )
    name = execution_context.operation_name
    chosen = [node for node in operations if name is None or (node.name and node.name.value == name)]
    return (chosen[0].operation if chosen else OperationType.QUERY).value


def _bad_string(value: Any, path: str) -> str | None:
    """Where a string lies that the database cannot hold, or None. Iterative: nesting costs no stack."""
    pending = [(value, path)]
    while pending:
        item, where = pending.pop()
        if isinstance(item, str):
            if _is_bad(item):
                return where
        elif isinstance(item, dict):
            if any(_is_bad(key) for key in item):
                return where
            pending.extend((inner, f"{where}.{key}") for key, inner in item.items())
        elif isinstance(item, list):
            pending.extend((inner, f"{where}.{index}") for index, inner in enumerate(item))
    return None


def _is_bad(text: str) -> bool:
    return "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text)


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


def _bad_literal(document: DocumentNode) -> str | None:
    visitor = _Literals()
    visit(document, visitor)
    return visitor.fault
