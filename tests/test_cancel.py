"""Operations that are cut off, and operations of two tenants at once: no connection and no tenant gets lost or mixed.

A client that goes away cancels its operation wherever it is: waiting for a connection, in a statement, in a commit.
"""

import asyncio
import gc
import itertools
import json
import random
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from domain.adapters.wiring import Adapters
from domain.base import database
from domain.base.database import NoTenant, acting_for, app_pool
from domain.billing.plans import Plan
from tests.client import Answer
from tests.events.chain import first_fault
from tests.factories import Tenant, execute, make_project, make_task, make_tenant, rows, set_plan

OPERATIONS = 200
AT_ONCE = 20
GIVEN_BACK_WITHIN_S = 10.0


@dataclass(frozen=True)
class Side:
    """One of two tenants, and what its operations are about."""

    tenant: Tenant
    marker: str
    project_id: str
    task_id: str
    task: UUID


Operation = tuple[Side, str, dict[str, Any]]

QUERIES = (
    """query ($org: ID!) { viewer { user { name email } } organization(id: $org) {
      name members { nodes { user { name email } } totalCount }
      projects { nodes { name tasks(last: 50) {
        nodes { title state { name } labels { name } comments { nodes { body } } } totalCount
      } } }
    } }""",
    """query ($org: ID!) { tasks(organizationId: $org, first: 50) {
      nodes { title creator { ... on User { name } } } totalCount
    } }""",
    """query ($project: ID!, $task: ID!) {
      project(id: $project) { name progress states { name taskCount } }
      task(id: $task) { title relations { id } }
      nodes(ids: [$project, $task]) { id }
    }""",
)
MUTATIONS = (
    """mutation ($org: ID!, $name: String!) { labelCreate(
      input: {organizationId: $org, name: $name, color: "#123456"}
    ) { label { name } errors { message } } }""",
    """mutation ($project: ID!, $name: String!) { taskCreate(
      input: {projectId: $project, title: $name}
    ) { task { title identifier } errors { message } } }""",
    """mutation ($task: ID!, $name: String!) { taskUpdate(
      id: $task, input: {title: $name}
    ) { task { title version } errors { message } } }""",
    """mutation ($task: ID!, $name: String!) { taskBulkUpdate(
      items: [{id: $task, input: {title: $name}}]
    ) { results { task { title version } errors { message } } errors { message } } }""",
    """mutation ($task: ID!, $name: String!) { commentCreate(
      input: {taskId: $task, body: $name}
    ) { comment { body } errors { message } } }""",
    """mutation ($org: ID!, $name: String!) { labelCreate(
      input: {organizationId: $org, name: $name, color: "#123456"}
    ) @idempotent(key: $name) { label { name } errors { message } } }""",
    """mutation ($org: ID!, $name: String!) { projectCreate(
      input: {organizationId: $org, name: $name}
    ) { project { name key } errors { message } } }""",
)
MIXED = (*MUTATIONS, *QUERIES)


async def make_side(marker: str) -> Side:
    """A tenant all of whose texts hold the marker."""
    tenant = await make_tenant(marker)
    # Projects without number are made here.
    await set_plan(tenant.org_id, Plan.BUSINESS)
    await execute(
        "UPDATE users SET email = $1 || '-' || email WHERE id IN (SELECT user_id FROM membership WHERE org_id = $2)",
        marker,
        tenant.org_id,
    )
    project = await make_project(tenant.admin, tenant, name=f"{marker} project")
    tasks = [await make_task(tenant.admin, project, title=f"{marker} {number}") for number in range(10)]
    return Side(tenant, marker, f"project_{project.id.hex}", f"task_{tasks[0].id.hex}", tasks[0].id)


@pytest.fixture
async def sides(adapters: Adapters) -> list[Side]:
    """Two tenants that know nothing of each other."""
    return [await make_side("wombat"), await make_side("quokka")]


def operations(sides: list[Side], documents: tuple[str, ...]) -> Iterator[Operation]:
    """Operations without end: the documents in turn, the tenants in turn."""
    for number, (document, side) in enumerate(itertools.cycle(itertools.product(documents, sides))):
        variables = {
            "org": side.tenant.id,
            "project": side.project_id,
            "task": side.task_id,
            "name": f"{side.marker} {number}",
        }
        yield side, document, {name: value for name, value in variables.items() if f"${name}" in document}


async def run(operation: Operation) -> Answer:
    """The answer to an operation of one of the tenants."""
    side, document, variables = operation
    return await side.tenant.admin.client.run(document, **variables)


def foreign(sides: list[Side], operation: Operation, answer: Answer) -> list[str]:
    """What of another tenant shows in the answer."""
    text = json.dumps([answer.data, answer.errors], default=str).lower()
    return [side.marker for side in sides if side is not operation[0] and side.marker in text]


async def cut_off(wanted: list[Operation], chance: random.Random, longest_s: float) -> list[tuple[Operation, Answer]]:
    """Start all at once and cancel each at a moment of its own; those that came to an answer first."""
    loop = asyncio.get_running_loop()
    started = [asyncio.create_task(run(operation)) for operation in wanted]
    for task in started:
        loop.call_later(chance.uniform(0, longest_s), task.cancel)
    outcomes = await asyncio.gather(*started, return_exceptions=True)
    for outcome in outcomes:
        assert isinstance(outcome, Answer | asyncio.CancelledError), outcome
    return [
        (operation, outcome) for operation, outcome in zip(wanted, outcomes, strict=True) if isinstance(outcome, Answer)
    ]


async def prove_whole_pools() -> None:
    """Every connection that the pools may have can be had at once, and none is in a transaction."""
    pools = [pool for pool in (app_pool(), database._system_pool) if pool is not None]
    async with AsyncExitStack() as stack:
        with acting_for([]):
            for pool in pools:
                for _ in range(pool.max_size):
                    async with asyncio.timeout(GIVEN_BACK_WITHIN_S):
                        connection = await stack.enter_async_context(pool.lent())
                    assert not connection.is_in_transaction()
    waiting = "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
    assert await rows(waiting) == []
    assert len(pools) == 2
    for pool in pools:
        assert pool.idle_size == pool.size == pool.max_size


@contextmanager
def unseen_failures() -> Iterator[list[str]]:
    """What goes wrong meanwhile in tasks that nobody waits for."""
    loop, found = asyncio.get_running_loop(), []
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _loop, context: found.append(str(context)))
    try:
        yield found
    finally:
        loop.set_exception_handler(before)


async def prove_all_or_nothing(side: Side) -> None:
    """Every row has its event and every event its row, numbers have no gap, and the log holds together."""
    org_id = side.tenant.org_id
    for table, type_ in (
        ("label", "LABEL_CREATED"),
        ("task", "TASK_CREATED"),
        ("comment", "COMMENT_CREATED"),
        ("project", "PROJECT_CREATED"),
    ):
        there = await rows(f"SELECT id FROM {table} WHERE org_id = $1", org_id)
        told = await rows("SELECT subject_id FROM event WHERE org_id = $1 AND type = $2", org_id, type_)
        assert sorted(row["id"] for row in there) == sorted(row["subject_id"] for row in told), table
    (task,) = await rows("SELECT version FROM task WHERE id = $1", side.task)
    updates = await rows("SELECT 1 FROM event WHERE subject_id = $1 AND type = 'TASK_UPDATED'", side.task)
    assert task["version"] == 1 + len(updates)
    states = await rows("SELECT project_id, count(*) FROM workflow_state WHERE org_id = $1 GROUP BY 1", org_id)
    assert {row["count"] for row in states} == {5}
    (numbered,) = await rows(
        "SELECT array_agg(number ORDER BY number) AS numbers, max(last_number) AS last FROM task "
        "JOIN project_counter USING (project_id) WHERE task.org_id = $1",
        org_id,
    )
    assert numbered["numbers"] == list(range(1, numbered["last"] + 1))
    assert await first_fault(org_id) is None


async def longest(endless: Iterator[Operation]) -> float:
    """How long as many operations at once take that nobody cuts off, in seconds."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(*(run(each) for each in itertools.islice(endless, AT_ONCE)))
    return loop.time() - began


# graphql-core makes the coroutines of all sibling fields first; cut off before it awaits them, it drops them.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize(("documents", "seed"), [(MIXED, 1), (MUTATIONS, 2), (QUERIES, 3)])
@pytest.mark.asked_once
async def test_operations_cut_off_at_any_moment_lose_no_connection_and_no_tenant(
    sides: list[Side], documents: tuple[str, ...], seed: int
) -> None:
    chance, endless = random.Random(seed), operations(sides, documents)  # noqa: S311  # chooses moments, not secrets
    longest_s = await longest(endless)
    answered = []

    with unseen_failures() as failures:
        for _ in range(OPERATIONS // AT_ONCE):
            came = await cut_off(list(itertools.islice(endless, AT_ONCE)), chance, longest_s)
            answered += came
            # How long they take changes with what else the machine does.
            if len(came) < AT_ONCE // 4:
                longest_s *= 2
            elif len(came) > 3 * AT_ONCE // 4:
                longest_s /= 2
        await prove_whole_pools()
        gc.collect()

    assert failures == []
    assert 0 < len(answered) < OPERATIONS
    for operation, answer in answered:
        assert refusals_of(answer) == []
        assert foreign(sides, operation, answer) == []
    for side in sides:
        await prove_all_or_nothing(side)
    for operation in itertools.islice(endless, AT_ONCE):
        answer = await run(operation)
        assert (refusals_of(answer), foreign(sides, operation, answer)) == ([], [])


def refusals_of(answer: Answer) -> list[Any]:
    """Why something was not done."""
    payloads = [payload for payload in (answer.data or {}).values() if payload and "errors" in payload]
    parts = [part for payload in payloads for part in (payload, *payload.get("results", ()))]
    return [*answer.errors, *(error for part in parts for error in part["errors"])]


@pytest.mark.asked_once
async def test_operations_of_two_tenants_at_once_never_show_a_foreign_row(sides: list[Side]) -> None:
    wanted = list(itertools.islice(operations(sides, MIXED), OPERATIONS))
    random.Random(4).shuffle(wanted)  # noqa: S311

    room = asyncio.Semaphore(2 * AT_ONCE)

    async def run_in_turn(operation: Operation) -> Answer:
        async with room:
            return await run(operation)

    answers = await asyncio.gather(*(run_in_turn(operation) for operation in wanted))

    for operation, answer in zip(wanted, answers, strict=True):
        assert refusals_of(answer) == []
        assert foreign(sides, operation, answer) == []
        assert operation[0].marker in json.dumps(answer.data).lower()
    await prove_whole_pools()
    for side in sides:
        await prove_all_or_nothing(side)


async def test_a_connection_given_back_has_no_tenant_for_who_comes_next(sides: list[Side]) -> None:
    await asyncio.gather(*(run(each) for each in itertools.islice(operations(sides, QUERIES), AT_ONCE)))

    async def nobody() -> None:
        async with app_pool().lent():
            pass

    token = database._tenant.set(None)
    try:
        with pytest.raises(NoTenant):
            await asyncio.create_task(nobody())
    finally:
        database._tenant.reset(token)
    await prove_whole_pools()
