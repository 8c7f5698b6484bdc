"""The states of a subscription: pure tables, and the plan that counts in each."""

from datetime import timedelta
from itertools import product

import pytest

from domain.base.clock import now
from domain.billing.plans import Plan
from domain.billing.states import ALLOWS, GRACE, MOVES, Act, Status, acts, effective, is_expected

PAID = [Plan.PRO, Plan.BUSINESS]


def test_the_tables_know_every_state() -> None:
    assert set(MOVES) == set(ALLOWS) == set(Status)
    assert [status for status, targets in MOVES.items() if status in targets or not targets] == []


@pytest.mark.parametrize(("source", "target"), list(product(Status, Status)))
def test_a_move_is_expected_when_the_table_has_it_or_nothing_moves(source: Status, target: Status) -> None:
    assert is_expected(source, target) is (source is target or target in MOVES[source])


def test_a_subscription_that_is_over_is_not_taken_up_without_a_checkout() -> None:
    assert not is_expected(Status.CANCELED, Status.PAST_DUE)
    assert not is_expected(Status.CANCELED, Status.UNPAID)
    assert not is_expected(Status.PAST_DUE, Status.INCOMPLETE)


@pytest.mark.parametrize(("plan", "status"), list(product(PAID, Status)))
def test_the_plan_counts_while_it_is_paid_for_and_in_its_grace(plan: Plan, status: Status) -> None:
    at = now()
    in_grace, over = at + timedelta(microseconds=1), at

    expected = {
        Status.ACTIVE: (plan, plan, plan),
        Status.TRIALING: (plan, plan, plan),
        Status.PAST_DUE: (plan, Plan.FREE, Plan.FREE),
    }.get(status, (Plan.FREE, Plan.FREE, Plan.FREE))

    assert tuple(effective(plan, status, ends, at) for ends in (in_grace, over, None)) == expected


@pytest.mark.parametrize("status", Status)
def test_free_is_free_in_every_state(status: Status) -> None:
    assert effective(Plan.FREE, status, now() + GRACE, now()) is Plan.FREE
    assert acts(Plan.FREE, status) == {Act.CHECKOUT}


@pytest.mark.parametrize(("plan", "status"), list(product(PAID, Status)))
def test_there_is_never_a_second_one_to_pay_beside_one_that_can_be_ended(plan: Plan, status: Status) -> None:
    begins_anew = status in (Status.CANCELED, Status.INCOMPLETE)

    assert acts(plan, status) == ({Act.CHECKOUT} if begins_anew else {Act.CANCEL, Act.RESUME})
