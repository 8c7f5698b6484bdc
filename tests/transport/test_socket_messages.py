"""What a message has to be: all that is none closes the socket with 4400 and says why, and nothing else does."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from graph.socket import COUNTED_AS_ONE, LONGEST_ID
from tests.attacks.raw import nothing_unhandled, still_serves
from tests.factories import Tenant, rows
from tests.transport.talk import talking

QUERY = "{ __typename }"
TYPENAME = {"__typename": "Query"}
RENAME = 'mutation { profileUpdate(input: {name: "Renamed"}) { errors { code } } }'


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[Any]]:
    """What was logged, of which nothing is a warning."""
    with nothing_unhandled(caplog) as found:
        yield found


def subscribe(payload: Any, id: Any = "1") -> str:
    """A message that asks for something."""
    return json.dumps({"id": id, "type": "subscribe", "payload": payload})


def asked(**payload: Any) -> str:
    """One that asks for a query, and has this besides or instead."""
    return subscribe({"query": QUERY, **payload})


NESTED = "[" * 200 + "]" * 200
SAID_OF_ID = f"string of 1 to {LONGEST_ID} characters"
MALFORMED = {
    "binary": (b'{"type": "ping"}', "text"),
    "empty": ("", "not JSON"),
    "no JSON": ("{", "not JSON"),
    "two values": ('{"type": "ping"}{"type": "ping"}', "not JSON"),
    "NaN": ('{"type": "ping", "payload": {"x": NaN}}', "NaN"),
    "a number without end": ('{"type": "ping", "payload": {"x": 1e999}}', "number"),
    "a long number": ('{"type": "ping", "payload": {"x": ' + "1" * 401 + "}}", "digits"),
    "a longer number": ('{"type": "ping", "payload": {"x": ' + "1" * 100_000 + "}}", "digits"),
    "deep JSON": ('{"type": "ping", "payload": {"x": ' + NESTED + "}}", "deeper"),
    "deep JSON without end": ("[" * 200_000, "deeper"),
    "number": ("5", "object"),
    "null": ("null", "object"),
    "string": ('"ping"', "object"),
    "list": ('[{"type": "ping"}]', "object"),
    "no type": ("{}", "type"),
    "null for a type": ('{"type": null}', "type"),
    "number for a type": ('{"type": 5}', "type"),
    "empty type": ('{"type": ""}', "type"),
    "unknown type": ('{"type": "nonsense"}', "type"),
    "type of the old protocol": ('{"type": "start", "id": "1", "payload": {"query": "{ __typename }"}}', "type"),
    "type in capitals": ('{"type": "PING"}', "type"),
    "ack of a client": ('{"type": "connection_ack"}', "type"),
    "next of a client": ('{"type": "next", "id": "1", "payload": {}}', "type"),
    "error of a client": ('{"type": "error", "id": "1", "payload": []}', "type"),
    "list in a ping": ('{"type": "ping", "payload": []}', "payload of a ping"),
    "string in a pong": ('{"type": "pong", "payload": "x"}', "payload of a pong"),
    "false in an init": ('{"type": "connection_init", "payload": false}', "payload of a connection_init"),
    "complete without id": ('{"type": "complete"}', f"id of a complete is a {SAID_OF_ID}"),
    "complete of a number": ('{"type": "complete", "id": 1}', f"id of a complete is a {SAID_OF_ID}"),
    "complete of nothing": ('{"type": "complete", "id": ""}', f"id of a complete is a {SAID_OF_ID}"),
    "no id": (json.dumps({"type": "subscribe", "payload": {"query": QUERY}}), f"id of a subscribe is a {SAID_OF_ID}"),
    "null for an id": (subscribe({"query": QUERY}, None), "id of a subscribe"),
    "number for an id": (subscribe({"query": QUERY}, 1), "id of a subscribe"),
    "true for an id": (subscribe({"query": QUERY}, True), "id of a subscribe"),
    "list for an id": (subscribe({"query": QUERY}, ["1"]), "id of a subscribe"),
    "object for an id": (subscribe({"query": QUERY}, {}), "id of a subscribe"),
    "empty id": (subscribe({"query": QUERY}, ""), "id of a subscribe"),
    "long id": (subscribe({"query": QUERY}, "a" * (LONGEST_ID + 1)), "id of a subscribe"),
    "surrogate in an id": (subscribe({"query": QUERY}, "\ud800"), "surrogate"),
    "no payload": ('{"type": "subscribe", "id": "1"}', "payload of a subscribe"),
    "null payload": (subscribe(None), "payload of a subscribe"),
    "string for a payload": (subscribe(QUERY), "payload of a subscribe"),
    "list for a payload": (subscribe([{"query": QUERY}]), "payload of a subscribe"),
    "no query": (subscribe({}), "no query"),
    "null for a query": (asked(query=None), "no query"),
    "number for a query": (asked(query=5), "query has to be"),
    "list for a query": (asked(query=[QUERY]), "query has to be"),
    "object for a query": (asked(query={"kind": "Document"}), "query has to be"),
    "list for variables": (asked(variables=[]), "variables has to be"),
    "string for variables": (asked(variables="{}"), "variables has to be"),
    "number for variables": (asked(variables=0), "variables has to be"),
    "false for variables": (asked(variables=False), "variables has to be"),
    "number for an operationName": (asked(operationName=5), "operationName has to be"),
    "list for an operationName": (asked(operationName=["A"]), "operationName has to be"),
    "false for an operationName": (asked(operationName=False), "operationName has to be"),
    "list for extensions": (asked(extensions=[]), "extensions has to be"),
    "string for extensions": (asked(extensions="{}"), "extensions has to be"),
    "number for extensions": (asked(extensions=1), "extensions has to be"),
    "number for a documentId": (subscribe({"documentId": 5}), "documentId has to be"),
    "query beside a documentId": (asked(documentId="sha256:" + "0" * 64), "exclude"),
}


@pytest.mark.parametrize(("sent", "reason"), MALFORMED.values(), ids=MALFORMED)
async def test_what_is_no_message_closes_with_4400_and_says_why(
    address: str, acme: Tenant, sent: str | bytes, reason: str
) -> None:
    async with talking(address) as socket, talking(address) as other:
        await socket.begin(acme.member.token)
        await other.begin(acme.member.token)
        await socket.say(sent, subscribe({"query": RENAME}, "late"))

        code, told = await socket.closed()

        assert (code, reason in told, told) == (4400, True, told)
        assert len(told.encode()) <= 123
        assert (await other.answer(QUERY))["data"] == TYPENAME
    assert await rows("SELECT 1 FROM users WHERE id = $1 AND name = 'Renamed'", acme.member.user_id) == []
    await still_serves(address)


@pytest.mark.parametrize(
    "sent", ["{", '{"type": "nonsense"}', subscribe(None), '{"type": "connection_init", "payload": 1}']
)
async def test_before_the_acknowledgement_it_is_the_same(address: str, sent: str) -> None:
    async with talking(address) as socket:
        await socket.say(sent)

        assert (await socket.closed())[0] == 4400


WELL_FORMED = {
    "null for everything": {"variables": None, "operationName": None, "extensions": None},
    "empty objects": {"variables": {}, "extensions": {}},
    "extensions that nobody knows": {"extensions": {"tracing": [1, "ä", {"x": None}]}},
    "variables that nobody asked for": {"variables": {"x": {"y": [1.5, "\U0001f469\u200d\U0001f680", None]}}},
    "fields that nobody knows": {"whatever": [1]},
}


@pytest.mark.parametrize("payload", WELL_FORMED.values(), ids=WELL_FORMED)
async def test_what_may_be_left_out_may_be_null_or_empty(address: str, payload: dict[str, Any]) -> None:
    async with talking(address) as socket:
        await socket.begin()

        assert (await socket.answer(QUERY, **payload))["data"] == TYPENAME


@pytest.mark.parametrize(
    "id", ["1", "a" * LONGEST_ID, "ü", "\U0001f680" * LONGEST_ID, " ", "\x00", '"\\\n', "__proto__"]
)
async def test_an_id_is_any_text_of_up_to_a_hundred_characters(address: str, id: str) -> None:
    async with talking(address) as socket:
        await socket.begin()
        await socket.ask(id, QUERY)
        following, complete = await socket.heard(id)

    assert (following["payload"]["data"], complete) == (TYPENAME, {"id": id, "type": "complete"})


@pytest.mark.parametrize("init", [{}, {"payload": None}, {"payload": {}}, {"payload": {"x": 1}}, {"id": 5}])
async def test_an_init_says_something_or_nothing(address: str, init: dict[str, Any]) -> None:
    async with talking(address) as socket:
        await socket.say({"type": "connection_init", **init})

        assert await socket.hear() == {"type": "connection_ack"}


async def test_an_operation_right_behind_the_init_waits_for_its_acknowledgement(address: str, acme: Tenant) -> None:
    async with talking(address) as socket:
        init = {"type": "connection_init", "payload": {"authorization": f"Bearer {acme.member.token}"}}
        await socket.say(init, subscribe({"query": "{ viewer { email } }"}))

        assert await socket.hear() == {"type": "connection_ack"}
        following, _ = await socket.heard("1")
    assert following["payload"]["data"] == {"viewer": {"email": acme.member.email}}


PINGS: dict[str, tuple[str, Any]] = {
    "nothing": ("", None),
    "null": (', "payload": null', None),
    "an empty object": (', "payload": {}', {}),
    "anything": (', "payload": {"x": ["ä", 1.5, null]}', {"x": ["ä", 1.5, None]}),
    "a long number": (', "payload": {"x": ' + "9" * 40 + "}", {"x": int("9" * 40)}),
    "a surrogate": (', "payload": {"x": "\\ud800"}', {"x": "\ud800"}),
}


@pytest.mark.parametrize("acknowledged", [True, False])
@pytest.mark.parametrize(("ping", "payload"), PINGS.values(), ids=PINGS)
async def test_a_pong_holds_what_the_ping_held(address: str, ping: str, payload: Any, acknowledged: bool) -> None:
    async with talking(address) as socket:
        if acknowledged:
            await socket.begin()
        await socket.say({"type": "pong"}, {"type": "pong", "payload": {"x": 1}}, '{"type": "ping"' + ping + "}")

        assert await socket.hear() == {"type": "pong"} | ({} if payload is None else {"payload": payload})


async def test_a_complete_of_what_does_not_run_says_nothing(address: str) -> None:
    async with talking(address) as socket:
        await socket.say({"id": "1", "type": "complete"})
        await socket.begin()
        await socket.say({"id": "1", "type": "complete"}, {"id": "1", "type": "complete"}, {"type": "ping"})

        assert await socket.hear() == {"type": "pong"}


async def test_a_large_message_counts_as_many(address: str) -> None:
    async with talking(address) as socket:
        await socket.begin()
        large = {"type": "ping", "payload": {"x": "a" * (12 * COUNTED_AS_ONE)}}
        # A full bucket holds 150, and each takes 13.
        await socket.say(*[large] * 15)
        code, told = await socket.closed()

    assert (code, told) == (4429, "At most 50 messages a second.")
