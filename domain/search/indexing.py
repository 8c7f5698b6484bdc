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
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import Enum
from uuid import UUID

import asyncpg

from domain.adapters.embeddings import Vector
from domain.adapters.model_errors import ModelRefused
from domain.adapters.wiring import Adapters
from domain.base.clock import new_id
from domain.base.database import execute, fetch, tx
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

OVERDUE = (
    f"SELECT DISTINCT org_id AS id FROM search_pending WHERE since <= $1::timestamptz - interval '{OVERDUE_AFTER}'"
)
"""The organizations with documents that nobody has indexed for long, at $1."""

Made = Mapping[int, Mapping[bytes, Vector]]
"""Model -> digest of a passage -> its vector."""


class Outcome(Enum):
    """What came of it. LEFT: the document is being changed, or was meanwhile, and whoever changed it sees to it."""

    WRITTEN = "WRITTEN"
    NOTHING_TO_DO = "NOTHING_TO_DO"
    LEFT = "LEFT"


class _Moved(Exception):
    """The text, or which models there are, is not what it was when vectors were made."""


def digest(passage: str) -> bytes:
    """What a passage is known by: the same text is not embedded again."""
    return hashlib.sha256(passage.encode()).digest()


async def index(subject_id: UUID, adapters: Adapters) -> Outcome:
    """Index the document if it is pending and nobody is at it. Safe to repeat, and beside another.

    Raises Unavailable when the models cannot be asked now; ModelRefused when they will not take its text; Timeout.
    """
    found = await fetch(
        sql(
            "SELECT org_id, title, body, changed_at > now() - {} AND since > now() - {} AS is_being_edited "
            "FROM search_document JOIN search_pending USING (org_id, subject_id) WHERE subject_id = {}",
            _QUIET,
            LONGEST_WAIT,
            subject_id,
        ),
        Row,
    )
    if not found:
        return Outcome.NOTHING_TO_DO
    (row,) = found
    return Outcome.LEFT if row["is_being_edited"] else await _bring(row, subject_id, adapters)


async def bring(subject_id: UUID, adapters: Adapters) -> Outcome:
    """Index the document whether it is pending or not: what it lacks of any model is made. Raises as `index` does."""
    found = await fetch(sql("SELECT org_id, title, body FROM search_document WHERE subject_id = {}", subject_id), Row)
    return await _bring(found[0], subject_id, adapters) if found else Outcome.NOTHING_TO_DO


async def index_overdue(org_ids: Sequence[UUID], adapters: Adapters, *, most: int) -> int:
    """Index what has been pending for long in the organizations, the oldest first; how many documents.

    What the models refuse is tried again in an hour. Raises Unavailable; Timeout.
    """
    rows = await fetch(
        sql(
            "SELECT subject_id FROM search_pending WHERE org_id = ANY({}::uuid[]) AND since <= now() - {} "
            "ORDER BY since, subject_id LIMIT {}",
            list(org_ids),
            OVERDUE_AFTER,
            most,
        ),
        Row,
    )
    for row in rows:
        try:
            await bring(row["subject_id"], adapters)
        except ModelRefused:
            async with tx():
                put_off = "UPDATE search_pending SET since = now() + {} WHERE subject_id = {}"
                await execute(sql(put_off, _REFUSED_PAUSE - OVERDUE_AFTER, row["subject_id"]))
    return len(rows)


async def _bring(row: Row, subject_id: UUID, adapters: Adapters) -> Outcome:
    passages = {digest(text): text for text in cut(row["title"], row["body"])}
    for _ in range(_MODELS_TRIES):
        models = await serving.written()
        if not models:
            await serving.register(adapters.embeddings.model, adapters.embeddings.dimensions)
            continue
        made = await _embedded(subject_id, passages, models, adapters)
        try:
            await _write(row, subject_id, passages, models, made)
            return Outcome.WRITTEN
        except (_Moved, asyncpg.ForeignKeyViolationError):
            # The latter where the document is deleted in this very moment.
            if await serving.written() == models:
                break
    return Outcome.LEFT


async def _embedded(
    subject_id: UUID, passages: Mapping[bytes, str], models: Sequence[Serving], adapters: Adapters
) -> Made:
    """The vectors that the passages lack. A model that nobody has any more makes none: its vectors only get fewer."""
    there = await fetch(
        sql(
            "SELECT model_id, content_hash FROM search_passage JOIN search_vector ON passage_id = search_passage.id "
            "WHERE search_passage.subject_id = {}",
            subject_id,
        ),
        Row,
    )
    kept = {(row["model_id"], row["content_hash"]) for row in there}
    made: dict[int, dict[bytes, Vector]] = {}
    for model in models:
        embeddings = adapters.embeddings_for(model.name)
        lacking = [key for key in passages if (model.model_id, key) not in kept]
        if embeddings is not None and lacking:
            vectors = await embeddings.embed([passages[key] for key in lacking])
            made[model.model_id] = dict(zip(lacking, vectors, strict=True))
    return made


async def _write(
    row: Row, subject_id: UUID, passages: Mapping[bytes, str], models: Sequence[Serving], made: Made
) -> None:
    """Make the document's passages these, with their vectors. Raises _Moved, and nothing is written."""
    async with tx():
        # The document's lock keeps others like this one out, and no change of its text: it is held while vectors are
        # put into their index, which is much longer than somebody who saves a title should wait.
        await fetch(
            sql(
                "SELECT pg_advisory_xact_lock_shared({}), pg_advisory_xact_lock(hashtextextended({}, 0))",
                MODELS_LOCK,
                str(subject_id),
            ),
            Row,
        )
        if await serving.written() != models:
            raise _Moved
        await execute(
            sql(
                "DELETE FROM search_passage WHERE subject_id = {} AND content_hash <> ALL({}::bytea[])",
                subject_id,
                list(passages),
            )
        )
        await _insert_passages(row["org_id"], subject_id, passages)
        for model_id, vectors in made.items():
            await _insert_vectors(subject_id, model_id, vectors)
        # Last, so that whoever changes the text waits for the commit alone.
        same = await fetch(
            sql(
                "SELECT title = {} AND body = {} AS is_same FROM search_document WHERE subject_id = {} "
                "FOR NO KEY UPDATE",
                row["title"],
                row["body"],
                subject_id,
            ),
            Row,
        )
        if not same or not same[0]["is_same"]:
            raise _Moved
        await execute(sql("DELETE FROM search_pending WHERE subject_id = {}", subject_id))
        await fetch(sql("SELECT raise_search_version({})", row["org_id"]), Row)


async def _insert_passages(org_id: UUID, subject_id: UUID, passages: Mapping[bytes, str]) -> None:
    await execute(
        sql(
            "INSERT INTO search_passage (id, org_id, subject_id, ordinal, text, content_hash) "
            "SELECT new.id, document.org_id, document.subject_id, new.ordinal, new.text, new.content_hash "
            "FROM unnest({}::uuid[], {}::int[], {}::text[], {}::bytea[]) AS new(id, ordinal, text, content_hash) "
            # None, where it was deleted meanwhile.
            "JOIN search_document AS document ON document.org_id = {} AND document.subject_id = {} "
            "ON CONFLICT (subject_id, content_hash) DO UPDATE SET ordinal = excluded.ordinal "
            "WHERE search_passage.ordinal <> excluded.ordinal",
            [new_id() for _ in passages],
            list(range(len(passages))),
            list(passages.values()),
            list(passages),
            org_id,
            subject_id,
        )
    )


async def _insert_vectors(subject_id: UUID, model_id: int, vectors: Mapping[bytes, Vector]) -> None:
    await execute(
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
