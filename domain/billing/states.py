"""The states of a subscription: the moves between them, what each allows, and which plan counts in it. No rows here.

Stripe says which state it is. Only its present state is ever read, so states on the way may go unseen, and what is not
in the table of moves is told, not refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from domain.billing.plans import Plan

# From the first payment that failed; Stripe tries again for less than that.
GRACE = timedelta(days=14)


class Status(StrEnum):
    """Where a subscription stands."""

    ACTIVE = "ACTIVE"
    TRIALING = "TRIALING"
    PAST_DUE = "PAST_DUE"
    CANCELED = "CANCELED"
    INCOMPLETE = "INCOMPLETE"
    UNPAID = "UNPAID"


S = Status

MOVES: Mapping[Status, tuple[Status, ...]] = {
    # From FREE, which is ACTIVE as well, a checkout begins.
    S.ACTIVE: (S.TRIALING, S.INCOMPLETE, S.PAST_DUE, S.UNPAID, S.CANCELED),
    S.TRIALING: (S.ACTIVE, S.PAST_DUE, S.UNPAID, S.CANCELED),
    S.PAST_DUE: (S.ACTIVE, S.UNPAID, S.CANCELED),
    # A checkout begins anew.
    S.CANCELED: (S.ACTIVE, S.TRIALING, S.INCOMPLETE),
    S.INCOMPLETE: (S.ACTIVE, S.TRIALING, S.CANCELED),
    S.UNPAID: (S.ACTIVE, S.PAST_DUE, S.CANCELED),
}
"""What may follow what."""


class Keeps(StrEnum):
    """Whether what is paid for may be used."""

    PLAN = "PLAN"
    PLAN_IN_GRACE = "PLAN_IN_GRACE"
    NOTHING = "NOTHING"


class Act(StrEnum):
    """What somebody may want of a subscription. To look at bills and cards needs none of these."""

    CHECKOUT = "CHECKOUT"
    CANCEL = "CANCEL"
    RESUME = "RESUME"


@dataclass(frozen=True)
class Allowed:
    """What a state allows."""

    keeps: Keeps
    acts: frozenset[Act]


# What is not over can be ended and kept, and a second one beside it would be paid for twice.
_OPEN = frozenset({Act.CANCEL, Act.RESUME})
_OVER = frozenset({Act.CHECKOUT})

ALLOWS: Mapping[Status, Allowed] = {
    S.ACTIVE: Allowed(Keeps.PLAN, _OPEN),
    S.TRIALING: Allowed(Keeps.PLAN, _OPEN),
    S.PAST_DUE: Allowed(Keeps.PLAN_IN_GRACE, _OPEN),
    S.CANCELED: Allowed(Keeps.NOTHING, _OVER),
    # Its first payment never came; Stripe ends it after a day.
    S.INCOMPLETE: Allowed(Keeps.NOTHING, _OVER),
    S.UNPAID: Allowed(Keeps.NOTHING, _OPEN),
}
"""What each state allows, for a plan that is paid for."""


def acts(plan: Plan, status: Status) -> frozenset[Act]:
    """What may be wanted of the subscription now: of FREE there is nothing to end, and all to begin."""
    return _OVER if plan is Plan.FREE else ALLOWS[status].acts


def effective(plan: Plan, status: Status, grace_ends_at: datetime | None, at: datetime) -> Plan:
    """The plan whose limits count at a moment: what is paid for, or FREE."""
    keeps = ALLOWS[status].keeps
    is_in_grace = grace_ends_at is not None and at < grace_ends_at
    return plan if keeps is Keeps.PLAN or (keeps is Keeps.PLAN_IN_GRACE and is_in_grace) else Plan.FREE


def is_expected(source: Status, target: Status) -> bool:
    """Whether the table of moves has it, or nothing moves."""
    return source is target or target in MOVES[source]
