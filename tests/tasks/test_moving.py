"""Moves to another place or state: where the task ends up, and what is refused."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.base.clock import new_id
from domain.tasks import ranking
from graph.base.ids import global_id
from tests.factories import Person, Tenant
from tests.tasks.board import MOVE, Board, id_of, make_board, refusals, restrict, unchanged


async def test_a_state_alone_puts_the_task_last_there(board: Board) -> None:
    (task, *_), _ = await board.tasks("A", "B"), await board.tasks("C", "D", state="Done")
    was = await board.row(task)

    payload = await board.client.done(MOVE, id=id_of(task), input={"stateId": board.state("Done")})

    row = await board.row(task)
    assert payload["task"]["state"] == {"name": "Done"}
    assert (await board.order("Done"), await board.order("Todo")) == (["C", "D", "A"], ["B"])
    assert row == was | {name: row[name] for name in ("state_id", "rank", "completed_at", "updated_at")} | {
        "version": 2
    }
    assert row["completed_at"] is not None
    assert (await board.facts())[4:] == [
        (
            "TASK_TRANSITIONED",
            {
                "state_id": {"was": str(board.states["Todo"]), "now": str(board.states["Done"])},
                "completed_at": {"was": None, "now": row["completed_at"].isoformat()},
            },
        )
    ]


async def test_its_own_state_alone_puts_the_task_last(board: Board) -> None:
    task, _, last = await board.tasks("A", "B", "C")

    payload = await board.client.done(MOVE, id=id_of(task), input={"stateId": board.state("Todo")})
    async with unchanged(board.tenant):
        again = await board.client.done(MOVE, id=id_of(task), input={"stateId": board.state("Todo")})

    assert await board.order() == ["B", "C", "A"]
    assert payload["task"]["version"] == again["task"]["version"] == 2
    row = await board.row(task)
    assert row["rank"] > last.rank
    assert (await board.facts())[3:] == [("TASK_MOVED", {"rank": {"was": task.rank, "now": row["rank"]}})]


@pytest.mark.parametrize(
    ("moved", "key", "neighbor", "order"),
    [
        ("D", "beforeId", "A", "DABC"),
        ("D", "beforeId", "B", "ADBC"),
        ("A", "beforeId", "D", "BCAD"),
        ("A", "afterId", "D", "BCDA"),
        ("A", "afterId", "B", "BACD"),
        ("D", "afterId", "A", "ADBC"),
        ("C", "beforeId", "B", "ACBD"),
        ("B", "afterId", "C", "ACBD"),
    ],
)
async def test_a_neighbor_names_the_place(board: Board, moved: str, key: str, neighbor: str, order: str) -> None:
    made = dict(zip("ABCD", await board.tasks(*"ABCD"), strict=True))

    payload = await board.client.done(MOVE, id=id_of(made[moved]), input={key: id_of(made[neighbor])})

    assert await board.order() == list(order)
    assert payload["task"]["version"] == 2
    assert [(await board.row(task))["version"] for title, task in made.items() if title != moved] == [1, 1, 1]
    assert [kind for kind, _ in await board.facts()][4:] == ["TASK_MOVED"]


@pytest.mark.parametrize(
    ("moved", "key", "neighbor"),
    [("A", "beforeId", "B"), ("B", "beforeId", "C"), ("B", "afterId", "A"), ("C", "afterId", "B")],
)
async def test_a_task_that_stands_there_already_stays_as_it_is(
    board: Board, moved: str, key: str, neighbor: str
) -> None:
    made = dict(zip("ABC", await board.tasks(*"ABC"), strict=True))
    client = board.client
    # A rank between two others is longer than one at an end: the middle one would not get its own rank again.
    await client.done(MOVE, id=id_of(made["C"]), input={"beforeId": id_of(made["B"])})
    await client.done(MOVE, id=id_of(made["C"]), input={"afterId": id_of(made["B"])})

    async with unchanged(board.tenant):
        await client.done(MOVE, id=id_of(made[moved]), input={key: id_of(made[neighbor])})


async def test_a_state_and_a_neighbor_together(board: Board) -> None:
    task = await board.task("A")
    _, second = await board.tasks("B", "C", state="Done")

    await board.client.done(
        MOVE, id=id_of(task), input={"stateId": board.state("Done"), "beforeId": id_of(second), "afterId": None}
    )

    assert await board.order("Done") == ["B", "A", "C"]
    assert [kind for kind, _ in await board.facts()][3:] == ["TASK_TRANSITIONED"]


async def test_a_place_whose_rank_the_task_had_in_its_old_state_is_a_place_like_others(board: Board) -> None:
    a, b, c = await board.tasks(*"ABC")
    await board.client.done(MOVE, id=id_of(b), input={"stateId": board.state("Done")})
    await board.client.done(MOVE, id=id_of(a), input={"stateId": board.state("Backlog")})
    d = await board.task("D", state="Done")

    # D's rank in Done is the one that B left free here.
    await board.client.done(MOVE, id=id_of(d), input={"stateId": board.state("Todo"), "beforeId": id_of(c)})
    e = await board.task("E")
    await board.client.done(MOVE, id=id_of(e), input={"beforeId": id_of(c)})

    assert await board.order() == ["D", "E", "C"]


async def test_both_neighbors_or_nothing_are_refused(board: Board) -> None:
    a, b, c = await board.tasks(*"ABC")

    async with unchanged(board.tenant):
        both = await board.client.refused(MOVE, id=id_of(b), input={"beforeId": id_of(a), "afterId": id_of(c)})
        nothing = await board.client.refused(MOVE, id=id_of(b), input={})
        nulls = await board.client.refused(MOVE, id=id_of(b), input={"stateId": None, "beforeId": None})

    assert refusals(both) == [("INVALID", ["input", "afterId"])]
    assert refusals(nothing) == refusals(nulls) == [("INVALID", ["input", "stateId"])]


@pytest.mark.parametrize("key", ["beforeId", "afterId"])
async def test_a_neighbor_must_be_another_task_of_the_target_state(board: Board, globex: Tenant, key: str) -> None:
    task, elsewhere = await board.task(), await board.task(state="Done")
    other = await (await make_board(board.tenant, name="Other")).task()
    foreign = await (await make_board(globex)).task()
    neighbors = [global_id("task", new_id()), id_of(task), id_of(elsewhere), id_of(other), id_of(foreign), board.id]
    answers = []

    async with unchanged(board.tenant, globex):
        for neighbor in neighbors:
            answers.append(await board.client.refused(MOVE, id=id_of(task), input={key: neighbor}))
        there = await board.client.refused(
            MOVE, id=id_of(elsewhere), input={"stateId": board.state("Backlog"), key: id_of(task)}
        )

    assert refusals(answers[0]) == refusals(there) == [("INVALID", ["input", key])]
    assert answers == [answers[0]] * 6


async def test_a_state_must_be_of_the_project(board: Board) -> None:
    other, task = await make_board(board.tenant, name="Other"), await board.task()

    async with unchanged(board.tenant):
        errors = await board.client.refused(MOVE, id=id_of(task), input={"stateId": other.state("Todo")})

    assert refusals(errors) == [("INVALID", ["input", "stateId"])]


async def test_the_workflow_binds_moves_but_not_those_inside_a_state(board: Board) -> None:
    await restrict(board, "Todo", "In progress")
    a, b = await board.tasks(*"AB")

    async with unchanged(board.tenant):
        errors = await board.client.refused(MOVE, id=id_of(a), input={"stateId": board.state("Done")})
    await board.client.done(MOVE, id=id_of(a), input={"afterId": id_of(b)})

    assert [(error["code"], error["path"], error["from"], error["allowed"]) for error in errors] == [
        ("TRANSITION_NOT_ALLOWED", ["input", "stateId"], "Todo", ["In progress"])
    ]
    assert await board.order() == ["B", "A"]


async def test_a_wrong_version_moves_nothing(board: Board) -> None:
    a, b = await board.tasks(*"AB")

    async with unchanged(board.tenant):
        errors = await board.client.refused(MOVE, id=id_of(a), input={"afterId": id_of(b)}, ifVersion=7)
    await board.client.done(MOVE, id=id_of(a), input={"afterId": id_of(b)}, ifVersion=1)

    assert [(error["code"], error["path"], error["currentVersion"]) for error in errors] == [
        ("STALE_VERSION", ["ifVersion"], 1)
    ]


@pytest.mark.parametrize("role", ["billing", "guest"])
async def test_who_may_only_read_cannot_move(board: Board, role: str) -> None:
    task, person = await board.task(), getattr(board.tenant, role)
    assert isinstance(person, Person)

    async with unchanged(board.tenant):
        answer = await person.client.run(MOVE, id=id_of(task), input={"stateId": board.state("Done")})

    assert answer.codes == ["FORBIDDEN"]


async def test_long_ranks_are_spread_and_the_order_stays(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "LONGEST", 4)
    made = await board.tasks(*"ABCDEF")
    versions: dict[Any, int] = {task.id: 1 for task in made}
    expected = list("ABCDEF")

    for n in range(40):
        task = made[n % 5]
        await board.client.done(MOVE, id=id_of(task), input={"beforeId": id_of(made[5])})
        versions[task.id] += expected.index(task.title) != len(expected) - 2
        expected.remove(task.title)
        expected.insert(expected.index("F"), task.title)
        assert await board.order() == expected

    rows = [await board.row(task) for task in made]
    assert {row["id"]: row["version"] for row in rows} == versions
    assert max(len(row["rank"]) for row in rows) <= 4


async def test_ranks_that_stay_too_long_after_a_spread_are_taken_as_they_are(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "LONGEST", 1)
    a, b, c = await board.tasks(*"ABC")

    await board.client.done(MOVE, id=id_of(c), input={"afterId": id_of(a)})
    await board.client.done(MOVE, id=id_of(b), input={"stateId": board.state("Done")})

    assert (await board.order(), await board.order("Done")) == (["A", "C"], ["B"])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moves=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from(["beforeId", "afterId"]), st.booleans()).filter(
            lambda move: move[0] != move[1]
        ),
        max_size=12,
    )
)
async def test_any_moves_give_the_order_of_a_list(board: Board, moves: list[tuple[int, int, str, bool]]) -> None:
    fresh = await make_board(board.tenant, name="Fresh")
    made = await fresh.tasks(*"ABCDEF")
    lists = {"Todo": list("ABCDEF"), "Done": []}

    for moved, neighbor, key, elsewhere in moves:
        title, other = made[moved].title, made[neighbor].title
        state = next(name for name, titles in lists.items() if other in titles)
        if elsewhere:
            state = "Done" if state == "Todo" else "Todo"
            given: dict[str, Any] = {"stateId": fresh.state(state)}
        else:
            given = {"stateId": fresh.state(state), key: id_of(made[neighbor])}
        await fresh.client.done(MOVE, id=id_of(made[moved]), input=given)
        for titles in lists.values():
            if title in titles:
                titles.remove(title)
        target = lists[state]
        target.insert(len(target) if elsewhere else target.index(other) + (key == "afterId"), title)

    assert {state: await fresh.order(state) for state in lists} == lists
