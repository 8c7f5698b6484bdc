"""GraphQL as somebody: operations run in this process through the whole schema, with real credentials."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import HTTPConnection

from domain.adapters.wiring import Adapters
from domain.base import telemetry
from domain.base.settings import Settings
from graph.base.context import Context
from graph.base.documents import Ready, Refusal
from graph.base.limits import LIMITS, Limits
from graph.base.live import Live
from graph.base.requests import Asked
from graph.compiler.plan import INTROSPECTION
from graph.execution import Answer as Told
from graph.execution import Engine
from graph.http import Cookies
from graph.schema import schema

UNLIMITED = Limits(**dict.fromkeys(vars(LIMITS), 1_000_000_000))
engine = Engine(schema, limits=UNLIMITED, deadline_s=120.0)
"""Runs what tests ask in this process. They look at more at once than a client may; the server that they start has the
limits, and tests/limits has all examples."""
_settings: Settings
_adapters: Adapters
_judge: "Judge | None" = None
aside: ContextVar[bool] = ContextVar("aside", default=False)
"""Set while an operation runs once more to be compared, which no test counts."""


def fallen_back() -> float:
    """How many operations the compiler has left to graphql-core so far."""
    samples = [sample for metric in telemetry.FALLBACKS.collect() for sample in metric.samples]
    return sum(sample.value for sample in samples if sample.name.endswith("_total"))


def use(settings: Settings, adapters: Adapters) -> None:
    """What every client runs over."""
    global _settings, _adapters
    _settings, _adapters = settings, adapters


def served() -> tuple[Settings, Adapters]:
    """What every client runs over."""
    return _settings, _adapters


def judged_by(judge: "Judge | None") -> None:
    """Let somebody run the operations of every client, and look at the answers."""
    global _judge
    _judge = judge


@dataclass(frozen=True)
class Answer:
    """The result of one operation."""

    data: dict[str, Any] | None
    errors: list[dict[str, Any]]
    response: Cookies

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
        if _judge is not None:
            return await _judge(self, document, variables)
        return await self.answer(document, variables)

    async def answer(self, document: str, variables: dict[str, Any]) -> Answer:
        """The answer, whatever it holds, and nobody looks at it twice."""
        told, response = await self.execute(engine, document, variables)
        return Answer(told.data, told.errors, response)

    async def execute(
        self,
        by: Engine,
        document: str,
        variables: dict[str, Any],
        operation_name: str | None = None,
        *,
        found: Ready | Refusal | None = None,
    ) -> tuple[Told, Cookies]:
        """What an engine answers, and what it may have set a cookie on. `found` is the operation, if it is made."""
        headers = dict(self.headers)
        if self.token is not None:
            headers["authorization"] = f"Bearer {self.token}"
        scope = {
            "type": "http",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": (self.address, 50000),
        }
        response = Cookies()
        context = Context(_settings, _adapters, HTTPConnection(scope), response, Live.of(_adapters))
        fallbacks = fallen_back()
        request = Asked(document, operation_name, variables)
        told = await by.run(found or await by.found(request), request, context)
        if not any(word in document for word in INTROSPECTION):
            assert fallen_back() == fallbacks, f"graphql-core ran {document}"
        return told, response

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


Judge = Callable[[GraphQL, str, dict[str, Any]], Awaitable[Answer]]
"""Runs a document with variables as a client."""
