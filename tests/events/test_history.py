"""History: what happened to a task, with the fields before and after, as far as they are still there to see."""

from datetime import date
from typing import Any

from domain.base.clock import new_id
from domain.base.permissions import Permission
from domain.comments import service as comments
from domain.labels import service as labels
from domain.organizations import api_keys
from domain.tasks import service as tasks
from domain.tasks.models import Priority
from domain.tasks.transfer import transfer
from graph.base.ids import global_id
from tests.client import GraphQL
from tests.events.log import EVENT, changes, history
from tests.factories import Person, Tenant, execute, make_project, make_task, rows, statements, states_of


def user(person: Person) -> dict[str, str]:
    return {"__typename": "User", "id": person.id}


def changed(field: str, before: Any, after: Any, before_node: Any = None, after_node: Any = None) -> dict[str, Any]:
    return {"field": field, "before": before, "after": after, "beforeNode": before_node, "afterNode": after_node}


def state(id: Any) -> dict[str, str]:
    return {"__typename": "WorkflowState", "id": global_id("workflow_state", id)}


async def test_a_task_tells_its_history_from_the_beginning(acme: Tenant) -> None:
    project, other = await make_project(acme.member, acme), await make_project(acme.member, acme, name="App")
    states, label_ids = await states_of(project), []
    task = await make_task(acme.member, project, assignee_id=acme.guest.user_id)
    async with acme.admin.acting() as actor:
        label_ids = [(await labels.create(actor, acme.org_id, name=name, color="#ff0000")).id for name in "ab"]
        await tasks.update(
            actor,
            task.id,
            title="Print the page",
            priority=Priority.HIGH,
            due_date=date(2026, 11, 20),
            added_label_ids=label_ids,
        )
        await tasks.update(actor, task.id, assignee_id=None)
        await tasks.move(actor, task.id, state_id=states["Done"])
        done = await tasks.archive(actor, task.id)
        moved = await transfer(actor, task.id, project_id=other.id)
    task_id, done_at = global_id("task", task.id), f"{done.completed_at:%Y-%m-%dT%H:%M:%S.%f}Z"

    found = await history(acme.guest.client, task_id)

    assert [(node["type"], node["changes"]) for node in found["nodes"]] == [
        (
            "TASK_CREATED",
            [
                changed("identifier", None, task.identifier),
                changed("stateId", None, state(states["Todo"])["id"], None, state(states["Todo"])),
                changed("title", None, "Write the page"),
            ],
        ),
        ("TASK_ASSIGNED", [changed("assigneeId", None, acme.guest.id, None, user(acme.guest))]),
        (
            "TASK_UPDATED",
            [
                changed("title", "Write the page", "Print the page"),
                changed("priority", "NONE", "HIGH"),
                changed("dueDate", None, "2026-11-20"),
                changed("labels", [], [global_id("label", id) for id in label_ids]),
            ],
        ),
        ("TASK_ASSIGNED", [changed("assigneeId", acme.guest.id, None, user(acme.guest), None)]),
        (
            "TASK_TRANSITIONED",
            [
                changed(
                    "stateId",
                    *(state(states[n])["id"] for n in ("Todo", "Done")),
                    *(state(states[n]) for n in ("Todo", "Done")),
                ),
                changed("completedAt", None, done_at),
            ],
        ),
        ("TASK_ARCHIVED", []),
        (
            "TASK_TRANSFERRED",
            [
                changed(
                    "project",
                    *(global_id("project", each.id) for each in (project, other)),
                    *({"__typename": "Project", "id": global_id("project", each.id)} for each in (project, other)),
                ),
                changed("identifier", task.identifier, moved.identifier),
                changed(
                    "stateId",
                    *(state(id)["id"] for id in (states["Done"], moved.state_id)),
                    *(state(id) for id in (states["Done"], moved.state_id)),
                ),
            ],
        ),
    ]
    assert [node["actor"]["id"] for node in found["nodes"]] == [acme.member.id] * 2 + [acme.admin.id] * 5
    assert {node["subjectId"] for node in found["nodes"]} == {task_id}
    assert all(node["subject"] == {"__typename": "Task", "id": task_id} for node in found["nodes"])
    assert all(node["organization"] == {"id": acme.id} for node in found["nodes"])
    projects = [global_id("project", project.id)] * 6 + [global_id("project", other.id)]
    assert [node["project"] for node in found["nodes"]] == [{"id": id} for id in projects]
    assert found["totalCount"] == 7


async def test_history_comes_in_pages(acme: Tenant) -> None:
    task = await make_task(acme.member, await make_project(acme.member, acme))
    async with acme.member.acting() as actor:
        for number in range(4):
            await tasks.update(actor, task.id, title=f"Title {number}")
    task_id, seen, after = global_id("task", task.id), [], None

    for more in (True, True, False):
        page = await history(acme.guest.client, task_id, first=2, after=after)
        seen += [change["after"] for node in page["nodes"] for change in node["changes"] if change["field"] == "title"]
        after = page["pageInfo"]["endCursor"]
        assert page["pageInfo"]["hasNextPage"] is more

    assert seen == ["Write the page", "Title 0", "Title 1", "Title 2", "Title 3"]


async def test_what_was_erased_is_null_and_the_rest_stays(acme: Tenant) -> None:
    task = await make_task(acme.member, await make_project(acme.member, acme))
    async with acme.member.acting() as actor:
        await tasks.update(actor, task.id, title="Print the page", priority=Priority.LOW)
    task_id = global_id("task", task.id)
    before = (await history(acme.guest.client, task_id))["nodes"]
    await execute("DELETE FROM event_values WHERE org_id = $1", acme.org_id)

    after = (await history(acme.guest.client, task_id))["nodes"]

    assert [change for change in after[0]["changes"] if change["field"] == "title"] == [changed("title", None, None)]
    assert after[1]["changes"] == [changed("title", None, None), changed("priority", "NONE", "LOW")]
    for node in (*before, *after):
        node["changes"] = [change for change in node["changes"] if change["field"] != "title"]
    assert after == before


async def test_the_end_of_a_thing_tells_what_it_was(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    task = await make_task(acme.member, project)
    async with acme.member.acting() as actor:
        label = await labels.create(actor, acme.org_id, name="Bug", color="#ff0000")
        await labels.delete(actor, label.id)
        comment = await comments.create(actor, task.id, body=f"See @({acme.guest.id})")
        await comments.delete(actor, comment.id)
    task_id = global_id("task", task.id)
    task_node = {"__typename": "Task", "id": task_id}

    found = (await changes(acme.guest.client, acme))["nodes"]

    told = {node["type"]: node for node in found}
    assert told["LABEL_CREATED"]["changes"] == [changed("name", None, "Bug"), changed("color", None, "#ff0000")]
    assert told["LABEL_DELETED"]["changes"] == [changed("name", "Bug", None)]
    assert told["LABEL_DELETED"]["subject"] is None
    assert told["LABEL_DELETED"]["subjectId"] == global_id("label", label.id)
    assert told["COMMENT_CREATED"]["changes"] == [
        changed("taskId", None, task_id, None, task_node),
        changed("mentions", None, [acme.guest.id]),
        changed("body", None, f"See @({acme.guest.id})"),
    ]
    assert told["COMMENT_DELETED"]["changes"] == [changed("taskId", task_id, None, task_node, None)]
    assert told["COMMENT_DELETED"]["subject"] is None


async def test_an_event_of_a_project_that_is_gone_stays(acme: Tenant) -> None:
    project = await make_project(acme.admin, acme)
    await execute("DELETE FROM project WHERE id = $1", project.id)

    (node,) = (await changes(acme.guest.client, acme))["nodes"]

    assert (node["type"], node["project"], node["subject"]) == ("PROJECT_CREATED", None, None)
    assert node["subjectId"] == global_id("project", project.id)


async def test_a_reference_that_the_viewer_may_not_see_keeps_its_id(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    task = await make_task(acme.member, project, assignee_id=acme.guest.user_id)
    async with acme.admin.acting() as actor:
        given = [Permission.ORG_READ, Permission.PROJECT_READ, Permission.TASK_READ]
        made = await api_keys.create(actor, acme.org_id, name="Reader", permissions=given)

    found = (await history(GraphQL(made.secret), global_id("task", task.id)))["nodes"]

    assert found[1]["changes"] == [changed("assigneeId", None, acme.guest.id)]
    assert found[1]["actor"] is None


async def test_what_a_key_did_says_so(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    async with acme.admin.acting() as actor:
        made = await api_keys.create(actor, acme.org_id, name="CI", permissions=list(Permission))
    await GraphQL(made.secret).done(
        'mutation ($id: ID!) { taskCreate(input: {projectId: $id, title: "T"}) { errors { code } } }',
        id=global_id("project", project.id),
    )

    nodes = (await changes(acme.guest.client, acme))["nodes"]

    assert nodes[-1]["actor"] == {"__typename": "ApiKeyActor", "id": global_id("api_key", made.key.id), "name": "CI"}


async def test_the_history_of_any_number_of_tasks_takes_the_same_statements(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    document = f"""
    query ($id: ID!) {{ project(id: $id) {{ tasks(first: 100) {{ nodes {{ history {{ nodes {{ {EVENT} }} }} }} }} }} }}
    """
    counts = []

    for number in (1, 8):
        for _ in range(number):
            await make_task(acme.member, project, assignee_id=acme.guest.user_id)
        # A member of a union that is met for the first time has the query done once more.
        await acme.guest.client.ok(document, id=global_id("project", project.id))
        with statements() as sent:
            await acme.guest.client.ok(document, id=global_id("project", project.id))
        counts.append(len(sent))

    assert counts[0] == counts[1]


async def test_history_of_a_subject_is_found_by_its_index(acme: Tenant) -> None:
    await execute("INSERT INTO event_counter (org_id, seq, digest) VALUES ($1, 5000, '')", acme.org_id)
    await execute(
        "INSERT INTO event (org_id, id, seq, type, occurred_at, actor_kind, subject_kind, subject_id, data, digest) "
        "SELECT $1, gen_random_uuid(), n, 'TASK_MOVED', now(), 'SYSTEM', 'task', gen_random_uuid(), '{}', '' "
        "FROM generate_series(1, 5000) n",
        acme.org_id,
    )
    await execute("ANALYZE event")

    plan = await rows("EXPLAIN SELECT * FROM event WHERE subject_id = $1 ORDER BY seq LIMIT 21", new_id())

    assert "event_subject" in str(plan)
    assert "Sort" not in str(plan)
