"""Identifiers that are the same in every demo database."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

from domain.base.clock import now

# When the demo organizations were founded; people and organizations have it in their ids.
START = datetime(2026, 9, 18, 8, 0, tzinfo=UTC)
# Smaller counts are given out by hand.
_FIRST = 100


def numbered(count: int, at: datetime = START) -> UUID:
    """The UUIDv7 of an instant with a count in place of the random bits. Source: RFC 9562, section 5.7."""
    milliseconds = int(at.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | 0b10 << 62 | count)


def stream() -> Iterator[UUID]:
    """Ids for `clock.ids_from`, each of the instant that the clock then shows."""
    for count in itertools.count(_FIRST):
        yield numbered(count, now())
