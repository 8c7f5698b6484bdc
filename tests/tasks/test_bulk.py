"""Many changes in one request: what is done, what is refused, and what a dry run says."""

import itertools
from typing import Any

import pytest

from domain.base.clock import new_id
from domain.base.permissions import Role
from domain.tasks import bulk, ranking
from graph.base.ids import global_id
from tests.factories import Person, Tenant, execute, make_member
from tests.tasks.board import BULK, UPDATE, Board, id_of, item, make_board, make_label, refusals, restrict, unchanged

RANKS = """
mutation ($items: [TaskBulkUpdateItem!]!) {
  taskBulkUpdate(items: $items) { results { task { rank version } errors { code } } errors { code } }
}
"""

Given = list[dict[str, Any]]


def told(payload: dict[str, Any]) -> list[list[tuple[str, list[str]]]]:
    """Code and path of the errors of each result."""
    return [refusals(result["errors"]) for result in payload["results"]]


def titles(payload: dict[str, Any]) -> list[str | None]:
    """The title in each result; None where there is no task."""
    return [result["task"] and result["task"]["title"] for result in payload["results"]]


async def test_each_task_gets_values_of_its_own(board: Board) -> None:
    label_id, other = await make_label(board.tenant, "ui"), await make_board(board.tenant, name="Other")
    a, b, c = await board.tasks(*"ABC")
    d = await other.task("D", assignee_id=board.tenant.guest.user_id)
    before = {task.id: await board.row(task) for task in (a, b, c, d)}

    payload = await board.client.done(
        BULK,
        items=[
            item(d, assigneeId=None, stateId=other.state("Done")),
            item(a, title="A!", priority="HIGH", parentId=id_of(b)),
            item(b, addedLabelIds=[label_id], stateId=board.state("Done"), estimate=3),
        ],
    )

    assert payload["changedCount"] == 3
    assert [result["id"] for result in payload["results"]] == [id_of(task) for task in (d, a, b)]
    shown_d, shown_a, shown_b = (result["task"] for result in payload["results"])
    assert (shown_d["assignee"], shown_d["state"], shown_d["version"]) == (None, {"name": "Done"}, 2)
    assert (shown_a["title"], shown_a["priority"], shown_a["parent"]) == ("A!", "HIGH", {"id": id_of(b)})
    assert (shown_b["labels"], shown_b["state"], shown_b["estimate"]) == ([{"name": "ui"}], {"name": "Done"}, 3)
    assert await board.row(c) == before[c.id]
    after = await board.row(a)
    changed = {"title": "A!", "priority": 3, "parent_id": b.id, "version": 2, "updated_at": after["updated_at"]}
    assert after == before[a.id] | changed


async def test_events_are_those_of_single_changes_in_the_order_of_the_items(board: Board) -> None:
    a, b = await board.tasks(*"AB")

    await board.client.done(
        BULK,
        items=[
            item(b, title="B!", stateId=board.state("Canceled"), assigneeId=board.tenant.guest.id),
            item(a, priority="URGENT"),
        ],
    )

    guest, states = str(board.tenant.guest.user_id), board.states
    assert (await board.facts())[2:] == [
        ("TASK_TRANSITIONED", {"state_id": {"was": str(states["Todo"]), "now": str(states["Canceled"])}}),
        ("TASK_ASSIGNED", {"assignee_id": {"was": None, "now": guest}}),
        ("TASK_UPDATED", {"title": {"was": "B", "now": "B!"}}),
        ("TASK_UPDATED", {"priority": {"was": "NONE", "now": "URGENT"}}),
    ]


async def test_newcomers_stand_behind_each_other_in_the_order_of_the_items(board: Board) -> None:
    a, _b, c, d = await board.tasks(*"ABCD")
    x, _y = await board.tasks(*"XY", state="Done")
    done, todo = board.state("Done"), board.state("Todo")

    await board.client.done(
        BULK, items=[item(c, stateId=done), item(x, stateId=todo), item(a, stateId=done), item(d, stateId=done)]
    )

    assert (await board.order("Done"), await board.order("Todo")) == (["Y", "C", "A", "D"], ["B", "X"])


async def test_room_that_is_made_at_the_end_of_a_state_keeps_the_order(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, _c = await board.tasks(*"ABC")
    # What was first is gone, so room is made by giving every other task another rank.
    gone, x, y = await board.tasks(*"GXY", state="Done")
    await board.client.done(UPDATE, id=id_of(gone), input={"stateId": board.state("Backlog")})
    monkeypatch.setattr(ranking, "LONGEST", 1)

    await board.client.done(
        BULK,
        items=[item(x, title="X!"), *(item(task, stateId=board.state("Done")) for task in (b, a)), item(y, estimate=1)],
    )

    assert (await board.order("Done"), await board.order("Todo")) == (["X!", "Y", "B", "A"], ["C"])


async def test_a_task_that_stays_is_shown_with_the_rank_that_making_room_gave_it(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    (a,), (b,) = await board.tasks("A"), await board.tasks("B", state="Backlog")
    # What was first is gone, so room is made by giving every other task another rank.
    gone, x = await board.tasks(*"GX", state="Done")
    await board.client.done(UPDATE, id=id_of(gone), input={"stateId": board.state("Canceled")})
    monkeypatch.setattr(ranking, "LONGEST", 1)

    payload = await board.client.done(
        RANKS, items=[item(x, title="X"), item(a, stateId=board.state("Done")), item(b, title="B")]
    )

    shown = [result["task"] for result in payload["results"]]
    assert [each["rank"] for each in shown] == [(await board.row(task))["rank"] for task in (x, a, b)]
    assert [each["version"] for each in shown] == [1, 2, 1]
    assert shown[0]["rank"] != x.rank


async def test_parents_of_one_request_see_each_other(board: Board) -> None:
    a, b, c = await board.tasks(*"ABC")
    line = await board.tasks("1", "2", "3", "4", "5")

    cycle = await board.client.done(BULK, items=[item(a, parentId=id_of(b)), item(b, parentId=id_of(a))])
    deep = await board.client.done(
        BULK,
        items=[
            *(item(below, parentId=id_of(above)) for above, below in itertools.pairwise(line)),
            item(line[0], parentId=id_of(c)),
        ],
    )
    turned = await board.client.done(
        BULK,
        items=[item(a, parentId=id_of(b)), item(b, parentId=id_of(a)), item(c, parentId=id_of(a))],
        errorPolicy="REJECT_FAILED",
    )
    back = await board.client.done(BULK, items=[item(a, parentId=None), item(b, parentId=id_of(a))])

    assert (told(cycle), cycle["changedCount"]) == ([[], [("INVALID", ["items", "1", "input", "parentId"])]], 0)
    assert (told(deep)[4], deep["changedCount"]) == ([("INVALID", ["items", "4", "input", "parentId"])], 0)
    assert [bool(errors) for errors in told(turned)] == [False, True, False]
    assert back["changedCount"] == 2
    rows = [(await board.row(task))["parent_id"] for task in (a, b, c)]
    assert rows == [None, a.id, a.id]


async def every_refusal(board: Board) -> tuple[Given, list[tuple[str, list[str]]], Person]:
    """Items that are refused, each in its own way, and what each is told."""
    await restrict(board, "Todo", "In progress")
    tasks = await board.tasks(*(f"Task {n}" for n in range(9)))
    away = await make_board(board.tenant, name="Away")
    in_away = await away.task("Away")
    await away.archive()
    labels = [await make_label(board.tenant, f"label {n:02}") for n in range(51)]
    leaving = await make_member(board.org_id, Role.MEMBER)
    await execute("UPDATE membership SET ended_at = now() WHERE user_id = $1", leaving.user_id)
    wrong: list[tuple[dict[str, Any], str, str]] = [
        (item(tasks[0], title=""), "INVALID", "input.title"),
        (item(tasks[1], if_version=7, title="New"), "STALE_VERSION", "ifVersion"),
        (item(tasks[2], stateId=board.state("Done")), "TRANSITION_NOT_ALLOWED", "input.stateId"),
        (item(tasks[3], stateId=away.state("Done")), "INVALID", "input.stateId"),
        (item(tasks[4], addedLabelIds=labels), "LIMIT_REACHED", "input.addedLabelIds"),
        (item(tasks[5], addedLabelIds=[global_id("label", new_id())]), "INVALID", "input.addedLabelIds"),
        (item(tasks[6], assigneeId=leaving.id), "INVALID", "input.assigneeId"),
        (item(tasks[7], parentId=id_of(tasks[7])), "INVALID", "input.parentId"),
        (item(in_away, title="New"), "CONFLICT", "id"),
        ({"id": global_id("task", new_id()), "input": {"title": "New"}}, "INVALID", "id"),
        ({"id": board.id, "input": {"title": "New"}}, "INVALID", "id"),
        (item(tasks[0], title="Twice"), "INVALID", "id"),
    ]
    # Between those that are refused and those that are not, one that changes nothing.
    wrong.insert(2, (item(tasks[8], title="Task 8"), "", ""))
    codes = [(code, ["items", str(n), *path.split(".")]) for n, (_, code, path) in enumerate(wrong)]
    return [each for each, _, _ in wrong], codes, leaving


async def test_each_failing_item_is_told_what_a_single_change_is_told_and_nothing_is_done(board: Board) -> None:
    items, codes, _ = await every_refusal(board)
    fine = await board.task("Fine")

    async with unchanged(board.tenant):
        payload = await board.client.done(BULK, items=[*items, item(fine, title="Better")])

    assert told(payload) == [[code] if code[0] else [] for code in codes] + [[]]
    assert payload["changedCount"] == 0
    assert titles(payload) == [None] * 2 + ["Task 8"] + [None] * 10 + ["Fine"]
    stale, transition = payload["results"][1]["errors"][0], payload["results"][3]["errors"][0]
    assert (stale["currentVersion"], stale["current"]["title"]) == (1, "Task 1")
    assert (transition["from"], transition["allowed"]) == ("Todo", ["In progress"])


async def test_failing_items_are_left_out_and_the_others_done(board: Board) -> None:
    items, codes, _ = await every_refusal(board)
    first, last = await board.tasks("First", "Last")
    events = await board.facts()

    payload = await board.client.done(
        BULK, items=[*items, item(first, title="First!"), item(last, title="Last!")], errorPolicy="REJECT_FAILED"
    )

    assert told(payload) == [[code] if code[0] else [] for code in codes] + [[], []]
    assert payload["changedCount"] == 2
    assert titles(payload)[-2:] == ["First!", "Last!"]
    assert [fact["title"]["now"] for _, fact in (await board.facts())[len(events) :]] == ["First!", "Last!"]


@pytest.mark.parametrize("policy", ["REJECT_ALL", "REJECT_FAILED"])
@pytest.mark.parametrize("failing", [False, True])
async def test_a_dry_run_changes_nothing_and_says_what_the_run_behind_it_does(
    board: Board, policy: str, failing: bool
) -> None:
    items = (await every_refusal(board))[0] if failing else []
    a, b, c = await board.tasks(*"ABC")
    items += [item(a, title="A!", parentId=id_of(c)), item(b, stateId=board.state("In progress")), item(c, title="C")]
    given = {"items": items, "errorPolicy": policy}

    async with unchanged(board.tenant):
        dry = await board.client.done(BULK, **given, dryRun=True)
    wet = await board.client.done(BULK, **given)

    assert dry["changedCount"] == wet["changedCount"] == (0 if failing and policy == "REJECT_ALL" else 2)
    assert [result["errors"] for result in dry["results"]] == [result["errors"] for result in wet["results"]]
    assert titles(dry)[-3:] == ["A", "B", "C"]
    assert titles(wet)[-3:] == (["A", "B", "C"] if wet["changedCount"] == 0 else ["A!", "B", "C"])


async def test_one_refused_item_takes_no_label_off_and_puts_none_on(board: Board) -> None:
    ui, bug = [await make_label(board.tenant, name) for name in ("ui", "bug")]
    a, b = await board.tasks(*"AB")
    await board.client.done(UPDATE, id=id_of(a), input={"addedLabelIds": [ui]})

    async with unchanged(board.tenant):
        await board.client.done(
            BULK, items=[item(a, removedLabelIds=[ui], addedLabelIds=[bug]), item(b, addedLabelIds=[bug], title="")]
        )
    both = await board.client.done(
        BULK, items=[item(a, removedLabelIds=[ui], addedLabelIds=[bug]), item(b, addedLabelIds=[bug, ui, bug])]
    )

    assert [[each["name"] for each in result["task"]["labels"]] for result in both["results"]] == [
        ["bug"],
        ["bug", "ui"],
    ]


async def test_values_that_are_there_already_are_no_change(board: Board) -> None:
    a, b = await board.tasks(*"AB")
    items = [item(a, title="A", stateId=board.state("Todo")), item(b)]

    async with unchanged(board.tenant):
        payload = await board.client.done(BULK, items=items)

    assert (payload["changedCount"], titles(payload), told(payload)) == (0, ["A", "B"], [[], []])


async def test_no_items_are_an_empty_result(board: Board) -> None:
    async with unchanged(board.tenant):
        payload = await board.client.done(BULK, items=[])

    assert payload == {"results": [], "changedCount": 0, "errors": []}


async def test_a_hundred_items_are_done_and_one_more_is_refused(board: Board) -> None:
    made = await board.tasks(*(f"Task {n}" for n in range(101)))
    items = [item(task, title=f"{task.title}!") for task in made]

    async with unchanged(board.tenant):
        refused = await board.client.refused(BULK, items=items, errorPolicy="REJECT_FAILED")
    payload = await board.client.done(BULK, items=items[1:])

    assert refusals(refused) == [("INVALID", ["items"])]
    # Counted before any of them is looked at.
    nonsense = await board.client.refused(BULK, items=[*items, {"id": "nonsense", "input": {}}])
    assert refusals(nonsense) == [("INVALID", ["items"])]
    assert (len(made) - 1, payload["changedCount"]) == (bulk.MOST_ITEMS, 100)
    assert await board.order() == ["Task 0", *(f"Task {n}!" for n in range(1, 101))]


async def test_an_unknown_and_a_strangers_task_are_told_the_same_and_take_no_other_along(
    board: Board, globex: Tenant
) -> None:
    foreign, own = await (await make_board(globex)).task(), await board.task("Own")
    answers = []

    async with unchanged(globex):
        for n, task_id in enumerate((global_id("task", new_id()), id_of(foreign), board.id)):
            items = [{"id": task_id, "input": {"title": ""}}, item(own, title=f"Own {n}")]
            answers.append(await board.client.done(BULK, items=items, errorPolicy="REJECT_FAILED"))

    assert [told(payload) for payload in answers] == [[[("INVALID", ["items", "0", "id"])], []]] * 3
    assert [result["errors"] for result in answers[1]["results"]] == [
        result["errors"] for result in answers[0]["results"]
    ]
    assert [titles(payload) for payload in answers] == [[None, f"Own {n}"] for n in range(3)]


async def test_tasks_of_several_organizations_are_changed_in_one_request(board: Board, globex: Tenant) -> None:
    abroad = await make_board(globex)
    await execute(
        "INSERT INTO membership (id, org_id, user_id, role, created_at, updated_at) "
        "VALUES ($1, $2, $3, 'MEMBER', now(), now())",
        new_id(), globex.org_id, board.tenant.member.user_id,
    )  # fmt: skip
    here, there, label_id = await board.task("Here"), await abroad.task("There"), await make_label(globex, "theirs")

    payload = await board.client.done(
        BULK,
        items=[
            item(here, title="Here!", addedLabelIds=[label_id]),
            item(there, title="There!", addedLabelIds=[label_id], stateId=abroad.state("Done")),
        ],
        errorPolicy="REJECT_FAILED",
    )

    assert told(payload) == [[("INVALID", ["items", "0", "input", "addedLabelIds"])], []]
    assert [kind for kind, _ in await board.facts()] == ["TASK_CREATED"]
    assert [kind for kind, _ in await abroad.facts()] == ["TASK_CREATED", "TASK_TRANSITIONED", "TASK_UPDATED"]


@pytest.mark.parametrize("role", ["billing", "guest"])
@pytest.mark.parametrize("policy", ["REJECT_ALL", "REJECT_FAILED"])
async def test_who_may_only_read_one_of_the_tasks_changes_none(
    board: Board, globex: Tenant, role: str, policy: str
) -> None:
    person: Person = getattr(board.tenant, role)
    own = await make_board(globex)
    await execute(
        "INSERT INTO membership (id, org_id, user_id, role, created_at, updated_at) "
        "VALUES ($1, $2, $3, 'MEMBER', now(), now())",
        new_id(), globex.org_id, person.user_id,
    )  # fmt: skip
    items = [item(await own.task(), title="Mine"), item(await board.task(), title="Mine too")]

    async with unchanged(board.tenant, globex):
        answer = await person.client.run(BULK, items=items, errorPolicy=policy)

    assert (answer.data, answer.codes) == ({"taskBulkUpdate": None}, ["FORBIDDEN"])


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"id": "nonsense", "input": {}}, ["items", "1", "id"]),
        ({"input": {"stateId": "nonsense"}}, ["items", "1", "input", "stateId"]),
        ({"input": {"addedLabelIds": ["nonsense"]}}, ["items", "1", "input", "addedLabelIds"]),
    ],
    ids=str,
)
async def test_a_text_that_is_no_id_is_bad_input(board: Board, given: dict[str, Any], path: list[str]) -> None:
    a, b = await board.tasks(*"AB")

    async with unchanged(board.tenant):
        answer = await board.client.run(BULK, items=[item(a, title="A!"), item(b) | given])

    assert answer.codes == ["BAD_USER_INPUT"]
    assert answer.errors[0]["extensions"]["path"] == path


async def test_a_version_of_zero_is_a_version(board: Board) -> None:
    task = await board.task()

    async with unchanged(board.tenant):
        payload = await board.client.done(BULK, items=[item(task, if_version=0, title="New")])

    assert told(payload) == [[("STALE_VERSION", ["items", "0", "ifVersion"])]]
