"""What the measured operations and the example tabs cost in what no clock tells: statements, plans, objects left over.

Each figure is of a process that has answered the like before.
"""

import asyncio
import contextlib
import gc
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp

from domain.adapters.wiring import Adapters
from domain.base import telemetry
from domain.base.database import acting_for, app_pool, tx
from domain.base.settings import Settings
from graph.app import create_app
from graph.base.context import Context, Operation
from graph.base.live import Live
from graph.base.requests import Asked
from graph.compiler.run import Compiled
from tests.client import engine, fallen_back
from tests.compiler.places import COUNTS, DOCUMENTS, MOST, READS, Place, Places, make_places, run
from tests.compiler.wire import wire
from tests.factories import Person
from tests.graphiql.test_examples import EVENTS

WARM = 2
RUNS = 50
# Of which what is left is measured.
MANY = 100
# Blocks of memory of a run. The caches and free lists of the process, and the test, keep about one; asyncio's own loop
# keeps cancelled timers for a while, which the servers' uvloop does not: some 500 blocks, however many runs there are.
ROUNDS = 3
MOST_KEPT = 10
OURS = "ours:"
OURS_KINDS = (Operation, Context, Compiled, asyncpg.Record)
CALLER = "membership session subscription"
STANDING = "membership session"
USERS = "membership users"
LOGGED = "event event_counter event_values"
# Place, number, row and event. The project and the state that the answer shows come along.
MADE = "event event_counter event_values project project_counter task workflow_state"
# The tables of each statement. All rows of one kind are one statement; of W3, whose pages are ten lists, each page is.
STATEMENTS = {
    "W1": [CALLER, "membership project task users workflow_state"],
    "W2": [CALLER, "project", "task", USERS, "label task_label", "comment", "comment", USERS],
    "W3": [CALLER, *["task"] * 10, USERS],
    "W4": [CALLER, MADE],
    "1-sign-in": [
        *[CALLER, "credential users", "credential", "session", "session"],
        *["security_entry users", "membership", "session", USERS],
    ],
    # The projects come from the cache, under how far the log has come.
    "2-look-around": [
        *[CALLER, USERS, "membership organization", "organization", "event_counter", "workflow_state"],
        *["task workflow_state", "task", "workflow_state", USERS],
    ],
    "3-task-create": [CALLER, MADE],
    "4-task-move": [
        *[CALLER, "task", "project", "task", "task", LOGGED],
        *["task", "project", "task", "workflow_state", "workflow_state", "task", "task", LOGGED],
        *["workflow_state workflow_transition", "workflow_state"],
    ],
}
TRANSACTIONS = {"1-sign-in": 2, "4-task-move": 2}


@pytest.fixture(scope="module")
async def places(adapters: Adapters) -> Places:
    """Where all of it runs."""
    return await make_places()


@pytest.fixture(scope="module")
async def app(settings: Settings, adapters: Adapters) -> AsyncIterator[ASGIApp]:
    """The application, without a server before it."""
    made = create_app(settings)
    yield made
    await made.state.adapters.close()


def detours() -> float:
    """How many executions had to be done anew so far."""
    samples = [sample for metric in telemetry.DETOURS.collect() for sample in metric.samples]
    return sum(sample.value for sample in samples if sample.name.endswith("_total"))


def shown(name: str, data: dict[str, Any]) -> int:
    """How many tasks are in an answer, in W3 on its last page."""
    if name == "2-look-around":
        return len(data["organization"]["projects"]["nodes"][0]["tasks"]["nodes"])
    lists = {"W2": lambda: data["project"]["tasks"], "W3": lambda: data["page9"]}
    return len(lists[name]()["nodes"]) if name in lists else 1


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_an_operation_sends_the_same_statements_however_many_rows_it_shows(
    app: ASGIApp, places: Places, name: str
) -> None:
    texts = []
    for count in COUNTS:
        requests = places.asked(name, places.of(name, count))
        await run(app, requests, WARM)

        with wire() as sent:
            (data,) = await run(app, requests)

        assert sent.tables == sorted(STATEMENTS[name])
        assert len(sent.commands) == 2 * TRANSACTIONS.get(name, 0)
        texts.append(sorted(sent.statements))
        most = {"W2": 50, "W3": 100, "2-look-around": 5}.get(name, 1)
        assert shown(name, data) == min(count, most)

    one, *more = texts
    assert more == [more[0]] * len(more)
    # A page of a single parent has a text of its own.
    assert len(set(one) - set(more[0])) == (name == "W2")


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_a_connection_prepares_a_statement_once_for_all_actors_keys_and_cursors(
    app: ASGIApp, places: Places, name: str
) -> None:
    here, there = (places.asked(name, places.of(name, count)) for count in (10, MOST))
    await run(app, here, WARM)
    with wire() as once:
        await run(app, here)

    with wire() as sent:
        await run(app, here, 4)
        await run(app, there, 4)

    # What the cache has of one organization it does not have of another, for neither of the two who ask.
    loaded = [text for text in sent.statements if text not in once.statements]
    assert [text.split(" FROM ")[1].split()[0] for text in loaded] == ["project"] * (
        2 if name == "2-look-around" else 0
    )
    assert len(sent.statements) == 8 * len(STATEMENTS[name]) + len(loaded)
    # Another organization may get a connection that has met none of them so far, but each text only once.
    assert len(set(sent.unprepared)) == len(sent.unprepared)
    assert all(text in once.statements for _, text in sent.unprepared if text not in loaded)


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_a_connection_is_told_its_tenant_set_once_and_not_again(app: ASGIApp, places: Places, name: str) -> None:
    requests = places.asked(name, places.of(name))
    await run(app, requests, WARM)

    tellings = []
    for connection in app_pool()._idle:
        connection.forget()
    for _ in range(3):
        with wire() as sent:
            await run(app, requests)
        tellings.append(sent.tellings)

    assert tellings == [1, 0, 0]


@pytest.mark.parametrize("name", READS)
async def test_an_operation_after_another_tenants_tells_the_connection_once(
    app: ASGIApp, places: Places, name: str
) -> None:
    both = [places.asked(name, place) for place in (places.read[10], places.read[100])]
    for requests in both:
        await run(app, requests, WARM)

    for _ in range(3):
        for requests in both:
            with wire() as sent:
                await run(app, requests)
            assert sent.tellings <= 1


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_an_operation_takes_no_detour_and_is_left_to_nobody(app: ASGIApp, places: Places, name: str) -> None:
    requests = places.asked(name, places.of(name))
    before = (detours(), fallen_back())
    await run(app, requests)
    # Which type the members of a union have, as the authors in W2, is found out by a detour, once a process.
    assert detours() - before[0] <= (name == "W2")

    before = (detours(), before[1])
    for count in (*COUNTS, MOST):
        await run(app, places.asked(name, places.of(name, count)), 3)

    assert (detours(), fallen_back()) == before


async def plan_of(place: Place, text: str) -> str:
    """How PostgreSQL runs the statement for any values, when it sorts nothing that it can read in order.

    It sorts of itself what is as little as here.
    """
    values = ", ".join(["NULL"] * len(set(re.findall(r"\$\d+", text))))
    with acting_for([place.board.org_id]):
        async with tx() as opened:
            await opened.connection.execute(f"SET LOCAL enable_sort = off; PREPARE shown AS {text}")
            found = await opened.connection.fetch(f"EXPLAIN (COSTS OFF) EXECUTE shown ({values})")
            await opened.connection.execute("DEALLOCATE shown")
    return "\n".join(row[0] for row in found)


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        # The project's tasks by number; the comments of each task by time.
        ("W2", ["project_id = $1", "task_id = parent.key"]),
        # The organization's tasks by time, from the beginning and from a cursor.
        ("W3", ["org_id = $1", "ROW(updated_at, id) > ROW($3, $4)"]),
    ],
)
async def test_a_page_is_read_from_an_index_in_its_order(
    app: ASGIApp, places: Places, name: str, bounds: list[str]
) -> None:
    place = places.read[MOST]
    requests = places.asked(name, place)
    await run(app, requests, WARM)
    with wire() as sent:
        await run(app, requests)

    plans = [await plan_of(place, text) for text in dict.fromkeys(sent.statements) if "LIMIT" in text]

    assert len(plans) == len(bounds)
    for plan, bound in zip(plans, bounds, strict=True):
        # An incremental one sorts only rows that are equal in what the index has.
        assert not re.search(r"(?<!Incremental )Sort\b(?! Key)", plan), plan
        assert "Seq Scan" not in plan
        assert bound in "".join(re.findall(r"Index Cond: (.*)", plan)), plan


@contextlib.contextmanager
def no_collector() -> Iterator[None]:
    """The collector does nothing meanwhile, unless it is asked to. Afterwards all is as before."""
    was_on, flags = gc.isenabled(), gc.get_debug()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.set_debug(flags)
        gc.garbage.clear()
        if was_on:
            gc.enable()


def collected() -> Counter[str]:
    """What only the collector can free, by type, and whether it is ours. It is free then."""
    flags = gc.get_debug()
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(flags)
    found = Counter(_kind(each) for each in gc.garbage)
    gc.garbage.clear()
    gc.collect()
    return found


def _kind(each: Any) -> str:
    return f"{OURS} {type(each).__name__}" if isinstance(each, OURS_KINDS) else type(each).__name__


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_an_operation_leaves_nothing_behind(app: ASGIApp, places: Places, name: str) -> None:
    requests = places.asked(name, places.of(name))
    await run(app, requests, WARM)

    kept: list[int] = []
    ours: list[str] = []
    # What others in the process leave meanwhile may be among it, but not each time.
    while not kept or ((ours or min(kept) > MOST_KEPT * MANY) and len(kept) < ROUNDS):
        with no_collector():
            before = sys.getallocatedblocks()
            await run(app, requests, MANY)
            garbage = collected()
            kept.append(sys.getallocatedblocks() - before)

        ours = [kind for kind in garbage if kind.startswith(OURS)]
        assert garbage.total() < MANY, garbage

    assert ours == []
    assert min(kept) <= MOST_KEPT * MANY, kept


CURSOR = "query ($id: ID!) { organization(id: $id) { eventCursor } }"


async def follow(context: Context, count: int, **variables: str) -> None:
    """Take so many events of the example's subscription."""
    request = Asked(EVENTS.read_text(encoding="utf-8"), variables=variables)
    async with contextlib.aclosing(engine.follow(await engine.found(request), request, context)) as stream:
        while count:
            answer = await anext(stream)
            assert not answer.errors, answer.errors
            assert answer.data is not None
            assert answer.data["events"]["type"] == "TASK_CREATED"
            count -= 1


async def test_an_event_reads_its_actor_and_its_subject_and_leaves_nothing_behind(
    app: ASGIApp, places: Places, settings: Settings, adapters: Adapters
) -> None:
    tenant, live = places.written.board.tenant, Live.of(adapters)
    cursor = (await tenant.member.client.ok(CURSOR, id=tenant.id))["organization"]["eventCursor"]
    await run(app, places.asked("3-task-create", places.written), RUNS)
    scope = {"type": "websocket", "headers": [], "client": ("192.0.2.1", 50000)}

    async def followed(by: Person, count: int) -> None:
        params: dict[str, object] = {"authorization": f"Bearer {by.token}"}
        context = Context(settings, adapters, HTTPConnection(scope), None, live, connection_params=params)
        await asyncio.create_task(follow(context, count, organizationId=tenant.id, after=cursor))

    tables, texts, left = {}, {}, {}
    async with live.running():
        await followed(tenant.admin, WARM)
        before = (detours(), fallen_back())
        for count in (1, 10, RUNS):
            with wire() as sent, no_collector():
                await followed(tenant.member, count)
                left[count] = collected()
            # Besides, standings are looked up for each event, and both that and the log's end by the clock.
            tables[count] = [each for each in sent.tables if each not in (CALLER, STANDING, "event_counter")]
            texts[count] = set(sent.statements)
        assert (detours(), fallen_back()) == before

    reading = ["event event_values"] * 2
    assert tables == {count: sorted([*reading, *["task", USERS] * count]) for count in tables}
    assert texts[1] == texts[10] == texts[RUNS]
    # The beginning and the end of a subscription leave some objects, its events none.
    assert abs(left[RUNS].total() - left[1].total()) < RUNS / 2, left
    assert not any(kind.endswith("Row") for kind in left[RUNS])
