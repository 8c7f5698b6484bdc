"""How large an answer may be: texts are free, and each may be shown many times."""

from typing import Any

import pytest

from domain.base.errors import TooComplex
from domain.comments import service as comments
from graph.base.answers import LONGEST_TEXT, MOST_CHARACTERS, UNMEASURED_POINTS, check_size
from graph.base.cost import Estimate
from graph.base.ids import global_id
from tests.factories import Tenant, make_project, make_task
from tests.limits.documents import cost, only

MANY = Estimate(UNMEASURED_POINTS + 1)


@pytest.mark.parametrize(
    ("document", "texts"),
    [
        ("{ task(id: 1) { title } }", 0),
        ("{ task(id: 1) { description } }", 1),
        ("{ task(id: 1) { a: description b: description comments(first: 7) { nodes { body } } } }", 2 + 7),
        ("{ a: task(id: 1) { ...F } b: task(id: 2) { ...F } } fragment F on Task { project { description } }", 2),
        ("{ changes(organizationId: 1, first: 3) { nodes { changes { before after } } } }", 3 * 10 * 2),
    ],
)
def test_long_texts_are_counted_where_they_are_shown(document: str, texts: int) -> None:
    assert only(document).check({}).texts == texts


def test_a_text_costs_no_points() -> None:
    document = "{{ project(id: 1) {{ tasks(first: 50) {{ nodes {{ {} }} }} }} }}"

    assert cost(document.format("id description")) == cost(document.format("id"))


@pytest.mark.parametrize("estimate", [MANY, Estimate(1, 0, MOST_CHARACTERS // LONGEST_TEXT + 1)])
def test_what_stands_at_many_places_is_counted_at_each(estimate: Estimate) -> None:
    shared = {"text": "x" * 1000}
    fitting = {"nodes": [shared] * (MOST_CHARACTERS // 1100)}

    check_size(fitting, estimate, LONGEST_TEXT)
    with pytest.raises(TooComplex, match="answer"):
        check_size({"nodes": [{"project": shared}] * (MOST_CHARACTERS // 1000)}, estimate, LONGEST_TEXT)


def test_few_objects_with_few_texts_are_not_looked_at() -> None:
    nothing_to_look_at: Any = object()

    check_size(nothing_to_look_at, Estimate(UNMEASURED_POINTS, 0, MOST_CHARACTERS // LONGEST_TEXT), LONGEST_TEXT)
    check_size(nothing_to_look_at, Estimate(UNMEASURED_POINTS, 0, 10_000), 1_000)


async def test_an_answer_that_is_too_large_is_refused_and_a_smaller_one_is_given(acme: Tenant) -> None:
    task = await make_task(acme.member, await make_project(acme.member, acme))
    async with acme.member.acting() as actor:
        for number in range(45):
            await comments.create(actor, task.id, body=f"{number}" + "x" * 19_000)
    aliases = " ".join(f"b{number}: body" for number in range(25))
    document = "query ($id: ID!) {{ task(id: $id) {{ comments(first: 45) {{ nodes {{ {} }} }} }} }}"

    refused = await acme.member.client.run(document.format(aliases), id=global_id("task", task.id))
    given = await acme.member.client.ok(document.format("body"), id=global_id("task", task.id))

    assert (refused.data, refused.codes) == (None, ["TOO_COMPLEX"])
    assert len(given["task"]["comments"]["nodes"]) == 45
