"""Logs and metrics.

Logs: structlog and the standard library's loggers end in one stream of lines on stderr, cleared of what is private.
What `about` holds is part of each line. The line that every operation leaves does not take that road, which costs more
than many an operation: see `operation_ended`.
"""

import asyncio
import logging
import os
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from structlog.typing import EventDict, Processor, WrappedLogger

from domain.base.settings import Settings

EXPOSITION_TYPE = CONTENT_TYPE_LATEST
# Where the processes that share a port keep their metrics. The library reads it when it is imported.
METRICS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"

# Of several processes the sum is shown, over those that live.
SOCKETS = Gauge("planwire_sockets", "Open websockets.", multiprocess_mode="livesum")
SUBSCRIPTIONS = Gauge("planwire_subscriptions", "Subscriptions that run.", multiprocess_mode="livesum")
FOLLOWED_LOGS = Gauge(
    "planwire_followed_logs", "Organizations whose log somebody follows, by process.", multiprocess_mode="livesum"
)
FALLBACKS = Counter("planwire_fallbacks", "Operations that graphql-core ran, by why the compiler did not.", ["reason"])
DEAD_JOBS = Counter("planwire_dead_jobs", "Jobs that are not tried any more, by handler.", ["handler"])
BROKEN_INVARIANTS = Counter("planwire_broken_invariants", "What must hold and did not, by invariant.", ["invariant"])
CACHE_HITS = Counter("planwire_cache_hits", "Values that nothing had to be loaded for, by name.", ["name"])
CACHE_MISSES = Counter("planwire_cache_misses", "Values that were loaded, by name.", ["name"])
SUBSCRIPTION_DRIFT = Counter("planwire_subscription_drift", "What a nightly look at Stripe found that nobody had told.")
DETOURS = Counter("planwire_detours", "Executions that had to be done anew with all care.")

about: ContextVar[Mapping[str, Any]] = ContextVar("about", default={})  # noqa: B039  # nobody writes into it
"""What every line says that is written meanwhile: request_id, trace_id, user_id."""

REDACTED = "[redacted]"
# Found anywhere in a key, so that new_password and x-authorization count too.
PRIVATE_PARTS = re.compile(
    r"passw|token|secret|authorization|cookie|e_?mail|api_?key|credential|database_url|redis_url", re.I
)
# These hold what a client sent: documents, variables, bodies.
PRIVATE_KEYS = frozenset({"query", "document", "body", "variables", "source", "headers", "address"})
# Exceptions of vendors quote values: Postgres says "Key (email)=(...) already exists".
# The possessive run after the look-behind keeps the search linear on long texts.
PRIVATE_TEXT = re.compile(
    r"(?<![^\s@=()<>\"',;:])[^\s@=()<>\"',;:]++@[^\s@=()<>\"',;:]+\.[a-z]{2,}"  # an address
    r"|(?<=://)[^/\s@]+@"  # user and password of a URL
    r"|(?<=Bearer )\S+",
    re.I,
)
# What a client sent can be as long as a request body.
TEXT_MAX = 20_000
# A stack of exceptions can nest values without end; what lies deeper is dropped.
DEPTH_MAX = 6
# Chatty at info, and below it they log statements with their values, and headers.
QUIET_LOGGERS = (
    "uvicorn",
    "uvicorn.error",
    "tortoise",
    "asyncio",
    "websockets",
    "asyncpg",
    "httpcore",
    "taskiq",
    "stripe",
    "openai",
    "httpx2",
    "httpcore2",
    "wordllama",
)


_ready: list[bytes] = []
"""Lines of operations that have ended in this turn of the event loop."""
_takes_ready_lines = False


def configure(settings: Settings) -> None:
    """Send all logging of this process to stderr: JSON lines, or lines to read when `log_format` is console."""
    global _takes_ready_lines
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Processor] = [
        _merge_about,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Processor
    if settings.log_format == "console":
        # Not the pretty tracebacks: they show local variables, passwords among them.
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    else:
        renderer = structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                redact,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    _takes_ready_lines = settings.log_format == "json" and level <= logging.INFO


def _merge_about(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {**about.get(), **event}


def operation_ended(**told: Any) -> None:
    """Write the line of an operation, at info, together with those that end in the same turn of the event loop.

    `told` must hold nothing private, and no text of a client's but names: where lines are JSON nobody looks at it.
    """
    if not _takes_ready_lines:
        structlog.get_logger("graph").info("operation", **told)
        return
    at = {"level": "info", "logger": "graph", "timestamp": datetime.now(UTC)}
    line = {**about.get(), "event": "operation", **told, **at}
    if not _ready:
        asyncio.get_running_loop().call_soon(_write_ready)
    _ready.append(orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z))


def _write_ready() -> None:
    lines = b"".join(_ready)
    _ready.clear()
    sys.stderr.write(lines.decode())
    sys.stderr.flush()


def exposition() -> bytes:
    """The metrics as Prometheus reads them: of all processes that share the port, else of this one."""
    registry = REGISTRY
    if METRICS_DIRECTORY in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def forget_process(pid: int) -> None:
    """Leave the gauges of a process that has ended out of the sums, where there are sums."""
    if directory := os.environ.get(METRICS_DIRECTORY):
        mark_process_dead(pid, directory)  # type: ignore[no-untyped-call]


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace private values by name of their key, and addresses, URL passwords and bearer tokens in any text."""
    return {key: _cleared(key, value, DEPTH_MAX) for key, value in event.items()}


def _cleared(key: str, value: Any, depth: int) -> Any:
    # Numbers and flags tell nothing: token_count may stay.
    if value is None or isinstance(value, bool | int | float):
        return value
    if PRIVATE_PARTS.search(key) or key.lower() in PRIVATE_KEYS or depth == 0:
        return REDACTED
    if isinstance(value, Mapping):
        return {str(name): _cleared(str(name), item, depth - 1) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_cleared("", item, depth - 1) for item in value]
    return PRIVATE_TEXT.sub(REDACTED, str(value)[:TEXT_MAX])
