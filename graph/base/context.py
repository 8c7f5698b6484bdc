"""What the fields of one operation share: who asks, the adapters, and the one data loader.

A Context lives as long as its request or socket; an Operation as long as one operation. Several may run on a socket at
once, so the running one is found by the task and not by the context.
"""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from uuid import UUID

import strawberry
from starlette.requests import HTTPConnection
from starlette.responses import Response
from strawberry.dataloader import DataLoader

from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.base.errors import Timeout, Unauthenticated, Unavailable
from domain.base.settings import Settings
from domain.base.sql import Part

if TYPE_CHECKING:
    from graph.base.live import Live
    from graph.base.points import Charge

T = TypeVar("T")
_running: ContextVar["Operation"] = ContextVar("operation")


class Operation:
    """One query, mutation or subscription while it runs."""

    def __init__(self, caller: Actor | None, refusal: Exception | None, request_id: str) -> None:
        self.caller = caller
        self.known_as = caller
        """Who came; `caller` may become somebody else while it runs."""
        self.refusal = refusal
        self.request_id = request_id
        # Organization -> the number of its last event, read before all else by an operation that asks for eventCursor.
        # One that is not here had no event then, or was not yet the caller's: its log is followed from the beginning.
        self.log_heads: dict[UUID, int] = {}
        self.shows_cursor = False
        # The permissions that it was refused for want of, as far as the caller's account knows of them.
        self.denied: set[str] = set()
        self.started = 0.0
        # When the running event loop's clock has come to this, the operation is ended; None for a subscription.
        self.deadline: float | None = None
        # What it pays, once that is taken; and how many rows it has shown, which is what it is held to pay.
        self.charge: Charge | None = None
        self.loaded = 0
        # How long the longest is of the texts that it shows, of those that may be long.
        self.longest_text = 0
        # Whether it pays all that it was held to cost: what it made us do was not counted.
        self.pays_all = False
        # Of what may come from the cache: the path of the field -> how often it did, and how often it was loaded.
        self.cached: dict[tuple[str, ...], tuple[int, int]] = {}
        # What lines of the log said about their operation before it began.
        self.said_before: Mapping[str, Any] = {}
        # Whether rows may hold columns as they are told; see TEXT.
        self.takes_text = False
        # What follows from the text alone; kept with its plan, where that is kept.
        self.of_text: dict[Hashable, Any] = {}
        self.remembered: dict[Hashable, Any] = {}
        # Of a subscription: brings the caller's standing up to the present, and raises once that is not enough.
        self.recheck: Callable[[], Awaitable[None]] | None = None
        self._away: Exception | None = None
        self._loaders: dict[Hashable, DataLoader[Any, Any]] = {}
        self._read: dict[Hashable, dict[Any, Any]] = {}
        # (read, key) -> what came along with another row.
        self._at_hand: dict[Hashable, Part] = {}

    def begin(self) -> None:
        """Make this the running operation of the task."""
        _running.set(self)

    @property
    def actor(self) -> Actor:
        """The caller. Raises Unauthenticated when there is none."""
        if self.refusal is not None:
            raise self.refusal
        if self.caller is None:
            raise Unauthenticated
        return self.caller

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gave the first time: for what is the same for every row that a field is resolved for."""
        if key not in self.remembered:
            self.remembered[key] = make()
        return self.remembered[key]

    async def load(self, read: Callable[..., Awaitable[dict[Any, Any]]], key: Any, *arguments: Hashable) -> Any:
        """What the batched read gives for the key, or None; all keys of one moment go into one call."""
        loader = self._loaders.get((read, arguments))
        if loader is None:

            async def batch(keys: Sequence[Any]) -> list[Any]:
                found = await read(self.actor, keys, *arguments)
                return [found.get(key) for key in keys]

            loader = self._loaders[(read, arguments)] = DataLoader(load_fn=batch)
        return await loader.load(key)

    async def read(
        self, read: Callable[..., Awaitable[dict[Any, Any]]], keys: Sequence[Any], *arguments: Hashable
    ) -> Any:
        """What the batched read gives for the keys, by key; each is read once an operation, and None is none."""
        known = self._read.get((read, arguments))
        if known is None:
            known = self._read[read, arguments] = {}
        missing = [key for key in dict.fromkeys(keys) if key is not None and key not in known]
        if missing and self._at_hand:
            missing = [key for key in missing if not self._is_at_hand(known, read, key, arguments)]
        if missing:
            found = await self.unless_away(lambda: read(self.actor, missing, *arguments))
            known.update(found)
            if len(found) < len(missing):
                # What there is not, is not looked for again.
                known.update((key, None) for key in missing if key not in found)
        return known

    def keep_at_hand(self, rows: Mapping[Any, Part]) -> None:
        """Spare the reads, which are the keys, these rows, where no more is asked for than they have."""
        self._at_hand.update({(read, row.id): row for read, row in rows.items()})

    def _is_at_hand(self, known: dict[Any, Any], read: Hashable, key: Any, arguments: tuple[Any, ...]) -> bool:
        row = self._at_hand.get((read, key))
        if row is None or len(arguments) != 1 or not row.has(arguments[0]):
            return False
        known[key] = row
        return True

    async def unless_away(self, read: Callable[[], Awaitable[T]]) -> T:
        """What is read. Once the database was away, the same fault at once: what is done anew shall not wait anew."""
        if self._away is not None:
            raise self._away
        try:
            return await read()
        except (Unavailable, Timeout) as fault:
            self._away = fault
            raise

    def note_cached(self, path: tuple[str, ...], hits: int, misses: int) -> None:
        """Note what the cache had for the field at the path."""
        before = self.cached.get(path, (0, 0))
        self.cached[path] = (before[0] + hits, before[1] + misses)

    def forget(self) -> None:
        """Drop what was loaded, and that the database was away: something is about to change it, or has."""
        self._loaders.clear()
        self._read.clear()
        self._at_hand.clear()
        self._away = None

    async def confirm(self) -> None:
        """Before what was loaded is shown over a socket: a standing that held after it was read held while it was."""
        if (self._loaders or self._read) and self.recheck is not None:
            recheck, self.recheck = self.recheck, None
            await recheck()
            # Where it raises, the end of the stream is shown without asking again.
            self.recheck = recheck


def running() -> Operation | None:
    """The operation that runs in this task; None before one began."""
    return _running.get(None)


@dataclass
class Context:
    """What one request or socket brings along."""

    settings: Settings
    adapters: Adapters
    connection: HTTPConnection
    response: Response | None
    live: "Live"
    """What serves subscriptions; they come by websocket alone."""
    connection_params: dict[str, Any] | None = field(default=None)
    caller: Actor | None = None
    """Who opened the socket. An operation finds its own caller anew."""
    headers: Mapping[str, str] = field(init=False)
    """By names in lower case; of one that was sent several times the first."""
    client_address: str = field(init=False)
    """The network address of the other end, as the proxy settings give it."""

    def __post_init__(self) -> None:
        # Starlette looks through all that were sent for each that is asked for, of which an operation has four.
        sent, client = self.connection.scope["headers"], self.connection.scope.get("client")
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(sent)}
        self.client_address = client[0] if client else "unknown"

    @property
    def operation(self) -> Operation:
        """The operation that runs in this task."""
        return _running.get()

    @property
    def actor(self) -> Actor:
        """The caller. Raises Unauthenticated when there is none."""
        return self.operation.actor

    async def load(self, read: Callable[..., Awaitable[dict[Any, Any]]], key: Any, *arguments: Hashable) -> Any:
        """See Operation.load."""
        return await self.operation.load(read, key, *arguments)


Info: TypeAlias = strawberry.Info[Context, None]
