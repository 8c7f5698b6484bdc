"""New tasks that name their state: made by one statement, and just as those that are made step by step."""

import asyncio
import random
from collections.abc import Collection
from typing import Any
from uuid import UUID

import pytest

from domain.base.clock import new_id
from domain.base.database import tx
from domain.events import log
from domain.projects import service as projects
from domain.tasks import entry, ranking
from domain.tasks import service as tasks
from graph.base.ids import global_id
from tests.client import GraphQL
from tests.events.chain import first_fault
from tests.factories import Person, Tenant, events, execute, rows
from tests.tasks.board import CREATE, Board, make_board, refusals, unchanged

ASKING = "mutation ($input: TaskCreateInput!) {{ taskCreate(input: $input) {{ task {{ {} }} }} }}"
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def ranks_to_follow() -> list[str]:
    """Each of another length, most of them about to grow, some with a fraction behind."""
    chance = random.Random(9)  # noqa: S311
    heads = {chr(ord("a") + n): n + 1 for n in range(26)} | {chr(ord("Z") - n): n + 1 for n in range(26)}
    found = []
    for head, length in heads.items():
        for zs in {0, 1, length - 1, length}:
            counted = "".join(chance.choices(DIGITS[1:], k=max(length - zs, 0))) + "z" * zs
            found += [head + counted[:length], head + counted[:length] + "V"]
    # All of the letters are used up: what follows grows behind them.
    return [rank for rank in found if not rank.startswith("z" * 27)]


async def test_the_database_counts_ranks_as_we_do(board: Board) -> None:
    state_id, found = board.states["Todo"], {}
    (empty,) = await rows("SELECT rank_behind($1) AS rank", state_id)
    await board.task("Last", state="Todo")

    for rank in ranks_to_follow():
        await execute("UPDATE task SET rank = $2 WHERE state_id = $1", state_id, rank)
        (row,) = await rows("SELECT rank_behind($1) AS rank", state_id)
        found[rank] = row["rank"]

    assert [empty["rank"]] == ranking.following(None, 1)
    assert found == {rank: ranking.following(rank, 1)[0] for rank in found}
    assert len(found) > 200


async def test_a_task_comes_behind_the_end_of_all_ranks(board: Board) -> None:
    await board.task("Last", state="Todo")
    await execute("UPDATE task SET rank = $2 WHERE state_id = $1", board.states["Todo"], "z" * 27)

    await board.client.done(CREATE, input={"projectId": board.id, "title": "New", "stateId": board.state("Todo")})

    assert await board.order() == ["Last", "New"]


@pytest.mark.parametrize("state", ["Todo", "Done"])
async def test_it_is_the_same_task_and_the_same_event_as_step_by_step(board: Board, state: str) -> None:
    apart = {"id", "number", "identifier", "created_at", "updated_at", "completed_at", "rank"}
    given: dict[str, Any] = {"title": 'A "quoted" title', "description": "Some\nlines", "estimate": 3}
    async with board.tenant.member.acting() as actor:
        at_once = await tasks.create(actor, board.project.id, state_id=board.states[state], **given)
        async with tx():
            stepwise = await tasks.create(actor, board.project.id, state_id=board.states[state], **given)

    first, second = await board.row(at_once), await board.row(stepwise)

    assert isinstance(at_once, entry.EnteredRow)
    assert not isinstance(stepwise, entry.EnteredRow)
    assert {**first, **dict.fromkeys(apart)} == {**second, **dict.fromkeys(apart)}
    assert {name: at_once[name] for name in first} == first
    assert (first["completed_at"] is None) is (second["completed_at"] is None) is (state == "Todo")
    assert (first["number"], second["number"]) == (1, 2)
    events = [{**values, "identifier": None} for _, values in await board.facts()]
    assert events == [events[0]] * 2
    assert [values["identifier"] for _, values in await board.facts()] == [first["identifier"], second["identifier"]]
    assert await first_fault(board.org_id) is None


@pytest.mark.parametrize(
    "selection",
    [
        "project { id key name organization { slug } __typename } state { id name category color __typename }",
        "project { id name description version createdAt } state { name position allowedNext { name } }",
        "project { name states { name } } state { tasks { nodes { title } } }",
    ],
)
async def test_the_answer_shows_project_and_state_as_a_read_does(board: Board, selection: str) -> None:
    await execute("UPDATE project SET description = 'Longer', version = 7 WHERE id = $1", board.project.id)

    created = await board.client.ok(ASKING.format(f"id {selection}"), input=named(board))

    task = created["taskCreate"]["task"]
    read = await board.client.ok(f"query ($id: ID!) {{ task(id: $id) {{ id {selection} }} }}", id=task["id"])
    assert task == read["task"]


async def test_a_hundred_at_once_leave_no_gap_and_a_whole_log(board: Board) -> None:
    names = ("Todo", "Done")

    async def create(n: int) -> int:
        given = {"projectId": board.id, "title": f"Task {n}", "stateId": board.state(names[n % 2])}
        return int((await board.client.done(CREATE, input=given))["task"]["number"])

    numbers = await asyncio.gather(*(create(n) for n in range(100)))

    assert sorted(numbers) == list(range(1, 101))
    for name in names:
        # Each state in the order of its numbers: who waited for its lock looked at its end afterwards.
        found = await rows("SELECT number FROM task WHERE state_id = $1 ORDER BY rank", board.states[name])
        assert [row["number"] for row in found] == sorted(row["number"] for row in found)
        assert len(await board.order(name)) == 50
    assert await events(board.org_id) == ["PROJECT_CREATED"] + ["TASK_CREATED"] * 100
    assert await first_fault(board.org_id) is None


async def test_the_first_event_of_an_organization_begins_its_log(board: Board) -> None:
    await execute("DELETE FROM event_counter WHERE org_id = $1", board.org_id)

    await board.client.done(CREATE, input={"projectId": board.id, "title": "New", "stateId": board.state("Todo")})

    assert await events(board.org_id) == ["TASK_CREATED"]
    assert await first_fault(board.org_id) is None
    assert [row["number"] for row in await rows("SELECT number FROM task WHERE org_id = $1", board.org_id)] == [1]


async def test_inside_a_transaction_its_event_comes_behind_those_before_it(board: Board) -> None:
    async with board.tenant.admin.acting() as actor, tx():
        await projects.update(actor, board.project.id, name="Renamed")
        await tasks.create(actor, board.project.id, title="New", state_id=board.states["Todo"])

    assert await events(board.org_id) == ["PROJECT_CREATED", "PROJECT_UPDATED", "TASK_CREATED"]


async def test_who_follows_the_log_is_told(board: Board) -> None:
    told: list[Collection[UUID]] = []

    with log.grown.told(told.append):
        async with board.tenant.member.acting() as actor:
            await tasks.create(actor, board.project.id, title="New", state_id=board.states["Todo"])

    assert [set(each) for each in told] == [{board.org_id}]


@pytest.mark.parametrize("role", ["billing", "guest"])
async def test_who_may_only_read_cannot_create(board: Board, role: str) -> None:
    person: Person = getattr(board.tenant, role)

    async with unchanged(board.tenant):
        answer = await person.client.run(CREATE, input=named(board, title="Mine"))

    assert answer.codes == ["FORBIDDEN"]


async def test_a_strangers_project_is_not_there(board: Board, globex: Tenant) -> None:
    foreign = await make_board(globex)

    async with unchanged(board.tenant, globex):
        answers = [
            await board.client.run(CREATE, input={**named(board), "projectId": foreign.id}),
            await board.client.run(CREATE, input=named(foreign)),
            await board.client.run(CREATE, input={**named(board), "projectId": global_id("project", new_id())}),
        ]

    assert [answer.codes for answer in answers] == [["NOT_FOUND"]] * 3


async def test_a_key_that_may_create_but_not_read_leaves_no_trace(board: Board) -> None:
    make_key = "mutation ($input: ApiKeyCreateInput!) { apiKeyCreate(input: $input) { secret errors { code } } }"
    given = {"organizationId": board.tenant.id, "name": "Writer", "permissions": ["PROJECT_READ", "TASK_CREATE"]}
    secret = (await board.tenant.admin.client.done(make_key, input=given))["secret"]

    async with unchanged(board.tenant):
        answer = await GraphQL(secret).run(CREATE, input=named(board))

    assert answer.codes == ["NOT_FOUND"]


async def test_faults_are_told_all_at_once_and_nothing_is_made(board: Board) -> None:
    async with unchanged(board.tenant):
        errors = await board.client.refused(CREATE, input=named(board, title="", estimate=-1))

    assert refusals(errors) == [("INVALID", ["input", "title"]), ("INVALID", ["input", "estimate"])]


def named(board: Board, **given: Any) -> dict[str, Any]:
    """The input of a task in Todo."""
    return {"projectId": board.id, "title": "New", "stateId": board.state("Todo"), **given}
