"""Finding by meaning: the vector of a query, and the passages that are nearest to it."""

import asyncio
from collections.abc import Callable

import structlog

from domain.adapters.embeddings import Embeddings, Vector
from domain.adapters.model_errors import ModelRefused
from domain.base.actor import Actor
from domain.base.database import spare_connection
from domain.base.errors import Unavailable
from domain.search import vectors
from domain.search.ranking import MOST_RANKED, Ranked
from domain.search.scope import Scope
from domain.search.serving import Serving

# Longer than services take, and as long as somebody who searches waits for more than words.
VECTOR_S = 2.0
# After a failure nobody waits for the model for so long.
PAUSE_S = 5.0

Embedder = Callable[[str], Embeddings | None]
"""Who embeds texts for the model of this name; None where nobody can."""

_log = structlog.get_logger("search")
_again_at: dict[str, float] = {}


class WithoutVector(Exception):
    """The query has no vector now."""


async def vector_of(query: str, serving: Serving, embedder: Embedder) -> Vector:
    """The query's vector by the model whose vectors serve. Raises WithoutVector."""
    loop = asyncio.get_running_loop()
    embeddings = embedder(serving.name)
    if embeddings is None or loop.time() < _again_at.get(serving.name, 0.0):
        raise WithoutVector
    # It may take as long as a service far away does, and nobody shall wait for the connection meanwhile.
    spare_connection()
    try:
        async with asyncio.timeout(VECTOR_S):
            (vector,) = await embeddings.embed([query])
    except (Unavailable, TimeoutError) as fault:
        _again_at[serving.name] = loop.time() + PAUSE_S
        _log.warning("searches go by words alone", model=serving.name, fault=type(fault).__name__)
        raise WithoutVector from None
    except (ModelRefused, ValueError):
        # It is the query's fault: what has no word in it, such as a sign alone, may have no direction either.
        raise WithoutVector from None
    return vector


async def nearest(
    actor: Actor, scope: Scope, vector: Vector, serving: Serving, *, count: int = MOST_RANKED
) -> list[Ranked]:
    """What has the nearest passages, the nearest first. Scores are cosines."""
    found = await vectors.nearest(
        actor,
        scope.org_id,
        vector,
        serving=serving,
        kinds=scope.kinds,
        project_id=scope.project_id,
        count=count,
    )
    return [Ranked(each.kind, each.subject_id, 1 - each.distance, each.passage_id) for each in found]
