"""`taskChanged` and `membershipChanged`: what changed, and the thing as it stands now while it is part of it."""

from typing import Any

import pytest

from domain.base.permissions import Permission, Role
from domain.comments import service as comments
from domain.events import follow
from domain.events.follow import TAIL_EVENTS
from domain.labels import service as labels
from domain.organizations import api_keys, memberships
from domain.projects import service as projects
from domain.tasks import relations
from domain.tasks import service as tasks
from domain.tasks.models import Priority, RelationKind
from domain.tasks.queries import TaskRow
from domain.tasks.transfer import transfer
from graph.base.ids import global_id
from tests.events.live import begun, leaving_nothing
from tests.events.log import cursor
from tests.factories import Tenant, make_person, make_project, make_task, states_of
from tests.sockets import Client, Stream, opened

TASKS = """
subscription ($id: ID!, $after: String, $filter: TaskFilter) {
  taskChanged(projectId: $id, after: $after, filter: $filter) { event { type subjectId } task { id title } }
}
"""
MEMBERSHIPS = """
subscription ($id: ID!, $after: String) {
  membershipChanged(organizationId: $id, after: $after) { event { type } membership { role user { id } } }
}
"""
HIGH = {"priority": {"eq": "HIGH"}}


async def changes(stream: Stream, task: TaskRow, count: int = 1) -> list[tuple[str, str | None]]:
    """The next changes, which are the task's: the type, and the title while the task is shown."""
    found = [await stream.data() for _ in range(count)]
    task_id = global_id("task", task.id)
    for each in found:
        assert each["event"]["subjectId"] == task_id
        assert each["task"] is None or each["task"]["id"] == task_id
    return [(each["event"]["type"], each["task"] and each["task"]["title"]) for each in found]


async def following(socket: Client, project: Any, **variables: Any) -> Stream:
    """The changes of a project's tasks from now on."""
    return await begun(socket, TASKS, id=global_id("project", project.id), **variables)


async def test_every_change_of_a_task_shows_the_task_while_it_is_there(address: str, acme: Tenant) -> None:
    project, other = await make_project(acme.member, acme), await make_project(acme.member, acme, name="App")
    states = await states_of(project)
    async with opened(address, acme.guest.token) as socket, acme.member.acting() as actor:
        here, there = await following(socket, project), await following(socket, other)

        task = await make_task(acme.member, project, title="Draw")
        assert await changes(here, task) == [("TASK_CREATED", "Draw")]
        await tasks.update(actor, task.id, title="Paint")
        assert await changes(here, task) == [("TASK_UPDATED", "Paint")]
        await tasks.update(actor, task.id, assignee_id=acme.guest.user_id)
        assert await changes(here, task) == [("TASK_ASSIGNED", "Paint")]
        await tasks.move(actor, task.id, state_id=states["Done"])
        assert await changes(here, task) == [("TASK_TRANSITIONED", "Paint")]
        await tasks.archive(actor, task.id)
        assert await changes(here, task) == [("TASK_ARCHIVED", None)]
        await tasks.unarchive(actor, task.id)
        assert await changes(here, task) == [("TASK_UNARCHIVED", "Paint")]
        assert there.received.empty()
        await transfer(actor, task.id, project_id=other.id)
        assert await changes(here, task) == [("TASK_TRANSFERRED", None)]
        assert await changes(there, task) == [("TASK_TRANSFERRED", "Paint")]
        await tasks.update(actor, task.id, title="Print")
        assert await changes(there, task) == [("TASK_UPDATED", "Print")]
        await tasks.delete(actor, task.id)
        assert await changes(there, task) == [("TASK_DELETED", None)]
        assert here.received.empty()


async def test_the_same_changes_come_in_replay_with_the_task_as_it_stands_now(address: str, acme: Tenant) -> None:
    project, other = await make_project(acme.member, acme), await make_project(acme.member, acme, name="App")
    start = await cursor(acme.guest.client, acme)
    task = await make_task(acme.member, project)
    async with acme.member.acting() as actor:
        await tasks.update(actor, task.id, title="Paint")
        await transfer(actor, task.id, project_id=other.id)
        await tasks.update(actor, task.id, title="Print")
        gone = await make_task(acme.member, project)
        await tasks.delete(actor, gone.id)

    async with opened(address, acme.guest.token) as socket:
        here = await following(socket, project, after=start)
        there = await following(socket, other, after=start)
        of_task, of_gone = await changes(here, task, 3), await changes(here, gone, 2)
        arrived = await changes(there, task, 2)

    assert of_task == [("TASK_CREATED", None), ("TASK_UPDATED", None), ("TASK_TRANSFERRED", None)]
    assert of_gone == [("TASK_CREATED", None), ("TASK_DELETED", None)]
    assert arrived == [("TASK_TRANSFERRED", "Print"), ("TASK_UPDATED", "Print")]


async def test_a_task_that_leaves_the_filter_is_null_until_it_comes_back(address: str, acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    task = await make_task(acme.member, project, title="Draw", priority=Priority.HIGH)
    async with opened(address, acme.guest.token) as socket, acme.member.acting() as actor:
        high, every = await following(socket, project, filter=HIGH), await following(socket, project)

        for priority, shown in ((Priority.LOW, None), (Priority.NONE, None), (Priority.HIGH, "Draw")):
            await tasks.update(actor, task.id, priority=priority)
            assert await changes(high, task) == [("TASK_UPDATED", shown)]
            assert await changes(every, task) == [("TASK_UPDATED", "Draw")]


async def test_comments_labels_relations_and_the_project_itself_are_not_in_it(address: str, acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    task, other = await make_task(acme.member, project), await make_task(acme.member, project)
    async with opened(address, acme.guest.token) as socket, acme.member.acting() as actor:
        stream = await following(socket, project)

        comment = await comments.create(actor, task.id, body="Hm")
        await comments.update(actor, comment.id, body="Ah")
        await comments.delete(actor, comment.id)
        label = await labels.create(actor, acme.org_id, name="Bug", color="#ff0000")
        await labels.update(actor, label.id, name="Fault")
        await projects.update(actor, project.id, name="Site")
        await relations.create(actor, task.id, other.id, kind=RelationKind.BLOCKS)
        await tasks.update(actor, task.id, title="Last")

        assert await changes(stream, task) == [("TASK_UPDATED", "Last")]


@pytest.mark.parametrize("tail", [TAIL_EVENTS, 0])
async def test_it_ends_with_not_found_when_the_project_is_deleted(
    address: str, acme: Tenant, tail: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a tail everything is read from the log, as for whoever is behind.
    monkeypatch.setattr(follow, "TAIL_EVENTS", tail)
    project, other = await make_project(acme.member, acme), await make_project(acme.member, acme, name="App")
    start = await cursor(acme.guest.client, acme)

    async with leaving_nothing(), opened(address, acme.guest.token) as socket, acme.admin.acting() as actor:
        stream, going_on = await following(socket, project), await following(socket, other)
        task = await make_task(acme.member, project)
        assert await changes(stream, task) == [("TASK_CREATED", task.title)]
        await projects.delete(actor, project.id)
        assert await stream.codes() == ["NOT_FOUND"]
        again = await socket.run(TASKS, id=global_id("project", project.id), after=start)
        assert await again.codes() == ["NOT_FOUND"]
        task = await make_task(acme.member, other)
        assert await changes(going_on, task) == [("TASK_CREATED", task.title)]


@pytest.mark.parametrize("given", ["nonsense", "task_01a0c387dc4070008000000000000079"])
async def test_what_is_no_project_is_bad_user_input(address: str, acme: Tenant, given: str) -> None:
    async with opened(address, acme.guest.token) as socket:
        stream = await socket.run(TASKS, id=given)

        assert await stream.codes() in (["BAD_USER_INPUT"], ["NOT_FOUND"])


async def test_memberships_come_change_and_go(address: str, acme: Tenant) -> None:
    start = await cursor(acme.guest.client, acme)
    person = await make_person("Nina New")
    async with opened(address, acme.guest.token) as socket, acme.admin.acting() as actor:
        stream = await begun(socket, MEMBERSHIPS, id=acme.id)

        made = await memberships.join(actor, acme.org_id, person.user_id, role=Role.MEMBER)
        created = await stream.data()
        await memberships.update(actor, made.id, role=Role.GUEST)
        updated = await stream.data()
        await memberships.delete(actor, made.id)
        deleted = await stream.data()
        replay = await socket.run(MEMBERSHIPS, id=acme.id, after=start)
        again = [await replay.data() for _ in range(3)]

    def shown(type_: str, role: str | None) -> dict[str, Any]:
        return {"event": {"type": type_}, "membership": role and {"role": role, "user": {"id": person.id}}}

    assert created == shown("MEMBERSHIP_CREATED", "MEMBER")
    assert updated == shown("MEMBERSHIP_UPDATED", "GUEST")
    assert deleted == shown("MEMBERSHIP_DELETED", None)
    assert [each["event"]["type"] for each in again] == [
        "MEMBERSHIP_CREATED",
        "MEMBERSHIP_UPDATED",
        "MEMBERSHIP_DELETED",
    ]
    assert [each["membership"] for each in again] == [None] * 3


@pytest.mark.parametrize(
    ("document", "given", "code"),
    [(MEMBERSHIPS, [Permission.TASK_READ], "FORBIDDEN"), (TASKS, [Permission.MEMBERS_READ], "FORBIDDEN")],
)
async def test_a_key_without_the_permission_is_refused(
    address: str, acme: Tenant, document: str, given: list[Permission], code: str
) -> None:
    project = await make_project(acme.member, acme)
    async with acme.admin.acting() as actor:
        key = await api_keys.create(actor, acme.org_id, name="CI", permissions=given)
    id = acme.id if document is MEMBERSHIPS else global_id("project", project.id)

    async with leaving_nothing(), opened(address, key.secret) as socket:
        stream = await socket.run(document, id=id)

        assert await stream.codes() == [code]
