"""Workflow states: their order, what they mean, and what may follow what."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from domain.base.actor import Actor
from domain.base.clock import new_id
from domain.base.errors import Conflict, Forbidden, Invalid, LimitReached, NotFound, Taken, UserErrors
from domain.projects import queries
from domain.projects import service as projects
from domain.projects import workflow_states as states
from domain.projects.models import StateCategory
from domain.projects.queries import ProjectRow, StateRow
from domain.tasks import columns
from tests.factories import Person, Tenant, events, make_project, make_task, rows, states_of
from tests.projects.facts import Logged, change, logged

DEFAULTS = ["Backlog", "Todo", "In progress", "Done", "Canceled"]


async def nothing(*_: Any) -> None:
    """For tests without tasks."""


async def workflow(project: ProjectRow) -> list[dict[str, Any]]:
    """All that is known of the project's states and transitions."""
    return await rows(
        "SELECT workflow_state.*, array(SELECT to_id FROM workflow_transition WHERE from_id = workflow_state.id "
        "ORDER BY to_id) AS allowed FROM workflow_state WHERE project_id = $1 ORDER BY position",
        project.id,
    )


async def positions(project: ProjectRow) -> list[int]:
    return [row["position"] for row in await workflow(project)]


async def add(person: Person, project: ProjectRow, name: str, **values: Any) -> StateRow:
    async with person.acting() as actor:
        return await states.create(actor, project.id, **{"name": name, "category": StateCategory.TODO, **values})


async def change_state(person: Person, state_id: UUID, **values: Any) -> StateRow:
    async with person.acting() as actor:
        return await states.update(actor, state_id, **values, recategorize=columns.recategorize)


async def remove(person: Person, state_id: UUID, to: UUID) -> None:
    async with person.acting() as actor:
        await states.delete(actor, state_id, move_tasks_to_id=to, move_tasks=columns.move_all)


async def allow(person: Person, state_id: UUID, allowed_ids: list[UUID] | None) -> StateRow:
    async with person.acting() as actor:
        return await states.transitions_set(actor, state_id, allowed_ids=allowed_ids)


async def allowed_after(person: Person, state_id: UUID) -> list[str] | None:
    async with person.acting() as actor:
        found = (await queries.allowed_next(actor, [state_id], ("id", "name"))).get(state_id)
    return None if found is None else [state.name for state in found]


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (None, [*DEFAULTS, "Review"]),
        (5, [*DEFAULTS, "Review"]),
        (0, ["Review", *DEFAULTS]),
        (3, ["Backlog", "Todo", "In progress", "Review", "Done", "Canceled"]),
    ],
)
async def test_a_new_state_goes_where_it_is_put(acme: Tenant, position: int | None, expected: list[str]) -> None:
    project, other = await make_project(acme.member, acme), await make_project(acme.member, acme)

    state = await add(acme.member, project, "Review", position=position, category=StateCategory.IN_PROGRESS)

    assert list(await states_of(project)) == expected
    assert await positions(project) == [0, 1, 2, 3, 4, 5]
    assert await positions(other) == [0, 1, 2, 3, 4]
    assert (state.name, state.category, state.restricted) == ("Review", "IN_PROGRESS", False)
    at = expected.index("Review")
    color = projects.COLORS[StateCategory.IN_PROGRESS]
    assert await logged(acme.org_id, after=2) == [
        Logged(
            "WORKFLOW_STATE_CREATED",
            state.id,
            project.id,
            {"category": "IN_PROGRESS", "color": color, "position": at},
            {"name": "Review"},
        )
    ]


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "a" * 61}, "name"),
        ({"color": "red"}, "color"),
        ({"color": "#12345"}, "color"),
        ({"color": "#1234567"}, "color"),
        ({"position": -1}, "position"),
        ({"position": 6}, "position"),
    ],
)
async def test_a_malformed_state_is_refused(acme: Tenant, values: dict[str, Any], path: str) -> None:
    project = await make_project(acme.member, acme)
    before = await workflow(project)

    with pytest.raises(UserErrors) as refusal:
        await add(acme.member, project, **{"name": "Review", **values})

    assert [error.path for error in refusal.value.errors] == [(path,)]
    assert await workflow(project) == before
    assert await events(acme.org_id) == ["PROJECT_CREATED"]


async def test_the_31st_state_is_refused(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    for number in range(25):
        await add(acme.member, project, f"State {number}")
    before = await workflow(project)

    with pytest.raises(LimitReached) as refusal:
        await add(acme.member, project, "One too many")

    assert (refusal.value.feature, refusal.value.limit, refusal.value.used) == ("workflow_states", 30, 30)
    assert await workflow(project) == before
    assert len(await events(acme.org_id)) == 26


async def test_of_two_states_added_at_once_to_29_one_is_refused(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    for number in range(24):
        await add(acme.member, project, f"State {number}")

    outcomes = await asyncio.gather(
        *(add(acme.member, project, f"Last {number}") for number in range(2)), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)] == [LimitReached]
    assert await positions(project) == list(range(30))


async def test_a_name_is_taken_whatever_its_case_in_its_own_project_only(acme: Tenant) -> None:
    project, other = await make_project(acme.member, acme), await make_project(acme.member, acme)
    ids = await states_of(project)
    await add(acme.member, other, "Review")
    before = await workflow(project)

    for attempt in (add(acme.member, project, "tODO"), change_state(acme.member, ids["Done"], name="TODO")):
        with pytest.raises(Taken) as refusal:
            await attempt
        assert refusal.value.path == ("name",)

    assert await workflow(project) == before
    recased = await change_state(acme.member, ids["Todo"], name="TODO")
    assert recased.name == "TODO"


@pytest.mark.parametrize(
    ("name", "position", "expected"),
    [
        ("Backlog", 4, ["Todo", "In progress", "Done", "Canceled", "Backlog"]),
        ("Canceled", 0, ["Canceled", "Backlog", "Todo", "In progress", "Done"]),
        ("Todo", 3, ["Backlog", "In progress", "Done", "Todo", "Canceled"]),
        ("Done", 1, ["Backlog", "Done", "Todo", "In progress", "Canceled"]),
        ("Todo", 2, ["Backlog", "In progress", "Todo", "Done", "Canceled"]),
    ],
)
async def test_a_moved_state_makes_the_others_move_up(
    acme: Tenant, name: str, position: int, expected: list[str]
) -> None:
    project = await make_project(acme.member, acme)
    ids = await states_of(project)

    state = await change_state(acme.member, ids[name], position=position)

    assert list(await states_of(project)) == expected
    assert await positions(project) == [0, 1, 2, 3, 4]
    assert state.position == position
    assert await logged(acme.org_id, after=1) == [
        Logged(
            "WORKFLOW_STATE_UPDATED",
            state.id,
            project.id,
            {"position": change(DEFAULTS.index(name), position)},
            {},
        )
    ]


async def test_states_moved_added_and_deleted_at_once_leave_no_gap(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    ids = await states_of(project)

    await asyncio.gather(
        change_state(acme.member, ids["Backlog"], position=4),
        change_state(acme.admin, ids["Canceled"], position=0),
        add(acme.member, project, "Review", position=0),
        add(acme.admin, project, "Blocked", position=2),
        remove(acme.member, ids["In progress"], ids["Todo"]),
        change_state(acme.admin, ids["Done"], position=1),
    )

    assert await positions(project) == [0, 1, 2, 3, 4, 5]
    assert set(await states_of(project)) == {"Backlog", "Todo", "Done", "Canceled", "Review", "Blocked"}


async def test_an_update_changes_what_is_given_and_nothing_else(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    ids = await states_of(project)
    before = await workflow(project)

    after = await change_state(acme.member, ids["Todo"], name="Next", color="#ABCDEF", position=1)

    expected = {row["name"]: row for row in before}["Todo"] | {"name": "Next", "color": "#ABCDEF"}
    found = {row["id"]: row for row in await workflow(project)}
    assert found.pop(after.id) == expected | {"updated_at": after.updated_at}
    assert list(found.values()) == [row for row in before if row["id"] != after.id]
    assert await logged(acme.org_id, after=1) == [
        Logged(
            "WORKFLOW_STATE_UPDATED",
            after.id,
            project.id,
            {"color": change(before[1]["color"], "#ABCDEF")},
            {"name": change("Todo", "Next")},
        )
    ]


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"name": None}, "name"),
        ({"category": None}, "category"),
        ({"color": None}, "color"),
        ({"position": None}, "position"),
        ({"name": "a" * 61}, "name"),
        ({"color": "blue"}, "color"),
        ({"position": 5}, "position"),
        ({"position": -1}, "position"),
    ],
)
async def test_a_malformed_update_is_refused(acme: Tenant, values: dict[str, Any], path: str) -> None:
    project = await make_project(acme.member, acme)
    ids = await states_of(project)
    before = await workflow(project)

    with pytest.raises(UserErrors) as refusal:
        await change_state(acme.member, ids["Todo"], **values)

    assert [error.path for error in refusal.value.errors] == [(path,)]
    assert await workflow(project) == before
    assert await events(acme.org_id) == ["PROJECT_CREATED"]


async def test_an_update_that_changes_nothing_leaves_rows_and_log_alone(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    ids = await states_of(project)
    before = await workflow(project)

    await change_state(acme.member, ids["Todo"])
    await change_state(acme.member, ids["Todo"], name="Todo", category=StateCategory.TODO, position=1)

    assert await workflow(project) == before
    assert await events(acme.org_id) == ["PROJECT_CREATED"]


async def test_only_another_category_reaches_the_tasks(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    ids = await states_of(project)
    calls: list[tuple[UUID, str, str]] = []

    async def recategorize(_actor: Actor, within: ProjectRow, state: StateRow, category: str) -> None:
        calls.append((within.id, state.category, category))

    async with acme.member.acting() as actor:
        for category in (StateCategory.TODO, StateCategory.DONE, StateCategory.DONE):
            await states.update(actor, ids["Todo"], category=category, recategorize=recategorize)

    assert calls == [(project.id, "TODO", "DONE")]


async def test_tasks_are_completed_when_their_state_comes_to_mean_done(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    ids = await states_of(project)
    task = await make_task(acme.member, project)
    completed = "SELECT completed_at IS NOT NULL AS completed, version FROM task WHERE id = $1"

    await change_state(acme.member, ids["Todo"], category=StateCategory.DONE)
    done = await rows(completed, task.id)
    await change_state(acme.member, ids["Todo"], category=StateCategory.IN_PROGRESS)
    undone = await rows(completed, task.id)

    assert done == [{"completed": True, "version": 2}]
    assert undone == [{"completed": False, "version": 3}]


async def test_a_deleted_states_tasks_go_behind_those_of_another(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    ids = await states_of(project)
    first, second = [await make_task(acme.member, project, title=title) for title in ("First", "Second")]
    there = await make_task(acme.member, project, title="There", state_id=ids["Done"])
    began = len(await events(acme.org_id))

    await remove(acme.member, ids["Todo"], ids["Done"])

    assert list(await states_of(project)) == ["Backlog", "In progress", "Done", "Canceled"]
    assert await positions(project) == [0, 1, 2, 3]
    moved = await rows(
        "SELECT id, version, completed_at IS NOT NULL AS done FROM task WHERE state_id = $1 ORDER BY rank", ids["Done"]
    )
    assert moved == [
        {"id": there.id, "version": 1, "done": True},
        {"id": first.id, "version": 2, "done": True},
        {"id": second.id, "version": 2, "done": True},
    ]
    written = await logged(acme.org_id, after=began)
    assert sorted(event.type for event in written) == [
        "TASK_TRANSITIONED",
        "TASK_TRANSITIONED",
        "WORKFLOW_STATE_DELETED",
    ]
    assert written[-1] == Logged(
        "WORKFLOW_STATE_DELETED",
        ids["Todo"],
        project.id,
        {"tasks_moved_to_id": str(ids["Done"])},
        {"name": "Todo"},
    )


async def test_the_tasks_of_a_deleted_state_need_another_state_of_the_project(acme: Tenant, globex: Tenant) -> None:
    project, other = await make_project(acme.member, acme), await make_project(acme.member, acme)
    ids = await states_of(project)
    foreign = await make_project(globex.member, globex)
    before = await workflow(project)
    refusals = []

    for target in (ids["Todo"], (await states_of(other))["Done"], (await states_of(foreign))["Done"], new_id()):
        with pytest.raises(Invalid) as refusal:
            await remove(acme.member, ids["Todo"], target)
        refusals.append((str(refusal.value), refusal.value.path))

    assert set(refusals) == {("Must be another state of the project.", ("move_tasks_to_id",))}
    assert await workflow(project) == before
    assert await events(acme.org_id) == ["PROJECT_CREATED"] * 2


async def test_the_last_state_stays_also_when_all_are_deleted_at_once(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    task = await make_task(acme.member, project)
    ids = list((await states_of(project)).values())

    # Each one's tasks go to the next, so at most one target is gone before its turn.
    outcomes = await asyncio.gather(
        *(remove(acme.member, state_id, ids[(n + 1) % 5]) for n, state_id in enumerate(ids)), return_exceptions=True
    )
    for state_id in list((await states_of(project)).values())[1:]:
        await remove(acme.member, state_id, next(iter((await states_of(project)).values())))
    (last,) = (await states_of(project)).values()
    with pytest.raises(Conflict) as refusal:
        await remove(acme.member, last, last)

    assert {type(outcome) for outcome in outcomes} <= {type(None), Invalid, Conflict}
    assert refusal.value.path == ("id",)
    assert await positions(project) == [0]
    assert await rows("SELECT state_id FROM task WHERE id = $1", task.id) == [{"state_id": last}]


async def test_transitions_are_set_replaced_and_lifted(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    ids = await states_of(project)
    todo, done, doing, backlog = ids["Todo"], ids["Done"], ids["In progress"], ids["Backlog"]
    seen = []

    for allowed in ([done, doing, done], [doing, done], [backlog], [], None, None):
        await allow(acme.member, todo, allowed)
        seen.append(await allowed_after(acme.member, todo))

    assert seen == [["In progress", "Done"], ["In progress", "Done"], ["Backlog"], [], None, None]
    assert await rows("SELECT count(*) FROM workflow_transition WHERE from_id = $1", todo) == [{"count": 0}]
    doing_done = [str(doing), str(done)]
    assert await logged(acme.org_id, after=1) == [
        Logged("WORKFLOW_STATE_UPDATED", todo, project.id, {"allowed_next_ids": change(was, now)}, {})
        for was, now in [
            (None, doing_done),
            (doing_done, [str(backlog)]),
            ([str(backlog)], []),
            ([], None),
        ]
    ]


async def test_only_states_of_the_same_project_may_follow(acme: Tenant, globex: Tenant) -> None:
    project, other = await make_project(acme.member, acme), await make_project(acme.member, acme)
    foreign = await make_project(globex.member, globex)
    ids = await states_of(project)
    await allow(acme.member, ids["Todo"], [ids["Done"]])
    before = await workflow(project)
    refusals = []

    for intruder in ((await states_of(other))["Done"], (await states_of(foreign))["Done"], new_id()):
        with pytest.raises(Invalid) as refusal:
            await allow(acme.member, ids["Todo"], [ids["Done"], intruder])
        refusals.append((str(refusal.value), refusal.value.path))

    assert set(refusals) == {("Must be states of the same project.", ("allowed_state_ids",))}
    assert await workflow(project) == before
    assert len(await events(acme.org_id)) == 3


async def test_a_deleted_state_follows_nothing_any_more_and_a_new_one_changes_nothing(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    ids = await states_of(project)
    await allow(acme.member, ids["Todo"], [ids["Done"], ids["In progress"]])
    await allow(acme.member, ids["Backlog"], [ids["Done"]])

    await remove(acme.member, ids["Done"], ids["Canceled"])
    await add(acme.member, project, "Shipped", category=StateCategory.DONE)

    assert await allowed_after(acme.member, ids["Todo"]) == ["In progress"]
    assert await allowed_after(acme.member, ids["Backlog"]) == []
    assert await allowed_after(acme.member, ids["Canceled"]) is None


async def test_what_a_task_may_move_to_is_read_for_many_states_at_once(acme: Tenant, globex: Tenant) -> None:
    project = await make_project(acme.member, acme)
    ids = await states_of(project)
    foreign = (await states_of(await make_project(globex.member, globex)))["Todo"]
    await allow(acme.member, ids["Todo"], [ids["Done"], ids["Todo"]])
    await allow(acme.member, ids["Done"], [])

    async with acme.guest.acting() as actor:
        wanted = [ids["Backlog"], ids["Todo"], ids["Done"], foreign]
        found = await queries.transitions_from(actor, wanted, ("id", "name"))

    assert {state_id: [state.name for state in following] for state_id, following in found.items()} == {
        ids["Backlog"]: ["Todo", "In progress", "Done", "Canceled"],
        ids["Todo"]: ["Done"],
    }


CHANGES: dict[str, Any] = {
    "create": lambda actor, project_id, _: states.create(
        actor, project_id, name="Review", category=StateCategory.IN_PROGRESS
    ),
    "update": lambda actor, _, ids: states.update(actor, ids["Todo"], name="Next", recategorize=nothing),
    "delete": lambda actor, _, ids: states.delete(actor, ids["Todo"], move_tasks_to_id=ids["Done"], move_tasks=nothing),
    "transitions_set": lambda actor, _, ids: states.transitions_set(actor, ids["Todo"], allowed_ids=[ids["Done"]]),
}


@pytest.mark.parametrize(
    ("verb", "path"),
    [("create", "project_id"), ("update", "id"), ("delete", "id"), ("transitions_set", "state_id")],
)
async def test_an_archived_projects_states_stay_as_they_are(acme: Tenant, verb: str, path: str) -> None:
    project = await make_project(acme.member, acme)
    ids = await states_of(project)
    before = await workflow(project)
    async with acme.admin.acting() as actor:
        await projects.archive(actor, project.id)

        with pytest.raises(Conflict) as refusal:
            await CHANGES[verb](actor, project.id, ids)

    assert (str(refusal.value), refusal.value.path) == ("The project is archived.", (path,))
    assert await workflow(project) == before
    assert await events(acme.org_id) == ["PROJECT_CREATED", "PROJECT_ARCHIVED"]


@pytest.mark.parametrize("verb", CHANGES)
async def test_a_guest_changes_no_state(acme: Tenant, verb: str) -> None:
    project = await make_project(acme.member, acme)
    ids = await states_of(project)
    before = await workflow(project)

    async with acme.guest.acting() as actor:
        with pytest.raises(Forbidden, match="PROJECT_UPDATE"):
            await CHANGES[verb](actor, project.id, ids)

    assert await workflow(project) == before
    assert await events(acme.org_id) == ["PROJECT_CREATED"]


@pytest.mark.parametrize("verb", CHANGES)
async def test_a_strangers_states_look_like_none(acme: Tenant, globex: Tenant, verb: str) -> None:
    project = await make_project(acme.member, acme)
    ids = await states_of(project)
    before = await workflow(project)
    answers = []

    async with globex.admin.acting() as actor:
        for project_id, state_ids in ((project.id, ids), (new_id(), dict.fromkeys(ids, new_id()))):
            with pytest.raises(NotFound) as refusal:
                await CHANGES[verb](actor, project_id, state_ids)
            answers.append(str(refusal.value))

    assert answers == [f"There is no such {'project' if verb == 'create' else 'workflow state'}."] * 2
    assert await workflow(project) == before
    assert await events(acme.org_id) == ["PROJECT_CREATED"]
