"""The transport as it stands: HTTP, cookies and their origin, the socket, GraphiQL, health. On a real server."""

import asyncio
import itertools
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

VIEWER = "{ viewer { user { id name } } }"
RENAME = 'mutation { profileUpdate(input: {name: "Renamed"}) { viewer { user { name } } errors { code } } }'

SETTINGS = """
mutation ($settings: JSON) {
  preferencesUpdate(input: {settings: $settings}) {
    viewer { preferences { settings } } errors { code message }
  }
}
"""


@pytest.fixture
async def http(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the server."""
    async with httpx.AsyncClient(base_url=f"http://{address}") as client:
        yield client


async def post(http: httpx.AsyncClient, document: str, **headers: str) -> Any:
    """The JSON answer to a posted document."""
    answer = await http.post("/graphql", json={"query": document}, headers=headers)
    return answer.json()


async def iter_of(body: bytes) -> AsyncIterator[bytes]:
    """A body of a length that is not told."""
    yield body


def bearer(person: Person) -> str:
    """The Authorization header of a person."""
    return f"Bearer {person.token}"


async def test_no_credentials_is_nobody_and_a_bad_token_is_unauthenticated(http: httpx.AsyncClient) -> None:
    nobody = await post(http, VIEWER)
    stranger = await post(http, VIEWER, authorization="Bearer pws_nothing")

    assert nobody["data"] == {"viewer": None}
    assert "errors" not in nobody
    assert stranger["data"] == {"viewer": None}
    assert stranger["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}


@pytest.mark.parametrize("value", ["", "Bearer", "Basic YTpi", "Bearer \xff\xfe", "Bearer " + "x" * 5000])
async def test_a_malformed_authorization_header_is_unauthenticated(address: str, value: str) -> None:
    async with httpx.AsyncClient(base_url=f"http://{address}") as client:
        answer = await client.post(
            "/graphql", json={"query": VIEWER}, headers=[(b"authorization", value.encode("latin-1"))]
        )

    assert [error["extensions"]["code"] for error in answer.json()["errors"]] == ["UNAUTHENTICATED"]


async def test_a_cookie_counts_only_from_an_allowed_origin(http: httpx.AsyncClient, settings: Settings) -> None:
    person = await make_person("Carla Cookie")
    cookie = f"{COOKIE}={person.token}"

    for document, elsewhere in itertools.product((VIEWER, RENAME), ({}, {"origin": "https://evil.example"})):
        refused = await post(http, document, cookie=cookie, **elsewhere)
        assert [error["extensions"]["code"] for error in refused["errors"]] == ["UNAUTHENTICATED"]
    assert await rows("SELECT name FROM users WHERE id = $1", person.user_id) == [{"name": "Carla Cookie"}]

    ours = {"cookie": cookie, "origin": settings.allowed_origins[0]}
    read, allowed = await post(http, VIEWER, **ours), await post(http, RENAME, **ours)

    assert read["data"]["viewer"]["user"]["id"] == person.id
    assert allowed["data"]["profileUpdate"]["viewer"]["user"]["name"] == "Renamed"


async def test_a_mutation_is_refused_over_get(http: httpx.AsyncClient) -> None:
    person = await make_person("Greta Get")

    answer = await http.get("/graphql", params={"query": RENAME}, headers={"authorization": bearer(person)})

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert await rows("SELECT name FROM users WHERE id = $1", person.user_id) == [{"name": "Greta Get"}]


@pytest.mark.parametrize(
    "document",
    ["{", "{ nothing }", "query A { viewer { email } } query B { viewer { email } }", "", "{ node(id: 1.5) { id } }"],
)
async def test_a_faulty_document_is_an_error_of_the_caller(http: httpx.AsyncClient, document: str) -> None:
    answer = await http.post("/graphql", json={"query": document})

    assert answer.status_code < 500
    assert "INTERNAL" not in answer.text
    assert "Traceback" not in answer.text


async def test_a_bug_is_masked_and_its_request_id_is_told(http: httpx.AsyncClient, acme: Tenant) -> None:
    await execute("UPDATE preferences SET settings = '\"x\"' WHERE user_id = $1", acme.member.user_id)
    await execute("ALTER TABLE preferences RENAME COLUMN locale TO broken")
    try:
        answer = await post(
            http,
            "{ viewer { preferences { locale } } }",
            **{"authorization": bearer(acme.member), "x-request-id": "seen-in-the-log"},
        )
    finally:
        await execute("ALTER TABLE preferences RENAME COLUMN broken TO locale")

    (error,) = answer["errors"]
    assert error["extensions"] == {"code": "INTERNAL", "requestId": "seen-in-the-log"}
    assert "locale" not in error["message"]


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
    await without.recv()
    refused = await ask(without, VIEWER)
    await without.close()
    ours = await open_socket(address, {}, cookie=cookie, origin=settings.allowed_origins[0])
    await ours.recv()
    read = await ask(ours, VIEWER)
    await ours.close()

    assert [error["extensions"]["code"] for error in refused["errors"]] == ["UNAUTHENTICATED"]
    assert read["data"]["viewer"]["user"]["id"] == person.id


async def test_graphiql_and_all_that_it_loads_come_from_this_host(http: httpx.AsyncClient) -> None:
    page = await http.get("/graphql", headers={"accept": "text/html"})

    assert page.status_code == 200
    assert "//" not in page.text.replace("http://www.w3.org", "")
    loaded = [part.split('"')[0] for part in page.text.split('="')[1:] if part.startswith("/graphiql/")]
    assert loaded
    for path in loaded:
        assert (await http.get(path)).status_code == 200


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


BODIES = [
    b"5",
    b"null",
    b'"x"',
    b"[]",
    b"\xff\xfe",
    b"[" * 200_000,
    b'{"query": "{ viewer { email } }", "variables": {"n": ' + b"9" * 5_000 + b"}}",
    b'{"query": 5}',
    b'{"query": "{ viewer { email } }", "variables": []}',
    b'{"query": "{ viewer { email } }", "operationName": 5}',
    b'{"query": "{ viewer { email } }", "operationName": "\\ud800"}',
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:40]))
async def test_a_body_that_is_no_request_is_400(http: httpx.AsyncClient, body: bytes) -> None:
    answer = await http.post("/graphql", content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 400


@pytest.mark.parametrize("media_type", ["text/plain", "application/jsonp", "application/json; charset=latin-1", ""])
async def test_a_body_of_another_media_type_is_415(http: httpx.AsyncClient, media_type: str) -> None:
    body = b'{"query": "{ __typename }"}'

    for content in (body, iter_of(body)):
        answer = await http.post("/graphql", content=content, headers={"content-type": media_type})
        assert answer.status_code == 415


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30])
async def test_an_integer_beyond_64_bits_is_not_rounded(http: httpx.AsyncClient, acme: Tenant, number: int) -> None:
    request = {"query": SETTINGS, "variables": {"settings": {"n": [number]}}}
    body = json.dumps(request, separators=(",", ":")).encode()

    for content in (body, json.dumps(request).encode()):
        headers = {"content-type": "application/json", "authorization": bearer(acme.member)}
        answer = await http.post("/graphql", content=content, headers=headers)
        fault = {"code": "INVALID", "message": "Integers must fit into 64 bits."}
        assert answer.json()["data"] == {"preferencesUpdate": {"viewer": None, "errors": [fault]}}


async def test_a_body_of_more_than_a_mebibyte_is_413(http: httpx.AsyncClient) -> None:
    answer = await http.post("/graphql", json={"query": "# " + "x" * 1024 * 1024})

    assert answer.status_code == 413


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


async def test_fragments_that_spread_each_other_twice_cost_no_more_than_once(http: httpx.AsyncClient) -> None:
    levels = 40
    fragments = " ".join(f"fragment F{n} on Organization {{ ...F{n + 1} ...F{n + 1} }}" for n in range(levels))
    document = f'{{ organization(slug: "none") {{ ...F0 }} }} {fragments} fragment F{levels} on Organization {{ name }}'

    async with asyncio.timeout(20):
        answer = await post(http, document)

    assert [error["extensions"]["code"] for error in answer["errors"]] == ["TOO_COMPLEX"]
