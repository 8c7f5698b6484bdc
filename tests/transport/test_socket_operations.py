"""Operations on a socket: what one of them ends with is its own matter, and the others go on."""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from domain.base.settings import Settings
from graph import execution
from tests.attacks.frames import TEXT, frame, next_frame, shaken
from tests.attacks.raw import PATIENCE_S, nothing_unhandled, still_serves
from tests.events.live import EVENTS, gauges, leaving_nothing, served, tell, until
from tests.events.test_open_sockets import locked
from tests.factories import Tenant, rows
from tests.transport.talk import Talk, talking

QUERY = "{ __typename }"
TYPENAME = {"__typename": "Query"}
NAME = "query ($id: ID!) { organization(id: $id) { name } }"
LABELS = "query ($org: ID!) { organization(id: $org) { labels(first: 5) { nodes { name } } } }"
LABEL = """mutation ($org: ID!, $name: String!) {
  labelCreate(input: {organizationId: $org, name: $name, color: "#123456"}) { label { name } errors { code } }
}"""
MEMBERS = "query ($id: ID!) { organization(id: $id) { members(first: 20) { nodes { user { name } } } } }"
DEAR = """{ viewer { organizations(first: 100) { nodes { projects(first: 100) { nodes { tasks(first: 100) {
  nodes { title } } } } } } } }"""
DEEP = (
    "{ viewer { organizations { nodes { " + "members { nodes { organization { " * 6 + "id" + " } } }" * 6 + " } } } }"
)
WHOLE_SCHEMA = "{ __schema { types { name description fields { name description args { name description } } } } }"
LARGE = 12
SHORT_S = 0.6
WAITS = "SELECT FROM pg_locks WHERE NOT granted"


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[Any]]:
    """What was logged, of which nothing is a warning."""
    with nothing_unhandled(caplog) as found:
        yield found


async def follow(socket: Talk, tenant: Tenant, id: str = "followed") -> None:
    """Begin a subscription to the tenant's events."""
    before = gauges().subscriptions
    await socket.ask(id, EVENTS, variables={"id": tenant.id})
    await until(lambda: gauges().subscriptions == before + 1)


async def goes_on(socket: Talk, tenant: Tenant, id: str = "followed") -> None:
    """The next that comes on the socket is the event that is told now."""
    await tell(tenant)
    message = await socket.hear()
    assert (message["id"], message["type"]) == (id, "next")
    assert message["payload"]["data"]["events"]["type"] == "LABEL_UPDATED"


REFUSED = {
    "nothing": ("", {}, "BAD_USER_INPUT"),
    "syntax": ("{", {}, "BAD_USER_INPUT"),
    "no operation": ("fragment F on Query { __typename }", {}, "BAD_USER_INPUT"),
    "unknown field": ("{ nonsense }", {}, "BAD_USER_INPUT"),
    "unknown operation": ("query A { __typename }", {"operationName": "B"}, "BAD_USER_INPUT"),
    "empty operation name": ("query A { __typename }", {"operationName": ""}, "BAD_USER_INPUT"),
    "several operations": ("query A { __typename } query B { __typename }", {}, "BAD_USER_INPUT"),
    "missing variable": (NAME, {}, "BAD_USER_INPUT"),
    "wrong variable": (NAME, {"variables": {"id": {"x": 1}}}, "BAD_USER_INPUT"),
    "NUL in a variable": (NAME, {"variables": {"id": "\x00"}}, "BAD_USER_INPUT"),
    "surrogate in a variable": (NAME, {"variables": {"id": "\ud800"}}, "BAD_USER_INPUT"),
    "surrogate in the document": ('{ organization(slug: "\ud800") { name } }', {}, "BAD_USER_INPUT"),
    "too dear": (DEAR, {}, "TOO_COMPLEX"),
    "too deep": (DEEP, {}, "TOO_COMPLEX"),
    "unknown document": (None, {"documentId": "sha256:" + "0" * 64}, "PERSISTED_QUERY_NOT_FOUND"),
    "no name of a document": (None, {"documentId": "x"}, "PERSISTED_QUERY_NOT_FOUND"),
    "wrong digest": (
        QUERY,
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}},
        "BAD_USER_INPUT",
    ),
    "no digest": (QUERY, {"extensions": {"persistedQuery": 5}}, "BAD_USER_INPUT"),
}


@pytest.mark.parametrize(("document", "payload", "code"), REFUSED.values(), ids=REFUSED)
async def test_what_is_not_run_is_an_error_of_its_operation_alone(
    address: str, acme: Tenant, document: str | None, payload: dict[str, Any], code: str
) -> None:
    async with leaving_nothing(), talking(address) as socket:
        await socket.begin(acme.admin.token)
        await follow(socket, acme)

        error = await socket.refusal(document, **payload)

        assert error["code"] == code
        await goes_on(socket, acme)
        assert await socket.refusal(document, **payload) == error
    await still_serves(address)


async def test_too_complex_names_the_limit_over_the_socket(address: str, acme: Tenant) -> None:
    async with talking(address) as socket:
        await socket.begin(acme.admin.token)
        error = await socket.refusal(DEAR)

    assert (error["limit"], error["allowed"], len(error["dearest"])) == ("cost", 10_000, 3)


async def test_who_has_no_points_left_is_told_when_there_are_more(settings: Settings, acme: Tenant) -> None:
    async with leaving_nothing(), served(replace(settings, rate_points_minute=100)) as server:
        async with talking(server.address) as socket, talking(server.address) as other:
            await socket.begin(acme.admin.token)
            await other.begin(acme.member.token)
            await follow(socket, acme)
            wanted = {"variables": {"id": acme.id}}
            charged = []
            for _ in range(100):
                await socket.ask("1", MEMBERS, **wanted)
                first, *rest = await socket.heard("1")
                if first["type"] == "error":
                    break
                assert rest == [{"id": "1", "type": "complete"}]
                charged.append(first["payload"]["extensions"]["cost"])

            (error,) = first["payload"]
            assert error["extensions"]["code"] == "RATE_LIMITED"
            assert 1 <= error["extensions"]["retryAfter"] <= 60
            assert sum(cost["charged"] for cost in charged) <= 100
            await goes_on(socket, acme)
            # Somebody else has points of their own.
            assert (await other.answer(MEMBERS, **wanted))["data"]["organization"]["members"]["nodes"] != []


@pytest.mark.parametrize("kind", ["query", "mutation"])
async def test_what_takes_too_long_ends_with_timeout_and_its_statement_with_it(
    settings: Settings, acme: Tenant, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "DEADLINE_S", SHORT_S)
    document, name = (LABELS, {}) if kind == "query" else (LABEL, {"name": "late"})
    async with leaving_nothing(), served(settings) as server, talking(server.address) as socket:
        await socket.begin(acme.admin.token)
        await follow(socket, acme)
        async with locked(settings, "label"):
            payload = await socket.answer(document, variables={"org": acme.id, **name})
            await until(nothing_waits)
            await goes_on(socket, acme)
        assert (await socket.answer(QUERY))["data"] == TYPENAME

    assert [error["extensions"]["code"] for error in payload["errors"]] == ["TIMEOUT"]
    assert await rows("SELECT 1 FROM label WHERE org_id = $1", acme.org_id) == []


async def nothing_waits() -> bool:
    """Whether no statement waits for a lock."""
    return await rows(WAITS) == []


@pytest.mark.parametrize("document", [LABELS, LABEL], ids=["query", "mutation"])
async def test_what_the_client_takes_back_stops_its_statement_and_says_no_more(
    address: str, settings: Settings, acme: Tenant, document: str
) -> None:
    variables = {"org": acme.id, "name": "late"} if document == LABEL else {"org": acme.id}
    async with leaving_nothing(), talking(address) as socket:
        await socket.begin(acme.admin.token)
        await follow(socket, acme)
        async with locked(settings, "label"):
            await socket.ask("slow", document, variables=variables)
            await until(lambda: rows(WAITS))
            await socket.say({"id": "slow", "type": "complete"})
            await until(nothing_waits)
        await goes_on(socket, acme)
        # The id is free again, and nothing of the first comes to it.
        await socket.ask("slow", QUERY)
        following, complete = await socket.heard("slow")

    assert (following["payload"]["data"], complete) == (TYPENAME, {"id": "slow", "type": "complete"})
    assert await rows("SELECT 1 FROM label WHERE org_id = $1", acme.org_id) == []


async def test_an_operation_that_waits_holds_no_other_of_its_socket(
    address: str, settings: Settings, acme: Tenant
) -> None:
    async with leaving_nothing(), talking(address) as socket:
        await socket.begin(acme.admin.token)
        async with locked(settings, "label"):
            await socket.ask("slow", LABELS, variables={"org": acme.id})
            await until(lambda: rows(WAITS))
            for _ in range(5):
                assert (await socket.answer(QUERY))["data"] == TYPENAME
        following, _ = await socket.heard("slow")

    assert following["payload"]["data"] == {"organization": {"labels": {"nodes": []}}}


async def test_the_101st_operation_is_refused_and_a_place_is_free_after_complete(address: str, acme: Tenant) -> None:
    async with leaving_nothing(), talking(address) as socket:
        await socket.begin(acme.admin.token)
        before = gauges().subscriptions
        for number in range(100):
            await socket.ask(str(number), EVENTS, variables={"id": acme.id})
        error = await socket.refusal(QUERY)
        await until(lambda: gauges().subscriptions == before + 100)
        # In one breath: the place is free at once, and not only when all of the first has ended.
        await socket.say({"id": "7", "type": "complete"})
        following = await socket.answer(QUERY)
        await socket.ask("7", EVENTS, variables={"id": acme.id})
        await until(lambda: gauges().subscriptions == before + 100)
        again = await socket.refusal(QUERY)
        await tell(acme)
        heard = [await socket.hear() for _ in range(100)]

    assert error == again == {"message": "At most 100 operations run on a socket.", "code": "RATE_LIMITED"}
    assert following["data"] == TYPENAME
    assert sorted(message["id"] for message in heard) == sorted(str(number) for number in range(100))


async def test_an_id_is_free_again_with_the_last_message(address: str) -> None:
    async with talking(address) as socket:
        await socket.begin()
        for _ in range(20):
            await socket.ask("1", QUERY)
            assert [message["type"] for message in await socket.heard("1")] == ["next", "complete"]
            await socket.ask("1", "{")
            assert [message["type"] for message in await socket.heard("1")] == ["error"]


async def test_what_waits_for_a_slow_reader_is_not_taken_for_what_has_its_id_next(
    address: str, lines: list[Any]
) -> None:
    def message(id: str, type: str, query: str | None = None) -> bytes:
        payload = {} if query is None else {"payload": {"query": query}}
        return frame(TEXT, json.dumps({"id": id, "type": type, **payload}).encode())

    async def ran(count: int) -> None:
        await until(lambda: len([line for line in lines if line.get("kind") == "query"]) == count)

    async with leaving_nothing(), shaken(address, receive_buffer_bytes=4096) as client:
        await client.send(frame(TEXT, b'{"type": "connection_init"}'))
        assert (await next_frame(client))[0] == TEXT
        # More than the system takes for somebody who does not read.
        for number in range(LARGE):
            await client.send(message(f"large {number}", "subscribe", WHOLE_SCHEMA))
        await client.send(message("1", "subscribe", "{ first: __typename }"))
        await ran(LARGE + 1)
        await client.send(message("1", "complete") + message("1", "subscribe", "{ second: __typename }"))
        await ran(LARGE + 2)
        heard: list[Any] = []
        async with asyncio.timeout(PATIENCE_S):
            while not {"second"} & {key for each in heard for key in each.get("payload", {}).get("data", ())}:
                opcode, payload = await next_frame(client)
                if opcode == TEXT:
                    heard.append(json.loads(payload))

    (told,) = [each for each in heard if each["id"] == "1"]
    assert told["payload"]["data"] == {"second": "Query"}


@pytest.mark.parametrize("document", [NAME, LABEL], ids=["query", "mutation"])
async def test_answers_show_what_they_cost(address: str, acme: Tenant, document: str) -> None:
    async with talking(address) as socket:
        await socket.begin(acme.admin.token)
        variables = {"org": acme.id, "name": "bug"} if document == LABEL else {"id": acme.id}
        cost = (await socket.answer(document, variables=variables))["extensions"]["cost"]

    assert set(cost) == {"estimated", "charged", "limit", "remaining", "resetAt"}
    assert 1 <= cost["charged"] <= cost["estimated"]


@pytest.mark.parametrize("query", [None, ""], ids=["no query", "empty query"])
async def test_documents_are_kept_and_named_over_the_socket(address: str, acme: Tenant, query: str | None) -> None:
    document = f"query Kept{acme.org_id.hex} {{ viewer {{ email }} }}"
    digest = hashlib.sha256(document.encode()).hexdigest()
    apollo = {"persistedQuery": {"version": 1, "sha256Hash": digest}}
    async with talking(address) as socket:
        await socket.begin(acme.member.token)
        unknown = await socket.refusal(query, extensions=apollo)
        answers = [
            await socket.answer(document, extensions=apollo),
            await socket.answer(query, extensions=apollo),
            await socket.answer(query, documentId=f"sha256:{digest}"),
        ]

    assert (unknown["message"], unknown["code"]) == ("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")
    assert [answer["data"] for answer in answers] == [{"viewer": {"email": acme.member.email}}] * 3


async def test_a_subscription_may_be_a_kept_document(address: str, acme: Tenant) -> None:
    document = EVENTS + f"# {acme.org_id}"
    apollo = {"persistedQuery": {"version": 1, "sha256Hash": hashlib.sha256(document.encode()).hexdigest()}}
    async with leaving_nothing(), talking(address) as socket:
        await socket.begin(acme.member.token)
        before = gauges().subscriptions
        await socket.ask("1", document, extensions=apollo, variables={"id": acme.id})
        await until(lambda: gauges().subscriptions == before + 1)
        await socket.ask("2", "", extensions=apollo, variables={"id": acme.id})
        await until(lambda: gauges().subscriptions == before + 2)
        await tell(acme)
        heard = [await socket.hear() for _ in range(2)]

    assert sorted(message["id"] for message in heard) == ["1", "2"]
    assert heard[0]["payload"] == heard[1]["payload"]
