"""What one connection leaves to those that come behind it: its place, and nothing of its caller."""

from contextvars import ContextVar

from starlette.types import Receive, Scope, Send

from domain.base.settings import Settings
from graph.server_http import HttpProtocol
from tests.attacks.raw import exchange, raw, running
from tests.events.live import until

FEW = 5
_seen: ContextVar[str] = ContextVar("seen", default="nobody")


class Small(HttpProtocol):
    """One that takes few connections, and lingers shortly."""

    connections_max = FEW
    linger_s = 0.1


async def remembering(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers whom this task knew before, and then knows the path."""
    body = _seen.get().encode()
    _seen.set(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def test_who_is_refused_and_does_not_go_is_sent_away(settings: Settings) -> None:
    async with running(settings, Small) as server:
        connections = server.server.server_state.connections
        async with raw(server.address) as first, raw(server.address) as second, raw(server.address) as third:
            for client in (first, second, third):
                await client.send(b"GARBAGE\r\n\r\n")

            await until(lambda: not connections)

        assert (await exchange(server.address, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).status == 200


async def test_a_request_knows_nothing_of_the_one_before_it(settings: Settings) -> None:
    both = b"GET /one HTTP/1.1\r\nhost: x\r\n\r\nGET /two HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"

    async with running(settings, app=remembering) as server, raw(server.address) as client:
        await client.send(both)
        received = await client.rest()

    assert received.count(b"nobody") == 2
    assert b"/one" not in received
