"""Reads of projects, their workflow states, and what may follow what."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from domain.base.actor import Actor
from domain.base.database import fetch
from domain.base.errors import BadInput
from domain.base.paging import Key, KeyKind, Order, PageRequest, request
from domain.base.permissions import Permission
from domain.base.reads import Columns, Many, One, Pages, Table, for_actor, orgs_with
from domain.base.sql import Row, sql


class ProjectRow(Row):
    """A project."""

    id: UUID
    org_id: UUID
    key: str
    name: str
    description: str | None
    status: str
    lead_id: UUID | None
    start_date: date | None
    target_date: date | None
    archived_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


class StateRow(Row):
    """A workflow state. Only when it is `restricted` do its transitions say what may follow."""

    id: UUID
    org_id: UUID
    project_id: UUID
    name: str
    category: str
    color: str
    position: int
    restricted: bool
    created_at: datetime
    updated_at: datetime


PROJECTS = Table("project", ProjectRow)
STATES = Table("workflow_state", StateRow)
BY_POSITION = Order((Key("workflow_state.position", KeyKind.NUMBER), Key("workflow_state.id", KeyKind.UUID)))
SORTS = {
    "CREATED_AT": Key("project.created_at", KeyKind.INSTANT),
    "UPDATED_AT": Key("project.updated_at", KeyKind.INSTANT),
    "NAME": Key("lower(project.name)", KeyKind.TEXT),
    "TARGET_DATE": Key("project.target_date", KeyKind.DAY, nullable=True),
}
_ID = Key("project.id", KeyKind.UUID)
BY_NAME = Order((SORTS["NAME"], _ID))


visible = for_actor("project.org_id = ANY({}::uuid[])", orgs_with(Permission.PROJECT_READ))
"""The projects that the caller reads."""

visible_states = for_actor("workflow_state.org_id = ANY({}::uuid[])", orgs_with(Permission.PROJECT_READ))
"""The states of projects that the caller reads."""

by_ids = One(PROJECTS, visible)
of_organizations = Pages(PROJECTS, visible, key="project.org_id")
states_by_ids = One(STATES, visible_states)
states_of_projects = Many(STATES, visible_states, key="workflow_state.project_id", order=BY_POSITION)


def asked(
    *, first: int | None, after: str | None, include_archived: bool, sorts: Sequence[tuple[str, bool]]
) -> PageRequest:
    """A page of projects by the `sorts`, each a name of SORTS and whether it descends; without any A to Z.

    Raises BadInput for a sort that is given twice, and for what request() refuses.
    """
    names = [name for name, _ in sorts]
    if len(set(names)) < len(names):
        raise BadInput("Each field can be sorted by once.", path=["orderBy"])
    order = Order((*(SORTS[name].directed(descending) for name, descending in sorts), _ID)) if sorts else BY_NAME
    where = None if include_archived else lambda: sql("project.archived_at IS NULL")
    return request(order, first=first, after=after, scope=f"projects {include_archived}", where=where)


async def allowed_next(actor: Actor, state_ids: Sequence[UUID], columns: Columns) -> dict[UUID, list[StateRow]]:
    """State -> the states that may follow, by position; one that every state may follow is left out."""
    statement = sql(
        "SELECT source.id AS parent_key, workflow_state.id IS NULL AS parent_is_end, {} "
        "FROM (SELECT id FROM workflow_state WHERE id = ANY({}::uuid[]) AND restricted AND {}) AS source "
        "LEFT JOIN workflow_transition ON workflow_transition.from_id = source.id "
        "LEFT JOIN workflow_state ON workflow_state.id = workflow_transition.to_id {}",
        STATES.select(actor, columns),
        list(state_ids),
        visible_states(actor),
        BY_POSITION.by(),
    )
    found: dict[UUID, list[StateRow]] = {}
    for row in await fetch(statement, StateRow):
        following = found.setdefault(row["parent_key"], [])
        if not row["parent_is_end"]:
            following.append(row)
    return found


async def transitions_from(actor: Actor, state_ids: Sequence[UUID], columns: Columns) -> dict[UUID, list[StateRow]]:
    """State -> the other states of its project that a task in it may move to, by position; a dead end is left out."""
    statement = sql(
        "SELECT source.id AS parent_key, {} "
        "FROM (SELECT id, project_id, restricted FROM workflow_state WHERE id = ANY({}::uuid[]) AND {}) AS source "
        "JOIN workflow_state ON workflow_state.project_id = source.project_id AND workflow_state.id <> source.id "
        "WHERE NOT source.restricted OR EXISTS (SELECT FROM workflow_transition "
        "WHERE workflow_transition.from_id = source.id AND workflow_transition.to_id = workflow_state.id) {}",
        STATES.select(actor, columns),
        list(state_ids),
        visible_states(actor),
        BY_POSITION.by(),
    )
    found: dict[UUID, list[StateRow]] = {}
    for row in await fetch(statement, StateRow):
        found.setdefault(row["parent_key"], []).append(row)
    return found
