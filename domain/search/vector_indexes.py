"""The indexes of vectors: one for each organization that has many.

HNSW knows no organizations: a walk through everybody's vectors for one of many meets mostly what is somebody else's. In
an index of its own everything that it meets is its own. Who has few needs none: all of them are compared, and so are
those of who lacks one yet, however long that takes.
"""

from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any
from uuid import UUID

from domain.base.database import Door, acting_for, fetch_value, system_fetch
from domain.base.sql import sql
from domain.search.serving import Serving
from domain.search.vectors import MOST_COMPARED

MEMORY = "2GB"
"""What making an index may take of the database's machine; it takes what it needs. Half a million of 256 fit."""

Say = Callable[[str], None]

_PREFIX = "search_vector_hnsw_"


async def make(
    owner: Any, model: Serving, organizations: Iterable[UUID], say: Say, *, own_from: int = MOST_COMPARED
) -> None:
    """Make what is missing of the model's, while writes go on, and drop those of who has not half as many any more.

    `owner` is a connection of the owner's in no transaction. One that was interrupted is made again. Raises
    Unavailable; Timeout.
    """
    has = {org_id: await _count(org_id, model, own_from + 1) for org_id in organizations}
    for org_id, count in has.items():
        if count > own_from:
            await _make(owner, model, org_id, say)
    kept = {name_of(model.model_id, org_id) for org_id, count in has.items() if count > own_from // 2}
    for name, is_whole in (await _all(owner, model.model_id)).items():
        if name not in kept or not is_whole:
            await owner.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


async def lacking(*, own_from: int = MOST_COMPARED) -> list[UUID]:
    """The organizations that `make` would make an index for. Raises Unavailable; Timeout."""
    rows = await system_fetch(
        Door.SEARCH_INDEXES,
        "SELECT org_id, model_id FROM search_vector JOIN search_model ON search_model.id = model_id "
        "WHERE search_model.state = 'SERVING' GROUP BY org_id, model_id HAVING count(*) > $1 ORDER BY org_id",
        own_from,
    )
    there = await system_fetch(
        Door.SEARCH_INDEXES,
        "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
        "WHERE indisvalid AND relname = ANY($1::text[])",
        [name_of(row["model_id"], row["org_id"]) for row in rows],
    )
    names = {row["relname"] for row in there}
    return [row["org_id"] for row in rows if name_of(row["model_id"], row["org_id"]) not in names]


async def drop(owner: Any, model_id: int) -> None:
    """Drop all of the model's."""
    for name in await _all(owner, model_id):
        await owner.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def name_of(model_id: int, org_id: UUID) -> str:
    """As `search_vector_index_name` has it."""
    return f"{_PREFIX}{model_id}_{org_id.hex}"


async def _make(owner: Any, model: Serving, org_id: UUID, say: Say) -> None:
    name = name_of(model.model_id, org_id)
    if await owner.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", name):
        return
    began = monotonic()
    # Once the graph does not fit, each vector takes ten times as long. Several workers would share it in /dev/shm, of
    # which a container has 64 MB.
    await owner.execute(f"SET maintenance_work_mem = '{MEMORY}'; SET max_parallel_maintenance_workers = 0")
    await owner.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    await owner.execute(
        await owner.fetchval(
            "SELECT search_vector_index($1, $2, $3, 'CONCURRENTLY')", model.model_id, model.dimensions, org_id
        )
    )
    say(f"the index of {model.name} of organization {org_id} made in {monotonic() - began:,.0f} s")


async def _count(org_id: UUID, model: Serving, most: int) -> int:
    """How many vectors the organization has, counted up to `most`."""
    counted = sql(
        "SELECT count(*) FROM (SELECT FROM search_vector WHERE org_id = {} AND model_id = {} LIMIT {}) AS some_vectors",
        org_id,
        model.model_id,
        most,
    )
    with acting_for([org_id]):
        found: int = await fetch_value(counted)
        return found


async def _all(owner: Any, model_id: int) -> dict[str, bool]:
    """The model's indexes, and whether each is whole."""
    found = await owner.fetch(
        "SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
        "WHERE starts_with(relname, $1) ORDER BY relname",
        f"{_PREFIX}{model_id}_",
    )
    return {row["relname"]: row["indisvalid"] for row in found}
