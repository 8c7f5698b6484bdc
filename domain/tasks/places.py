"""The place of a task in its state. A state's row lock is held while places in it are given out."""

from uuid import UUID

from domain.base.actor import Actor
from domain.base.database import execute, fetch, fetch_value
from domain.base.errors import Invalid
from domain.base.permissions import Permission
from domain.base.sql import Row, sql
from domain.projects import queries as projects
from domain.tasks import ranking


async def lock(actor: Actor, state_id: UUID) -> None:
    """Keep others from placing tasks in the state to the end of the transaction."""
    await projects.states_by_ids.get_for_update(actor, state_id, Permission.PROJECT_READ)


async def last_rank(state_id: UUID) -> str | None:
    """The rank of the state's last task; None for an empty state."""
    found: str | None = await fetch_value(sql("SELECT max(rank) FROM task WHERE state_id = {}", state_id))
    return found


async def at_end(state_id: UUID, count: int = 1) -> list[str]:
    """Ranks for `count` tasks behind the last one. The state is locked."""
    ranks = ranking.following(await last_rank(state_id), count)
    if len(ranks[-1]) > ranking.LONGEST:
        await _spread(state_id)
        ranks = ranking.following(await last_rank(state_id), count)
    return ranks


async def beside(state_id: UUID, task_id: UUID, *, before_id: UUID | None, after_id: UUID | None) -> str:
    """A rank right before or right after another task of the locked state. Raises Invalid when it is not there.

    The moving task itself does not count as a neighbor.
    """
    name, neighbor_id = ("before_id", before_id) if before_id is not None else ("after_id", after_id)
    neighbor = await _rank_of(state_id, neighbor_id)
    if neighbor is None or neighbor_id == task_id:
        raise Invalid("Must be another task of the target state.", name)
    side, end = ("<", "max") if before_id is not None else (">", "min")
    other = await fetch_value(
        sql(
            f"SELECT {end}(rank) FROM task WHERE state_id = {{}} AND rank {side} {{}}::text AND id <> {{}}",
            state_id,
            neighbor,
            task_id,
        )
    )
    rank = ranking.between(other, neighbor) if before_id is not None else ranking.between(neighbor, other)
    if len(rank) > ranking.LONGEST:
        await _spread(state_id)
        return await beside(state_id, task_id, before_id=before_id, after_id=after_id)
    return rank


async def _rank_of(state_id: UUID, task_id: UUID | None) -> str | None:
    found: str | None = await fetch_value(
        sql("SELECT rank FROM task WHERE state_id = {} AND id = {}", state_id, task_id)
    )
    return found


async def _spread(state_id: UUID) -> None:
    """Give the state's tasks short ranks in their order. No task's version changes: its place does not."""
    ids = [
        row["id"] for row in await fetch(sql("SELECT id FROM task WHERE state_id = {} ORDER BY rank", state_id), Row)
    ]
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
