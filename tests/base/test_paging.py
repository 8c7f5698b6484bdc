"""The place of a page: what lies beyond it in every order and direction, and how an index is entered there."""

import re
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.adapters.wiring import Adapters
from domain.base.clock import new_id, now
from domain.base.database import acting_for, fetch, tx
from domain.base.paging import Key, KeyKind, Order, PageRequest, select_sorted
from domain.base.sql import Row, sql
from domain.tasks.queries import SORTS
from tests.factories import rows

KEYS = (
    Key("listed.number", KeyKind.NUMBER),
    Key("listed.word", KeyKind.TEXT),
    Key("listed.day", KeyKind.DAY, nullable=True),
    Key("listed.instant", KeyKind.INSTANT, nullable=True),
)
ID = Key("listed.id", KeyKind.UUID)
LISTED = (
    "SELECT listed.id FROM unnest({}::int[], {}::text[], {}::date[], {}::timestamptz[], {}::uuid[]) "
    "AS listed(number, word, day, instant, id)"
)

Listed = dict[str, Any]
# Few values, so that many rows are alike in what they are sorted by.
lists = st.lists(
    st.fixed_dictionaries(
        {
            "listed.number": st.sampled_from([-1, 0, 7]),
            "listed.word": st.sampled_from(["", "a", "B", "ä"]),
            "listed.day": st.none() | st.sampled_from([date(2026, 1, 1), date(2026, 1, 2)]),
            "listed.instant": st.none()
            | st.sampled_from([datetime(2026, 1, 1, microsecond=n, tzinfo=UTC) for n in (0, 1)]),
            "listed.id": st.uuids(version=4),
        }
    ),
    max_size=12,
    unique_by=lambda row: row["listed.id"],
)
ways = st.lists(st.booleans(), min_size=4, max_size=4)
orders = st.builds(
    lambda keys, ways, join: Order(
        tuple(key.directed(way) for key, way in zip((*keys, ID), ways, strict=False)), join=join
    ),
    st.lists(st.sampled_from(KEYS), unique=True, max_size=3),
    ways | st.booleans().map(lambda way: [way] * 4),
    st.sampled_from(["", "CROSS JOIN (SELECT) AS beside"]),
)


def arranged(listed: list[Listed], order: Order) -> list[Listed]:
    """The rows as they have to come: nulls last in both directions."""
    found = list(listed)
    for key in reversed(order.keys):
        named = key.expression
        known = [row for row in found if row[named] is not None]
        known.sort(
            key=lambda row: row[named].encode() if named == "listed.word" else row[named], reverse=key.descending
        )
        found = known + [row for row in found if row[named] is None]
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(listed=lists, order=orders, backward=st.booleans())
async def test_beyond_a_place_lies_what_follows_it(
    adapters: Adapters, listed: list[Listed], order: Order, backward: bool
) -> None:
    columns = [[row[name] for row in listed] for name in (*(key.expression for key in KEYS), "listed.id")]
    expected = arranged(listed, order)
    if backward:
        expected.reverse()

    for n, row in enumerate(expected):
        place = tuple(row[key.expression] for key in order.keys)
        for condition in (order.beyond(place, backward), order._stepwise(place, backward)):
            page = sql(f"{LISTED} {order.join} WHERE {{}} {{}}", *columns, condition, order.by(backward))
            text, values = page.render()
            found = await rows(text, *values)
            assert [each["id"] for each in found] == [each["listed.id"] for each in expected[n + 1 :]]


async def plan(order: Order, *, backward: bool) -> str:
    """How Postgres reads a page of an organization's tasks behind a cursor when it has to take an index."""
    asked = PageRequest(order, 100, backward, (now(), new_id()))
    page = select_sorted(sql("task.id"), "task", asked, sql("task.org_id = {}::uuid", new_id()))
    with acting_for(()):
        async with tx() as opened:
            for other in ("seqscan", "bitmapscan", "sort"):
                await opened.connection.execute(f"SET LOCAL enable_{other} = off")
            return "\n".join(row[0] for row in await fetch(sql("EXPLAIN {}", page), Row))


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("descending", [False, True])
async def test_an_index_is_entered_at_the_cursor(adapters: Adapters, descending: bool, backward: bool) -> None:
    last_changed = SORTS["UPDATED_AT"].directed(descending)
    one_way = Order((last_changed, Key("task.id", KeyKind.UUID, descending=descending)))
    two_ways = Order((last_changed, Key("task.id", KeyKind.UUID, descending=not descending)))
    sign = "<" if descending != backward else ">"

    plain = await plan(one_way, backward=backward)
    sorted_among_equals = await plan(two_ways, backward=backward)

    assert re.search(rf"using task_updated_at .*\n +Index Cond: .*ROW\(updated_at, id\) {sign} ", plain)
    assert "Sort" not in plain
    assert re.search(rf"using task_updated_at .*\n +Index Cond: .*updated_at {sign}= ", sorted_among_equals)
    assert "Presorted Key: task.updated_at" in sorted_among_equals
