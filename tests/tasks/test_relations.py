"""How tasks stand to each other: seen from both ends, once each, without cycles, at most 100."""

import asyncio
import itertools
from collections import Counter
from typing import Any

import pytest

from domain.base.clock import new_id
from domain.tasks import relations
from domain.tasks import service as tasks
from domain.tasks.models import RelationKind
from domain.tasks.queries import TaskRow
from graph.base.ids import global_id
from tests.factories import Person, Tenant, execute, rows
from tests.tasks.board import RELATE, UNRELATE, Board, id_of, make_board, refusals, unchanged
from tests.tasks.races import uncommitted, waiting

SEEN = "query ($id: ID!) { task(id: $id) { relations { id kind inverse task { title } } } }"


async def relate(board: Board, source: TaskRow, target: TaskRow, kind: str = "BLOCKS") -> dict[str, Any]:
    """The payload."""
    data = await board.client.ok(RELATE, fromId=id_of(source), toId=id_of(target), kind=kind)
    return dict(data["taskRelationCreate"])


async def seen(board: Board, task: TaskRow) -> list[dict[str, Any]]:
    data = await board.client.ok(SEEN, id=id_of(task))
    return list(data["task"]["relations"])


@pytest.mark.parametrize("kind", list(RelationKind))
async def test_a_relation_is_seen_from_both_ends(board: Board, kind: RelationKind) -> None:
    a, b = await board.tasks(*"AB")

    payload = await relate(board, a, b, kind.value)

    id = payload["relation"]["id"]
    assert payload == {
        "relation": {"id": id, "kind": kind.value, "inverse": False, "task": {"id": id_of(b)}},
        "errors": [],
    }
    assert await seen(board, a) == [{"id": id, "kind": kind.value, "inverse": False, "task": {"title": "B"}}]
    assert await seen(board, b) == [{"id": id, "kind": kind.value, "inverse": True, "task": {"title": "A"}}]
    assert (await board.facts())[2:] == [
        ("TASK_RELATION_CREATED", {"kind": kind.value, "from_id": str(a.id), "to_id": str(b.id)})
    ]


async def test_tasks_of_two_projects_can_be_related_and_are_listed_oldest_first(board: Board) -> None:
    other = await make_board(board.tenant, name="Other")
    a, b, c = await board.task("A"), await other.task("B"), await other.task("C")

    await relate(board, a, c, "RELATES_TO")
    await relate(board, b, a, "BLOCKS")
    await relate(board, a, b, "DUPLICATES")

    assert [(each["kind"], each["inverse"], each["task"]["title"]) for each in await seen(board, a)] == [
        ("RELATES_TO", False, "C"),
        ("BLOCKS", True, "B"),
        ("DUPLICATES", False, "B"),
    ]


async def test_a_relation_is_taken_away_from_either_end(board: Board) -> None:
    a, b = await board.tasks(*"AB")
    id = (await relate(board, a, b))["relation"]["id"]

    payload = await board.client.done(UNRELATE, id=id)

    assert payload["deletedId"] == id
    assert (await seen(board, a), await seen(board, b)) == ([], [])
    assert (await board.facts())[3:] == [
        ("TASK_RELATION_DELETED", {"kind": "BLOCKS", "from_id": str(a.id), "to_id": str(b.id)})
    ]
    assert (await board.client.run(UNRELATE, id=id)).codes == ["NOT_FOUND"]


async def test_the_node_of_a_relation_is_as_its_first_task_sees_it(board: Board) -> None:
    a, b = await board.tasks(*"AB")
    id = (await relate(board, a, b))["relation"]["id"]
    document = "query ($id: ID!) { node(id: $id) { id ... on TaskRelation { kind inverse task { title } } } }"

    data = await board.client.ok(document, id=id)

    assert data["node"] == {"id": id, "kind": "BLOCKS", "inverse": False, "task": {"title": "B"}}


async def test_a_task_is_not_related_to_itself(board: Board) -> None:
    task = await board.task()

    async with unchanged(board.tenant):
        payload = await relate(board, task, task, "RELATES_TO")

    assert refusals(payload["errors"]) == [("INVALID", ["toId"])]


@pytest.mark.parametrize(
    ("kind", "reversed_", "taken"),
    [
        ("BLOCKS", False, True),
        ("DUPLICATES", False, True),
        ("RELATES_TO", False, True),
        ("RELATES_TO", True, True),
        ("DUPLICATES", True, False),
    ],
)
async def test_the_same_relation_again_is_taken(board: Board, kind: str, reversed_: bool, taken: bool) -> None:
    a, b = await board.tasks(*"AB")
    await relate(board, a, b, kind)

    payload = await relate(board, b, a, kind) if reversed_ else await relate(board, a, b, kind)

    assert refusals(payload["errors"]) == ([("TAKEN", ["toId"])] if taken else [])
    assert len(await seen(board, a)) == len(await board.facts("TASK_RELATION_CREATED")) == (1 if taken else 2)


@pytest.mark.parametrize("length", [2, 3, 6])
async def test_blocking_makes_no_cycle(board: Board, length: int) -> None:
    made = await board.tasks(*"ABCDEF"[:length])
    for source, target in itertools.pairwise(made):
        await relate(board, source, target)

    async with unchanged(board.tenant):
        payload = await relate(board, made[-1], made[0])
    shortcut = await relate(board, made[0], made[-1], "DUPLICATES")

    assert refusals(payload["errors"]) == [("INVALID", ["toId"])]
    assert shortcut["errors"] == []


async def test_two_relations_at_once_make_no_cycle(board: Board) -> None:
    a, b = await board.tasks(*"AB")

    async with uncommitted(
        board.tenant.admin, lambda actor: relations.create(actor, a.id, b.id, kind=RelationKind.BLOCKS)
    ):
        other = await waiting(relate(board, b, a))
        waited = not other.done()

    assert waited
    assert refusals((await other)["errors"]) == [("INVALID", ["toId"])]


async def test_many_relations_at_once_make_neither_a_cycle_nor_a_double(board: Board) -> None:
    other = await make_board(board.tenant, name="Other")
    made = [*await board.tasks(*"AB"), *await other.tasks(*"CD")]
    pairs = [(source, target) for source in made for target in made if source is not target] * 2

    payloads = await asyncio.gather(*(relate(board, source, target) for source, target in pairs))

    outcomes = Counter(error["code"] for payload in payloads for error in payload["errors"])
    kept = await rows("SELECT from_id, to_id FROM task_relation WHERE org_id = $1", board.org_id)
    assert outcomes == {"INVALID": 12, "TAKEN": 6}
    assert len({(row["from_id"], row["to_id"]) for row in kept}) == len(kept) == 6
    # Of four tasks all of which are compared, one blocks three others, one two, one one and one none.
    assert sorted(Counter(row["from_id"] for row in kept).values()) == [1, 2, 3]


async def test_a_hundred_relations_fit_whichever_way_they_point(board: Board) -> None:
    hub, outside, more = await board.tasks("Hub", "Outside", "More")
    await execute(
        "INSERT INTO task (id, org_id, project_id, number, identifier, title, state_id, priority, rank, creator_kind, "
        "version, created_at, updated_at) SELECT uuidv7(), org_id, project_id, 100 + n, 'X-' || n, 'Spoke', state_id, "
        "0, 'z' || n, creator_kind, 1, now(), now() FROM task, generate_series(1, 99) AS n WHERE task.id = $1",
        hub.id,
    )
    await execute(
        "INSERT INTO task_relation (id, org_id, kind, from_id, to_id, created_at, updated_at) "
        "SELECT uuidv7(), org_id, 'RELATES_TO', CASE WHEN number % 2 = 0 THEN $1 ELSE id END, "
        "CASE WHEN number % 2 = 0 THEN id ELSE $1 END, now(), now() FROM task WHERE project_id = $2 AND number > 100",
        hub.id, board.project.id,
    )  # fmt: skip

    fits = await relate(board, hub, outside)
    async with unchanged(board.tenant):
        from_full, to_full = await relate(board, hub, more), await relate(board, more, hub, "DUPLICATES")

    assert fits["errors"] == []
    assert len(await seen(board, hub)) == 100
    common = {
        "__typename": "LimitError",
        "code": "LIMIT_REACHED",
        "feature": "task_relations",
        "limit": 100,
        "used": 100,
    }
    assert from_full["errors"] == [common | {"message": from_full["errors"][0]["message"], "path": ["fromId"]}]
    assert to_full["errors"] == [common | {"message": to_full["errors"][0]["message"], "path": ["toId"]}]


async def test_a_strangers_task_looks_like_an_unknown_one(board: Board, globex: Tenant) -> None:
    task, foreign = await board.task(), await (await make_board(globex)).task()
    answers = []

    async with unchanged(board.tenant, globex):
        for other in (global_id("task", new_id()), id_of(foreign), board.id):
            for ends in ({"fromId": id_of(task), "toId": other}, {"fromId": other, "toId": id_of(task)}):
                answers.append(await board.client.run(RELATE, **ends, kind="BLOCKS"))

    expected = answers[0]
    assert expected.codes == ["NOT_FOUND"]
    assert [(answer.data, answer.errors) for answer in answers] == [(expected.data, expected.errors)] * 6


async def test_tasks_of_two_organizations_of_ones_own_are_not_related(board: Board, globex: Tenant) -> None:
    task, foreign = await board.task(), await (await make_board(globex)).task()
    await execute(
        "INSERT INTO membership (id, org_id, user_id, role, created_at, updated_at) "
        "VALUES ($1, $2, $3, 'ADMIN', now(), now())",
        new_id(), globex.org_id, board.tenant.member.user_id,
    )  # fmt: skip

    async with unchanged(board.tenant, globex):
        payload = await relate(board, task, foreign)

    assert refusals(payload["errors"]) == [("INVALID", ["toId"])]


@pytest.mark.parametrize("role", ["billing", "guest"])
async def test_who_may_only_read_relates_nothing(board: Board, globex: Tenant, role: str) -> None:
    a, b, c = await board.tasks(*"ABC")
    id = (await relate(board, a, b))["relation"]["id"]
    person = getattr(board.tenant, role)
    assert isinstance(person, Person)

    async with unchanged(board.tenant):
        creating = await person.client.run(RELATE, fromId=id_of(a), toId=id_of(c), kind="BLOCKS")
        deleting = await person.client.run(UNRELATE, id=id)
        stranger = await globex.admin.client.run(UNRELATE, id=id)

    assert creating.codes == deleting.codes == ["FORBIDDEN"]
    assert stranger.codes == ["NOT_FOUND"]


async def test_a_task_that_is_being_deleted_cannot_be_related(board: Board) -> None:
    a, b = await board.tasks(*"AB")

    async with uncommitted(board.tenant.admin, lambda actor: tasks.delete(actor, b.id)):
        relating = await waiting(board.client.run(RELATE, fromId=id_of(a), toId=id_of(b), kind="BLOCKS"))

    assert (await relating).codes == ["NOT_FOUND"]
    assert await seen(board, a) == []


async def test_of_many_who_take_one_relation_away_one_does(board: Board) -> None:
    a, b = await board.tasks(*"AB")
    id = (await relate(board, a, b))["relation"]["id"]

    answers = await asyncio.gather(*(board.client.run(UNRELATE, id=id) for _ in range(6)))

    assert sorted(code for answer in answers for code in answer.codes) == ["NOT_FOUND"] * 5
    assert len(await board.facts("TASK_RELATION_DELETED")) == 1
