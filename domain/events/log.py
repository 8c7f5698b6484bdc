"""The log: facts are remembered while a transaction runs and written as its last step.

Event: what a feature says happened. Fact: an event with its organization and doer. At the end of the outermost `tx()`
the organization's counter goes up by the number of its facts and its row stays locked to the commit, so numbers follow
commit order; the digest chain goes on from the counter's digest. A crash before the commit leaves neither the change
nor its events; after it, both.
"""

import hashlib
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import orjson

from domain.base.actor import Actor, ActorRef
from domain.base.clock import new_id, now
from domain.base.database import after_commit, fetch, require_transaction
from domain.base.sql import Row, sql


@dataclass(frozen=True)
class Change:
    """A value before and after."""

    was: Any
    now: Any


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happened, in ids and small values. Subclasses name their type, the kind of their subject, and their fields.

    They are public (history, subscriptions, webhooks): fields are added, never changed.
    """

    type: ClassVar[str]
    subject: ClassVar[str]
    subject_id: UUID
    project_id: UUID | None = None

    def __init_subclass__(cls) -> None:
        if "type" in vars(cls):
            CLASSES[cls.type] = cls


CLASSES: dict[str, type[Event]] = {}
"""Type -> the class of its events, of the features that are loaded."""


def private() -> Any:
    """A field that may hold personal data or free text: kept apart from the chain, so that it can be erased."""
    return field(default=None, metadata={"private": True})


def reference(kind: str, *, default: Any = MISSING, after: bool = False) -> Any:
    """A field of ids of this kind. `after`: the value stands after the event, also where its subject ends with it."""
    return field(default=default, metadata={"reference": kind, "after": after})


def instant() -> Any:
    """A field of instants."""
    return field(default=None, metadata={"instant": True})


def changes(row: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Name -> Change for the values that differ from the row's; the fields of an event."""
    return {name: Change(getattr(row, name), value) for name, value in values.items() if getattr(row, name) != value}


@dataclass(frozen=True)
class Fact:
    """An event, whose it is, who did it and when."""

    org_id: UUID
    actor: ActorRef
    event: Event
    at: datetime


def emit(actor: Actor, org_id: UUID, event: Event) -> None:
    """Remember a fact for the end of this transaction. Raises RuntimeError outside one."""
    require_transaction().collect(_write, Fact(org_id, actor.ref, event, now()))


async def _write(facts: list[Fact]) -> None:
    """Write the facts of each organization, organizations in the order of their ids: two writers cannot deadlock."""
    by_org: dict[UUID, list[Fact]] = {}
    for fact in facts:
        by_org.setdefault(fact.org_id, []).append(fact)
    for org_id in sorted(by_org):
        await _append(org_id, by_org[org_id])
    org_ids = frozenset(by_org)
    after_commit(lambda: _tell(org_ids))


_listeners: set[Callable[[Collection[UUID]], None]] = set()


@contextmanager
def told(listener: Callable[[Collection[UUID]], None]) -> Iterator[None]:
    """Tell the listener, inside the block, which organizations' logs a commit of this process has made longer.

    A hint: what is committed by a process that dies at once is told to nobody.
    """
    _listeners.add(listener)
    try:
        yield
    finally:
        _listeners.discard(listener)


def _tell(org_ids: Collection[UUID]) -> None:
    for listener in tuple(_listeners):
        listener(org_ids)


async def _append(org_id: UUID, facts: list[Fact]) -> None:
    counted = sql(
        "INSERT INTO event_counter AS counter (org_id, seq, digest) VALUES ({}, {}, ''::bytea) "
        "ON CONFLICT (org_id) DO UPDATE SET seq = counter.seq + excluded.seq RETURNING seq, digest",
        org_id,
        len(facts),
    )
    (head,) = await fetch(counted, Row)
    digest: bytes = head["digest"]
    events: list[tuple[Any, ...]] = []
    values: list[tuple[Any, ...]] = []
    for seq, fact in enumerate(facts, start=head["seq"] - len(facts) + 1):
        event_id = new_id()
        data, apart = _split(fact.event)
        values_digest = None
        if apart:
            salt, text = secrets.token_bytes(16), _canonical(apart)
            values_digest = hashlib.sha256(salt + text.encode()).digest()
            values.append((event_id, salt, text))
        row = (
            event_id,
            seq,
            fact.event.type,
            fact.at,
            fact.actor.kind.value,
            fact.actor.id,
            fact.event.project_id,
            fact.event.subject,
            fact.event.subject_id,
            _canonical(data),
            values_digest,
        )
        digest = chained(digest, org_id, row)
        events.append((*row, digest))
    columns = [list(column) for column in zip(*events, strict=True)]
    kept = [list(column) for column in zip(*values, strict=True)] or [[], [], []]
    await fetch(
        sql(
            "WITH event_rows AS (INSERT INTO event (org_id, id, seq, type, occurred_at, actor_kind, actor_id, "
            "project_id, subject_kind, subject_id, data, values_digest, digest) "
            "SELECT {}::uuid, * FROM unnest({}::uuid[], {}::bigint[], {}::text[], {}::timestamptz[], {}::text[], "
            "{}::uuid[], {}::uuid[], {}::text[], {}::uuid[], {}::text[], {}::bytea[], {}::bytea[])), "
            "value_rows AS (INSERT INTO event_values (org_id, event_id, salt, data) "
            "SELECT {}::uuid, * FROM unnest({}::uuid[], {}::bytea[], {}::text[])) "
            "UPDATE event_counter SET digest = {} WHERE org_id = {}",
            org_id,
            *columns,
            org_id,
            *kept,
            digest,
            org_id,
        ),
        Row,
    )


def chained(before: bytes, org_id: UUID, row: tuple[Any, ...]) -> bytes:
    """The digest of an event: SHA-256 over the one before it and all its columns but the digest itself."""
    plain = [value.hex() if isinstance(value, bytes) else value for value in row]
    return hashlib.sha256(before + orjson.dumps([org_id, *plain], default=str)).digest()


def _split(event: Event) -> tuple[dict[str, Any], dict[str, Any]]:
    """The event's own fields that are set: those that stay for good, and those that may be erased.

    What may be erased leaves its name with null among what stays: history then still says what changed.
    """
    data: dict[str, Any] = {}
    apart: dict[str, Any] = {}
    for item in fields_of(type(event)):
        value = getattr(event, item.name)
        if value is not None and item.metadata.get("private"):
            data[item.name], apart[item.name] = None, value
        elif value is not None:
            data[item.name] = value
    return data, apart


def fields_of(event: type[Event]) -> list[Field[Any]]:
    """The fields that the class adds to what every event has."""
    return [item for item in fields(event) if item.name not in ("subject_id", "project_id")]


def _canonical(value: Any) -> str:
    # asyncpg's UUID is a class of its own, which orjson does not know.
    return orjson.dumps(value, default=str, option=orjson.OPT_SORT_KEYS).decode()
