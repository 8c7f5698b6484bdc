"""A connection that knows what tenant set it carries, and how the set is told to the server.

Who sends one statement does not wait for the set to be confirmed: the set goes out right before it, in one flight.
The server takes both in order and as one transaction, so the statement never runs under another set; where it fails,
the set is as it was.
"""

import struct
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import asyncpg

if TYPE_CHECKING:
    _Base = asyncpg.Connection[Any]
else:
    _Base = asyncpg.Connection

TenantSet = tuple[UUID, ...]


class Connection(_Base):
    """A connection that knows what tenant set it carries: None when that is not known, or nobody asked for one."""

    __slots__ = ("carries", "carries_when_committed", "untold")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.carries: TenantSet | None = None
        self.carries_when_committed: TenantSet | None = None
        self.untold: TenantSet | None = None
        """The set that the next statement has to be sent with; until then it carries another's."""

    def forget(self) -> None:
        """Have the set sent again before the next use."""
        self.carries = self.carries_when_committed = self.untold = None

    async def _do_execute(self, query: str, executor: Callable[..., Any], *rest: Any, **options: Any) -> Any:
        """As asyncpg's, through which `fetch` and its like go: with the set before it, where that is untold."""
        really: Any = super()
        if (wanted := self.untold) is None:
            return await really._do_execute(query, executor, *rest, **options)
        is_told = False

        def tell_and_execute(statement: Any, *limits: Any) -> Any:
            nonlocal is_told
            if not statement.name:
                raise RuntimeError("the set would take the place of a statement without a name")
            is_told = True
            self.tell(wanted)
            return executor(statement, *limits)

        try:
            found = await really._do_execute(query, tell_and_execute, *rest, **options)
        except BaseException as fault:
            # Neither refused by the server nor cut off on the way: the set was sent, and what ends its flight was not.
            if is_told and getattr(fault, "severity", None) is None and self.is_at_rest():
                self.terminate()
            raise
        self.carries, self.untold = wanted, None
        return found

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        """As asyncpg's. Raises RuntimeError for what would go out under another's set."""
        if self.untold is not None and not args:
            raise RuntimeError("the set is told beside statements with a plan alone")
        return await super().execute(query, *args, **options)

    async def prepare(self, query: str, **options: Any) -> Any:
        """As asyncpg's. Raises RuntimeError for what would go out under another's set."""
        if self.untold is not None:
            raise RuntimeError("the set is told beside statements with a plan alone")
        return await super().prepare(query, **options)

    def tell(self, wanted: TenantSet) -> None:
        """Send the set, in the same flight as what is sent right behind it."""
        cast(Any, self)._transport.write(_told(wanted))

    def is_at_rest(self) -> bool:
        """Whether nothing is left over of a statement or a transaction that was cut off."""
        # asyncpg's own pool asks the same of the protocol; there is no public way.
        return not (cast(Any, self)._protocol._is_cancelling() or self.is_in_transaction())

    async def commit(self) -> None:
        """End the open transaction. Raises RuntimeError when the server could only roll it back."""
        status = await self.execute("COMMIT")
        if status != "COMMIT":
            self.forget()
            raise RuntimeError("a statement of the transaction had failed and was passed over: nothing was kept")
        self.carries = self.carries_when_committed


def setting(org_ids: Iterable[UUID]) -> str:
    """The statement that makes a connection carry the set."""
    # `hex` has nothing but digits, so nothing of a caller's can end the literal. SET needs no plan, unlike set_config.
    return f"SET app.org_ids = '{{{','.join([org_id.hex for org_id in org_ids])}}}'"


@lru_cache(maxsize=250)
def _told(wanted: TenantSet) -> bytes:
    return flight(setting(wanted))


def flight(text: str) -> bytes:
    """The messages that run a statement, without the one that ends a flight: what comes next belongs to it.

    asyncpg passes over the answers to them while it waits for those to a statement that it sent.
    Source: PostgreSQL, frontend/backend protocol, message formats of Parse, Bind and Execute.
    """
    messages = (
        (b"P", b"\0" + text.encode() + b"\0" + bytes(2)),
        (b"B", bytes(1 + 1 + 2 + 2 + 2)),
        (b"E", bytes(1 + 4)),
    )
    return b"".join(kind + struct.pack("!i", len(body) + 4) + body for kind, body in messages)
