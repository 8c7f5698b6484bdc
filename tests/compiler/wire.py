"""What goes over the connections to PostgreSQL while something runs, and one operation as a server hands it in."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import asyncpg
import orjson
from starlette.types import ASGIApp, Message

from domain.base.connection import Connection, TenantSet, setting

_NAMED = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE) ([a-z_]+)\b(?!\()")
_WITH = re.compile(r"\b([a-z_]+)(?: ?\([a-z_, ]+\))? AS \(")


@dataclass
class Wire:
    """What was sent, in order."""

    statements: list[str] = field(default_factory=list)
    """Those that have a plan."""
    unprepared: list[tuple[int, str]] = field(default_factory=list)
    """Those of them that their connection, which stands before each, had not met before."""
    commands: list[str] = field(default_factory=list)
    """What needs no plan: the bounds of transactions, and the tenant set."""

    beside: list[str] = field(default_factory=list)
    """The tenant sets that went out in one flight with a statement."""

    @property
    def tables(self) -> list[str]:
        """The tables that each statement names, A to Z; the statements in no order."""
        found = [" ".join(sorted(set(_NAMED.findall(text)) - set(_WITH.findall(text)))) for text in self.statements]
        return sorted(found)

    @property
    def tellings(self) -> int:
        """How often a connection was told its tenant set."""
        return sum(text.count("app.org_ids") for text in [*self.commands, *self.statements, *self.beside])


@contextlib.contextmanager
def wire() -> Iterator[Wire]:
    """What this process sends meanwhile."""
    noted, connection = Wire(), asyncpg.Connection
    run: Any = connection._execute  # type: ignore[attr-defined]
    command = connection.execute

    async def note_statement(self: Any, text: str, *args: Any, **kwargs: Any) -> Any:
        noted.statements.append(text)
        row = kwargs.get("record_class") or self._protocol.get_record_class()
        if self._stmt_cache.get((text, row, False), promote=False) is None:
            noted.unprepared.append((id(self), text))
        return await run(self, text, *args, **kwargs)

    async def note_command(self: Any, text: str, *args: Any, **kwargs: Any) -> Any:
        # With values it is a statement, which comes by the other way.
        if not args:
            noted.commands.append(text)
        return await command(self, text, *args, **kwargs)

    tell = Connection.tell

    def note_set(self: Connection, wanted: TenantSet) -> None:
        noted.beside.append(setting(wanted))
        tell(self, wanted)

    with (
        patch.object(connection, "_execute", note_statement),
        patch.object(connection, "execute", note_command),
        patch.object(Connection, "tell", note_set),
    ):
        yield noted


async def answer_of(app: ASGIApp, token: str, document: str, variables: dict[str, Any]) -> dict[str, Any]:
    """What the application answers to a POST."""
    body = orjson.dumps({"query": document, "variables": variables})
    headers = {"content-type": "application/json", "content-length": len(body), "authorization": f"Bearer {token}"}
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/graphql",
        "headers": [(name.encode(), str(value).encode()) for name, value in headers.items()],
        "client": ("192.0.2.1", 50000),
    }
    parts: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        parts.append(message.get("body", b""))

    await app(scope, receive, send)
    answer: dict[str, Any] = orjson.loads(b"".join(parts))
    return answer
