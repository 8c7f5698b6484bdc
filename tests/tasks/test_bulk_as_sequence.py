"""A bulk does what single changes do one after the other: the same rows, the same facts, the same refusals."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.tasks import ranking
from domain.tasks.queries import TaskRow
from graph.base.ids import global_id
from tests.factories import rows
from tests.tasks.board import ERRORS, UPDATE, Board, id_of, make_board, make_label, restrict, unchanged

# Who is below whom at first; the states are Todo for capitals, Done for the others.
BELOW = {"B": "A", "C": "B", "D": "C", "F": "E", "h": "g"}
STATES = ["Backlog", "Todo", "Done"]

SHOWN = f"""
mutation ($items: [TaskBulkUpdateItem!]!, $errorPolicy: BulkErrorPolicy! = REJECT_ALL, $dryRun: Boolean! = false) {{
  taskBulkUpdate(items: $items, errorPolicy: $errorPolicy, dryRun: $dryRun) {{
    results {{ id task {{ title rank version }} {ERRORS} }} changedCount {ERRORS}
  }}
}}
"""

Change = st.SearchStrategy[dict[str, Any]]


@dataclass(frozen=True)
class Twin:
    """One of two boards that are alike, its tasks by name, and the names of all that an id can stand for."""

    board: Board
    tasks: dict[str, TaskRow]
    names: dict[str, str]

    def given(self, wanted: dict[str, Any], labels: list[str]) -> dict[str, Any]:
        """An item: what is wanted, with the ids of this board."""
        values = dict(wanted)
        name, version = values.pop("name"), values.pop("ifVersion", None)
        if "stateId" in values:
            values["stateId"] = self.board.state(values["stateId"])
        if values.get("parentId") is not None:
            values["parentId"] = id_of(self.tasks[values["parentId"]])
        if "assigneeId" in values:
            values["assigneeId"] = {"guest": self.board.tenant.guest.id, "nobody": None, "wrong": self.board.id}[
                values["assigneeId"]
            ]
        for key in ("addedLabelIds", "removedLabelIds"):
            if key in values:
                values[key] = [labels[n] for n in values[key]]
        found = {"id": id_of(self.tasks[name]), "input": values}
        return found if version is None else found | {"ifVersion": version}

    def told(self, value: Any) -> Any:
        """The value with names for ids, and without what differs from one moment to the next."""
        if isinstance(value, dict):
            return {key: "then" if key == "completed_at" else self.told(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.told(each) for each in value]
        return self.names.get(str(value), value)

    async def rows(self) -> dict[str, dict[str, Any]]:
        """Every task by its id, as `SHOWN` shows it."""
        found = await rows("SELECT id, title, rank, version FROM task WHERE project_id = $1", self.board.project.id)
        return {global_id("task", row.pop("id")): row for row in found}

    async def outcome(self) -> Any:
        """Every task by name, the order in each state, and the facts."""
        found = await rows(
            "SELECT task.id, title, priority, version, state_id, parent_id, assignee_id, completed_at IS NULL AS open, "
            "array(SELECT label_id FROM task_label WHERE task_id = task.id ORDER BY task_label.id) AS labels "
            "FROM task WHERE project_id = $1 ORDER BY number",
            self.board.project.id,
        )
        facts = await rows(
            "SELECT type, subject_id, event.data, event_values.data AS apart FROM event "
            "LEFT JOIN event_values ON event_values.event_id = event.id "
            "WHERE event.project_id = $1 AND type <> 'TASK_CREATED' AND subject_kind = 'task' ORDER BY seq",
            self.board.project.id,
        )
        places = await rows("SELECT id, state_id FROM task WHERE project_id = $1 ORDER BY rank", self.board.project.id)
        order = {
            state: [row["id"] for row in places if row["state_id"] == self.board.states[state]] for state in STATES
        }
        return self.told([found, order]), [self._fact(row) for row in facts]

    def _fact(self, row: dict[str, Any]) -> tuple[str, str, str]:
        text = f"{row['data']} {row['apart']}"
        for id, name in self.names.items():
            text = text.replace(id, name)
        data, _, rest = text.partition('"completed_at":')
        return row["type"], self.names[str(row["subject_id"])], data + rest.partition("}")[2]


async def make_twin(board: Board, name: str, labels: list[str]) -> Twin:
    """A board with a small forest, and a workflow that does not allow everything."""
    fresh = await make_board(board.tenant, name=name)
    made: dict[str, TaskRow] = {}
    for title in "ABCDEFgh":
        parent = made[BELOW[title]].id if title in BELOW else None
        made[title] = await fresh.task(title, parent_id=parent, state="Todo" if title.isupper() else "Done")
    await restrict(fresh, "Done", "Todo")
    names = {str(task.id): title for title, task in made.items()}
    names |= {str(id): state for state, id in fresh.states.items()}
    names |= {str(UUID(id.partition("_")[2])): f"label {n}" for n, id in enumerate(labels)}
    return Twin(fresh, made, names)


def changes() -> st.SearchStrategy[list[dict[str, Any]]]:
    """Up to eight changes of as many tasks; many of them are refused, some because of those before them."""
    names = st.sampled_from("ABCDEFgh")
    some_labels = st.lists(st.integers(0, 1), max_size=2)
    anything: Change = st.fixed_dictionaries(
        {"name": names},
        optional={
            "parentId": st.none() | names,
            "stateId": st.sampled_from(STATES),
            "title": st.sampled_from(["", "A", "New"]),
            "priority": st.sampled_from(["NONE", "HIGH"]),
            "assigneeId": st.sampled_from(["guest", "nobody", "nobody", "guest", "wrong"]),
            "addedLabelIds": some_labels,
            "removedLabelIds": some_labels,
            "ifVersion": st.sampled_from([1, 1, 1, 2]),
        },
    )
    climb: Change = st.fixed_dictionaries({"name": names, "parentId": st.none() | names})
    return st.one_of(_lists(anything), _lists(climb))


def _lists(change: Change) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(change, min_size=2, max_size=8, unique_by=lambda each: str(each["name"]))


def trimmed(errors: list[dict[str, Any]], above: list[str]) -> list[Any]:
    """Code, message and path of each, without the path above the item."""
    assert all(error["path"][: len(above)] == above for error in errors)
    return [(error["code"], error["message"], error["path"][len(above) :]) for error in errors]


@pytest.fixture
async def labels(board: Board) -> list[str]:
    """Two labels."""
    return [await make_label(board.tenant, name) for name in ("ui", "bug")]


@pytest.fixture(params=[ranking.LONGEST, 1], ids=["room", "no room"])
def longest(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks as they are, and so short that every newcomer makes room among those who stay."""
    monkeypatch.setattr(ranking, "LONGEST", request.param)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=changes())
async def test_any_bulk_equals_the_sequence_of_its_changes(
    board: Board, labels: list[str], longest: None, wanted: list[dict[str, Any]]
) -> None:
    singly, at_once = await make_twin(board, "Singly", labels), await make_twin(board, "At once", labels)
    items = [at_once.given(each, labels) for each in wanted]
    untouched = await at_once.outcome()

    refused = []
    for each in wanted:
        payload = (await board.client.ok(UPDATE, **singly.given(each, labels)))["taskUpdate"]
        refused.append(trimmed(payload["errors"], []))
    dry = await board.client.done(SHOWN, items=items, errorPolicy="REJECT_FAILED", dryRun=True)
    all_dry = await board.client.done(SHOWN, items=items, dryRun=True)
    assert await at_once.outcome() == untouched
    if any(refused):
        async with unchanged(board.tenant):
            whole = await board.client.done(SHOWN, items=items)
    done = await board.client.done(SHOWN, items=items, errorPolicy="REJECT_FAILED")

    for payload in (dry, all_dry, done, *([whole] if any(refused) else [])):
        told = [trimmed(result["errors"], ["items", str(n)]) for n, result in enumerate(payload["results"])]
        assert told == refused
    shown = {result["id"]: result["task"] for result in done["results"] if result["task"] is not None}
    assert shown == {id: row for id, row in (await at_once.rows()).items() if id in shown}
    outcome = await at_once.outcome()
    assert outcome == await singly.outcome()
    changed = len({subject for _, subject, _ in outcome[1]})
    assert [dry["changedCount"], done["changedCount"]] == [changed] * 2
    assert all_dry["changedCount"] == (0 if any(refused) else changed)
