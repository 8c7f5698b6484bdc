"""A busy stream and a slow reader hold nobody up, and only so many answers wait for one who does not read."""

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

from domain.base.settings import Settings
from graph.server_websocket import WebSocketProtocol
from tests.attacks.frames import TEXT, frame, next_frame, shaken
from tests.attacks.raw import PATIENCE_S, nothing_unhandled, still_serves
from tests.events.live import EVENTS, gauges, leaving_nothing, served, tell, until
from tests.factories import Tenant
from tests.transport.talk import talking

WHOLE_SCHEMA = "{ __schema { types { name description fields { name description args { name description } } } } }"
MOST = 10
ROUNDS = 5
EVENTS_AT_ONCE = 400


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[Any]]:
    """What was logged, of which nothing is a warning."""
    with nothing_unhandled(caplog) as found:
        yield found


def subscribe(id: str, query: str) -> bytes:
    """A frame that asks for something."""
    return frame(TEXT, json.dumps({"id": id, "type": "subscribe", "payload": {"query": query}}).encode())


async def test_answers_that_nobody_takes_are_at_most_as_many_as_operations(
    settings: Settings, lines: list[Any]
) -> None:
    few = dataclasses.replace(settings, operations_per_socket=MOST)
    async with leaving_nothing(), served(few) as server:
        async with shaken(server.address, receive_buffer_bytes=4096) as client:
            (connection,) = [each for each in server.connections if isinstance(each, WebSocketProtocol)]
            await client.send(frame(TEXT, b'{"type": "connection_init"}'))
            for begun in range(ROUNDS):
                client.writer.write(b"".join(subscribe(f"{begun} {number}", WHOLE_SCHEMA) for number in range(MOST)))
                await still_serves(server.address)
            await until(lambda: not connection.writable.is_set())

            # The system takes the first of them, which makes room for a few more. Each round has one of somebody else.
            ran = len([line for line in lines if line.get("kind") == "query"]) - ROUNDS
            assert MOST <= ran <= MOST + MOST // 2
            heard: list[Any] = []
            async with asyncio.timeout(PATIENCE_S):
                while len({each["id"] for each in heard if each["type"] in ("complete", "error")}) < ROUNDS * MOST:
                    opcode, payload = await next_frame(client)
                    if opcode == TEXT and (message := json.loads(payload))["type"] != "connection_ack":
                        heard.append(message)
        refused = [each["payload"] for each in heard if each["type"] == "error"]
        assert len(refused) >= 1
        assert {error["extensions"]["code"] for errors in refused for error in errors} == {"RATE_LIMITED"}


async def test_a_busy_stream_holds_no_other_operation_and_no_other_socket(address: str, acme: Tenant) -> None:
    async with leaving_nothing(), talking(address) as busy, talking(address) as other:
        await busy.begin(acme.admin.token)
        await other.begin(acme.member.token)
        before = gauges().subscriptions
        await busy.ask("busy", EVENTS, variables={"id": acme.id})
        await until(lambda: gauges().subscriptions == before + 1)
        await tell(acme, EVENTS_AT_ONCE)
        await busy.ask("beside", "{ __typename }")
        await other.answer("{ __typename }")

        heard = [await busy.hear() for _ in range(EVENTS_AT_ONCE + 2)]

    order = [message["id"] for message in heard]
    assert (order.count("busy"), order.count("beside")) == (EVENTS_AT_ONCE, 2)
    # It did not have to wait until all of the stream was sent.
    assert order.index("beside") < len(order) - 2
