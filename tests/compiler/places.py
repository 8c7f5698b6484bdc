"""Where the measured operations and the example tabs run: organizations of known sizes, and ever new requests there."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any

from starlette.types import ASGIApp

from bench.workloads import BY_NAME, PAGES, WALK
from domain.base.clock import now
from domain.demo.people import PASSWORD
from domain.identity import passwords
from graph.base.ids import global_id
from tests.compiler.wire import answer_of
from tests.factories import Person, execute, make_tenant, rows
from tests.graphiql.test_examples import EVENTS, EXAMPLES
from tests.tasks.board import Board, make_board, make_label

DOCUMENTS = {example.stem: example.read_text(encoding="utf-8") for example in EXAMPLES if example != EVENTS} | {
    name: workload.ours for name, workload in BY_NAME.items()
}
"""Name -> document, of all that is answered once."""

READS = ("W1", "W2", "W3", "2-look-around")
WRITES = ("W4", "1-sign-in", "3-task-create", "4-task-move")
COUNTS = (1, 10, 100)
MOST = 1000

Asked = tuple[str, str, dict[str, Any]]
"""Token, document, variables."""


@dataclass(frozen=True)
class Place:
    """An organization with one project of so many tasks."""

    board: Board
    tasks: list[str]

    @property
    def people(self) -> tuple[Person, Person]:
        """Two who may do all that is asked for."""
        return self.board.tenant.admin, self.board.tenant.member


@dataclass(frozen=True)
class Places:
    """Places to read in, by their number of tasks, and one to write in, which nobody reads."""

    read: dict[int, Place]
    written: Place
    cursors: list[str]
    """Where nine pages begin. The tasks of each place but the largest come behind all of them."""
    numbers: dict[str, Iterator[int]] = field(default_factory=lambda: defaultdict(count))
    """How often each document was asked for already."""

    def of(self, name: str, size: int = 100) -> Place:
        """Where the document runs."""
        return self.written if name in WRITES else self.read[size]

    def asked(self, name: str, at: Place) -> Iterator[Asked]:
        """Ever new requests: by two people in turn, each about another task, behind other cursors."""
        board, document = at.board, DOCUMENTS[name].replace('"acme"', f'"{at.board.tenant.slug}"')
        new = {"projectId": board.id, "stateId": board.state("Todo"), "title": "New", "priority": "HIGH"}

        def pages(number: int) -> dict[str, str]:
            return {f"after{page}": self.cursors[(number + page) % (PAGES - 1)] for page in range(1, PAGES)}

        variables: dict[str, Callable[[int, str], dict[str, Any]]] = {
            "W1": lambda _, task: {"id": task},
            "W2": lambda *_: {"id": board.id},
            "W3": lambda number, _: {"id": board.tenant.id, **pages(number)},
            "W4": lambda *_: {"input": {**new, "description": "What is to be done."}},
            "1-sign-in": lambda *_: {},
            "2-look-around": lambda *_: {},
            "3-task-create": lambda *_: {"input": {**new, "dueDate": "2026-12-01"}},
            "4-task-move": lambda _, task: {"id": task, "stateId": board.state("Done")},
        }
        for number in self.numbers[name]:
            person, task = at.people[number % 2], at.tasks[number % len(at.tasks)]
            yield person.token, document.replace("member@acme.test", person.email), variables[name](number, task)


async def make_places() -> Places:
    """All places, with statistics as they are."""
    read: dict[int, Place] = {}
    cursors: list[str] = []
    # The largest is the oldest.
    for size in (MOST, *COUNTS):
        read[size] = await _made(size)
    board = read[MOST].board
    while len(cursors) < PAGES - 1:
        data = await board.client.ok(WALK, id=board.tenant.id, after=cursors[-1] if cursors else None)
        cursors.append(data["tasks"]["pageInfo"]["endCursor"])
    written = await _made(MOST)
    digest = await passwords.hashed(PASSWORD)
    for person in written.people:
        await execute(
            "INSERT INTO credential (user_id, password_digest, updated_at) VALUES ($1, $2, $3) "
            "ON CONFLICT (user_id) DO UPDATE SET password_digest = excluded.password_digest",
            person.user_id, digest, now(),
        )  # fmt: skip
    # However long the tests take, no use of a session is due to be noted meanwhile.
    everybody = [person.user_id for place in (*read.values(), written) for person in place.people]
    await execute("UPDATE session SET last_used_at = now() + interval '1 day' WHERE user_id = ANY($1)", everybody)
    await execute("ANALYZE task, comment")
    return Places(read, written, cursors)


async def _made(size: int) -> Place:
    """A project whose tasks have an assignee, two labels and four comments each."""
    board = await make_board(await make_tenant("acme"))
    tenant, labels = board.tenant, [await make_label(board.tenant, name) for name in ("one", "two")]
    people = [tenant.guest.user_id, tenant.admin.user_id]
    await execute(
        "INSERT INTO task (id, org_id, project_id, number, identifier, title, state_id, priority, assignee_id, rank, "
        "creator_kind, creator_id, version, created_at, updated_at) "
        "SELECT uuidv7(), $1, $2, 100000 + n, 'T-' || n, 'Task', $3, 0, ($4::uuid[])[n % 2 + 1], 'a' || n, 'USER', "
        "$5, 1, $6::timestamptz, $6 + n * interval '1 us' FROM generate_series(1, $7::int) AS n",
        board.org_id, board.project.id, board.states["Backlog"], people, tenant.member.user_id, now(), size,
    )  # fmt: skip
    await execute(
        "INSERT INTO task_label (id, org_id, task_id, label_id) "
        "SELECT uuidv7(), org_id, id, label_id FROM task, unnest($2::uuid[]) AS label_id WHERE project_id = $1",
        board.project.id, [label.removeprefix("label_") for label in labels],
    )  # fmt: skip
    await execute(
        "INSERT INTO comment (id, org_id, task_id, author_kind, author_id, body, version, created_at, updated_at) "
        "SELECT uuidv7(), org_id, id, 'USER', ($2::uuid[])[n % 2 + 1], 'Said', 1, $3, $3 "
        "FROM task, generate_series(1, 4) AS n WHERE project_id = $1",
        board.project.id, people, now(),
    )  # fmt: skip
    found = await rows("SELECT id FROM task WHERE project_id = $1 ORDER BY number", board.project.id)
    return Place(board, [global_id("task", row["id"]) for row in found])


async def run(app: ASGIApp, asked: Iterator[Asked], times: int = 1) -> list[dict[str, Any]]:
    """The data of so many answers, one after the other, each in a task of its own as a server does it."""
    found = []
    for token, document, variables in islice(asked, times):
        answer = await asyncio.create_task(answer_of(app, token, document, variables))
        assert "errors" not in answer, answer
        assert not any(payload.get("errors") for payload in answer["data"].values()), answer
        found.append(answer["data"])
    return found
