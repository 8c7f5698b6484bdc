"""Pages of other origins that make somebody's browser ask: with its cookie, in every way that needs no leave."""

import itertools
import json
from urllib.parse import urlencode

import pytest
import websockets
from websockets.asyncio.client import connect

from domain.base.settings import Settings
from graph.base.auth import COOKIE
from graph.base.operations import PREFLIGHTED
from graph.http import JSON
from tests.attacks.raw import Answer, exchange, still_serves
from tests.factories import Person, make_person, rows
from tests.sockets import PROTOCOL

pytestmark = pytest.mark.usefixtures("lines")

VIEWER = "{ viewer { user { id } } }"
RENAME = 'mutation { profileUpdate(input: {name: "Stolen"}) { viewer { user { id } } errors { code } } }'
FOREIGN = ["https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:8000.evil.example"]


@pytest.fixture
async def victim() -> Person:
    """Somebody whose browser holds the cookie."""
    return await make_person("Vera Victim")


async def request(address: str, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> Answer:
    """What the browser sends."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = [f"{method} {target} HTTP/1.1", "Host: planwire.test", "Connection: close", f"Content-Length: {len(body)}"]
    return await exchange(address, "\r\n".join([*head, *lines, "", ""]).encode() + body)


async def name_of(person: Person) -> str:
    """The name that the person has now."""
    ((name,),) = [row.values() for row in await rows("SELECT name FROM users WHERE id = $1", person.user_id)]
    return str(name)


FORMS = {
    "text/plain": json.dumps({"query": RENAME}).encode(),
    "text/plain; charset=utf-8; application/json": json.dumps({"query": RENAME}).encode(),
    "application/x-www-form-urlencoded": urlencode({"query": RENAME}).encode(),
    "multipart/form-data; boundary=b": b'--b\r\nContent-Disposition: form-data; name="query"\r\n\r\n'
    + RENAME.encode()
    + b"\r\n--b--\r\n",
    "": json.dumps({"query": RENAME}).encode(),
}


@pytest.mark.parametrize("content_type", FORMS)
async def test_a_form_changes_nothing(address: str, settings: Settings, victim: Person, content_type: str) -> None:
    for origin in (*FOREIGN, settings.allowed_origins[0]):
        headers = {"content-type": content_type, "cookie": f"{COOKIE}={victim.token}", "origin": origin}
        answer = await request(address, "POST", "/graphql", headers, FORMS[content_type])
        assert answer.status == 415

    assert await name_of(victim) == "Vera Victim"
    await still_serves(address)


@pytest.mark.parametrize("document", [RENAME, 'subscription { events(organizationId: "none") { id } }'])
async def test_a_link_changes_nothing(address: str, settings: Settings, victim: Person, document: str) -> None:
    target = "/graphql?" + urlencode({"query": document})
    ours = {"origin": settings.allowed_origins[0], "x-requested-with": "x"}

    for headers in ({}, {"origin": "null"}, ours):
        answer = await request(address, "GET", target, {"cookie": f"{COOKIE}={victim.token}", **headers})
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
        assert "data" not in answer.json()

    assert await name_of(victim) == "Vera Victim"


async def test_the_cookie_counts_from_no_other_origin(address: str, victim: Person) -> None:
    cookie = f"{COOKIE}={victim.token}"

    for document, origin in itertools.product((VIEWER, RENAME), (None, *FOREIGN)):
        headers = {"cookie": cookie, "content-type": "application/json"} | ({"origin": origin} if origin else {})
        answer = await request(address, "POST", "/graphql", headers, json.dumps({"query": document}).encode())
        assert answer.code == "UNAUTHENTICATED"
        assert "access-control-allow-origin" not in answer.headers
        assert answer.json()["data"] in ({"viewer": None}, {"profileUpdate": None})

    assert await name_of(victim) == "Vera Victim"


async def test_the_cookie_counts_from_an_allowed_origin(address: str, settings: Settings, victim: Person) -> None:
    ours = {"cookie": f"{COOKIE}={victim.token}", "origin": settings.allowed_origins[0], "content-type": JSON}
    body = json.dumps({"query": RENAME}).encode()

    answer = await request(address, "POST", "/graphql", ours, body)

    assert answer.json()["data"]["profileUpdate"] == {"viewer": {"user": {"id": victim.id}}, "errors": []}
    assert await name_of(victim) == "Stolen"


async def test_a_get_counts_with_a_header_that_asks_for_a_preflight(
    address: str, settings: Settings, victim: Person
) -> None:
    target = "/graphql?" + urlencode({"query": VIEWER})
    ours = {"cookie": f"{COOKIE}={victim.token}", "origin": settings.allowed_origins[0]}

    simple = await request(address, "GET", target, ours)
    foreign = await request(address, "GET", target, ours | {"origin": FOREIGN[0], PREFLIGHTED[0]: "x"})
    asked = [await request(address, "GET", target, ours | {name: "x"}) for name in PREFLIGHTED]

    assert [simple.code, foreign.code] == ["UNAUTHENTICATED"] * 2
    assert [each.json()["data"] for each in asked] == [{"viewer": {"user": {"id": victim.id}}}] * len(PREFLIGHTED)


@pytest.mark.parametrize("origin", FOREIGN)
async def test_no_socket_opens_from_another_origin(address: str, victim: Person, origin: str) -> None:
    headers = {"cookie": f"{COOKIE}={victim.token}", "origin": origin}

    with pytest.raises(websockets.InvalidStatus, match="403"):
        await connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL], additional_headers=headers)

    await still_serves(address)


async def test_without_an_origin_the_cookie_counts_on_no_socket(address: str, victim: Person) -> None:
    cookie = {"cookie": f"{COOKIE}={victim.token}"}

    async with connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL], additional_headers=cookie) as socket:
        await socket.send(json.dumps({"type": "connection_init"}))
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()

    assert socket.close_code == 4403
    assert await name_of(victim) == "Vera Victim"
