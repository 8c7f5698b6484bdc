"""What is nearest in meaning, from the vectors that are kept. Nothing here asks a model."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from domain.adapters.embeddings import Vector, unit
from domain.base.actor import Actor
from domain.base.database import fetch
from domain.base.sql import Row, sql
from domain.search.indexing import written
from domain.search.models import Subject
from domain.search.serving import Serving

MOST_COMPARED = 30_000
"""Vectors of one model and organization that are compared one by one, in 20 ms; of more, an index takes less."""


@dataclass(frozen=True)
class Near:
    """A document, its nearest passage, and how far that is: from 0, the same direction, to 2, the opposite one."""

    subject_id: UUID
    kind: Subject
    passage_id: UUID
    distance: float


async def nearest(
    actor: Actor,
    org_id: UUID,
    vector: Vector,
    *,
    serving: Serving,
    kinds: Collection[Subject],
    project_id: UUID | None = None,
    count: int,
    compared: int = MOST_COMPARED,
) -> list[Near]:
    """The documents nearest to the vector, the nearest first; as many as asked for, or all that there are.

    An index may miss some of the nearest. It is asked only where there is one, and more than `compared` vectors.
    `vector` is by the model `serving`. What is archived is left out. Raises Unavailable; Timeout.
    """
    if org_id not in actor.standings or not kinds:
        return []
    rows = await fetch(
        sql(
            "SELECT subject_id, kind, passage_id, distance FROM search_nearest({}, {}, {}, {}, {}::text[], {}, {}, {})",
            org_id,
            serving.model_id,
            serving.dimensions,
            written(vector),
            [kind.value for kind in kinds],
            project_id,
            count,
            compared,
        ),
        Row,
    )
    return [Near(row["subject_id"], Subject(row["kind"]), row["passage_id"], row["distance"]) for row in rows]


async def of_documents(org_id: UUID, subject_ids: Sequence[UUID], *, serving: Serving) -> dict[UUID, Vector]:
    """Document -> the vector of its first passage, which is the title where it has one; without those that have none.

    Raises Unavailable; Timeout.
    """
    rows = await fetch(
        sql(
            "SELECT DISTINCT ON (passage.subject_id) passage.subject_id, embedding::text AS embedding "
            "FROM search_passage AS passage JOIN search_vector AS vector ON vector.passage_id = passage.id "
            "WHERE passage.org_id = {} AND passage.subject_id = ANY({}::uuid[]) AND vector.model_id = {} "
            "ORDER BY passage.subject_id, passage.ordinal",
            org_id,
            list(subject_ids),
            serving.model_id,
        ),
        Row,
    )
    return {row["subject_id"]: unit(orjson.loads(row["embedding"])) for row in rows}
