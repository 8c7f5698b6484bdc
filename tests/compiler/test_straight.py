"""The straight way: it swallows nothing, keeps nothing of a caller, and leaves to care what it is not made for."""

import asyncio
import gc
import weakref
from typing import Any

import pytest

from domain.base import telemetry
from domain.base.database import app_pool
from domain.base.errors import Unavailable
from domain.tasks import queries
from graph.base.context import Operation
from graph.base.documents import LONGEST_CACHED
from graph.base.ids import global_id
from graph.base.requests import Asked
from graph.compiler import run
from graph.compiler.join import Join
from graph.compiler.run import Compiled
from tests.client import GraphQL, engine
from tests.factories import Tenant, make_project, make_task

TASKS = "query ($id: ID!, $first: Int) { tasks(organizationId: $id, first: $first) { __typename } }"


def detours() -> float:
    """How many executions had to be done anew so far."""
    return sum(sample.value for metric in telemetry.DETOURS.collect() for sample in metric.samples)


async def test_a_refusal_is_told_although_only_the_name_of_the_type_is_asked_for(acme: Tenant, globex: Tenant) -> None:
    signed_out = await GraphQL().answer(TASKS, {"id": acme.id})
    stranger = await globex.member.client.answer(TASKS, {"id": acme.id})
    too_many = await acme.member.client.answer(TASKS, {"id": acme.id, "first": 5000})
    told = await acme.member.client.answer(TASKS, {"id": acme.id})

    assert [each.codes for each in (signed_out, stranger, too_many)] == [
        ["UNAUTHENTICATED"],
        ["NOT_FOUND"],
        ["BAD_USER_INPUT"],
    ]
    assert told.data == {"tasks": {"__typename": "TaskConnection"}}


async def test_a_plan_keeps_nothing_of_the_execution_that_made_it(acme: Tenant) -> None:
    task = await make_task(acme.member, await make_project(acme.member, acme))
    document = "query Kept($id: ID!) { task(id: $id) { title project { name } } }"

    await acme.member.client.ok(document, id=global_id("task", task.id))

    # Those of earlier files' tests too.
    gc.unfreeze()
    gc.collect()
    # By their very type, as there are millions of objects, and some say another class than theirs.
    joins = [each for each in gc.get_objects() if type(each) is Join]
    gc.freeze()
    assert joins != []
    for join in joins:
        assert not any(isinstance(each, Compiled) for each in vars(join).values())


async def test_a_plan_that_is_dropped_needs_no_collector(acme: Tenant) -> None:
    document = "query Dropped { viewer { email } }"
    await acme.member.client.ok(document)
    ready: Any = await engine.found(Asked(document))
    (plan,) = (each for each, _ in run._plans._plans.values() if each.operation is ready.operation)
    viewer: Any = plan.root.fields[0][1]
    (build,) = viewer.selections["Viewer"].builders.values()
    written = weakref.ref(build)

    del plan, viewer, build
    gc.disable()
    try:
        run._plans._plans.clear()
        assert written() is None
    finally:
        gc.enable()


async def test_a_fault_of_the_database_is_forgotten_with_what_was_loaded(acme: Tenant) -> None:
    operation, calls = Operation(await acme.member.actor(), None, "none"), 0

    async def read(_actor: Any, keys: list[int]) -> dict[int, int]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise Unavailable("away")
        return {key: key for key in keys}

    for _ in range(2):
        with pytest.raises(Unavailable):
            await operation.read(read, [1])
    assert calls == 1

    operation.forget()

    assert await operation.read(read, [1]) == {1: 1}


async def test_what_is_long_is_not_kept(acme: Tenant) -> None:
    documents = engine._documents
    kept = len(documents._kept)
    statements = len(queries.of_organizations._statements)
    document = "query ($id: ID!, $f: TaskFilter) { tasks(organizationId: $id, filter: $f) { nodes { id } } }"

    documents.of("{ viewer { email } }", "x" * LONGEST_CACHED)
    documents.of("{ viewer { email } }" + " " * LONGEST_CACHED, None)
    await acme.member.client.ok(document, id=acme.id, f={"title": {"eq": "x" * 5000}})

    # The document of the filter itself is short, and is kept.
    assert len(documents._kept) == kept + 1
    assert len(queries.of_organizations._statements) == statements


async def test_more_operations_than_connections_with_two_reads_each(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    document = "query ($id: ID!) { project(id: $id) { taskCounts { count } progress } }"

    async with asyncio.timeout(4):
        answers = await asyncio.gather(
            *(
                acme.member.client.answer(document, {"id": global_id("project", project.id)})
                for _ in range(app_pool().max_size * 2)
            )
        )

    assert [each.errors for each in answers if each.errors] == []


async def test_one_denied_object_costs_a_detour_and_a_right_answer_none(acme: Tenant) -> None:
    document = "query ($id: ID!) { organization(id: $id) { name apiKeys { name } } }"
    await acme.admin.client.ok(document, id=acme.id)

    before = detours()
    await acme.admin.client.ok(document, id=acme.id)
    right = detours()
    denied = await acme.guest.client.answer(document, {"id": acme.id})

    assert right == before
    assert denied.errors != []
    assert detours() > right
