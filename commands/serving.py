"""Serving from the command line: serve, a socket to listen on, uvicorn in one process or several, the ready line."""

import argparse
import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator, Sequence

import uvicorn
from starlette.types import ASGIApp

from commands.database import connected
from commands.processes import CommandError, call, keep, log, run, say, settings_of, side_by_side
from domain.base import embedded, migrate, telemetry
from domain.base.scratch import scratch
from domain.base.settings import Settings
from graph.app import create_app, metrics_alone
from graph.server import BACKLOG, REQUESTS_DEADLINE_S, calm_collector, take_descriptors
from graph.server import configuration as server_configuration

READY_DEADLINE_S = 60.0
READY_POLL_S = 0.05
# After its requests the application closes its connections. With the servers' own deadlines every process has ended in
# under 5 s.
SHUTDOWN_DEADLINE_S = REQUESTS_DEADLINE_S + 0.4


def serve(options: argparse.Namespace) -> int:
    """Serve the API; the servers of DATABASE_URL and REDIS_URL, or embedded ones."""
    settings = settings_of(options)

    async def work(listener: socket.socket) -> None:
        async with embedded.servers(settings) as live:
            if live.embedded:
                await migrate.migrate(live)
            # Uvicorn would show what is wrong with the database as a traceback.
            async with connected(live):
                pass
            lines = (ready_line(options.host, listener),)
            if options.workers == 1:
                await serve_here(live, listener, lines)
            else:
                await serve_in_workers(live, listener, options.workers, lines)

    with listening(options.host, options.port) as listener:
        run(work(listener))
    return 0


def listening(host: str, port: int) -> socket.socket:
    """A listening socket, taken before anything is started. Raises CommandError when the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise CommandError(f"{host} is no address to listen on", 2) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Two sockets that are bound and do not listen yet can have the same port.
        listener.listen(BACKLOG)
    except OSError as fault:
        listener.close()
        reason = fault.strerror.lower() if fault.strerror else "cannot be used"
        raise CommandError(f"{origin(host, port)} cannot be listened on: {reason}; choose another --port", 2) from None
    return listener


def origin(host: str, port: int) -> str:
    """The origin of what listens there."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def port_of(listener: socket.socket) -> int:
    """The port, also where a free one was asked for."""
    return int(listener.getsockname()[1])


def near(host: str) -> str:
    """Where this machine reaches what listens on a host."""
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104


def ready_line(host: str, listener: socket.socket) -> str:
    """What whoever starts us waits for."""
    return f"ready: {origin(host, port_of(listener))}/graphql"


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers, which end it before the servers it stands on could be stopped."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets=sockets)
        except SystemExit:
            raise CommandError("the application did not start; the lines above say why") from None


async def serve_until_cancelled(app: ASGIApp, settings: Settings, listener: socket.socket) -> None:
    """Serve the application. Raises CommandError when the server ends by itself."""
    take_descriptors()
    server = _Server(server_configuration(app, settings))
    calm_collector()
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await asyncio.wait({serving}, timeout=SHUTDOWN_DEADLINE_S)
        if not serving.done():
            serving.cancel()
        raise
    raise CommandError("the server ended by itself; the lines above say why")


async def serve_metrics(settings: Settings, listener: socket.socket) -> None:
    """Serve this process's metrics alone. Raises CommandError when the server ends by itself."""
    await serve_until_cancelled(metrics_alone(settings), settings, listener)


async def serve_here(settings: Settings, listener: socket.socket, ready_lines: Sequence[str]) -> None:
    """Serve the API in this process, and say so once it is ready. Raises CommandError when it never is."""
    serving = serve_until_cancelled(create_app(settings), settings, listener)
    await side_by_side(serving, _announce(listener, ready_lines))


async def serve_in_workers(settings: Settings, listener: socket.socket, count: int, ready_lines: Sequence[str]) -> None:
    """As `serve_here`, in several processes that share the port; one that dies is replaced."""
    with scratch() as metrics:
        os.environ[telemetry.METRICS_DIRECTORY] = str(metrics)
        try:
            workers = [
                keep(
                    f"worker {number}",
                    call,
                    "commands.serving:_serve_as_worker",
                    settings,
                    listener,
                    end_within_s=SHUTDOWN_DEADLINE_S + 0.2,
                    # While anybody holds it, new connections are taken and wait for workers that take none any more.
                    ending=listener.close,
                )
                for number in range(1, count + 1)
            ]
            await side_by_side(*workers, _announce(listener, ready_lines))
        finally:
            del os.environ[telemetry.METRICS_DIRECTORY]


async def _announce(listener: socket.socket, lines: Sequence[str]) -> None:
    """Write the lines once the system says that it is ready. Raises CommandError when it never does."""
    try:
        async with asyncio.timeout(READY_DEADLINE_S):
            while True:
                if await _is_ready(listener):
                    break
                await asyncio.sleep(READY_POLL_S)
    except TimeoutError:
        raise CommandError(f"not ready after {READY_DEADLINE_S:.0f} s; GET /health/ready says why") from None
    for line in lines:
        say(line)


async def _is_ready(listener: socket.socket) -> bool:
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    writer = None
    try:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"GET /health/ready HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False
    finally:
        if writer is not None:
            writer.close()


def _serve_as_worker(settings: Settings, listener: socket.socket) -> None:
    """The life of a process that serves. Settings, with the servers' URLs, come from the parent."""
    telemetry.configure(settings)
    try:
        run(serve_until_cancelled(create_app(settings), settings, listener))
    except CommandError as fault:
        log.error(str(fault))
        raise SystemExit(fault.status) from None
