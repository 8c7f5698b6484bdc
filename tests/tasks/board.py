"""A project under test, the operations that tests run on it, and proof that nothing changed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from domain.projects.queries import ProjectRow
from domain.tasks.queries import TaskRow
from graph.base.ids import global_id
from tests import factories
from tests.client import GraphQL
from tests.factories import Tenant, rows

ERRORS = """
errors {
  __typename code message path
  ... on StaleVersionError { currentVersion current { id ... on Task { title version } ... on Comment { body } } }
  ... on TransitionError { from allowed }
  ... on LimitError { feature limit used }
}
"""
TASK = """
task {
  id identifier number title description priority dueDate estimate version completedAt archivedAt createdAt updatedAt
  organization { id } project { id } state { name } assignee { id name } parent { id } labels { name }
  previousIdentifiers creator { ... on User { id } }
}
"""
CREATE = f"mutation ($input: TaskCreateInput!) {{ taskCreate(input: $input) {{ {TASK} {ERRORS} }} }}"
UPDATE = f"""
mutation ($id: ID!, $input: TaskUpdateInput!, $ifVersion: Int) {{
  taskUpdate(id: $id, input: $input, ifVersion: $ifVersion) {{ {TASK} {ERRORS} }}
}}
"""
BULK = f"""
mutation ($items: [TaskBulkUpdateItem!]!, $errorPolicy: BulkErrorPolicy! = REJECT_ALL, $dryRun: Boolean! = false) {{
  taskBulkUpdate(items: $items, errorPolicy: $errorPolicy, dryRun: $dryRun) {{
    results {{ id {TASK} {ERRORS} }} changedCount {ERRORS}
  }}
}}
"""
MOVE = f"""
mutation ($id: ID!, $input: TaskMoveInput!, $ifVersion: Int) {{
  taskMove(id: $id, input: $input, ifVersion: $ifVersion) {{ {TASK} {ERRORS} }}
}}
"""
TRANSFER = f"""
mutation ($id: ID!, $projectId: ID!, $stateId: ID) {{
  taskTransfer(id: $id, projectId: $projectId, stateId: $stateId) {{ {TASK} {ERRORS} }}
}}
"""
ARCHIVE = f"mutation ($id: ID!) {{ taskArchive(id: $id) {{ {TASK} {ERRORS} }} }}"
UNARCHIVE = f"mutation ($id: ID!) {{ taskUnarchive(id: $id) {{ {TASK} {ERRORS} }} }}"
DELETE = f"mutation ($id: ID!) {{ taskDelete(id: $id) {{ deletedId {ERRORS} }} }}"
RELATE = f"""
mutation ($fromId: ID!, $toId: ID!, $kind: RelationKind!) {{
  taskRelationCreate(fromId: $fromId, toId: $toId, kind: $kind) {{
    relation {{ id kind inverse task {{ id }} }} {ERRORS}
  }}
}}
"""
UNRELATE = f"mutation ($id: ID!) {{ taskRelationDelete(id: $id) {{ deletedId {ERRORS} }} }}"
ARCHIVE_PROJECT = f"mutation ($id: ID!) {{ projectArchive(id: $id) {{ project {{ archivedAt }} {ERRORS} }} }}"
COMMENT = f"""
mutation ($input: CommentCreateInput!) {{
  commentCreate(input: $input) {{
    comment {{ id body version editedAt mentions {{ name }} replyTo {{ id }} author {{ ... on User {{ name }} }} }}
    {ERRORS}
  }}
}}
"""


@dataclass(frozen=True)
class Board:
    """A project of a tenant. What it does, it does as the tenant's member."""

    tenant: Tenant
    project: ProjectRow
    states: dict[str, UUID]

    @property
    def id(self) -> str:
        """The project's global id."""
        return global_id("project", self.project.id)

    @property
    def org_id(self) -> UUID:
        """The organization."""
        return self.tenant.org_id

    @property
    def client(self) -> GraphQL:
        """GraphQL as the tenant's member."""
        return self.tenant.member.client

    def state(self, name: str) -> str:
        """The global id of a state."""
        return global_id("workflow_state", self.states[name])

    async def task(self, title: str = "Write the page", **values: Any) -> TaskRow:
        """A task, made through the service; `state` may name its state."""
        if "state" in values:
            values["state_id"] = self.states[values.pop("state")]
        return await factories.make_task(self.tenant.member, self.project, title=title, **values)

    async def tasks(self, *titles: str, **values: Any) -> list[TaskRow]:
        """Tasks of these titles, one after the other."""
        return [await self.task(title, **values) for title in titles]

    async def order(self, state: str = "Todo") -> list[str]:
        """The titles in a state by rank, as the database compares ranks; ranks are distinct and compare as bytes."""
        found = await rows("SELECT title, rank FROM task WHERE state_id = $1 ORDER BY rank", self.states[state])
        ranks = [row["rank"].encode() for row in found]
        assert ranks == sorted(set(ranks))
        return [row["title"] for row in found]

    async def row(self, task: TaskRow) -> dict[str, Any]:
        """The task's row as it is now."""
        (found,) = await rows("SELECT * FROM task WHERE id = $1", task.id)
        return found

    async def facts(self, *types: str) -> list[tuple[str, dict[str, Any]]]:
        """Type and values, private ones too, of the organization's events about tasks, relations and comments."""
        found = await rows(
            "SELECT type, event.data, event_values.data AS apart FROM event "
            "LEFT JOIN event_values ON event_values.event_id = event.id "
            "WHERE event.org_id = $1 AND subject_kind IN ('task', 'task_relation', 'comment') ORDER BY seq",
            self.org_id,
        )
        kept = [row for row in found if not types or row["type"] in types]
        return [(row["type"], orjson.loads(row["data"]) | orjson.loads(row["apart"] or "{}")) for row in kept]

    async def archive(self) -> None:
        """Put the project away."""
        await self.client.done(ARCHIVE_PROJECT, id=self.id)


async def make_board(tenant: Tenant, **values: Any) -> Board:
    """A fresh project."""
    project = await factories.make_project(tenant.member, tenant, **values)
    return Board(tenant, project, await factories.states_of(project))


def id_of(task: TaskRow) -> str:
    """The task's global id."""
    return global_id("task", task.id)


async def make_label(tenant: Tenant, name: str) -> str:
    """The global id of a new label."""
    document = "mutation ($input: LabelCreateInput!) { labelCreate(input: $input) { label { id } errors { code } } }"
    payload = await tenant.admin.client.done(
        document, input={"organizationId": tenant.id, "name": name, "color": "#123abc"}
    )
    return str(payload["label"]["id"])


async def restrict(board: Board, source: str, *allowed: str) -> None:
    """Let only the named states follow."""
    document = """
    mutation ($stateId: ID!, $allowed: [ID!]) {
      workflowTransitionsSet(stateId: $stateId, allowedStateIds: $allowed) { errors { code } }
    }
    """
    await board.client.done(document, stateId=board.state(source), allowed=[board.state(name) for name in allowed])


def item(task: TaskRow, if_version: int | None = None, **given: Any) -> dict[str, Any]:
    """An item of a bulk."""
    return {"id": id_of(task), "input": given} | ({} if if_version is None else {"ifVersion": if_version})


def refusals(errors: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Code and path of each error."""
    return [(error["code"], error["path"]) for error in errors]


_TABLES = (
    "project", "project_counter", "workflow_state", "label", "task", "task_identifier", "task_label", "task_relation",
    "comment", "comment_mention", "attachment", "event", "event_values", "event_counter",
)  # fmt: skip


async def everything(org_id: UUID) -> dict[str, list[str]]:
    """Every row of the organization, by table."""
    statement = "SELECT t::text AS whole FROM {} AS t WHERE org_id = $1 ORDER BY 1"
    return {table: [row["whole"] for row in await rows(statement.format(table), org_id)] for table in _TABLES}


@asynccontextmanager
async def unchanged(*tenants: Tenant) -> AsyncIterator[None]:
    """The block leaves every row and every event of the organizations as it was."""
    before = [await everything(tenant.org_id) for tenant in tenants]
    yield
    assert [await everything(tenant.org_id) for tenant in tenants] == before
