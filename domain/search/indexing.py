"""A document's passages and vectors, brought to what its text says now.

Pending: triggers note a document whose text was changed (`search_pending`); whoever wrote its passages takes the note
away. Look, embed, write: the text is looked at, embedded outside of any transaction, and written if it still is what
was embedded. What happens at each step:
- it is being edited: left alone. Each change has a delivery of its own, and the last one finds the quiet. Who edits on
  and on is indexed all the same every LONGEST_WAIT.
- it is changed, or deleted, while it is embedded: nothing is written, the note stays, and the change's own delivery
  comes later.
- two are at one document: the second waits for the first to commit, and finds its passages there.
- a model comes or goes meanwhile: nothing is written either, and it is begun again.
- the process dies: the note stays, for the delivery's next attempt.
A delivery that was given up leaves the note as well: `overdue` gives it to a tick of cron, with what was never told by
an event, such as the demo and what is older than the index.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import asyncpg

from domain.adapters.embeddings import Vector
from domain.adapters.model_errors import ModelRefused
from domain.adapters.wiring import Adapters
from domain.base.clock import new_id
from domain.base.database import execute, fetch, tx
from domain.base.errors import Unavailable
from domain.base.sql import Row, sql
from domain.search import serving
from domain.search.passages import cut
from domain.search.serving import MODELS_LOCK, Serving

# A delivery comes so long after its change, and finds no younger change if that was the last. Instants are all the
# database's; the difference is what passes between the relay's beginning and its look at the log.
DELAY_S = 1.5
_QUIET = timedelta(seconds=1)
LONGEST_WAIT = timedelta(seconds=30)
# Deliveries have their retries before cron looks.
OVERDUE_AFTER = timedelta(minutes=1)
_REFUSED_PAUSE = timedelta(hours=1)
_MODELS_TRIES = 3
# Texts that a service fails at one after the other, until it is known that it is not for the texts.
_FAILURES_OF_A_SERVICE = 3
# Documents whose passages are embedded by one request, or a few.
TOGETHER = 50

OVERDUE = (
    f"SELECT DISTINCT org_id AS id FROM search_pending WHERE since <= $1::timestamptz - interval '{OVERDUE_AFTER}'"
)
"""The organizations with documents that nobody has indexed for long, at $1."""

Made = dict[int, dict[UUID, dict[bytes, Vector]]]
"""Model -> document -> digest of a passage -> its vector."""


@dataclass(frozen=True)
class Brought:
    """How many documents lack nothing now, how many vectors were made for them, and what the models refused."""

    documents: int = 0
    vectors: int = 0
    refused: list[UUID] = field(default_factory=list)


class _Moved(Exception):
    """The text, or which models there are, is not what it was when vectors were made."""


def digest(passage: str) -> bytes:
    """What a passage is known by: the same text is not embedded again."""
    return hashlib.sha256(passage.encode()).digest()


@dataclass(frozen=True)
class Text:
    """What a document says, and the passages that it is cut into, by their digests."""

    subject_id: UUID
    org_id: UUID
    title: str
    body: str
    passages: Mapping[bytes, str]


async def index(subject_id: UUID, adapters: Adapters) -> bool:
    """Index the document if it is pending and nobody is editing it; whether it was. Safe to repeat, and beside another.

    Raises Unavailable when the models cannot be asked now; ModelRefused when they will not take its text; Timeout.
    """
    found = await fetch(
        sql(
            "SELECT changed_at > now() - {}::interval AND since > now() - {}::interval AS is_being_edited "
            "FROM search_document JOIN search_pending USING (org_id, subject_id) WHERE subject_id = {}",
            _QUIET,
            LONGEST_WAIT,
            subject_id,
        ),
        Row,
    )
    if not found or found[0]["is_being_edited"]:
        return False
    return (await bring([subject_id], adapters)).documents == 1


async def index_overdue(org_ids: Sequence[UUID], adapters: Adapters, *, most: int) -> int:
    """Index what has been pending for long in the organizations, the oldest first; how many documents were looked at.

    What the models refuse is tried again in an hour, and so is a text at which they fail while they take others.
    Raises Unavailable; Timeout.
    """
    rows = await fetch(
        sql(
            "SELECT subject_id FROM search_pending WHERE org_id = ANY({}::uuid[]) AND since <= now() - {}::interval "
            "ORDER BY since, subject_id LIMIT {}",
            list(org_ids),
            OVERDUE_AFTER,
            most,
        ),
        Row,
    )
    for subject_ids in _batches([row["subject_id"] for row in rows]):
        try:
            await _put_off((await bring_what_is_taken(subject_ids, adapters)).refused, _REFUSED_PAUSE)
        except Unavailable:
            await _bring_one_by_one(subject_ids, adapters)
    return len(rows)


async def _bring_one_by_one(subject_ids: Sequence[UUID], adapters: Adapters) -> None:
    """Bring what the models take of what they failed at together: some services fail at a text that is too long.

    Raises Unavailable when they fail at several in a row, which is not for the texts.
    """
    in_a_row: list[UUID] = []
    for subject_id in subject_ids:
        try:
            brought = await bring_what_is_taken([subject_id], adapters)
        except Unavailable:
            in_a_row.append(subject_id)
            if len(in_a_row) == min(_FAILURES_OF_A_SERVICE, len(subject_ids)):
                # The next tick begins with others.
                await _put_off(in_a_row, OVERDUE_AFTER)
                raise
            continue
        if brought.vectors or brought.refused:
            # It is there, and fails at those before this one alone.
            await _put_off([*in_a_row, *brought.refused], _REFUSED_PAUSE)
            in_a_row = []
    await _put_off(in_a_row, OVERDUE_AFTER)


async def _put_off(subject_ids: Sequence[UUID], pause: timedelta) -> None:
    """Let these be overdue after the pause."""
    if not subject_ids:
        return
    async with tx():
        since = "UPDATE search_pending SET since = now() + {}::interval WHERE subject_id = ANY({}::uuid[])"
        await execute(sql(since, pause - OVERDUE_AFTER, list(subject_ids)))


def _batches(subject_ids: list[UUID]) -> Iterator[list[UUID]]:
    for start in range(0, len(subject_ids), TOGETHER):
        yield subject_ids[start : start + TOGETHER]


async def bring_what_is_taken(subject_ids: Sequence[UUID], adapters: Adapters) -> Brought:
    """As `bring`; where the models refuse something, the documents are brought one by one, and it is told which."""
    try:
        return await bring(subject_ids, adapters)
    except ModelRefused:
        if len(subject_ids) == 1:
            return Brought(refused=list(subject_ids))
    parts = [await bring_what_is_taken([subject_id], adapters) for subject_id in subject_ids]
    return Brought(
        sum(part.documents for part in parts),
        sum(part.vectors for part in parts),
        [subject_id for part in parts for subject_id in part.refused],
    )


async def bring(subject_ids: Sequence[UUID], adapters: Adapters) -> Brought:
    """Make of the documents, pending or not, what they lack of any model, and note that nothing is lacking.

    What is changed meanwhile is left to whoever changed it. Raises as `index` does.
    """
    for _ in range(_MODELS_TRIES):
        models = await serving.written()
        if not models:
            await serving.register(adapters.embeddings.model, adapters.embeddings.dimensions)
            continue
        texts = await _texts(subject_ids)
        made = await _embedded(texts, models, adapters)
        brought = [text for text in texts if await _is_written(text, models, made)]
        if len(brought) == len(texts) or await serving.written() == models:
            vectors = sum(len(made[model][text.subject_id]) for model in made for text in brought)
            return Brought(len(brought), vectors)
    return Brought()


async def _texts(subject_ids: Sequence[UUID]) -> list[Text]:
    """The documents of these that are there."""
    rows = await fetch(
        sql(
            "SELECT subject_id, org_id, title, body FROM search_document WHERE subject_id = ANY({}::uuid[])",
            list(subject_ids),
        ),
        Row,
    )
    return [
        Text(
            row["subject_id"],
            row["org_id"],
            row["title"],
            row["body"],
            {digest(text): text for text in cut(row["title"], row["body"])},
        )
        for row in rows
    ]


async def _embedded(texts: Sequence[Text], models: Sequence[Serving], adapters: Adapters) -> Made:
    """The vectors that passages lack. A model that nobody has any more makes none: its vectors only get fewer."""
    rows = await fetch(
        sql(
            "SELECT model_id, search_passage.subject_id, content_hash FROM search_passage "
            "JOIN search_vector ON passage_id = search_passage.id WHERE search_passage.subject_id = ANY({}::uuid[])",
            [text.subject_id for text in texts],
        ),
        Row,
    )
    there = {tuple(row) for row in rows}
    made: Made = {}
    for model in models:
        embeddings = adapters.embeddings_for(model.name)
        if embeddings is None:
            continue
        lacking = [
            (text.subject_id, key)
            for text in texts
            for key in text.passages
            if (model.model_id, text.subject_id, key) not in there
        ]
        passages = {text.subject_id: text.passages for text in texts}
        vectors = await embeddings.embed([passages[subject_id][key] for subject_id, key in lacking])
        made[model.model_id] = {text.subject_id: {} for text in texts}
        for (subject_id, key), vector in zip(lacking, vectors, strict=True):
            made[model.model_id][subject_id][key] = vector
    return made


async def _is_written(text: Text, models: Sequence[Serving], made: Made) -> bool:
    """Make the document's passages these, with their vectors; False where it is not what it was when they were made."""
    try:
        async with tx():
            # The document's lock keeps others like this one out, and no change of its text: it is held while vectors
            # are put into their index, which is longer than somebody who saves a title should wait.
            await fetch(
                sql(
                    "SELECT pg_advisory_xact_lock_shared({}), pg_advisory_xact_lock(hashtextextended({}, 0))",
                    MODELS_LOCK,
                    str(text.subject_id),
                ),
                Row,
            )
            if await serving.written() != models:
                raise _Moved
            changed = await _write_passages(text)
            for model_id, vectors in made.items():
                changed += await _write_vectors(text.subject_id, model_id, vectors[text.subject_id])
            # Last, so that whoever changes the text waits for the commit alone.
            same = await fetch(
                sql(
                    "SELECT title = {} AND body = {} AS is_same FROM search_document WHERE subject_id = {} "
                    "FOR NO KEY UPDATE",
                    text.title,
                    text.body,
                    text.subject_id,
                ),
                Row,
            )
            if not same or not same[0]["is_same"]:
                raise _Moved
            await execute(sql("DELETE FROM search_pending WHERE subject_id = {}", text.subject_id))
            if changed:
                await fetch(sql("SELECT raise_search_version({})", text.org_id), Row)
        return True
    except (_Moved, asyncpg.ForeignKeyViolationError):
        # The latter where the document is deleted in this very moment.
        return False


async def _write_passages(text: Text) -> int:
    """How many rows it changed."""
    gone = await execute(
        sql(
            "DELETE FROM search_passage WHERE subject_id = {} AND content_hash <> ALL({}::bytea[])",
            text.subject_id,
            list(text.passages),
        )
    )
    return gone + await execute(
        sql(
            "INSERT INTO search_passage (id, org_id, subject_id, ordinal, text, content_hash) "
            "SELECT new.id, document.org_id, document.subject_id, new.ordinal, new.text, new.content_hash "
            "FROM unnest({}::uuid[], {}::int[], {}::text[], {}::bytea[]) AS new(id, ordinal, text, content_hash) "
            # None, where it was deleted meanwhile.
            "JOIN search_document AS document ON document.org_id = {} AND document.subject_id = {} "
            "ON CONFLICT (subject_id, content_hash) DO UPDATE SET ordinal = excluded.ordinal "
            "WHERE search_passage.ordinal <> excluded.ordinal",
            [new_id() for _ in text.passages],
            list(range(len(text.passages))),
            list(text.passages.values()),
            list(text.passages),
            text.org_id,
            text.subject_id,
        )
    )


async def _write_vectors(subject_id: UUID, model_id: int, vectors: Mapping[bytes, Vector]) -> int:
    """How many rows it added."""
    if not vectors:
        return 0
    return await execute(
        sql(
            "INSERT INTO search_vector (passage_id, model_id, org_id, subject_id, embedding) "
            "SELECT passage.id, {}, passage.org_id, passage.subject_id, new.embedding::halfvec "
            "FROM unnest({}::bytea[], {}::text[]) AS new(content_hash, embedding) "
            "JOIN search_passage AS passage ON passage.subject_id = {} "
            "AND passage.content_hash = new.content_hash ON CONFLICT DO NOTHING",
            model_id,
            list(vectors),
            [written(vector) for vector in vectors.values()],
            subject_id,
        )
    )


def written(vector: Vector) -> str:
    """The vector as pgvector reads it. Half a float keeps three digits; seven are of no use."""
    return f"[{','.join(f'{value:.5g}' for value in vector)}]"
