"""A server that is told to end: it lets go of its clients so that they lose nothing and can go on elsewhere."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from domain.adapters.wiring import Adapters
from domain.base.settings import Settings, load
from domain.events import cursors
from domain.tasks import service as tasks
from graph.base.ids import global_id
from tests.attacks.frames import HANDSHAKE, TEXT, close_code, frame, next_frame, shaken
from tests.attacks.raw import nothing_unhandled, raw, running
from tests.events.live import gauges, served, tell, until
from tests.factories import Tenant, make_project, rows
from tests.live_log.subscribers import EVENTS, log_of
from tests.ports import http_client
from tests.processes import READY_DEADLINE_S, Started, started
from tests.sockets import Ended, opened
from tests.tasks.races import uncommitted, waiting

CREATE = """mutation ($id: ID!) {
  taskCreate(input: {projectId: $id, title: "While it ends"}) { task { title } errors { code } }
}"""
ONE = b"GET / HTTP/1.1\r\nHost: planwire.test\r\n\r\n"
FOLLOWERS = 5
SMALL_BUFFER_BYTES = 4 * 1024


@pytest.fixture
def alone(tmp_path: Path) -> Settings:
    """Settings of a server that needs no database."""
    return load({}, data_dir=tmp_path)


@contextlib.asynccontextmanager
async def serving(settings: Settings, directory: Path, *arguments: str) -> AsyncIterator[tuple[Started, str]]:
    """A process, or several, over this process's servers, and its host:port."""
    environ = {
        "DATABASE_URL": settings.database_url or "",
        "DATABASE_POOL_SIZE": "8",
        "REDIS_URL": settings.redis_url or "",
        "SECRET_KEY": settings.secret_key,
        # It would warn that no mail is sent, and that files lie on this machine alone.
        "SMTP_URL": "smtp://127.0.0.1:9?starttls=off",
        "S3_BUCKET": "files",
        "S3_ENDPOINT_URL": "http://127.0.0.1:9",
        "PLANWIRE_DATA": str(directory),
    }
    with contextlib.ExitStack() as stack:
        process = await asyncio.to_thread(
            lambda: stack.enter_context(started("serve", "--port", "0", *arguments, **environ))
        )
        yield process, process.origin.removeprefix("http://")


async def refuses(address: str) -> bool:
    """Whether no new connection is taken: there is no listener, or it closed before this connection's turn came."""
    try:
        async with raw(address):
            return False
    except (ConnectionRefusedError, ConnectionResetError):
        return True


def complaints(capfd: pytest.CaptureFixture[str]) -> list[Any]:
    """What the processes have logged that is a warning or worse, or no line of the log at all.

    Only once they have ended: whoever writes while the file is read and emptied writes over its beginning.
    """
    return [line for line in capfd.readouterr().err.splitlines() if '"level":"info"' not in line.replace(" ", "")]


async def end_of(process: Started) -> int:
    """The exit status. Raises TimeoutExpired."""
    return await asyncio.to_thread(process.process.wait, READY_DEADLINE_S)


async def follow(settings: Settings, addresses: list[str], tenant: Tenant, seen: list[str], codes: list[Any]) -> None:
    """Follow the log at the first address, and after each end at the next one, from the last cursor on."""
    cursor = cursors.write(settings, tenant.org_id, 0)
    for address in addresses:
        async with opened(address, tenant.member.token) as client:
            stream = await client.run(EVENTS, id=tenant.id, after=cursor)
            with contextlib.suppress(Ended):
                while True:
                    event = await stream.data()
                    cursor = event["cursor"]
                    seen.append(event["id"])
            codes.append(await client.close_code())


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_subscribers_are_told_to_go_and_see_every_event_once(
    settings: Settings, acme: Tenant, tmp_path: Path, workers: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with (
        serving(settings, tmp_path, "--workers", workers) as (ending, first),
        serving(settings, tmp_path) as (_, second),
    ):
        seen: list[list[str]] = [[] for _ in range(FOLLOWERS)]
        codes: list[list[Any]] = [[] for _ in range(FOLLOWERS)]
        following = [
            asyncio.create_task(follow(settings, [first, second], acme, *each))
            for each in zip(seen, codes, strict=True)
        ]
        await tell(acme)
        await until(lambda: all(seen))
        for number in range(40):
            await tell(acme, 3)
            if number == 20:
                ending.process.send_signal(signal.SIGTERM)
        status = await end_of(ending)
        expected = [event.id for event in await log_of(acme.org_id)]
        await until(lambda: [len(each) for each in seen] == [len(expected)] * FOLLOWERS)
        await tell(acme)
        expected = [event.id for event in await log_of(acme.org_id)]
        await until(lambda: all(each[-1] == expected[-1] for each in seen))
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)

        assert status == 0
        assert seen == [expected] * FOLLOWERS
        assert codes == [[1001]] * FOLLOWERS
        assert await refuses(first)
    assert complaints(capfd) == []


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_change_under_way_is_answered_and_made_once_while_nobody_new_is_served(
    settings: Settings, acme: Tenant, tmp_path: Path, workers: str, capfd: pytest.CaptureFixture[str]
) -> None:
    project = await make_project(acme.member, acme)
    headers = {"authorization": f"Bearer {acme.member.token}"}
    body = {"query": CREATE, "variables": {"id": global_id("project", project.id)}}
    async with (
        serving(settings, tmp_path, "--workers", workers) as (ending, address),
        http_client(trust_env=False, timeout=30) as http,
        raw(address) as idle,
    ):
        async with uncommitted(acme.member, lambda actor: tasks.create(actor, project.id, title="Before it ends")):
            asked = await waiting(http.post(f"http://{address}/graphql", json=body, headers=headers))
            ending.process.send_signal(signal.SIGTERM)
            await until(lambda: refuses(address))
        answer = await asked

        assert await idle.rest() == b""
        assert await end_of(ending) == 0
    assert complaints(capfd) == []
    assert answer.json()["data"]["taskCreate"] == {"task": {"title": "While it ends"}, "errors": []}
    assert answer.headers["connection"] == "close"
    found = await rows("SELECT title FROM task WHERE project_id = $1 ORDER BY number", project.id)
    assert [row["title"] for row in found] == ["Before it ends", "While it ends"]


async def test_a_socket_that_says_nothing_is_told_to_go(
    settings: Settings, adapters: Adapters, caplog: pytest.LogCaptureFixture
) -> None:
    with nothing_unhandled(caplog):
        async with contextlib.AsyncExitStack() as stack:
            async with served(settings) as server:
                silent = await stack.enter_async_context(shaken(server.address))
            assert await close_code(silent) == 1001


async def test_a_socket_that_takes_nothing_holds_no_end_up(
    settings: Settings, acme: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    document = "subscription ($id: ID!) { events(organizationId: $id) { id changes { field before after } } }"
    messages: list[Any] = [
        {"type": "connection_init", "payload": {"authorization": f"Bearer {acme.member.token}"}},
        {"id": "1", "type": "subscribe", "payload": {"query": document, "variables": {"id": acme.id}}},
    ]
    before = gauges().subscriptions
    with nothing_unhandled(caplog):
        async with contextlib.AsyncExitStack() as stack:
            async with served(settings) as server:
                client = await stack.enter_async_context(shaken(server.address, SMALL_BUFFER_BYTES))
                await client.send(frame(TEXT, json.dumps(messages[0]).encode()))
                await next_frame(client)
                await client.send(frame(TEXT, json.dumps(messages[1]).encode()))
                await until(lambda: gauges().subscriptions == before + 1)
                client.writer.transport.pause_reading()  # type: ignore[attr-defined]
                (connection,) = server.connections
                for _ in range(40):
                    await tell(acme, 1, "x" * 20_000)
                await until(lambda: not connection.writable.is_set())
            assert gauges().subscriptions == before


async def test_an_answer_that_nobody_takes_holds_no_end_up(alone: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with nothing_unhandled(caplog):
        async with contextlib.AsyncExitStack() as stack:
            async with running(alone) as server:
                client = await stack.enter_async_context(raw(server.address, SMALL_BUFFER_BYTES))
                client.writer.transport.pause_reading()  # type: ignore[attr-defined]
                await client.send(b"GET /large/8000000 HTTP/1.1\r\nHost: planwire.test\r\n\r\n")
                await until(lambda: any(each.cycle and each.cycle.response_complete for each in server.connections))


async def test_what_is_under_way_ends_and_what_was_sent_ahead_is_not_begun(
    alone: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[str] = []
    go = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        begun.append(scope["path"])
        await go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})

    with nothing_unhandled(caplog):
        async with running(alone, app=slow) as server, raw(server.address) as client, raw(server.address) as idle:
            await client.send(ONE + ONE.replace(b"/", b"/second", 1))
            await until(lambda: begun and len(server.connections) == 2)
            server.server.should_exit = True
            assert await idle.rest() == b""
            assert await refuses(server.address)
            go.set()
            answer = await client.answer()

            assert (answer.status, answer.body, answer.headers["connection"]) == (200, b"done", "close")
            assert await client.rest() == b""
            assert begun == ["/"]


async def test_a_handshake_under_way_is_refused(alone: Settings, caplog: pytest.LogCaptureFixture) -> None:
    asked = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        asked.set()
        assert (await receive())["type"] == "websocket.disconnect"

    with nothing_unhandled(caplog):
        async with running(alone, app=slow) as server, raw(server.address) as client:
            await client.send(HANDSHAKE)
            await asked.wait()
            server.server.should_exit = True
            answer = await client.answer()

            assert (answer.status, answer.code, answer.headers["connection"]) == (503, "UNAVAILABLE", "close")
            assert await client.rest() == b""
