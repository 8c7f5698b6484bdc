"""Projects and their workflow as clients see them."""

from typing import Any

import pytest

from domain.base.clock import new_id
from domain.projects import service as projects
from domain.projects import workflow_states as states
from domain.tasks import service as tasks
from graph.base.ids import global_id
from tests.client import GraphQL
from tests.factories import Person, Tenant, events, make_project, make_task, rows, states_of

FIELDS = """
  id key name description status startDate targetDate archivedAt version
  lead { id } organization { slug }
"""
PROJECT = f"query ($id: ID!) {{ project(id: $id) {{ {FIELDS} }} }}"
BOARD = """
query ($id: ID!) {
  project(id: $id) {
    states { name position restricted: allowedNext { name } taskCount tasks { nodes { title } totalCount } }
    taskCounts { count state { name } }
    progress
    tasks(first: 2, orderBy: [{field: NUMBER, direction: DESC}]) { nodes { identifier } totalCount }
    viewerPermissions
  }
}
"""
CREATE = f"""
mutation ($input: ProjectCreateInput!) {{
  projectCreate(input: $input) {{ project {{ {FIELDS} }} errors {{ code path message }} }}
}}
"""
UPDATE = f"""
mutation ($id: ID!, $input: ProjectUpdateInput!, $ifVersion: Int) {{
  projectUpdate(id: $id, input: $input, ifVersion: $ifVersion) {{
    project {{ {FIELDS} }}
    errors {{
      __typename code path
      ... on StaleVersionError {{ currentVersion current {{ id ... on Project {{ name }} }} }}
    }}
  }}
}}
"""
ARCHIVE = "mutation ($id: ID!) { projectArchive(id: $id) { project { archivedAt version } errors { code } } }"
UNARCHIVE = "mutation ($id: ID!) { projectUnarchive(id: $id) { project { archivedAt version } errors { code } } }"
DELETE = "mutation ($id: ID!) { projectDelete(id: $id) { deletedId errors { code path } } }"
STATE_CREATE = """
mutation ($input: WorkflowStateCreateInput!) {
  workflowStateCreate(input: $input) {
    state { id name category color position allowedNext { name } taskCount }
    errors { __typename code path ... on LimitError { feature limit used } }
  }
}
"""
STATE_UPDATE = """
mutation ($id: ID!, $input: WorkflowStateUpdateInput!) {
  workflowStateUpdate(id: $id, input: $input) { state { name category position } errors { code path } }
}
"""
STATE_DELETE = """
mutation ($id: ID!, $to: ID!) { workflowStateDelete(id: $id, moveTasksToId: $to) { deletedId errors { code path } } }
"""
TRANSITIONS = """
mutation ($id: ID!, $allowed: [ID!]) {
  workflowTransitionsSet(stateId: $id, allowedStateIds: $allowed) {
    state { name allowedNext { name } } errors { code path }
  }
}
"""


def project_id(project: Any) -> str:
    return global_id("project", project.id)


async def state_ids(project: Any) -> dict[str, str]:
    return {name: global_id("workflow_state", id) for name, id in (await states_of(project)).items()}


async def test_a_project_is_made_and_read(acme: Tenant) -> None:
    values = {
        "name": "Website",
        "description": "All of it",
        "leadId": acme.admin.id,
        "startDate": "2026-01-01",
        "targetDate": "2026-02-01",
    }

    made = (await acme.member.client.done(CREATE, input={"organizationId": acme.id, **values}))["project"]
    read = await acme.guest.client.ok(PROJECT, id=made["id"])

    assert made == {
        "id": made["id"],
        "key": "WEB",
        "name": "Website",
        "description": "All of it",
        "status": "PLANNED",
        "startDate": "2026-01-01",
        "targetDate": "2026-02-01",
        "archivedAt": None,
        "version": 1,
        "lead": {"id": acme.admin.id},
        "organization": {"slug": acme.slug},
    }
    assert read == {"project": made}


async def test_a_board_shows_states_tasks_counts_and_progress(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    ids = await states_of(project)
    for title, state in (("Plan", "Todo"), ("Build", "Todo"), ("Name", "Done"), ("Dream", "Canceled")):
        await make_task(acme.member, project, title=title, state_id=ids[state])
    hidden = await make_task(acme.member, project, title="Hidden")
    async with acme.member.acting() as actor:
        await tasks.archive(actor, hidden.id)
        await states.transitions_set(actor, ids["Todo"], allowed_ids=[ids["Done"]])
        await states.transitions_set(actor, ids["Done"], allowed_ids=[])

    board = (await acme.guest.client.ok(BOARD, id=project_id(project)))["project"]

    titles = {"Todo": ["Plan", "Build"], "Done": ["Name"], "Canceled": ["Dream"]}
    following: dict[str, Any] = {"Todo": [{"name": "Done"}], "Done": []}
    names = ["Backlog", "Todo", "In progress", "Done", "Canceled"]
    assert board == {
        "states": [
            {
                "name": name,
                "position": position,
                "restricted": following.get(name),
                "taskCount": len(titles.get(name, [])),
                "tasks": {
                    "nodes": [{"title": title} for title in titles.get(name, [])],
                    "totalCount": len(titles.get(name, [])),
                },
            }
            for position, name in enumerate(names)
        ],
        "taskCounts": [{"count": len(titles.get(name, [])), "state": {"name": name}} for name in names],
        "progress": 1 / 3,
        "tasks": {"nodes": [{"identifier": "WEB-4"}, {"identifier": "WEB-3"}], "totalCount": 4},
        "viewerPermissions": [
            "ORG_READ",
            "MEMBERS_READ",
            "PROJECT_READ",
            "TASK_READ",
            "COMMENT_CREATE",
            "ATTACHMENT_READ",
            "SEARCH_READ",
        ],
    }


async def test_a_project_without_tasks_has_made_no_progress(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)

    data = await acme.guest.client.ok("query ($id: ID!) { project(id: $id) { progress } }", id=project_id(project))

    assert data == {"project": {"progress": 0.0}}


async def test_an_update_clears_with_null_and_leaves_the_absent_alone(acme: Tenant) -> None:
    project = await make_project(acme.member, acme, description="Old", lead_id=acme.admin.user_id)

    after = await acme.member.client.done(
        UPDATE, id=project_id(project), ifVersion=1, input={"status": "ACTIVE", "leadId": None}
    )

    shown = after["project"]
    assert (shown["status"], shown["lead"], shown["description"], shown["version"]) == ("ACTIVE", None, "Old", 2)


async def test_a_stale_version_shows_the_current_row(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    client, id = acme.member.client, project_id(project)
    await client.done(UPDATE, id=id, input={"name": "Web shop"})

    errors = await client.refused(UPDATE, id=id, ifVersion=1, input={"name": "Shop"})

    assert errors == [
        {
            "__typename": "StaleVersionError",
            "code": "STALE_VERSION",
            "path": ["ifVersion"],
            "currentVersion": 2,
            "current": {"id": id, "name": "Web shop"},
        }
    ]


async def test_archiving_over_the_api(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    client, id = acme.member.client, project_id(project)

    archived = [(await client.done(ARCHIVE, id=id))["project"] for _ in range(2)]
    refused = await client.refused(UPDATE, id=id, input={"name": "Web shop"})
    unarchived = (await client.done(UNARCHIVE, id=id))["project"]

    assert archived[0]["archivedAt"] is not None
    assert archived[0] == archived[1]
    assert refused == [{"__typename": "InputError", "code": "CONFLICT", "path": ["id"]}]
    assert unarchived == {"archivedAt": None, "version": 3}


async def test_a_deleted_project_is_gone(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    await make_task(acme.member, project)

    deleted = await acme.admin.client.done(DELETE, id=project_id(project))

    assert deleted["deletedId"] == project_id(project)
    assert await acme.admin.client.ok(PROJECT, id=project_id(project)) == {"project": None}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"name": "ab"}, ("INVALID", "name")),
        ({"key": "web"}, ("INVALID", "key")),
        ({"key": "OPS"}, ("TAKEN", "key")),
        ({"description": "a" * 10_001}, ("INVALID", "description")),
        ({"startDate": "2026-02-01", "targetDate": "2026-01-01"}, ("INVALID", "targetDate")),
        ({"leadId": global_id("user", new_id())}, ("INVALID", "leadId")),
        ({"leadId": global_id("project", new_id())}, ("INVALID", "leadId")),
    ],
)
async def test_a_refused_project_names_the_argument(
    acme: Tenant, values: dict[str, Any], expected: tuple[str, str]
) -> None:
    await make_project(acme.member, acme, key="OPS")

    errors = await acme.member.client.refused(CREATE, input={"organizationId": acme.id, "name": "Website", **values})

    assert [(error["code"], error["path"]) for error in errors] == [(expected[0], ["input", expected[1]])]
    assert await events(acme.org_id) == ["PROJECT_CREATED"]


@pytest.mark.parametrize(
    "values",
    [
        {"leadId": "nobody"},
        {"organizationId": "acme"},
        {"name": "Web\x00site"},
        {"name": "Web\ud800site"},
        {"startDate": "2026-02-30"},
        {"startDate": "20260201"},
    ],
)
async def test_input_of_no_form_is_bad_user_input(acme: Tenant, values: dict[str, Any]) -> None:
    answer = await acme.member.client.run(CREATE, input={"organizationId": acme.id, "name": "Website", **values})

    assert answer.codes == ["BAD_USER_INPUT"]
    assert await events(acme.org_id) == []


async def test_a_state_is_made_changed_and_deleted(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    client, ids = acme.member.client, await state_ids(project)

    made = await client.done(
        STATE_CREATE,
        input={"projectId": project_id(project), "name": "Review", "category": "IN_PROGRESS", "position": 3},
    )
    state_id = made["state"].pop("id")
    changed = await client.done(STATE_UPDATE, id=state_id, input={"name": "Check", "category": "DONE", "position": 0})
    deleted = await client.done(STATE_DELETE, id=state_id, to=ids["Done"])

    assert made["state"] == {
        "name": "Review",
        "category": "IN_PROGRESS",
        "color": "#f2c94c",
        "position": 3,
        "allowedNext": None,
        "taskCount": 0,
    }
    assert changed["state"] == {"name": "Check", "category": "DONE", "position": 0}
    assert deleted["deletedId"] == state_id
    assert await state_ids(project) == ids


async def test_transitions_are_set_and_lifted(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    client, ids = acme.member.client, await state_ids(project)

    restricted = await client.done(TRANSITIONS, id=ids["Todo"], allowed=[ids["Done"], ids["Backlog"], ids["Done"]])
    lifted = await client.done(TRANSITIONS, id=ids["Todo"], allowed=None)

    assert restricted["state"] == {"name": "Todo", "allowedNext": [{"name": "Backlog"}, {"name": "Done"}]}
    assert lifted["state"] == {"name": "Todo", "allowedNext": None}


async def test_refused_changes_of_states_name_the_argument(acme: Tenant) -> None:
    project, other = await make_project(acme.member, acme), await make_project(acme.member, acme)
    client, ids, elsewhere = acme.member.client, await state_ids(project), await state_ids(other)
    new = {"projectId": project_id(project), "name": "Review", "category": "DONE"}
    before = await rows("SELECT * FROM workflow_state WHERE project_id = $1 ORDER BY id", project.id)

    refusals = [
        await client.refused(STATE_CREATE, input={**new, "name": "todo"}),
        await client.refused(STATE_CREATE, input={**new, "position": 6}),
        await client.refused(STATE_UPDATE, id=ids["Todo"], input={"color": None}),
        await client.refused(STATE_DELETE, id=ids["Todo"], to=elsewhere["Done"]),
        await client.refused(TRANSITIONS, id=ids["Todo"], allowed=[elsewhere["Done"]]),
    ]
    async with acme.member.acting() as actor:
        await projects.archive(actor, project.id)
    refusals += [
        await client.refused(STATE_CREATE, input=new),
        await client.refused(STATE_UPDATE, id=ids["Todo"], input={"name": "Next"}),
        await client.refused(STATE_DELETE, id=ids["Todo"], to=ids["Done"]),
        await client.refused(TRANSITIONS, id=ids["Todo"], allowed=[]),
    ]

    assert [(error["code"], error["path"]) for (error,) in refusals] == [
        ("TAKEN", ["input", "name"]),
        ("INVALID", ["input", "position"]),
        ("INVALID", ["input", "color"]),
        ("INVALID", ["moveTasksToId"]),
        ("INVALID", ["allowedStateIds"]),
        ("CONFLICT", ["input", "projectId"]),
        ("CONFLICT", ["id"]),
        ("CONFLICT", ["id"]),
        ("CONFLICT", ["stateId"]),
    ]
    assert await rows("SELECT * FROM workflow_state WHERE project_id = $1 ORDER BY id", project.id) == before


async def test_the_cap_of_states_is_a_limit_error(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    new = {"projectId": project_id(project), "category": "TODO"}
    for number in range(25):
        await acme.member.client.done(STATE_CREATE, input={**new, "name": f"State {number}"})

    errors = await acme.member.client.refused(STATE_CREATE, input={**new, "name": "One too many"})

    assert errors == [
        {
            "__typename": "LimitError",
            "code": "LIMIT_REACHED",
            "path": ["input", "projectId"],
            "feature": "workflow_states",
            "limit": 30,
            "used": 30,
        }
    ]


async def told(client: GraphQL, document: str, **variables: Any) -> tuple[Any, Any]:
    answer = await client.run(document, **variables)
    return answer.data, answer.errors


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        (PROJECT, {}),
        (UPDATE, {"input": {"name": "Other"}}),
        (ARCHIVE, {}),
        (UNARCHIVE, {}),
        (DELETE, {}),
    ],
)
async def test_unknown_and_foreign_projects_get_one_answer(
    acme: Tenant, globex: Tenant, document: str, variables: dict[str, Any]
) -> None:
    project = await make_project(acme.member, acme)
    wrong_kind = project_id(project).replace("project_", "task_")
    await acme.admin.client.ok(PROJECT, id=project_id(project))

    answers = [
        await told(globex.admin.client, document, id=id, **variables)
        for id in (project_id(project), global_id("project", new_id()), wrong_kind)
    ]

    assert answers[0] == answers[1] == answers[2]
    assert await events(acme.org_id) == ["PROJECT_CREATED"]


async def test_a_guest_is_forbidden_every_change(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    ids, id, client = await state_ids(project), project_id(project), acme.guest.client
    new = {"projectId": id, "name": "Review", "category": "DONE"}

    answers = [
        await client.run(CREATE, input={"organizationId": acme.id, "name": "Website"}),
        await client.run(UPDATE, id=id, input={}),
        await client.run(ARCHIVE, id=id),
        await client.run(UNARCHIVE, id=id),
        await client.run(DELETE, id=id),
        await client.run(STATE_CREATE, input=new),
        await client.run(STATE_UPDATE, id=ids["Todo"], input={}),
        await client.run(STATE_DELETE, id=ids["Todo"], to=ids["Done"]),
        await client.run(TRANSITIONS, id=ids["Todo"], allowed=[]),
    ]

    assert [answer.codes for answer in answers] == [["FORBIDDEN"]] * 9
    assert await events(acme.org_id) == ["PROJECT_CREATED"]


@pytest.mark.parametrize("document", [PROJECT, ARCHIVE, DELETE])
async def test_nobody_signed_in_sees_or_changes_a_project(acme: Tenant, document: str) -> None:
    project = await make_project(acme.member, acme)

    answer = await GraphQL().run(document, id=project_id(project))

    assert answer.codes == ["UNAUTHENTICATED"]
    assert await events(acme.org_id) == ["PROJECT_CREATED"]


async def test_a_lead_who_left_is_still_named(acme: Tenant) -> None:
    project = await make_project(acme.member, acme, lead_id=acme.guest.user_id)
    leave = "mutation ($id: ID!) { organizationLeave(id: $id) { deletedId errors { code } } }"
    await acme.guest.client.done(leave, id=acme.id)

    found = await acme.member.client.ok(
        "query ($id: ID!) { project(id: $id) { lead { id name email } } }", id=project_id(project)
    )

    assert found["project"]["lead"] == {"id": acme.guest.id, "name": "Guest Acme", "email": None}


@pytest.mark.parametrize("kind", ["project", "workflow_state"])
async def test_projects_and_states_are_nodes(acme: Tenant, globex: Tenant, kind: str) -> None:
    project = await make_project(acme.member, acme)
    id = project_id(project) if kind == "project" else (await state_ids(project))["Todo"]
    document = "query ($id: ID!) { node(id: $id) { id ... on Project { name } ... on WorkflowState { name } } }"

    async def node(person: Person) -> Any:
        return (await person.client.ok(document, id=id))["node"]

    assert await node(acme.guest) == {"id": id, "name": "Website" if kind == "project" else "Todo"}
    assert await node(globex.admin) is None
