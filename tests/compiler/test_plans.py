"""The cache of plans is bounded, and keeps nothing that would never be found again."""

from typing import Any

from graphql import parse

from graph.base.documents import LONGEST_CACHED
from graph.compiler.plan import Plan, Plans
from graph.compiler.run import Compiled
from graph.schema import schema

DOCUMENT = "query ($a: Boolean!) { viewer @include(if: $a) { email } }"


def executor_of(document: str, **variables: Any) -> Any:
    """What runs the document's operation."""
    return Compiled.build(schema, parse(document), raw_variable_values=variables)


def same(document: str) -> Any:
    """Executors of one parsed document."""
    parsed = parse(document)
    return lambda **variables: Compiled.build(schema, parsed, raw_variable_values=variables)


def test_a_plan_is_kept_for_an_operation_and_its_flags() -> None:
    plans, run = Plans(), same(DOCUMENT)

    made = [plans.of(run(a=a)) for a in (True, False, True, False)]

    assert made[0] is made[2]
    assert made[1] is made[3]
    assert [[key for key, _ in plan.root.fields] for plan in made[:2]] == [["viewer"], []]


def test_variables_that_decide_no_field_share_a_plan() -> None:
    plans, run = Plans(), same("query ($id: ID!) { node(id: $id) { id } }")

    assert plans.of(run(id="a")) is plans.of(run(id="b"))


def test_the_oldest_plan_makes_room() -> None:
    plans, runs = Plans(most=2), [same(DOCUMENT) for _ in range(3)]
    made = [plans.of(run(a=True)) for run in runs]

    again = [plans.of(run(a=True)) for run in runs[1:]]

    assert again == made[1:]
    assert plans.of(runs[0](a=True)) is not made[0]


def test_the_fields_of_all_plans_are_bounded() -> None:
    plans, runs = Plans(most_fields=10), [same(DOCUMENT) for _ in range(2)]
    small, growing = (plans.of(run(a=True)) for run in runs)

    growing.size = 10
    plans.settle(growing)

    assert plans.of(runs[1](a=True)) is growing
    assert plans.of(runs[0](a=True)) is not small


def test_a_plan_that_is_too_large_is_not_kept() -> None:
    plans, run = Plans(most_fields=10), same(DOCUMENT)
    plan = plans.of(run(a=True))

    plan.size = 11
    plans.settle(plan)

    assert plans.of(run(a=True)) is not plan


def test_the_plan_of_a_document_that_is_not_kept_is_not_either() -> None:
    plans, run = Plans(), same(DOCUMENT + " " * LONGEST_CACHED)

    made: list[Plan] = [plans.of(run(a=True)) for _ in range(2)]

    assert made[0] is not made[1]


def test_no_plan_is_taken_for_that_of_another_document_at_the_same_address() -> None:
    plans = Plans(most=1)

    for name in ("email", "emailVerified") * 50:
        plan = plans.of(executor_of(f"{{ viewer {{ {name} }} }}"))
        ((_, viewer),) = plan.root.fields
        assert viewer is not None
        assert viewer.nodes[0].selection_set is not None
        (leaf,) = viewer.nodes[0].selection_set.selections
        assert getattr(leaf, "name").value == name  # noqa: B009
