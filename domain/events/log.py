"""The log: facts are remembered while a transaction runs and written as its last step.

Event: what a feature says happened. Fact: an event with its organization and doer. At the end of the outermost `tx()`
the organization's counter goes up by the number of its facts and its row stays locked to the commit, so numbers follow
commit order; the digest chain goes on from the counter's digest. A crash before the commit leaves neither the change
nor its events; after it, both.

The counter is locked, read and written in one statement with the rows, so nobody waits for it longer than that and the
commit take. Number and digest are therefore known to the server alone, and the chain goes on there: the text that a
digest covers is made here, in parts, with the number to be put between them.

A change that is one statement takes its fact into it (`appending`, `added`): then there is no transaction to be opened
and committed around them, and the counter is locked last all the same.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Any, ClassVar
from uuid import UUID

import orjson

from domain.base.actor import Actor, ActorRef
from domain.base.clock import new_id, now
from domain.base.commits import Commits
from domain.base.database import execute, fetch, require_transaction
from domain.base.reads import Statement, given
from domain.base.sql import Row, Sql, sql

# Facts in one statement, more than a bulk of a hundred tasks has. It counts through their columns to find one's own.
_MOST_AT_ONCE = 500


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
    grown.tell_after_commit(frozenset(by_org))


grown = Commits()
"""The organizations whose logs a commit of this process has made longer."""


async def _append(org_id: UUID, facts: list[Fact]) -> None:
    if not await _added(org_id, facts):
        # The first of all: what others add meanwhile is waited for, and theirs is the counter then.
        first = "INSERT INTO event_counter (org_id, seq, digest) VALUES ({}, 0, '') ON CONFLICT (org_id) DO NOTHING"
        await execute(sql(first, org_id))
        await _added(org_id, facts)


async def _added(org_id: UUID, facts: Sequence[Fact]) -> bool:
    """Add the facts to the log, in their order. Does nothing, and says so, when there is no counter yet."""
    if len(facts) == 1:
        (fact,) = facts
        return bool(await _ONE.run(None, {"org_id": org_id, **added(fact.actor, fact.event, fact.at)}))
    starts = range(0, len(facts), _MOST_AT_ONCE)
    return all([await fetch(_insert(org_id, facts[start : start + _MOST_AT_ONCE]), Row) for start in starts])


@cache
def appending(source: str, late: str) -> Sql:
    """Parts of a WITH that add one event for the row of the part `source`, which stands before them.

    `source` has `org_id`; `late` is the expression of a text that only this statement knows. `added` gives the values.
    What else is locked has to come before that row, so that the counter comes last. Without a counter there is no
    number, which an event cannot be without: all of the statement fails then.
    """
    return sql(
        # The counter is waited for and read in one step: its number and digest are those of the last commit.
        "chained AS (UPDATE event_counter SET seq = event_counter.seq + 1, digest = sha256(event_counter.digest || "
        f"convert_to('[\"' || {source}.org_id::text || {{}}::text || (event_counter.seq + 1)::text || {{}}::text || "
        f"{late} || {{}}::text, 'UTF8')) FROM {source} WHERE event_counter.org_id = {source}.org_id "
        "RETURNING event_counter.seq, event_counter.digest), "
        "event_rows AS (INSERT INTO event (org_id, id, seq, type, occurred_at, actor_kind, actor_id, project_id, "
        f"subject_kind, subject_id, data, values_digest, digest) SELECT {source}.org_id, {{}}::uuid, chained.seq, "
        "{}::text, {}::timestamptz, {}::text, {}::uuid, {}::uuid, {}::text, {}::uuid, "
        f"{{}}::text || {late} || {{}}::text, {{}}::bytea, chained.digest FROM {source} LEFT JOIN chained ON true), "
        "value_rows AS (INSERT INTO event_values (org_id, event_id, salt, data) "
        f"SELECT {source}.org_id, {{}}::uuid, {{}}::bytea, {{}}::text FROM {source} WHERE {{}}::bytea IS NOT NULL)",
        *map(given, ("digest_head", "digest_before", "digest_after")),
        *map(given, ("event_id", "event_type", "occurred_at", "actor_kind", "actor_id", "event_project_id")),
        *map(given, ("subject_kind", "subject_id", "data_before", "data_after", "values_digest")),
        *map(given, ("event_id", "salt", "erasable", "salt")),
    )


_ONE = Statement(
    sql(
        "WITH source AS (SELECT org_id FROM event_counter WHERE org_id = {}::uuid), {} SELECT seq FROM chained",
        given("org_id"),
        appending("source", "''"),
    ),
    Row,
)


def added(actor: ActorRef, event: Event, at: datetime, *, late: str = "") -> dict[str, Any]:
    """The values of `appending`. `late` stands in one of the event's own fields for what the statement puts there.

    It is a text that is nowhere else in the event; what is put there must need no escapes in JSON.
    """
    columns, salt, erasable = _columns(actor, event, at)
    event_id, event_type, occurred_at, kind, actor_id, project_id, subject, subject_id, data, values_digest = columns
    digest_before, digest_after = _cut(_behind_number(columns), late)
    data_before, data_after = _cut(data, late)
    return {
        "digest_head": f'","{event_id}",',
        "digest_before": digest_before,
        "digest_after": digest_after,
        "event_id": event_id,
        "event_type": event_type,
        "occurred_at": occurred_at,
        "actor_kind": kind,
        "actor_id": actor_id,
        "event_project_id": project_id,
        "subject_kind": subject,
        "subject_id": subject_id,
        "data_before": data_before,
        "data_after": data_after,
        "values_digest": values_digest,
        "salt": salt,
        "erasable": erasable,
    }


def _cut(text: str, late: str) -> tuple[str, str]:
    if not late:
        return text, ""
    before, after = text.split(late)
    return before, after


def tell(org_id: UUID) -> None:
    """Wake those who follow the organization's log, once what was added with `appending` is committed."""
    grown.tell_after_commit((org_id,))


def _insert(org_id: UUID, facts: Sequence[Fact]) -> Sql:
    """Adds the facts to the log, in their order. Gives no row, and does nothing, when there is no counter yet."""
    columns = zip(*(_listed(org_id, fact) for fact in facts), strict=True)
    ids, types, instants, kinds, doers, projects, subjects, subject_ids, data, digests, *rest = map(list, columns)
    before, after, salts, erasable = rest
    return sql(
        # Locked before it is read: the number and digest are then those of the last commit, however long the wait was.
        "WITH RECURSIVE counter AS (SELECT seq, digest FROM event_counter WHERE org_id = {} FOR NO KEY UPDATE), "
        "chain (n, seq, digest) AS (SELECT 0, seq, digest FROM counter UNION ALL "
        "SELECT n + 1, seq + 1, sha256(digest || convert_to("
        "({}::text[])[n + 1] || (seq + 1)::text || ({}::text[])[n + 1], 'UTF8')) FROM chain WHERE n < {}), "
        "event_rows AS (INSERT INTO event (org_id, id, seq, type, occurred_at, actor_kind, actor_id, project_id, "
        "subject_kind, subject_id, data, values_digest, digest) SELECT {}, ({}::uuid[])[n], seq, ({}::text[])[n], "
        "({}::timestamptz[])[n], ({}::text[])[n], ({}::uuid[])[n], ({}::uuid[])[n], ({}::text[])[n], "
        "({}::uuid[])[n], ({}::text[])[n], ({}::bytea[])[n], digest FROM chain WHERE n > 0), "
        "value_rows AS (INSERT INTO event_values (org_id, event_id, salt, data) "
        "SELECT {}, ({}::uuid[])[n], ({}::bytea[])[n], ({}::text[])[n] FROM chain WHERE ({}::bytea[])[n] IS NOT NULL) "
        "UPDATE event_counter SET seq = chain.seq, digest = chain.digest FROM chain "
        "WHERE org_id = {} AND n = {} RETURNING event_counter.seq",
        org_id,
        before,
        after,
        len(facts),
        *(org_id, ids, types, instants, kinds, doers, projects, subjects, subject_ids, data, digests),
        *(org_id, ids, salts, erasable, salts),
        org_id,
        len(facts),
    )


def _listed(org_id: UUID, fact: Fact) -> tuple[Any, ...]:
    """The columns of an event but for its number and digest, the text around its number, salt and erasable values."""
    columns, salt, erasable = _columns(fact.actor, fact.event, fact.at)
    return (*columns, *_around_number(org_id, columns), salt, erasable)


def _columns(actor: ActorRef, event: Event, at: datetime) -> tuple[tuple[Any, ...], bytes | None, str | None]:
    """The columns of an event but for its organization, number and digest; salt and erasable values."""
    salt, erasable, values_digest = None, None, None
    data, apart = _split(event)
    if apart:
        salt, erasable = secrets.token_bytes(16), _canonical(apart)
        values_digest = hashlib.sha256(salt + erasable.encode()).digest()
    columns = (
        new_id(),
        event.type,
        at,
        actor.kind.value,
        actor.id,
        event.project_id,
        event.subject,
        event.subject_id,
        _canonical(data),
        values_digest,
    )
    return columns, salt, erasable


def chained(before: bytes, org_id: UUID, seq: int, columns: tuple[Any, ...]) -> bytes:
    """The digest of an event: SHA-256 over the one before it and all its columns but the digest itself.

    `columns` are those from `id` to `values_digest`, without `seq`.
    """
    head, tail = _around_number(org_id, columns)
    return hashlib.sha256(before + f"{head}{seq}{tail}".encode()).digest()


def _around_number(org_id: UUID, columns: tuple[Any, ...]) -> tuple[str, str]:
    """The columns as a list in JSON, cut where the event's number goes: behind the ids of organization and event."""
    return f'["{org_id}","{columns[0]}",', _behind_number(columns)


def _behind_number(columns: tuple[Any, ...]) -> str:
    others = [value.hex() if isinstance(value, bytes) else value for value in columns[1:]]
    return f",{orjson.dumps(others, default=str)[1:].decode()}"


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
