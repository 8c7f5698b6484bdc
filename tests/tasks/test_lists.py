"""What filters keep, on rows, in every list that takes one."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from domain.adapters.wiring import Adapters
from domain.base.clock import frozen, new_id
from domain.tasks import service as tasks
from domain.tasks.models import Priority
from domain.tasks.queries import TaskRow
from graph.base.ids import global_id
from tests import factories
from tests.factories import Tenant
from tests.tasks.board import Board, id_of, make_board, make_label

LIST = """
query ($id: ID!, $filter: TaskFilter) {
  tasks(organizationId: $id, first: 100, filter: $filter) { totalCount nodes { title } }
}
"""
EVERYWHERE = """
query ($organization: ID!, $project: ID!, $state: ID!, $filter: TaskFilter) {
  tasks(organizationId: $organization, filter: $filter) { totalCount nodes { title } }
  project(id: $project) { tasks(filter: $filter) { totalCount nodes { title } } }
  state: node(id: $state) { ... on WorkflowState { tasks(filter: $filter) { totalCount nodes { title } } } }
  viewer { assignedTasks(filter: $filter) { totalCount nodes { title } } }
}
"""


@dataclass(frozen=True)
class Shelf:
    """Seven tasks of two projects, one of them archived, that differ in all that can be asked for."""

    board: Board
    made: dict[str, TaskRow]
    labels: dict[str, str]

    def id(self, initial: str) -> str:
        """The id of the task whose title begins so."""
        return next(id_of(task) for title, task in self.made.items() if title.startswith(initial))

    async def kept(self, filter: dict[str, Any] | None) -> str:
        """The initials of what the filter keeps, sorted; the total agrees."""
        data = await self.board.client.ok(LIST, id=self.board.tenant.id, filter=filter)
        initials = sorted(node["title"][0] for node in data["tasks"]["nodes"])
        assert data["tasks"]["totalCount"] == len(initials)
        return "".join(initials)


@pytest.fixture(scope="module")
async def shelf(adapters: Adapters) -> Shelf:
    """Read by all tests of this file, changed by none."""
    tenant = await factories.make_tenant("acme")
    board = await make_board(tenant)
    other = await make_board(tenant, name="Mobile app")
    labels = {name: await make_label(tenant, name) for name in ("ui", "api", "unused")}
    marked = {name: [UUID(label_id.removeprefix("label_"))] for name, label_id in labels.items()}
    member, guest = tenant.member.user_id, tenant.guest.user_id
    made: dict[str, TaskRow] = {}

    async def add(day: int, title: str, on: Board = board, **values: Any) -> None:
        with frozen(datetime(2026, 1, day, 12, tzinfo=UTC)):
            made[title] = await on.task(title, **values)

    await add(1, "Alpha 100%")
    await add(
        2, "beta_x", state="In progress", priority=Priority.HIGH, assignee_id=member, due_date=date(2026, 1, 10),
        estimate=3, label_ids=marked["ui"],
    )  # fmt: skip
    await add(
        3, "Gamma\\", state="Done", priority=Priority.URGENT, assignee_id=guest, due_date=date(2026, 2, 10),
        estimate=5, label_ids=marked["ui"] + marked["api"],
    )  # fmt: skip
    async with tenant.admin.acting() as actor:
        with frozen(datetime(2026, 1, 4, 12, tzinfo=UTC)):
            made["delta"] = await tasks.create(
                actor, board.project.id, title="delta", state_id=board.states["Backlog"], priority=Priority.LOW,
                estimate=8, parent_id=made["beta_x"].id,
            )  # fmt: skip
    await add(5, "Échelle", state="Canceled", assignee_id=member, parent_id=made["Gamma\\"].id)
    await add(6, "Foxtrot 100", on=other, priority=Priority.MEDIUM, estimate=0, label_ids=marked["api"])
    await add(7, "Zulu", priority=Priority.HIGH, assignee_id=member)
    async with tenant.member.acting() as actor:
        with frozen(datetime(2026, 1, 8, 12, tzinfo=UTC)):
            await tasks.archive(actor, made["Zulu"].id)
    return Shelf(board, made, labels)


def noon(day: int) -> str:
    return f"2026-01-{day:02}T12:00:00Z"


Filter = Callable[[Shelf], dict[str, Any]]
CASES: list[tuple[Filter, str]] = [
    (lambda _: {}, "AFGbdÉ"),
    (lambda s: {"id": {"eq": s.id("A")}}, "A"),
    (lambda s: {"id": {"in": [s.id("A"), s.id("G"), s.id("Z")]}}, "AG"),
    (lambda s: {"id": {"in": []}}, ""),
    (lambda s: {"id": {"notIn": [s.id("A"), s.id("G")]}}, "FbdÉ"),
    (lambda s: {"id": {"notIn": []}}, "AFGbdÉ"),
    (lambda s: {"id": {"in": [s.id("A"), s.id("b")], "notIn": [s.id("b")]}}, "A"),
    (lambda s: {"project": {"eq": s.board.id}}, "AGbdÉ"),
    (lambda s: {"project": {"notIn": [s.board.id]}}, "F"),
    (lambda s: {"project": {"in": [s.board.id, global_id("project", new_id())]}}, "AGbdÉ"),
    (lambda s: {"state": {"eq": s.board.state("Done")}}, "G"),
    (lambda s: {"state": {"in": [s.board.state("Done"), s.board.state("Todo")]}}, "AG"),
    (lambda s: {"state": {"notIn": [s.board.state("Done"), s.board.state("Todo")]}}, "FbdÉ"),
    (lambda _: {"stateCategory": {"eq": "TODO"}}, "AF"),
    (lambda _: {"stateCategory": {"in": ["DONE", "CANCELED"]}}, "GÉ"),
    (lambda _: {"stateCategory": {"in": []}}, ""),
    (lambda _: {"not": {"stateCategory": {"in": ["DONE", "CANCELED"]}}}, "AFbd"),
    (lambda s: {"assignee": {"eq": s.board.tenant.member.id}}, "bÉ"),
    (lambda s: {"assignee": {"in": [s.board.tenant.member.id, s.board.tenant.guest.id]}}, "GbÉ"),
    (lambda s: {"assignee": {"notIn": [s.board.tenant.member.id]}}, "AFGd"),
    (lambda s: {"assignee": {"notIn": []}}, "AFGbdÉ"),
    (lambda _: {"assignee": {"isNull": True}}, "AFd"),
    (lambda _: {"assignee": {"isNull": False}}, "GbÉ"),
    (lambda s: {"assignee": {"isNull": True, "eq": s.board.tenant.member.id}}, ""),
    (lambda s: {"not": {"assignee": {"eq": s.board.tenant.member.id}}}, "AFGd"),
    (lambda s: {"not": {"assignee": {"notIn": [s.board.tenant.member.id]}}}, "bÉ"),
    (lambda s: {"creator": {"eq": s.board.tenant.admin.id}}, "d"),
    (lambda s: {"creator": {"notIn": [s.board.tenant.admin.id]}}, "AFGbÉ"),
    (lambda _: {"creator": {"isNull": True}}, ""),
    (lambda s: {"parent": {"eq": s.id("b")}}, "d"),
    (lambda s: {"parent": {"in": [s.id("b"), s.id("G")]}}, "dÉ"),
    (lambda s: {"parent": {"notIn": [s.id("b")]}}, "AFGbÉ"),
    (lambda _: {"parent": {"isNull": False}}, "dÉ"),
    (lambda s: {"label": {"eq": s.labels["ui"]}}, "Gb"),
    (lambda s: {"label": {"eq": s.labels["unused"]}}, ""),
    (lambda s: {"label": {"in": [s.labels["ui"], s.labels["api"]]}}, "FGb"),
    (lambda s: {"label": {"in": []}}, ""),
    (lambda s: {"label": {"notIn": [s.labels["ui"]]}}, "AFdÉ"),
    (lambda s: {"label": {"notIn": []}}, "AFGbdÉ"),
    (lambda _: {"label": {"isNull": True}}, "AdÉ"),
    (lambda _: {"label": {"isNull": False}}, "FGb"),
    (lambda s: {"not": {"label": {"eq": s.labels["ui"]}}}, "AFdÉ"),
    (lambda s: {"and": [{"label": {"eq": s.labels["ui"]}}, {"label": {"eq": s.labels["api"]}}]}, "G"),
    (lambda _: {"priority": {"eq": "NONE"}}, "AÉ"),
    (lambda _: {"priority": {"in": ["HIGH", "URGENT"]}}, "Gb"),
    (lambda _: {"priority": {"in": []}}, ""),
    (lambda _: {"title": {"eq": "delta"}}, "d"),
    (lambda _: {"title": {"eq": "Delta"}}, ""),
    (lambda _: {"title": {"in": ["delta", "beta_x", "nothing"]}}, "bd"),
    (lambda _: {"title": {"contains": "A"}}, "AGbd"),
    (lambda _: {"title": {"contains": "ÉCH"}}, "É"),
    (lambda _: {"title": {"contains": "100%"}}, "A"),
    (lambda _: {"title": {"contains": "a_x"}}, "b"),
    (lambda _: {"title": {"contains": "\\"}}, "G"),
    (lambda _: {"title": {"contains": ""}}, "AFGbdÉ"),
    (lambda _: {"title": {"startsWith": "BETA"}}, "b"),
    (lambda _: {"title": {"startsWith": "eta"}}, ""),
    (lambda _: {"title": {"startsWith": "%"}}, ""),
    (lambda _: {"title": {"startsWith": "f", "contains": "100"}}, "F"),
    (lambda _: {"number": {"eq": 1}}, "AF"),
    (lambda _: {"number": {"gt": 1, "lte": 3}}, "Gb"),
    (lambda _: {"number": {"gte": 4}}, "dÉ"),
    (lambda _: {"number": {"lt": -(2**31) + 1}}, ""),
    (lambda _: {"number": {"isNull": True}}, ""),
    (lambda _: {"estimate": {"eq": 0}}, "F"),
    (lambda _: {"estimate": {"gt": 3}}, "Gd"),
    (lambda _: {"estimate": {"gte": 3, "lt": 8}}, "Gb"),
    (lambda _: {"estimate": {"lte": 3}}, "Fb"),
    (lambda _: {"estimate": {"isNull": True}}, "AÉ"),
    (lambda _: {"not": {"estimate": {"gt": 3}}}, "AFbÉ"),
    (lambda _: {"archived": False}, "AFGbdÉ"),
    (lambda _: {"archived": True}, "Z"),
    (lambda _: {"or": [{"archived": True}, {"archived": False}]}, "AFGZbdÉ"),
    (lambda _: {"not": {"archived": True}}, "AFGbdÉ"),
    (lambda _: {"priority": {"eq": "HIGH"}, "or": [{"archived": True}, {"archived": False}]}, "Zb"),
    (lambda _: {"dueDate": {"eq": "2026-01-10"}}, "b"),
    (lambda _: {"dueDate": {"gt": "2026-01-10"}}, "G"),
    (lambda _: {"dueDate": {"gte": "2026-01-10", "lt": "2026-02-10"}}, "b"),
    (lambda _: {"dueDate": {"lte": "9999-12-31"}}, "Gb"),
    (lambda _: {"dueDate": {"isNull": True}}, "AFdÉ"),
    (lambda _: {"not": {"dueDate": {"gt": "2026-01-10"}}}, "AFbdÉ"),
    (lambda _: {"createdAt": {"gt": noon(3)}}, "FdÉ"),
    (lambda _: {"createdAt": {"gte": noon(3), "lte": noon(4)}}, "Gd"),
    (lambda _: {"createdAt": {"lt": "2026-01-02T14:00:00.000001+02:00"}}, "Ab"),
    (lambda _: {"updatedAt": {"gt": noon(7)}, "archived": True}, "Z"),
    (lambda _: {"completedAt": {"isNull": False}}, "G"),
    (lambda _: {"completedAt": {"lte": noon(3)}}, "G"),
    (lambda _: {"completedAt": {"lt": noon(3)}}, ""),
    (lambda _: {"not": {"completedAt": {"gte": noon(1)}}}, "AFbdÉ"),
    (lambda _: {"and": []}, "AFGbdÉ"),
    (lambda _: {"or": []}, ""),
    (lambda _: {"not": {}}, ""),
    (lambda _: {"not": {"or": []}}, "AFGbdÉ"),
    (lambda _: {"assignee": {}, "title": None, "or": None, "not": None, "archived": None}, "AFGbdÉ"),
    (lambda _: {"or": [{"priority": {"eq": "LOW"}}, {"estimate": {"eq": 0}, "number": {"eq": 1}}]}, "Fd"),
    (lambda _: {"and": [{"number": {"gte": 2}}, {"not": {"number": {"gte": 4}}}], "estimate": {"gt": 3}}, "G"),
    (lambda _: {"not": {"and": [{"number": {"gte": 2}}, {"number": {"lte": 4}}]}}, "AFÉ"),
    (lambda _: {"not": {"not": {"not": {"estimate": {"gt": 3}}}}}, "AFbÉ"),
    (lambda s: {"assignee": {"eq": s.id("A")}}, ""),
    (lambda s: {"assignee": {"notIn": [s.id("A")]}}, "AFGbdÉ"),
    (lambda s: {"label": {"eq": s.board.tenant.id}}, ""),
    (lambda s: {"label": {"notIn": [s.board.tenant.id]}}, "AFGbdÉ"),
    (lambda s: {"state": {"in": [s.board.id]}}, ""),
    (lambda s: {"parent": {"notIn": [s.board.id]}}, "AFGbdÉ"),
    (lambda _: {"creator": {"eq": global_id("api_key", new_id())}}, ""),
]


@pytest.mark.parametrize(("filter", "initials"), CASES)
async def test_a_filter_keeps_what_it_says(shelf: Shelf, filter: Filter, initials: str) -> None:
    assert await shelf.kept(filter(shelf)) == initials


async def test_no_filter_keeps_all_that_is_not_archived(shelf: Shelf) -> None:
    assert await shelf.kept(None) == "AFGbdÉ"


async def test_every_list_takes_the_same_filter(shelf: Shelf) -> None:
    board = shelf.board

    data = await board.client.ok(
        EVERYWHERE,
        organization=board.tenant.id,
        project=board.id,
        state=board.state("In progress"),
        filter={"or": [{"estimate": {"eq": 3}}, {"priority": {"eq": "MEDIUM"}}, {"archived": True}]},
    )

    def found(*titles: str) -> dict[str, Any]:
        return {"totalCount": len(titles), "nodes": [{"title": title} for title in titles]}

    assert data == {
        "tasks": found("Foxtrot 100", "Zulu", "beta_x"),
        "project": {"tasks": found("Zulu", "beta_x")},
        "state": {"tasks": found("beta_x")},
        "viewer": {"assignedTasks": found("Zulu", "beta_x")},
    }


async def test_a_strangers_tasks_are_in_no_list_and_his_organization_looks_like_an_unknown_one(
    shelf: Shelf, globex: Tenant
) -> None:
    await (await make_board(globex)).task()

    answers = [
        await globex.admin.client.run(LIST, id=id)
        for id in (shelf.board.tenant.id, global_id("organization", new_id()))
    ]
    data = await globex.admin.client.ok(LIST, id=globex.id, filter={"project": {"eq": shelf.board.id}})

    assert answers[0].codes == ["NOT_FOUND"]
    assert (answers[0].data, answers[0].errors) == (answers[1].data, answers[1].errors)
    assert data == {"tasks": {"totalCount": 0, "nodes": []}}
    assert await shelf.kept({}) == "AFGbdÉ"


NULLS = [
    ({kind: {operator: None}}, kind, operator)
    for kind, operators in {
        "id": ("eq", "in", "notIn"),
        "assignee": ("eq", "in", "notIn", "isNull"),
        "title": ("eq", "in", "contains", "startsWith"),
        "estimate": ("eq", "gt", "gte", "lt", "lte", "isNull"),
        "dueDate": ("eq", "gt", "gte", "lt", "lte", "isNull"),
        "completedAt": ("gt", "gte", "lt", "lte", "isNull"),
        "priority": ("eq", "in"),
        "stateCategory": ("eq", "in"),
    }.items()
    for operator in operators
]


@pytest.mark.parametrize(("filter", "kind", "operator"), NULLS, ids=str)
async def test_an_operator_takes_no_null(shelf: Shelf, filter: dict[str, Any], kind: str, operator: str) -> None:
    for nested in (filter, {"and": [{"not": filter}]}):
        answer = await shelf.board.client.run(LIST, id=shelf.board.tenant.id, filter=nested)

        assert answer.codes == ["BAD_USER_INPUT"]
        assert answer.errors[0]["extensions"]["path"] == ["filter", kind, operator]
        assert f"`{operator}`" in answer.errors[0]["message"]


def deep(levels: int) -> dict[str, Any]:
    filter: dict[str, Any] = {"number": {"eq": 1}}
    for _ in range(levels - 1):
        filter = {"and": [filter]}
    return filter


@pytest.mark.parametrize(
    "filter",
    [
        {"assignee": {"eq": "nobody"}},
        {"label": {"in": [""]}},
        {"id": {"notIn": ["task_" + "g" * 32]}},
        {"id": {"in": [f"task_{n:032x}" for n in range(101)]}},
        {"title": {"in": ["x"] * 101}},
        {"or": [{"number": {"eq": n}} for n in range(101)]},
        {"or": [{}] * 101},
        {"and": [{"assignee": {}}] * 101},
        {"and": [{"or": []}] * 101},
        deep(6),
        deep(100),
        {"dueDate": {"eq": "2026-02-30"}},
        {"createdAt": {"gt": "2026-01-01"}},
        {"number": {"eq": 2**31}},
        {"priority": {"eq": "SOON"}},
        {"nothing": {"eq": 1}},
    ],
    ids=lambda filter: str(filter)[:50],
)
async def test_a_filter_that_cannot_be_is_bad_input(shelf: Shelf, filter: dict[str, Any]) -> None:
    answer = await shelf.board.client.run(LIST, id=shelf.board.tenant.id, filter=filter)

    assert answer.codes == ["BAD_USER_INPUT"]


async def test_five_levels_and_a_hundred_conditions_are_taken(shelf: Shelf) -> None:
    assert await shelf.kept(deep(5)) == "AF"
    assert await shelf.kept({"or": [{"number": {"eq": n}} for n in range(100)]}) == "AFGbdÉ"
    assert await shelf.kept({"id": {"in": [shelf.id("A")] * 100}}) == "A"
