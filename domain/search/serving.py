"""Which models there are vectors of, and which of them answers.

The first that is written by serves. Another model of the settings becomes one of them by `planwire reindex` alone
(`reindex.py`): until that is done the first serves on, and vectors of both are kept. Whoever writes vectors shares the
lock of the models to the end of its transaction, so that none comes or goes meanwhile.
"""

from dataclasses import dataclass

import structlog

from domain.adapters.wiring import Adapters
from domain.base.database import Door, fetch, system_fetch
from domain.base.sql import Row, sql
from domain.search.models import ModelState

# The migration 0017_search takes the same.
MODELS_LOCK = 5_021_998_017
_log = structlog.get_logger("search")


@dataclass(frozen=True)
class Serving:
    """A model whose vectors are kept: its id, the name by which the adapters know it, and the length of its vectors."""

    model_id: int
    name: str
    dimensions: int


async def serving() -> Serving | None:
    """The model whose vectors answer; None before anything was indexed. Raises Unavailable; Timeout."""
    found = await _models([ModelState.SERVING])
    return found[0] if found else None


async def written() -> list[Serving]:
    """The models by which a change of a text is embedded, the serving one first. Raises Unavailable; Timeout."""
    return await _models([ModelState.SERVING, ModelState.BUILDING])


async def register(name: str, dimensions: int) -> Serving:
    """Let there be vectors of the model; it. They serve when they are the first. Raises Unavailable; Timeout."""
    (row,) = await system_fetch(Door.SEARCH_MODEL, "SELECT search_register($1, $2) AS id", name, dimensions)
    return Serving(row["id"], name, dimensions)


async def warn(adapters: Adapters) -> None:
    """Say it in the log when the model of the settings does not serve. Raises Unavailable; Timeout."""
    rows = await system_fetch(Door.SEARCH_START, "SELECT name FROM search_model WHERE state = 'SERVING'")
    if rows and rows[0]["name"] != adapters.embeddings.model:
        _log.warning(
            "searches are answered by another model than that of the settings until planwire reindex has run",
            serving=rows[0]["name"],
            settings=adapters.embeddings.model,
            is_available=adapters.embeddings_for(rows[0]["name"]) is not None,
        )
    rows = await system_fetch(
        Door.SEARCH_START, "SELECT cfgname::text AS name FROM pg_ts_config WHERE oid = search_language()"
    )
    if rows[0]["name"] != adapters.settings.search_language:
        _log.warning(
            "words are found in another language than that of the settings until planwire reindex has run",
            serving=rows[0]["name"],
            settings=adapters.settings.search_language,
        )


async def _models(states: list[ModelState]) -> list[Serving]:
    rows = await fetch(
        sql(
            "SELECT id, name, dimensions FROM search_model WHERE state = ANY({}::text[]) ORDER BY state = {} DESC, id",
            [state.value for state in states],
            ModelState.SERVING.value,
        ),
        Row,
    )
    return [Serving(row["id"], row["name"], row["dimensions"]) for row in rows]
