"""How uvicorn serves the application: configuration, and what a process is given for it.

`server_http.py` and `server_websocket.py` say what a connection may do, `server_answer.py` how an answer leaves.
"""

import gc
import resource

import uvicorn
from starlette.types import ASGIApp

from domain.base.settings import Settings
from graph.server_http import HttpProtocol
from graph.server_websocket import PING_INTERVAL_S, PONG_DEADLINE_S, WEBSOCKET_FRAME_BYTES, WebSocketProtocol

BACKLOG = 2048
# Requests get this long to end before the application closes its connections.
REQUESTS_DEADLINE_S = 2
# Each connection takes a descriptor. Many systems begin a process with 1,024 and let it take more by itself.
DESCRIPTORS = 65_536

# Objects that may be in cycles and were made and not freed: before the youngest are looked at; then in how many such
# looks the middle generation is, and in how many of these all are.
COLLECT_AFTER = (50_000, 20, 20)


def calm_collector() -> None:
    """Let Python look for cycles seldom, and never in what the start has made.

    A look at everything stops the process; with 1,000 sockets for about 0.4 s, every second or two by Python's own
    thresholds. What is in no cycle, which is nearly all, is freed at once all the same.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def take_descriptors() -> None:
    """Let this process hold as many connections as the system allows, up to `DESCRIPTORS`."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if most == resource.RLIM_INFINITY else min(DESCRIPTORS, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def configuration(app: ASGIApp, settings: Settings, *, lifespan: bool = True) -> uvicorn.Config:
    """Uvicorn's configuration for the application."""
    return uvicorn.Config(
        app,
        http=HttpProtocol,
        ws=WebSocketProtocol,
        ws_max_size=WEBSOCKET_FRAME_BYTES,
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=PONG_DEADLINE_S,
        ws_per_message_deflate=False,
        lifespan="on" if lifespan else "off",
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=list(settings.forwarded_allow_ips),
        backlog=BACKLOG,
        timeout_graceful_shutdown=REQUESTS_DEADLINE_S,
        # A request that was sent behind another one is begun by that one's task, and would know its caller.
        reset_contextvars=True,
    )
