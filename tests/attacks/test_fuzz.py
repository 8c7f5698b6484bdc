"""Requests and messages by chance: documents that are nearly right, JSON, query strings, headers, sockets' messages.

Whatever comes, no bug is met, nothing is logged, and the process goes on. Some 450 in the suite, the same ones each
time; fifty times as many others each night (`--long`).
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from random import Random
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import websockets
from hypothesis import HealthCheck, given
from hypothesis import settings as with_settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from domain.adapters.wiring import Adapters
from domain.base.settings import Settings
from graph.http import JSON, RESPONSE
from tests.attacks.raw import still_serves
from tests.attacks.target import Target, attacked
from tests.compiler.operations import operation as made
from tests.compiler.worlds import Scene, make_scenes
from tests.ports import http_client
from tests.sockets import PATIENCE_S, PROTOCOL

pytestmark = pytest.mark.usefixtures("lines")

NUMBERS = {
    "test_documents": 100,
    "test_requests": 100,
    "test_query_strings": 80,
    "test_headers": 120,
    "test_messages": 60,
}
A_NIGHT = 50
# Of longer documents most are refused for what they have too much of.
SHORT = 2_000
SEEDS = st.integers(0, 2**64 - 1)
PIECES = [
    *'{}()[]:!@$"#&|=,.',
    "...",
    '"""',
    "\\u0000",
    "\x00",
    "\ud800",
    "\u202e",
    "9" * 30,
    "-",
    "1e9",
    "null",
    "true",
]
PIECES += [
    "on",
    "fragment F on Task { ...F }",
    "query",
    "mutation",
    "subscription",
    "__typename",
    "__schema",
    "@skip(if: $x)",
]
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    2**63,
    2**64,
    1.5,
    1e300,
    "",
    "a",
    "\x00",
    "\ud800",
    [],
    {},
    [[]],
    {"__proto__": {}},
]
MEMBERS = [
    "query",
    "variables",
    "operationName",
    "extensions",
    "documentId",
    "id",
    "persistedQuery",
    "version",
    "sha256Hash",
]
HEADERS = [
    JSON,
    RESPONSE,
    "text/html",
    "*/*",
    "application/*",
    "q=0",
    "q=1",
    "q=0.5",
    "q=x",
    "charset=utf-8",
    "charset=x",
]
HEADERS += [";", ",", " ", "=", '"', "/", "a", "\xff", "boundary=x", "gzip", "identity", "multipart/form-data"]
# Those that the server closes a socket with; another is a fault of its own.
CLOSING = {4400, 4401, 4403, 4408, 4409, 4429}


@pytest.fixture(scope="module")
async def attacked_here(settings: Settings, adapters: Adapters) -> AsyncIterator[Target]:
    """A target whose sockets take all messages that come."""
    async with attacked(replace(settings, messages_per_second=100_000, sockets_per_user=10_000)) as target:
        yield target


@pytest.fixture(scope="module")
async def scene(attacked_here: Target) -> Scene:
    """A world that is asked for."""
    return (await make_scenes())[0]


@pytest.fixture(scope="module")
async def http(attacked_here: Target) -> AsyncIterator[httpx.AsyncClient]:
    """A client that keeps its connections."""
    async with http_client(base_url=f"http://{attacked_here.address}", timeout=PATIENCE_S) as client:
        yield client


@pytest.fixture(autouse=True)
def number_of_examples(request: pytest.FixtureRequest) -> None:
    """As many as the run has time for; a night's are new ones each time."""
    night = bool(request.config.getoption("--long"))
    number = NUMBERS[request.function.__name__]
    apply = with_settings(
        max_examples=number * A_NIGHT if night else number,
        derandomize=not night,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    apply(request.function)


def bent(chance: Random, text: str) -> str:
    """The text with something taken away, doubled, moved or put in; often as it is."""
    for _ in range(chance.choice([0, 0, 0, 1, 1, 2, 5])):
        at, to = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        to = min(to, at + chance.choice([1, 5, 200]))
        how = chance.randrange(4)
        if how == 0:
            text = text[:at] + text[to:]
        elif how == 1:
            text = text[:to] + text[at:to] * chance.choice([1, 3]) + text[to:]
        elif how == 2:
            text = text[:at] + chance.choice(PIECES) + text[at:]
        else:
            text = text[:at] + chance.choice(PIECES) + text[to:]
    return text


def value(chance: Random, depth: int = 0) -> Any:
    """Some JSON."""
    kind = chance.randrange(6 if depth < 4 else 4)
    if kind < 4:
        return chance.choice(VALUES)
    if kind == 4:
        return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
    names = [*MEMBERS, "", "input", "__class__", "\ud800"]
    return {chance.choice(names): value(chance, depth + 1) for _ in range(chance.randrange(4))}


def request(chance: Random, scene: Scene, kind: str = "query") -> dict[str, Any]:
    """A request that is nearly right."""
    operation = made(chance, scene.material, kind)
    while len(operation.document) > SHORT:
        operation = made(chance, scene.material, kind)
    found: dict[str, Any] = {"query": bent(chance, operation.document), "variables": operation.variables}
    if operation.name is not None:
        found["operationName"] = operation.name
    if chance.randrange(6) == 0:
        found[chance.choice(MEMBERS)] = value(chance)
    if found["variables"] and isinstance(found["variables"], dict) and chance.randrange(4) == 0:
        found["variables"][chance.choice(sorted(found["variables"]))] = value(chance)
    return found


def bearer(scene: Scene, kind: str) -> str:
    """Whose operations they are: a key's where something may be ended that a person needs to go on."""
    return f"Bearer {scene.world.secret if kind == 'mutation' else scene.world.admin.token}"


def met_no_bug(answer: httpx.Response, *statuses: int) -> None:
    """The answer is one of those that there are, and tells of no bug."""
    assert answer.status_code in statuses, answer.text
    assert "INTERNAL" not in answer.text
    assert "Did you mean" not in answer.text
    if answer.request.method != "HEAD" and answer.headers["content-type"].startswith("application/"):
        assert answer.json().keys() <= {"data", "errors", "extensions"}


@given(seed=SEEDS)
async def test_documents(http: httpx.AsyncClient, scene: Scene, seed: int) -> None:
    chance = Random(seed)  # noqa: S311
    kind = chance.choice(["query", "query", "mutation"])
    headers = {"content-type": JSON, "accept": RESPONSE, "authorization": bearer(scene, kind)}

    answer = await http.post("/graphql", content=json.dumps(request(chance, scene, kind)), headers=headers)

    met_no_bug(answer, 200, 400)


@given(seed=SEEDS)
async def test_requests(http: httpx.AsyncClient, scene: Scene, seed: int) -> None:
    chance = Random(seed)  # noqa: S311
    asked = value(chance) if chance.randrange(3) == 0 else request(chance, scene)
    body = bent(chance, json.dumps(asked, ensure_ascii=chance.randrange(2) == 0))
    encoding = chance.choice(["utf-8", "utf-8", "utf-8", "utf-16", "latin-1"])
    content = body.encode(encoding, "replace" if encoding == "latin-1" else "surrogatepass")

    answer = await http.post("/graphql", content=content, headers={"content-type": JSON, "accept": RESPONSE})

    met_no_bug(answer, 200, 400)


@given(seed=SEEDS)
async def test_query_strings(http: httpx.AsyncClient, scene: Scene, seed: int) -> None:
    chance = Random(seed)  # noqa: S311
    kind = chance.choice(["query", "query", "mutation"])
    asked = request(chance, scene, kind)
    texts = {name: each if isinstance(each, str) else json.dumps(each) for name, each in asked.items()}
    pairs = [f"{name}={quote(text.encode('utf-8', 'surrogatepass'), safe='')}" for name, text in texts.items()]
    target = "&".join(pairs)[:6_000]
    # What stands in a target is of ASCII, and none of it is a space; other bytes are the server's own matter.
    bent_target = "".join(each for each in bent(chance, target) if "!" <= each <= "~" and each != "#")
    method = chance.choice(["GET", "GET", "GET", "HEAD", "POST"])
    headers = {"accept": chance.choice([RESPONSE, JSON, "*/*"]), "authorization": bearer(scene, kind)}

    answer = await http.request(method, f"/graphql?{bent_target}", headers=headers)

    met_no_bug(answer, 200, 400, 405, 415)


@given(seed=SEEDS)
async def test_headers(http: httpx.AsyncClient, seed: int) -> None:
    chance = Random(seed)  # noqa: S311
    names = [
        "accept",
        "content-type",
        "content-encoding",
        "origin",
        "authorization",
        "cookie",
        "x-request-id",
        "traceparent",
    ]

    def some() -> bytes:
        return "".join(chance.choices(HEADERS, k=chance.randrange(8))).strip().encode("latin-1")

    headers = [(name.encode(), some()) for name in chance.choices(names, k=chance.randrange(5))]
    headers += [(b"content-type", JSON.encode())] * chance.choice([0, 1, 1, 1])
    method = chance.choice(["POST", "POST", "GET", "OPTIONS", "HEAD", "PUT"])

    answer = await http.request(method, "/graphql", content=b'{"query": "{ __typename }"}', headers=headers)

    met_no_bug(answer, 200, 400, 405, 406, 415)


def messages(chance: Random, scene: Scene) -> list[str | bytes]:
    """What a client sends over a socket, one after the other."""
    found: list[Any] = [{"type": "connection_init", "payload": {"authorization": bearer(scene, "query")}}]
    for _ in range(chance.randrange(1, 12)):
        odd = chance.randrange(25) == 0
        id = chance.choice(["", "x" * 200, 5, None]) if odd else str(chance.randrange(20))
        kind = chance.choice(["subscribe", "subscribe", "subscribe", "complete", "ping", "pong"])
        if chance.randrange(30) == 0:
            kind = chance.choice(["connection_init", "next", ""])
        message: dict[str, Any] = {"type": kind, "id": id}
        if kind == "subscribe":
            message["payload"] = request(chance, scene)
        elif chance.randrange(2):
            message["payload"] = chance.choice([None, {}, {}, {}, {}, {}, value(chance)])
        if chance.randrange(40) == 0:
            message[chance.choice(["type", "id", "payload"])] = value(chance)
        found.append(message)
    if chance.randrange(12) == 0:
        found.pop(0)
    texts = [json.dumps(each) for each in found]
    at = chance.randrange(len(texts))
    if chance.randrange(6) == 0:
        texts[at] = bent(chance, texts[at]).encode("utf-8", "replace").decode()
    return [each.encode() if chance.randrange(100) == 0 else each for each in texts]


@given(seed=SEEDS)
async def test_messages(attacked_here: Target, scene: Scene, seed: int) -> None:
    chance = Random(seed)  # noqa: S311
    told = []

    async with connect(f"ws://{attacked_here.address}/graphql", subprotocols=[PROTOCOL], compression=None) as socket:
        with contextlib.suppress(websockets.ConnectionClosed):
            for message in messages(chance, scene):
                await socket.send(message)
            # Told once all before it was read; where the socket is not acknowledged, it is too.
            await socket.send('{"type": "ping", "payload": {"last": true}}')
            async with asyncio.timeout(PATIENCE_S):
                while '"last":true' not in (text := str(await socket.recv())):
                    told.append(text)
        code = socket.close_code

    assert code is None or code in CLOSING
    assert not [each for each in told if "INTERNAL" in each or "Did you mean" in each]
    await still_serves(attacked_here.address)
