"""Worlds for the referee: one that is whole, and one out of which rows were cut that others still point at."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.base.permissions import Role
from domain.comments import service as comments
from domain.tasks import relations
from domain.tasks.models import RelationKind
from graph.base.ids import global_id
from tests.client import GraphQL
from tests.compiler.values import Material
from tests.factories import execute, make_member, make_project, make_task, states_of
from tests.isolation.calls import of_nothing
from tests.isolation.world import World, kind_of, make_world, point_at

CURSORS = """
query ($organization: ID!, $project: ID!, $task: ID!, $state: ID!) {
  viewer {
    organizations(first: 1) { ...on OrganizationConnection { pageInfo { endCursor } } }
    assignedTasks(first: 1) { pageInfo { endCursor } }
    notifications(first: 1) { pageInfo { endCursor } }
  }
  organization(id: $organization) {
    members(first: 2) { pageInfo { endCursor } }
    projects(first: 1) { pageInfo { endCursor } }
    labels(first: 1) { pageInfo { endCursor } }
    invitations(first: 1) { pageInfo { endCursor } }
    eventCursor
  }
  project(id: $project) { tasks(first: 2) { pageInfo { endCursor } } }
  task(id: $task) {
    comments(first: 1) { pageInfo { endCursor } }
    subtasks(first: 1) { pageInfo { endCursor } }
    history(first: 1) { pageInfo { endCursor } }
  }
  tasks(organizationId: $organization, first: 2) { pageInfo { endCursor } }
  node(id: $state) { ... on WorkflowState { tasks(first: 1) { pageInfo { endCursor } } } }
  changes(organizationId: $organization, first: 3) { pageInfo { endCursor } }
  search(organizationId: $organization, query: "task answers web", first: 1) { pageInfo { endCursor } }
}
"""


@dataclass(frozen=True)
class Scene:
    """A world, what can be asked for in it, and who asks."""

    world: World
    material: Material
    callers: dict[str, GraphQL]


async def make_scenes() -> list[Scene]:
    """The whole world first, then the broken one. Each is the other's stranger."""
    whole, broken = await make_world("wombat", "WOM"), await make_world("quokka", "QUO")
    materials = [await _material(whole, broken), await _material(broken, whole)]
    await point_at(broken, whole)
    materials[1].ids.update(await _break(broken))  # type: ignore[attr-defined]
    return [
        Scene(world, material, _callers(world, other))
        for world, other, material in zip((whole, broken), (broken, whole), materials, strict=True)
    ]


def _callers(world: World, other: World) -> dict[str, GraphQL]:
    return {
        "admin": world.admin.client,
        "guest": world.tenant.guest.client,
        "key": GraphQL(world.secret),
        "stranger": other.admin.client,
        "nobody": GraphQL(),
    }


async def _material(world: World, other: World) -> Material:
    ids = {thing: world.id(thing) for thing in world.ids}
    strange = [other.id("task"), other.id("organization"), other.id("user"), *map(of_nothing, ("task", "project"))]
    data = await world.admin.client.ok(
        CURSORS,
        organization=ids["organization"],
        project=ids["project"],
        task=ids["task"],
        state=ids["workflow_state"],
    )
    cursors = {
        "Viewer.organizations": data["viewer"]["organizations"],
        "Viewer.assignedTasks": data["viewer"]["assignedTasks"],
        "Viewer.notifications": data["viewer"]["notifications"],
        "Organization.members": data["organization"]["members"],
        "Organization.projects": data["organization"]["projects"],
        "Organization.labels": data["organization"]["labels"],
        "Organization.invitations": data["organization"]["invitations"],
        "Project.tasks": data["project"]["tasks"],
        "Task.comments": data["task"]["comments"],
        "Task.subtasks": data["task"]["subtasks"],
        "Task.history": data["task"]["history"],
        "Query.tasks": data["tasks"],
        "WorkflowState.tasks": data["node"]["tasks"],
        "Query.changes": data["changes"],
        "Query.search": data["search"],
    }
    found = {key: [page["pageInfo"]["endCursor"]] for key, page in cursors.items()}
    texts = {"slug": world.texts["slug"], "organizationSlug": world.texts["slug"]}
    return Material(ids, strange, found, {**texts, "identifier": world.texts["identifier"]})


async def _break(world: World) -> dict[str, str]:
    """Delete rows that others point at, also where the schema allows no null; the ids of those that point."""
    tenant, admin = world.tenant, world.admin
    project = await make_project(admin, tenant, name="Gone", key="GON")
    gone_project = await make_project(admin, tenant, name="Lost", key="LOS")
    states = await states_of(project)
    left = await make_task(admin, project, title="left", assignee_id=admin.user_id)
    stateless = await make_task(admin, project, title="stateless", state_id=states["Done"])
    gone = await make_task(admin, project, title="gone")
    child = await make_task(admin, project, title="child", parent_id=gone.id)
    homeless = await make_task(admin, gone_project, title="homeless", assignee_id=admin.user_id)
    leaver = await make_member(tenant.org_id, Role.MEMBER, "Gone Person")
    async with admin.acting() as actor:
        relation = await relations.create(actor, left.id, gone.id, kind=RelationKind.BLOCKS)
        await relations.create(actor, left.id, stateless.id, kind=RelationKind.RELATES_TO)
        comment = await comments.create(actor, gone.id, body="about nothing")
        await comments.create(actor, left.id, body=f"to @({global_id('user', leaver.user_id)})")
    await _delete("workflow_state", states["Done"])
    await _delete("task", gone.id)
    await _delete("project", gone_project.id)
    await _delete("users", leaver.user_id)
    things: dict[str, UUID] = {
        "gone project": project.id,
        "left task": left.id,
        "stateless task": stateless.id,
        "child task": child.id,
        "homeless task": homeless.id,
        "lonely comment": comment.id,
        "lonely task_relation": relation.id,
    }
    return {thing: global_id(kind_of(thing), id) for thing, id in things.items()}


async def _delete(table: str, id: Any) -> None:
    """The row alone: nothing cascades."""
    statement = f"DELETE FROM {table} WHERE id = '{id}'"
    await execute(f"BEGIN; SET LOCAL session_replication_role = replica; {statement}; COMMIT")
