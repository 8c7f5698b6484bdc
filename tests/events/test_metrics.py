"""/metrics: who may read it, and what it tells of one process and of several."""

import asyncio
import re
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import psutil

from domain.base.settings import Settings
from tests.base.test_command_line import wait_until, workers_of
from tests.events.live import EVENTS, begun, served, until
from tests.factories import Tenant
from tests.ports import http_client
from tests.processes import READY_DEADLINE_S, started
from tests.sockets import opened
from tests.test_outages import ORGANIZE, SIGN_UP

TOKEN = "metrics-token-of-this-test"  # noqa: S105
MOST_SOCKETS = 40
ELSEWHERE = {"x-forwarded-for": "198.51.100.7"}


def shown(text: str, name: str) -> float:
    """The value of a gauge in Prometheus' text format."""
    (value,) = re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(value)


async def test_without_a_token_it_is_for_this_machine_alone(address: str) -> None:
    async with http_client(base_url=f"http://{address}") as http:
        here = await http.get("/metrics")
        refused = [
            await http.get("/metrics", headers=ELSEWHERE),
            await http.get("/metrics", headers={**ELSEWHERE, "authorization": f"Bearer {TOKEN}"}),
            await http.get("/metrics", headers={**ELSEWHERE, "authorization": "Bearer None"}),
        ]

    assert here.status_code == 200
    assert here.headers["content-type"].startswith("text/plain; version=")
    assert [(answer.status_code, answer.text) for answer in refused] == [(404, "Not Found")] * 3


async def test_with_a_token_it_is_for_whoever_brings_it(settings: Settings) -> None:
    async with (
        served(replace(settings, metrics_token=TOKEN)) as server,
        http_client(base_url=f"http://{server.address}") as http,
    ):
        admitted = await http.get("/metrics", headers={**ELSEWHERE, "authorization": f"Bearer {TOKEN}"})
        refused = [
            await http.get("/metrics", headers=[(b"authorization", sent)])
            for sent in (b"", b"Bearer", b"Bearer wrong", f"Bearer {TOKEN}x".encode(), TOKEN.encode(), b"Bearer \xff")
        ]
        refused.append(await http.get("/metrics"))

    assert admitted.status_code == 200
    assert [(answer.status_code, answer.text) for answer in refused] == [(404, "Not Found")] * 7


async def test_it_tells_how_many_sockets_and_subscriptions_are_open(address: str, acme: Tenant) -> None:
    async def told() -> list[float]:
        async with http_client(base_url=f"http://{address}") as http:
            text = (await http.get("/metrics")).text
        return [shown(text, f"planwire_{name}") for name in ("sockets", "subscriptions", "followed_logs")]

    before = await told()
    async with opened(address, acme.member.token) as socket, opened(address):
        for _ in range(3):
            await begun(socket, EVENTS, id=acme.id)
        await until_told(told, [before[0] + 2, before[1] + 3, before[2] + 1])
    await until_told(told, before)


async def until_told(told: Callable[[], Awaitable[list[float]]], wanted: list[float]) -> None:
    """Wait until the metrics show it."""

    async def is_told() -> bool:
        return await told() == wanted

    await until(is_told)


def open_in(worker: psutil.Process, port: int) -> int:
    """How many connections to the port the process holds."""
    held = worker.net_connections("tcp")
    return len([each for each in held if each.status == psutil.CONN_ESTABLISHED and each.laddr.port == port])


async def both_serve(workers: list[psutil.Process], port: int) -> None:
    """Wait until each takes connections: one that is still starting would leave all to the other."""
    probes: list[asyncio.StreamWriter] = []

    async def each_has_one() -> bool:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        probes.append(writer)
        return all(open_in(each, port) for each in workers)

    await until(each_has_one, READY_DEADLINE_S)
    for writer in probes:
        writer.close()
    await until(lambda: not any(open_in(each, port) for each in workers))


async def test_several_processes_show_their_sum_and_one_that_dies_takes_its_share_along(tmp_path: Path) -> None:
    arguments = ("serve", "--port", "0", "--workers", "2", "--data", str(tmp_path / "data"))
    with started(*arguments, SOCKETS_PER_USER=str(MOST_SOCKETS)) as serve:
        port = int(serve.origin.rpartition(":")[2])
        token = serve.ask(SIGN_UP, email="mona@example.test")["data"]["signUp"]["token"]
        org = serve.ask(ORGANIZE, token, slug="mona")["data"]["organizationCreate"]["organization"]["id"]

        async def told() -> list[float]:
            _, text = await asyncio.to_thread(serve.get, "/metrics")
            return [shown(text, f"planwire_{name}") for name in ("sockets", "subscriptions")]

        async with AsyncExitStack() as stack:
            workers = workers_of(serve.process)
            assert len(workers) == 2
            await both_serve(workers, port)
            opening = 0
            while opening < 4 or any(open_in(each, port) == 0 for each in workers):
                assert opening < MOST_SOCKETS
                socket = await stack.enter_async_context(opened(serve.origin.removeprefix("http://"), token))
                await socket.run(EVENTS, id=org)
                opening += 1
            await until_told(told, [opening, opening])
            shares = [open_in(each, port) for each in workers]
            assert sum(shares) == opening

            workers[0].kill()
            await until_told(told, [shares[1], shares[1]])
            await asyncio.to_thread(wait_until, lambda: len(workers_of(serve.process)) == 2)
            await until_told(told, [shares[1], shares[1]])
        await until_told(told, [0, 0])
        serve.end(signal.SIGTERM)
