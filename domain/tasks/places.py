"""The place of a task in its state. A state's row lock is held while places in it are given out."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.base.actor import Actor
from domain.base.database import execute, fetch, fetch_value
from domain.base.errors import Invalid
from domain.base.permissions import Permission
from domain.base.sql import Row, sql
from domain.projects import queries as projects
from domain.tasks import ranking


async def lock(actor: Actor, *state_ids: UUID) -> None:
    """Keep others from placing tasks in the states to the end of the transaction."""
    await projects.states_by_ids.lock(actor, set(state_ids), Permission.PROJECT_READ)


@dataclass(frozen=True)
class Ends:
    """Ranks behind the last tasks of some states, and those states whose tasks got other ranks to make room."""

    ranks: list[str]
    spread: Collection[UUID]


async def at_ends(actor: Actor, state_ids: Sequence[UUID]) -> Ends:
    """A rank in each of the states, one for each time that it is named: behind its last task, in their order.

    Locks the states.
    """
    if not state_ids:
        return Ends([], ())
    await lock(actor, *state_ids)
    lasts = await _last_ranks(set(state_ids))
    ends = {state_id: await _behind(state_id, lasts[state_id], n) for state_id, n in Counter(state_ids).items()}
    ranks = {state_id: iter(end.ranks) for state_id, end in ends.items()}
    return Ends([next(ranks[state_id]) for state_id in state_ids], {id for end in ends.values() for id in end.spread})


async def to_end(state_id: UUID, rank: str) -> str:
    """A rank behind the last task of the locked state; the given one when it is that task's."""
    last = (await _last_ranks([state_id]))[state_id]
    return rank if last == rank else await behind(state_id, last)


async def behind(state_id: UUID, last: str | None) -> str:
    """A rank behind the last task of the locked state, whose rank is given; None for an empty state."""
    (rank,) = (await _behind(state_id, last, 1)).ranks
    return rank


async def _last_ranks(state_ids: Collection[UUID]) -> dict[UUID, str | None]:
    """State -> the rank of its last task; None for an empty one."""
    # One look at the end of the index for each; grouping would read every task of the states.
    lasts = sql(
        "SELECT state.id, (SELECT max(rank) FROM task WHERE state_id = state.id) AS rank "
        "FROM unnest({}::uuid[]) AS state(id)",
        list(state_ids),
    )
    return {row["id"]: row["rank"] for row in await fetch(lasts, Row)}


async def _behind(state_id: UUID, last: str | None, count: int) -> Ends:
    """Ranks for `count` tasks behind the last one. The state is locked."""
    ranks = ranking.following(last, count)
    if len(ranks[-1]) > ranking.LONGEST and await _spread(state_id):
        return Ends(ranking.following((await _last_ranks([state_id]))[state_id], count), (state_id,))
    return Ends(ranks, ())


async def beside(state_id: UUID, task_id: UUID, *, before_id: UUID | None, after_id: UUID | None) -> str:
    """A rank right before or right after another task of the locked state. Raises Invalid when it is not there.

    The moving task itself does not count as a neighbor; where it stands beside the other already, its rank is given.
    """
    name, neighbor_id = ("before_id", before_id) if before_id is not None else ("after_id", after_id)
    if neighbor_id == task_id or not await _rank_of(state_id, neighbor_id):
        raise Invalid("Must be another task of the target state.", name)
    rank = await _rank_beside(state_id, task_id, neighbor_id, before=before_id is not None)
    if len(rank) > ranking.LONGEST and await _spread(state_id):
        rank = await _rank_beside(state_id, task_id, neighbor_id, before=before_id is not None)
    return rank


async def _rank_beside(state_id: UUID, task_id: UUID, neighbor_id: UUID | None, *, before: bool) -> str:
    neighbor = await _rank_of(state_id, neighbor_id)
    side, direction = ("<", "DESC") if before else (">", "ASC")
    nearest = sql(
        f"SELECT id, rank FROM task WHERE state_id = {{}} AND rank {side} {{}}::text ORDER BY rank {direction} LIMIT 2",
        state_id,
        neighbor,
    )
    found = await fetch(nearest, Row)
    if found and found[0]["id"] == task_id:
        return str(found[0]["rank"])
    other = next((row["rank"] for row in found if row["id"] != task_id), None)
    return ranking.between(other, neighbor) if before else ranking.between(neighbor, other)


async def _rank_of(state_id: UUID, task_id: UUID | None) -> str | None:
    found: str | None = await fetch_value(
        sql("SELECT rank FROM task WHERE state_id = {} AND id = {}", state_id, task_id)
    )
    return found


async def _spread(state_id: UUID) -> bool:
    """Give the tasks of the locked state short ranks in their order. No task's version changes: its place does not.

    Whoever changes a task locks it before its state, so waiting for tasks here could be for ever: when one is held the
    state stays as it is until next time, and False is returned.
    """
    every = await fetch_value(sql("SELECT count(*) FROM task WHERE state_id = {}", state_id))
    free = sql("SELECT id FROM task WHERE state_id = {} ORDER BY rank FOR NO KEY UPDATE SKIP LOCKED", state_id)
    ids = [row["id"] for row in await fetch(free, Row)]
    if len(ids) < every:
        return False
    # Ranks are unique at every moment: first out of the way, behind a letter that no rank begins with, then home.
    await execute(sql("UPDATE task SET rank = '~' || rank WHERE state_id = {}", state_id))
    await execute(
        sql(
            "UPDATE task SET rank = spread.rank FROM unnest({}::uuid[], {}::text[]) AS spread(id, rank) "
            "WHERE task.id = spread.id",
            ids,
            ranking.following(None, len(ids)),
        )
    )
    return True
