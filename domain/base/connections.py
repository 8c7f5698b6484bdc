"""A pool whose connections remember the tenant set they carry, so that most statements need not send it again.

A connection goes through three hands. `acquire` lends it: one that carries the caller's set already, else the one that
was unused for longest, told the set before or with its first statement; else a new one, while there is room; else one
that is given back, in the order of asking, though of those who have not waited for long one who needs the set it
carries goes first. `give` takes
it back and never waits. One that was cut off in a statement or a transaction first goes to `_mend`, in the background
and for a second at most: it is closed when the server does not answer by then.

What a connection carries is forgotten before anything is sent that could change it, and noted only when the server has
confirmed it: a loss at any await leaves "unknown", which costs telling it again, and never a wrong set.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import Any, NamedTuple, cast

import asyncpg

from domain.base.connection import Connection, TenantSet, setting

ACQUIRE_TIMEOUT_S = 5.0
# How long a connection may take to stop what was cut off and to roll back. It is closed then, which does the same.
GIVE_BACK_TIMEOUT_S = 1.0
# How long those in use are waited for when the pool closes.
CLOSE_TIMEOUT_S = 8.0
# A prepared statement is some memory in the server's process. All that the code and the usual queries of clients say
# fit in; the one unused for longest goes first. asyncpg keeps them: over one kept by hand, and the same care for plans
# that a migration has outdated, finding it costs 2 us (measured).
STATEMENTS = 500

# Who has waited for so long is let go first by nobody.
PATIENCE_S = 0.2
# How many who wait are asked what they need, at most.
ASKED_AT_MOST = 64


class _Waiter(NamedTuple):
    deadline: float
    wanted: TenantSet | None
    # Comes to a connection, or to None: the room to open one.
    turn: asyncio.Future[Connection | None]


class Pool:
    """At most `max_size` connections, opened as they are needed. `opening` is what asyncpg.connect takes.

    `tenants` gives the set of whoever asks, or raises; None stands for connections that carry none.
    """

    def __init__(self, max_size: int, tenants: Callable[[], TenantSet | None], **opening: Any) -> None:
        self.max_size = max_size
        self._tenants = tenants
        self._opening = opening
        # Open ones, those that are being opened, and those that are being mended or closed.
        self._size = 0
        # The longest unused first.
        self._idle: list[Connection] = []
        self._lent: set[Connection] = set()
        # None of those who wait is alive while one is idle or there is room.
        self._waiters: deque[_Waiter] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._chores: set[asyncio.Task[None]] = set()
        self._emptied: asyncio.Event | None = None

    @property
    def size(self) -> int:
        """How many there are, those included that are being opened, mended or closed."""
        return self._size

    @property
    def idle_size(self) -> int:
        """How many nobody uses."""
        return len(self._idle)

    async def warm(self) -> None:
        """Open the first. Raises what asyncpg.connect raises."""
        self._size += 1
        self.give(await self._opened())

    def suits(self, connection: Connection) -> bool:
        """Whether the connection carries the caller's set. Raises what `tenants` raises."""
        return connection.carries == self._tenants()

    def at_hand(self) -> Connection | None:
        """Lend an idle connection that carries the caller's set already; never waits. Raises what `tenants` raises."""
        return self._unused(self._tenants())

    async def acquire(self, *, begin: bool = False, for_statements: bool = False) -> Connection:
        """Lend a connection that carries the caller's set, with `begin` in a transaction; `give` has to follow.

        `for_statements`: nothing but `fetch` is done with it, which tells it the set where that is still to be done.
        Raises what `tenants` raises; TimeoutError when none came within ACQUIRE_TIMEOUT_S; what the server answers.
        """
        wanted = self._tenants()
        connection = self._unused(wanted) or self._longest_unused()
        if connection is None:
            connection = await self._next(wanted)
            # It is a live set, and the wait may have been long.
            wanted = self._tenants()
        try:
            if begin or connection.carries != wanted:
                await self._prepare(connection, wanted, begin, for_statements)
        except BaseException as fault:
            if isinstance(fault, TimeoutError):
                connection.terminate()
            self.give(connection)
            raise
        return connection

    async def release(self, connection: Connection) -> None:
        """`give`, as Tortoise asks for it."""
        self.give(connection)

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Connection]:
        """A connection for the block."""
        connection = await self.acquire()
        try:
            yield connection
        finally:
            self.give(connection)

    def give(self, connection: Connection) -> None:
        """Take a connection back, in whatever state it is. Never waits."""
        # Raises for one that was given back already: two users at once would be two tenants at once.
        self._lent.remove(connection)
        if connection.is_closed():
            self._lose(connection)
            return
        # What nobody was told in the end is for the next to say.
        connection.untold = None
        if not connection.is_at_rest():
            connection.forget()
            self._do(self._mend(connection))
        else:
            self._pass_on(connection)

    async def close(self) -> None:
        """Close all, those in use once they are given back, or after CLOSE_TIMEOUT_S at the latest."""
        self._emptied = asyncio.Event()
        if self._alarm is not None:
            self._alarm.cancel()
        while self._waiters:
            if not (turn := self._waiters.popleft().turn).done():
                turn.set_exception(asyncpg.InterfaceError("the pool is closed"))
        while self._idle:
            self._do(self._retire(self._idle.pop()))
        if self._size:
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._emptied.wait()
            except TimeoutError:
                for connection in self._lent:
                    connection.terminate()
        if self._chores:
            await asyncio.wait(self._chores)

    def _unused(self, wanted: TenantSet | None) -> Connection | None:
        """An idle connection that carries the set, the last used first: its statements are the most likely prepared."""
        idle = self._idle
        for place in range(len(idle) - 1, -1, -1):
            connection = idle[place]
            if connection.carries == wanted:
                del idle[place]
                if connection.is_closed():
                    self._lose(connection)
                else:
                    self._lent.add(connection)
                    return connection
        return None

    def _longest_unused(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop(0)
            if not connection.is_closed():
                self._lent.add(connection)
                return connection
            self._lose(connection)
        return None

    async def _next(self, wanted: TenantSet | None) -> Connection:
        deadline = asyncio.get_running_loop().time() + ACQUIRE_TIMEOUT_S
        if self._emptied is not None:
            raise asyncpg.InterfaceError("the pool is closed")
        if self._size < self.max_size:
            self._size += 1
        elif (connection := await self._turn(deadline, wanted)) is not None:
            return connection
        async with asyncio.timeout_at(deadline):
            return await self._opened()

    async def _turn(self, deadline: float, wanted: TenantSet | None) -> Connection | None:
        loop = asyncio.get_running_loop()
        waiter = _Waiter(deadline, wanted, loop.create_future())
        self._waiters.append(waiter)
        if self._alarm is None:
            self._alarm = loop.call_at(deadline, self._ring)
        try:
            return await waiter.turn
        except asyncio.CancelledError:
            # Its turn may have come in the same moment.
            if waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.exception() is None:
                if (connection := waiter.turn.result()) is not None:
                    self.give(connection)
                else:
                    self._free_room()
            raise

    def _ring(self) -> None:
        """Let those go whose time is over. All wait equally long, so one timer for the first is enough."""
        loop = asyncio.get_running_loop()
        self._alarm = None
        while self._waiters and (self._waiters[0].turn.done() or self._waiters[0].deadline <= loop.time()):
            if not (turn := self._waiters.popleft().turn).done():
                turn.set_exception(TimeoutError("no connection came free"))
        if self._waiters:
            self._alarm = loop.call_at(self._waiters[0].deadline, self._ring)

    async def _opened(self) -> Connection:
        """A new connection, in the room that was counted for it."""
        try:
            connection = await asyncpg.connect(
                **self._opening,
                connection_class=Connection,
                statement_cache_size=STATEMENTS,
                # Kept for good, however long their text.
                max_cached_statement_lifetime=0,
                max_cacheable_statement_size=0,
            )
        except BaseException:
            self._free_room()
            raise
        self._lent.add(connection)
        return connection

    async def _prepare(
        self, connection: Connection, wanted: TenantSet | None, begin: bool, for_statements: bool = False
    ) -> None:
        """Send what is needed in one round trip, or with the next statement."""
        if for_statements and not begin:
            connection.carries, connection.untold = None, wanted
            return
        texts = ["BEGIN"] if begin else []
        if connection.carries != wanted:
            connection.carries = None
            texts.append(setting(wanted or ()))
        if texts:
            await connection.execute("; ".join(texts), timeout=ACQUIRE_TIMEOUT_S)
        if begin:
            # A rolled back transaction undoes its SET.
            connection.carries_when_committed = wanted
        else:
            connection.carries = wanted

    def _pass_on(self, connection: Connection) -> None:
        if self._emptied is not None:
            self._do(self._retire(connection))
        elif (turn := self._match(connection.carries) or self._first_in_line()) is not None:
            self._lent.add(connection)
            turn.set_result(connection)
        else:
            self._idle.append(connection)

    def _lose(self, connection: Connection) -> None:
        # asyncpg tidies up only here when the server has ended the connection.
        connection.terminate()
        self._free_room()

    def _free_room(self) -> None:
        """Give the room of a connection that is no more to the first who waits."""
        if (turn := self._first_in_line()) is not None:
            turn.set_result(None)
            return
        self._size -= 1
        if self._emptied is not None and self._size == 0:
            self._emptied.set()

    def _match(self, carried: TenantSet | None) -> "asyncio.Future[Connection | None] | None":
        """Who needs just this set, unless the first in line has waited for long."""
        waiters = self._waiters
        if carried is None or not waiters:
            return None
        waited_s = asyncio.get_running_loop().time() - (waiters[0].deadline - ACQUIRE_TIMEOUT_S)
        if waited_s < PATIENCE_S:
            for place, waiter in enumerate(islice(waiters, ASKED_AT_MOST)):
                if waiter.wanted == carried and not waiter.turn.done():
                    del waiters[place]
                    return waiter.turn
        return None

    def _first_in_line(self) -> asyncio.Future[Connection | None] | None:
        while self._waiters:
            if not (turn := self._waiters.popleft().turn).done():
                return turn
        return None

    def _do(self, chore: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _mend(self, connection: Connection) -> None:
        """Have the server stop what was cut off, and undo it."""
        is_mended = False
        try:
            with suppress(Exception):
                async with asyncio.timeout(GIVE_BACK_TIMEOUT_S):
                    # asyncpg sends nothing before the cancelling is confirmed; a failed transaction takes this as well.
                    await connection.execute("")
                    if connection.is_in_transaction():
                        await connection.execute("ROLLBACK")
                    # asyncpg's mark of a transaction that was cut off in its own BEGIN.
                    cast(Any, connection)._top_xact = None
                is_mended = not connection.is_closed()
        finally:
            if is_mended:
                self._pass_on(connection)
            else:
                self._lose(connection)

    async def _retire(self, connection: Connection) -> None:
        try:
            with suppress(Exception):
                await connection.close(timeout=GIVE_BACK_TIMEOUT_S)
        finally:
            self._lose(connection)


class Kept:
    """A connection that one operation keeps from its first statement to its end, so that it is told the set once.

    Its statements wait for each other, and not for another connection: all who hold one could wait so for each other.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._is_over = False
        self._is_spared = False

    def at_hand(self) -> Connection | None:
        """As Pool's; it has to be waited for."""
        return None

    async def acquire(self, *, for_statements: bool = True) -> Connection:
        """Lend the connection, once nobody else uses it; `give` has to follow. Raises what Pool's raises."""
        await self._turn.acquire()
        try:
            kept = self._connection
            if kept is not None and (kept.is_closed() or not self._pool.suits(kept)):
                self._return()
            if self._connection is None:
                self._connection = self._pool.at_hand() or await self._pool.acquire(for_statements=for_statements)
            return self._connection
        except BaseException:
            self._turn.release()
            raise

    def give(self, connection: Connection) -> None:
        """Take the connection back. Never waits."""
        if self._is_over or self._is_spared or connection.is_closed() or not connection.is_at_rest():
            self._return()
        self._turn.release()

    def spare(self) -> None:
        """Return the connection to the pool, now or as soon as nobody uses it."""
        self._is_spared = self._turn.locked()
        if not self._is_spared:
            self._return()

    def end(self) -> None:
        """Keep nothing any more. A task that was begun meanwhile may still wait for an answer: it is returned then."""
        self._is_over = True
        self.spare()

    def _return(self) -> None:
        connection, self._connection = self._connection, None
        self._is_spared = False
        if connection is not None:
            self._pool.give(connection)
