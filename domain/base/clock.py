"""The time, and identifiers that begin with it. Tests freeze it with `frozen`."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

_frozen: ContextVar[datetime | None] = ContextVar("frozen_clock", default=None)
_ids: ContextVar[Iterator[UUID] | None] = ContextVar("ids", default=None)


def now() -> datetime:
    """The present instant in UTC, with microseconds."""
    return _frozen.get() or datetime.now(UTC)


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562, section 5.7): ordered by the millisecond of its making."""
    given = _ids.get()
    return uuid7() if given is None else next(given)


@contextmanager
def frozen(at: datetime) -> Iterator[None]:
    """Let `now` give `at` inside the block, in this task and those that it starts."""
    token = _frozen.set(at)
    try:
        yield
    finally:
        _frozen.reset(token)


@contextmanager
def ids_from(ids: Iterator[UUID]) -> Iterator[None]:
    """Let `new_id` give these inside the block, in this task and those that it starts."""
    token = _ids.set(ids)
    try:
        yield
    finally:
        _ids.reset(token)
