"""What is like a task: the tasks whose passages are nearest to its own, by the vectors that are stored already."""

from collections.abc import Sequence
from itertools import islice
from uuid import UUID

from domain.base.actor import Actor
from domain.base.database import fetch
from domain.base.errors import BadInput
from domain.base.paging import MOST_PER_PAGE
from domain.base.permissions import Permission
from domain.base.sql import Row, sql
from domain.search import hits, semantic, vectors
from domain.search.hits import Hit
from domain.search.models import Subject
from domain.search.ranking import Ranked
from domain.search.scope import Scope
from domain.search.serving import serving
from domain.tasks import queries as tasks


async def similar(actor: Actor, task_ids: Sequence[UUID], first: int | None = 5) -> dict[UUID, list[Hit]]:
    """Task -> the tasks of its organization that are nearest to it in meaning, the nearest first.

    Neither itself nor what is archived is among them. A task without vectors, as one that was made a moment ago, is
    left out, and so is one of an organization where the caller may not search. Raises BadInput for `first`.
    """
    if first is None or not 1 <= first <= MOST_PER_PAGE:
        raise BadInput(f"`first` must be from 1 to {MOST_PER_PAGE}.", path=["first"])
    if (model := await serving()) is None:
        return {}
    orgs = await _organizations_of(actor, task_ids)
    found: dict[UUID, list[Ranked]] = {}
    for org_id in dict.fromkeys(orgs.values()):
        theirs = [task_id for task_id, its_org in orgs.items() if its_org == org_id]
        for task_id, vector in (await vectors.of_documents(org_id, theirs, serving=model)).items():
            scope = Scope(org_id, (Subject.TASK,))
            # It is nearest to itself.
            near = await semantic.nearest(actor, scope, vector, model, count=first + 1)
            found[task_id] = [each for each in near if each.id != task_id]
    rows = await hits.rows_of(actor, ((each.subject, each.id) for near in found.values() for each in near))
    shown = {task_id: hits.with_rows(near, rows)[:first] for task_id, near in found.items()}
    made = iter(await hits.made([each for listed in shown.values() for each in listed], ""))
    return {task_id: list(islice(made, len(listed))) for task_id, listed in shown.items()}


async def _organizations_of(actor: Actor, task_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """Task -> its organization, of those that the caller reads where they may search."""
    statement = sql(
        "SELECT task.id, task.org_id FROM task "
        "WHERE task.id = ANY({}::uuid[]) AND task.org_id = ANY({}::uuid[]) AND {}",
        list(task_ids),
        actor.orgs_with(Permission.SEARCH_READ),
        tasks.visible(actor),
    )
    return {row["id"]: row["org_id"] for row in await fetch(statement, Row)}
