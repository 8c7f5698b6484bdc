"""What is asked: four fixed documents in Planwire's words and in the peers', and when two answers are equal.

The documents ask for the same values. They differ where the APIs do: Planwire's lists are connections, its viewer is an
account around a user and its ids name their type; the peers have plain lists, the bare user and the bare UUID, which
costs them less.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from bench.data import ORGANIZATIONS, PEOPLE_PER_ORGANIZATION, STATES, Size, id_of, token_of

PAGES, PER_PAGE = 10, 100
# Different requests of a workload, sent in turn.
REQUESTS = 2_000
PRIORITIES = ("NONE", "LOW", "MEDIUM", "HIGH", "URGENT")

_PERSON = "{ id name email }"
_TASK_W1 = f"id identifier title priority state {{ name }} project {{ id name }} assignee {_PERSON}"
_TASK_W2 = "id identifier title priority assignee { name email } labels { name } commentCount"
_TASK_W3 = f"id identifier number title description priority estimate dueDate createdAt updatedAt assignee {_PERSON}"
_TASK_W4 = "id identifier number title priority version project { id name }"


class Different(Exception):
    """An answer does not say what it has to."""


@dataclass(frozen=True)
class Question:
    """One request: who asks, as a number of the data set, and the variables in the words of its server."""

    user: int
    variables: dict[str, Any]


@dataclass(frozen=True)
class Workload:
    """A fixed document and the connections that ask it at once."""

    name: str
    what: str
    ours: str
    theirs: str
    connections: int
    goal: float
    asked: Callable[[Size, bool, "Cursors"], Iterator[Question]]

    def document(self, ours: bool) -> str:
        """The text for Planwire, or for a peer."""
        return self.ours if ours else self.theirs

    def bodies(self, size: Size, ours: bool, cursors: "Cursors") -> list[tuple[Question, bytes]]:
        """The requests' bodies, the same at every call."""
        document = self.document(ours)
        return [
            (each, orjson.dumps({"query": document, "operationName": self.name, "variables": each.variables}))
            for each in self.asked(size, ours, cursors)
        ]


Cursors = dict[int, list[str | None]]
"""Organization -> where the pages of its list begin, as Planwire told when it was asked before."""


def global_id(kind: str, number: int) -> str:
    """The id of a numbered thing as Planwire's clients know it."""
    return f"{'workflow_state' if kind == 'state' else kind}_{id_of(kind, number).hex}"


def _id(kind: str, number: int, ours: bool) -> str:
    return global_id(kind, number) if ours else str(id_of(kind, number))


def _people() -> Iterator[tuple[random.Random, int, int]]:
    """Somebody of each organization in turn, with their organization, and the chance that goes along."""
    chance = random.Random(4)  # noqa: S311
    for turn in range(REQUESTS):
        organization = turn % ORGANIZATIONS
        yield chance, organization, organization * PEOPLE_PER_ORGANIZATION + turn // ORGANIZATIONS % 10 + 1


def _one_task(size: Size, ours: bool, _cursors: Cursors) -> Iterator[Question]:
    for chance, organization, user in _people():
        task = size.task(organization, chance.randrange(size.tasks_per_organization))
        yield Question(user, {"id": _id("task", task, ours)})


def _project_of(size: Size, chance: random.Random, organization: int) -> int:
    return organization * size.projects_per_organization + chance.randrange(size.projects_per_organization) + 1


def _project(size: Size, ours: bool, _cursors: Cursors) -> Iterator[Question]:
    for chance, organization, user in _people():
        yield Question(user, {"id": _id("project", _project_of(size, chance, organization), ours)})


def _organization(size: Size, ours: bool, cursors: Cursors) -> Iterator[Question]:
    for _, organization, user in _people():
        places = cursors.get(organization, [None] * PAGES)
        pages = {f"after{page}": place for page, place in enumerate(places)} if ours else {}
        yield Question(user, {"id": _id("organization", organization + 1, ours), **pages})


def _new_task(size: Size, ours: bool, _cursors: Cursors) -> Iterator[Question]:
    for turn, (chance, organization, user) in enumerate(_people()):
        project = _project_of(size, chance, organization)
        values = {
            "projectId": _id("project", project, ours),
            "stateId": _id("state", (project - 1) * len(STATES) + 2, ours),
            "title": f"Written by the benchmark, {turn}",
            "description": "What is to be done.",
            "priority": PRIORITIES[turn % len(PRIORITIES)],
        }
        yield Question(user, {"input": values})


_PAGES = " ".join(
    f"page{page}: tasks(organizationId: $id, first: {PER_PAGE}, after: $after{page}, orderBy: [{{field: UPDATED_AT}}]) "
    f"{{ nodes {{ {_TASK_W3} }} }}"
    for page in range(PAGES)
)
_PLACES = " ".join(f"$after{page}: String" for page in range(PAGES))
WALK = (
    f"query ($id: ID!, $after: String) {{ tasks(organizationId: $id, first: {PER_PAGE}, after: $after, "
    "orderBy: [{field: UPDATED_AT}]) { pageInfo { endCursor } } }"
)

WORKLOADS = (
    Workload(
        "W1",
        "viewer and one task with project and assignee",
        f"query W1($id: ID!) {{ viewer {{ user {_PERSON} }} task(id: $id) {{ {_TASK_W1} }} }}",
        f"query W1($id: ID!) {{ viewer {_PERSON} task(id: $id) {{ {_TASK_W1} }} }}",
        32,
        1.5,
        _one_task,
    ),
    Workload(
        "W2",
        "50 tasks of a project with assignee, labels, commentCount and the 3 latest comments with authors",
        "query W2($id: ID!) { project(id: $id) { id name tasks(first: 50, orderBy: [{field: NUMBER}]) { nodes { "
        f"{_TASK_W2} comments(last: 3) {{ nodes {{ body author {{ ... on User {{ name }} }} }} }} }} }} }} }}",
        f"query W2($id: ID!) {{ project(id: $id) {{ id name tasks(first: 50) {{ {_TASK_W2} "
        "comments(last: 3) { body author { name } } } } }",
        16,
        1.7,
        _project,
    ),
    Workload(
        "W3",
        "1,000 tasks with 10 scalars and assignee; Planwire in 10 pages of 100, the peers in one list",
        f"query W3($id: ID! {_PLACES}) {{ {_PAGES} }}",
        f"query W3($id: ID!) {{ tasks(organizationId: $id, first: {PAGES * PER_PAGE}) {{ {_TASK_W3} }} }}",
        4,
        2.0,
        _organization,
    ),
    Workload(
        "W4",
        "taskCreate returning task and project; the bare insert in the peers",
        f"mutation W4($input: TaskCreateInput!) {{ taskCreate(input: $input) {{ task {{ {_TASK_W4} }} }} }}",
        f"mutation W4($input: TaskCreateInput!) {{ taskCreate(input: $input) {{ task {{ {_TASK_W4} }} }} }}",
        32,
        0.8,
        _new_task,
    ),
)
BY_NAME = {workload.name: workload for workload in WORKLOADS}


def credentials(user: int, ours: bool) -> str:
    """The Authorization header: a session's token, or for the peers, which check nothing, who it is."""
    return f"Bearer {token_of(user)}" if ours else f"Bearer {id_of('user', user)}"


def plain(workload: str, answer: bytes) -> Any:
    """What is said by an answer, however its server puts it. Raises Different when it tells of errors."""
    told = orjson.loads(answer)
    if told.get("errors") or not told.get("data"):
        raise Different(f"{workload}: {answer[:500].decode()}")
    found = _plain(told["data"], "")
    if workload == "W3" and "page0" in found:
        found = {"tasks": [task for page in range(PAGES) for task in found[f"page{page}"]]}
    if workload == "W4":
        # Who numbers a task, and from where on, is the server's own affair.
        task = found["taskCreate"]["task"] or {}
        for name in ("id", "identifier", "number"):
            if task.pop(name, None) in (None, ""):
                raise Different(f"{workload}: no task, or one without {name}")
    return found


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return [_plain(item, "") for item in value]
    if isinstance(value, dict):
        if value.keys() == {"nodes"}:
            return _plain(value["nodes"], "")
        if name == "viewer" and value.keys() == {"user"}:
            return _plain(value["user"], "")
        return {key: _plain(item, key) for key, item in value.items()}
    if isinstance(value, str) and name == "id":
        return value.rpartition("_")[2].replace("-", "")
    if isinstance(value, str) and name.endswith("At"):
        return datetime.fromisoformat(value).timestamp()
    return value
