"""The socket as it stands, documents that cannot be read over either transport, and health. On a real server."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect

from domain.base.settings import Settings
from graph.base.auth import COOKIE
from tests.factories import Person, Tenant, execute, make_person, rows
from tests.ports import http_client

VIEWER = "{ viewer { user { id name } } }"
RENAME = 'mutation { profileUpdate(input: {name: "Renamed"}) { viewer { user { name } } errors { code } } }'


@pytest.fixture
async def http(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the server."""
    async with http_client(base_url=f"http://{address}") as client:
        yield client


async def post(http: httpx.AsyncClient, document: str, **headers: str) -> Any:
    """The JSON answer to a posted document."""
    answer = await http.post("/graphql", json={"query": document}, headers=headers)
    return answer.json()


def bearer(person: Person) -> str:
    """The Authorization header of a person."""
    return f"Bearer {person.token}"


async def open_socket(address: str, payload: dict[str, Any], **headers: str) -> ClientConnection:
    """A socket whose connection_init was sent."""
    socket_ = await connect(
        f"ws://{address}/graphql",
        subprotocols=[websockets.Subprotocol("graphql-transport-ws")],
        additional_headers=headers,
    )
    await socket_.send(json.dumps({"type": "connection_init", "payload": payload}))
    return socket_


async def ask(socket_: ClientConnection, document: str) -> Any:
    """The result of one operation over an acknowledged socket."""
    await socket_.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": document}}))
    answer = json.loads(await socket_.recv())
    assert json.loads(await socket_.recv()) == {"id": "1", "type": "complete"}
    return answer["payload"]


async def test_connection_init_carries_the_token_and_operations_run_over_the_socket(address: str) -> None:
    person = await make_person("Sigrid Socket")

    socket_ = await open_socket(address, {"authorization": bearer(person)})
    acknowledged = json.loads(await socket_.recv())
    read = await ask(socket_, VIEWER)
    renamed = await ask(socket_, RENAME)
    await socket_.close()

    assert acknowledged["type"] == "connection_ack"
    assert read["data"]["viewer"]["user"]["id"] == person.id
    assert renamed["data"]["profileUpdate"]["errors"] == []


async def test_a_session_that_ends_is_refused_on_the_open_socket(address: str) -> None:
    person = await make_person("Eva Ended")
    socket_ = await open_socket(address, {"authorization": bearer(person)})
    await socket_.recv()

    await execute("DELETE FROM session WHERE id = $1", person.session_id)
    answer = await ask(socket_, RENAME)
    await socket_.close()

    assert [error["extensions"]["code"] for error in answer["errors"]] == ["UNAUTHENTICATED"]
    assert await rows("SELECT name FROM users WHERE id = $1", person.user_id) == [{"name": "Eva Ended"}]


async def test_a_bad_token_in_connection_init_closes_with_4403(address: str) -> None:
    socket_ = await open_socket(address, {"authorization": "Bearer pws_nothing"})

    with pytest.raises(websockets.ConnectionClosed) as closed:
        await socket_.recv()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


async def test_a_cookie_counts_on_a_socket_only_from_an_allowed_origin(address: str, settings: Settings) -> None:
    person = await make_person("Olga Origin")
    cookie = f"{COOKIE}={person.token}"

    with pytest.raises(websockets.InvalidStatus, match="403"):
        await open_socket(address, {}, cookie=cookie, origin="https://evil.example")
    without = await open_socket(address, {}, cookie=cookie)
    with pytest.raises(websockets.ConnectionClosed) as closed:
        await without.recv()
    ours = await open_socket(address, {}, cookie=cookie, origin=settings.allowed_origins[0])
    await ours.recv()
    read = await ask(ours, VIEWER)
    await ours.close()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403
    assert read["data"]["viewer"]["user"]["id"] == person.id


async def test_health_says_what_answers(http: httpx.AsyncClient) -> None:
    live, ready = await http.get("/health/live"), await http.get("/health/ready")

    assert (live.status_code, ready.status_code) == (200, 200)
    assert ready.json() == {"database": True, "migrations": True, "redis": True}


async def test_a_missing_migration_is_not_ready(http: httpx.AsyncClient) -> None:
    await execute("UPDATE tortoise_migrations SET name = 'away' WHERE name = '0002_constraints'")
    try:
        ready = await http.get("/health/ready")
    finally:
        await execute("UPDATE tortoise_migrations SET name = '0002_constraints' WHERE name = 'away'")

    assert ready.status_code == 503
    assert ready.json()["migrations"] is False


@pytest.mark.parametrize(
    "document",
    [
        'mutation { signIn(input: {email: "a@b.test", password: "hunter2-hunter2"}) { token ',
        "{" * 20_000,
        "{ viewer { organizations(first: " + "9" * 5_000 + ") { totalCount } } }",
        "query($v: Int = " + "9" * 5_000 + ") { viewer { organizations(first: $v) { totalCount } } }",
    ],
    ids=["unclosed", "deep", "long literal", "long default"],
)
async def test_a_document_that_cannot_be_read_is_bad_user_input_and_not_in_the_log(
    http: httpx.AsyncClient, address: str, document: str, caplog: pytest.LogCaptureFixture, acme: Tenant
) -> None:
    answer = await post(http, document, authorization=bearer(acme.member))
    socket_ = await open_socket(address, {"authorization": bearer(acme.member)})
    await socket_.recv()
    await socket_.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": document}}))
    message = json.loads(await socket_.recv())
    await socket_.close()

    assert {error["extensions"]["code"] for error in answer["errors"]} == {"BAD_USER_INPUT"}
    assert message["type"] == "error"
    assert {error["extensions"]["code"] for error in message["payload"]} == {"BAD_USER_INPUT"}
    assert "hunter2" not in caplog.text


MESSAGES = [
    "5",
    "null",
    "[]",
    "{",
    "[" * 100_000,
    '{"type": 5}',
    '{"id": "1", "type": "subscribe"}',
    '{"id": "1", "type": "subscribe", "payload": null}',
    '{"id": 1, "type": "subscribe", "payload": {"query": "{ viewer { email } }"}}',
    '{"id": "1", "type": "subscribe", "payload": {"query": 5}}',
    '{"id": "1", "type": "subscribe", "payload": {"query": "{ viewer { email } }", "variables": []}}',
    '{"id": "1", "type": "subscribe", "payload": {"query": "{ viewer { email } }", "operationName": 5}}',
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message[:60])
async def test_a_message_that_is_none_closes_the_socket_with_4400(address: str, message: str, acme: Tenant) -> None:
    socket_ = await open_socket(address, {"authorization": bearer(acme.member)})
    await socket_.recv()

    await socket_.send(message)
    with pytest.raises(websockets.ConnectionClosed) as closed:
        await socket_.recv()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4400
