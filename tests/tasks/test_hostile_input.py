"""Strings, numbers, days and ids that nobody means well with: refused by name, never a fault of ours."""

from typing import Any
from uuid import UUID

import pytest

from graph.base.ids import global_id
from tests.client import Answer
from tests.tasks.board import COMMENT, CREATE, DELETE, MOVE, RELATE, TRANSFER, UPDATE, Board, id_of, unchanged
from tests.tasks.test_lists import LIST
from tests.tasks.test_transfers import BY_NAME

# Python reads it as a digit, the contract does not.
ARABIC_ZERO = "\u0660"
STRINGS = ["\x00", "a\x00b", "\ud800", "\udfff", "ok \ud83d", "\x00" * 1000]
NUMBERS: list[object] = [
    2**31, -(2**31) - 1, 2**53, 2**63, 10**400, -(10**400), 1.5, float("inf"), float("nan"), True, "1", "1e3", [], {},
]  # fmt: skip
DAYS: list[object] = [
    "0000-01-01", "10000-01-01", "-0001-01-01", "2026-02-30", "2026-13-01", "2026-1-1", "2026-01-01T00:00:00Z", "",
    "today", "infinity", ARABIC_ZERO * 4 + "-01-01", 20260101, True, [], {},
]  # fmt: skip
INSTANTS = [
    "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-01T24:00:01Z",
    "2026-01-01T00:00:60Z", "2026-01-01T00:00:00", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00+99:99", "infinity", "",
]  # fmt: skip
IDS: list[object] = [
    "", "task_", "task_0", "_" + "0" * 32, "TASK_" + "0" * 32, "task_" + "G" * 32, "task_" + "0" * 33, "t" * 100_000,
    "task_" + "0" * 31 + "\n", "task_" + ARABIC_ZERO * 32, "00000000-0000-0000-0000-000000000000", "\x00",
    "task_\ud800", 7, 1.5, {}, None,
]  # fmt: skip


def harmless(answer: Answer) -> bool:
    """Whether it was refused as bad input, or as a user error, and with nothing else."""
    if answer.codes:
        return set(answer.codes) == {"BAD_USER_INPUT"}
    assert answer.data is not None
    (payload,) = answer.data.values()
    return bool(payload["errors"])


@pytest.mark.parametrize("text", STRINGS, ids=repr)
async def test_strings_that_no_column_holds_are_bad_input(board: Board, text: str) -> None:
    task = await board.task()
    id = id_of(task)
    works: list[tuple[str, dict[str, Any]]] = [
        (CREATE, {"input": {"projectId": board.id, "title": text}}),
        (CREATE, {"input": {"projectId": board.id, "title": "T", "description": text}}),
        (UPDATE, {"id": id, "input": {"title": text}}),
        (UPDATE, {"id": id, "input": {"description": text}}),
        (COMMENT, {"input": {"taskId": id, "body": text}}),
        (BY_NAME, {"slug": text, "name": "WEB-1"}),
        (BY_NAME, {"slug": board.tenant.slug, "name": text}),
        (LIST, {"id": board.tenant.id, "filter": {"title": {"eq": text}}}),
        (LIST, {"id": board.tenant.id, "filter": {"title": {"in": ["T", text]}}}),
        (LIST, {"id": board.tenant.id, "filter": {"not": {"title": {"contains": text}}}}),
    ]

    async with unchanged(board.tenant):
        answers = [await board.client.run(document, **variables) for document, variables in works]

    assert [answer.codes for answer in answers] == [["BAD_USER_INPUT"]] * len(works)


async def test_a_nul_in_the_document_itself_is_bad_input(board: Board) -> None:
    document = (
        f'mutation {{ taskCreate(input: {{projectId: "{board.id}", title: "a\\u0000b"}}) {{ errors {{ code }} }} }}'
    )

    async with unchanged(board.tenant):
        answer = await board.client.run(document)

    assert answer.codes == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: repr(number)[:20])
async def test_numbers_out_of_range_are_refused(board: Board, number: object) -> None:
    task = await board.task()
    works: list[tuple[str, dict[str, Any]]] = [
        (CREATE, {"input": {"projectId": board.id, "title": "T", "estimate": number}}),
        (UPDATE, {"id": id_of(task), "input": {"estimate": number}}),
        (UPDATE, {"id": id_of(task), "input": {"title": "T"}, "ifVersion": number}),
        (LIST, {"id": board.tenant.id, "filter": {"number": {"gt": number}}}),
    ]

    async with unchanged(board.tenant):
        answers = [await board.client.run(document, **variables) for document, variables in works]

    assert all(harmless(answer) for answer in answers)


@pytest.mark.parametrize(
    "number",
    [
        "99999999999999999999",
        "-2147483649",
        "1e400",
        "1.0e1",
        "1" + "0" * 5000,
        "0x1",
    ],
    ids=lambda number: number[:20],
)
async def test_numbers_in_the_document_itself_are_refused(board: Board, number: str) -> None:
    document = f"""
    mutation {{
      taskCreate(input: {{projectId: "{board.id}", title: "T", estimate: {number}}}) {{ errors {{ code }} }}
    }}
    """

    async with unchanged(board.tenant):
        answer = await board.client.run(document)

    assert answer.codes == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("day", DAYS, ids=lambda day: repr(day)[:24])
async def test_what_is_no_day_is_bad_input(board: Board, day: object) -> None:
    task = await board.task()
    works: list[tuple[str, dict[str, Any]]] = [
        (CREATE, {"input": {"projectId": board.id, "title": "T", "dueDate": day}}),
        (UPDATE, {"id": id_of(task), "input": {"dueDate": day}}),
        (LIST, {"id": board.tenant.id, "filter": {"dueDate": {"gt": day}}}),
    ]

    async with unchanged(board.tenant):
        answers = [await board.client.run(document, **variables) for document, variables in works]

    assert [answer.codes for answer in answers] == [["BAD_USER_INPUT"]] * len(works)


@pytest.mark.parametrize("instant", INSTANTS)
@pytest.mark.parametrize("field", ["createdAt", "updatedAt", "completedAt"])
async def test_what_is_no_instant_is_bad_input(board: Board, field: str, instant: str) -> None:
    answer = await board.client.run(LIST, id=board.tenant.id, filter={field: {"lt": instant}})

    assert answer.codes == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("edge", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
async def test_the_first_and_the_last_instant_are_taken(board: Board, edge: str) -> None:
    data = await board.client.ok(LIST, id=board.tenant.id, filter={"createdAt": {"gte": edge}})

    assert data["tasks"] == {"totalCount": 0, "nodes": []}


@pytest.mark.parametrize("id", IDS, ids=lambda id: repr(id)[:24])
async def test_what_is_no_id_is_bad_input(board: Board, id: Any) -> None:
    task = id_of(await board.task())
    works: list[tuple[str, dict[str, Any]]] = [
        (CREATE, {"input": {"projectId": id, "title": "T"}}),
        (CREATE, {"input": {"projectId": board.id, "title": "T", "labelIds": [id]}}),
        (UPDATE, {"id": id, "input": {}}),
        (UPDATE, {"id": task, "input": {"addedLabelIds": [id]}}),
        (UPDATE, {"id": task, "input": {"removedLabelIds": [id]}}),
        (MOVE, {"id": id, "input": {"stateId": board.state("Todo")}}),
        (TRANSFER, {"id": task, "projectId": id}),
        (DELETE, {"id": id}),
        (RELATE, {"fromId": task, "toId": id, "kind": "BLOCKS"}),
        (COMMENT, {"input": {"taskId": id, "body": "B"}}),
        (LIST, {"id": id}),
        (LIST, {"id": board.tenant.id, "filter": {"id": {"in": [id]}}}),
    ]
    if id is not None:
        works += [
            (CREATE, {"input": {"projectId": board.id, "title": "T", "stateId": id}}),
            (CREATE, {"input": {"projectId": board.id, "title": "T", "assigneeId": id}}),
            (CREATE, {"input": {"projectId": board.id, "title": "T", "parentId": id}}),
            (UPDATE, {"id": task, "input": {"stateId": id}}),
            (UPDATE, {"id": task, "input": {"assigneeId": id}}),
            (UPDATE, {"id": task, "input": {"parentId": id}}),
            (MOVE, {"id": task, "input": {"beforeId": id}}),
            (MOVE, {"id": task, "input": {"afterId": id}}),
            (TRANSFER, {"id": task, "projectId": board.id, "stateId": id}),
            (COMMENT, {"input": {"taskId": task, "body": "B", "replyToId": id}}),
        ]

    async with unchanged(board.tenant):
        answers = [await board.client.run(document, **variables) for document, variables in works]

    assert [answer.codes for answer in answers] == [["BAD_USER_INPUT"]] * len(works)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"slug": "acme"},
        {"name": "WEB-1"},
        {"id": global_id("task", UUID(int=1)), "slug": "acme", "name": "WEB-1"},
        {"id": global_id("task", UUID(int=1)), "slug": "acme"},
    ],
    ids=lambda arguments: "+".join(arguments) or "nothing",
)
async def test_a_task_is_asked_for_by_id_or_by_both_names(board: Board, arguments: dict[str, str]) -> None:
    document = """
    query ($id: ID, $slug: String, $name: String) { task(id: $id, organizationSlug: $slug, identifier: $name) { id } }
    """

    answer = await board.client.run(document, **arguments)

    assert answer.codes == ["BAD_USER_INPUT"]
    assert answer.data == {"task": None}


async def test_a_very_long_title_and_body_are_refused_and_not_told_back(board: Board) -> None:
    task, long = await board.task(), "x" * 3_000_000

    async with unchanged(board.tenant):
        answers = [
            await board.client.run(CREATE, input={"projectId": board.id, "title": long, "description": long}),
            await board.client.run(UPDATE, id=id_of(task), input={"title": long}),
            await board.client.run(COMMENT, input={"taskId": id_of(task), "body": long}),
        ]

    assert all(harmless(answer) for answer in answers)
    assert all(len(str(answer.data)) < 2000 for answer in answers)
