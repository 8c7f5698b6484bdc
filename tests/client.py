"""GraphQL as somebody: operations run in this process through the whole schema, with real credentials."""

from dataclasses import dataclass, field
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import Response

from domain.adapters.wiring import Adapters
from domain.base.settings import Settings
from graph.base.context import Context
from graph.base.live import Live
from graph.schema import schema

_settings: Settings
_adapters: Adapters


def use(settings: Settings, adapters: Adapters) -> None:
    """What every client runs over."""
    global _settings, _adapters
    _settings, _adapters = settings, adapters


@dataclass(frozen=True)
class Answer:
    """The result of one operation."""

    data: dict[str, Any] | None
    errors: list[dict[str, Any]]
    response: Response

    @property
    def codes(self) -> list[str]:
        """The codes of the top-level errors."""
        return [error["extensions"]["code"] for error in self.errors]


@dataclass(frozen=True)
class GraphQL:
    """A client with a bearer token, or none, at a network address."""

    token: str | None = None
    address: str = "192.0.2.1"
    headers: dict[str, str] = field(default_factory=dict)

    async def run(self, document: str, **variables: Any) -> Answer:
        """The answer, whatever it holds."""
        headers = dict(self.headers)
        if self.token is not None:
            headers["authorization"] = f"Bearer {self.token}"
        scope = {
            "type": "http",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": (self.address, 50000),
        }
        response = Response()
        context = Context(_settings, _adapters, HTTPConnection(scope), response, Live.of(_adapters))
        result = await schema.execute(document, variables, context)
        return Answer(result.data, [dict(error.formatted) for error in result.errors or ()], response)

    async def ok(self, document: str, **variables: Any) -> dict[str, Any]:
        """The data of an operation that must have no top-level error."""
        answer = await self.run(document, **variables)
        assert answer.errors == []
        assert answer.data is not None
        return answer.data

    async def done(self, document: str, **variables: Any) -> dict[str, Any]:
        """The payload of a single mutation that must have no error at all."""
        (payload,) = (await self.ok(document, **variables)).values()
        assert payload["errors"] == []
        return dict(payload)

    async def refused(self, document: str, **variables: Any) -> list[dict[str, Any]]:
        """The user errors of a single mutation that must be refused."""
        (payload,) = (await self.ok(document, **variables)).values()
        assert payload["errors"] != []
        return list(payload["errors"])
