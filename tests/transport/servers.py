"""The application under uvicorn in this process, with settings of a test's own."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx

from domain.base.settings import Settings
from graph.app import create_app
from graph.http import RESPONSE
from tests.attacks.raw import Running, running
from tests.factories import Person
from tests.ports import http_client

JSON_HEADERS = {"content-type": "application/json", "accept": RESPONSE}


@contextlib.asynccontextmanager
async def served(settings: Settings, **changes: Any) -> AsyncIterator[Running]:
    """A server over this process's database and Redis."""
    changed = replace(settings, **changes)
    app = create_app(changed)
    try:
        async with app.state.live.running(), running(changed, app=app) as server:
            yield server
    finally:
        await app.state.adapters.close()


@contextlib.asynccontextmanager
async def asking(settings: Settings, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of such a server."""
    async with served(settings, **changes) as server, http_client(base_url=f"http://{server.address}") as client:
        yield client


async def ask(
    http: httpx.AsyncClient, document: str | None, person: Person | None = None, /, **request: Any
) -> httpx.Response:
    """The answer to a posted request; `headers` are sent with it, the rest is part of the body."""
    headers = {**JSON_HEADERS, **request.pop("headers", {})}
    if person is not None:
        headers["authorization"] = f"Bearer {person.token}"
    if document is not None:
        request["query"] = document
    return await http.post("/graphql", content=json.dumps(request), headers=headers)


def codes(answer: httpx.Response) -> list[str]:
    """The codes of its errors."""
    return [error["extensions"]["code"] for error in answer.json().get("errors", [])]
