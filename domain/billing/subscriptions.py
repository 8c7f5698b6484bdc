"""Subscriptions: begun with their organization, and changed to what Stripe says of them.

The row's lock guards all that the plan limits as well (limits.py). It is taken right after the organization's.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from domain.base.actor import Actor
from domain.base.database import fetch, require_transaction, tx
from domain.base.errors import NotFound
from domain.base.models import save
from domain.base.sql import sql
from domain.billing.events import SubscriptionUpdated
from domain.billing.models import Subscription
from domain.billing.queries import SubscriptionRow
from domain.billing.states import GRACE, Status, is_expected
from domain.events.log import changes, emit, fields_of

_log = structlog.get_logger("billing")

GRACE_ENDED = "SELECT org_id AS id FROM subscription WHERE grace_ends_at <= $1::timestamptz AND grace_ended_at IS NULL"
"""The organizations whose grace has ended, at $1, which nobody has written down yet."""

_TOLD = frozenset(item.name for item in fields_of(SubscriptionUpdated))


async def start_free(org_id: UUID) -> None:
    """Give a new organization its FREE subscription, in the open transaction. Raises RuntimeError outside one."""
    require_transaction()
    await Subscription.create(org_id=org_id)


async def lock(org_id: UUID) -> SubscriptionRow:
    """The organization's subscription, locked to the end of the open transaction. Whether it may be seen is not asked.

    Raises NotFound for an organization that is not the tenant's; RuntimeError outside a transaction.
    """
    require_transaction()
    locking = sql(
        f"SELECT {', '.join(SubscriptionRow.__annotations__)} FROM subscription WHERE org_id = {{}} FOR NO KEY UPDATE",
        org_id,
    )
    rows = await fetch(locking, SubscriptionRow)
    if not rows:
        raise NotFound("organization")
    return rows[0]


async def change(actor: Actor, org_id: UUID, *, at: datetime, **values: Any) -> bool:
    """Bring the subscription to these values of its columns, found at this instant; whether a client can see it.

    The three columns of a grace are not given: one begins when the status becomes PAST_DUE, and its end stays where
    it is until that is over. Raises NotFound.
    """
    async with tx():
        present = await lock(org_id)
        source, target = Status(present.status), Status(values.get("status", present.status))
        if not is_expected(source, target):
            _log.warning("an unexpected move", org_id=str(org_id), source=source.value, target=target.value)
        differing = changes(present, {**values, **_grace(present, target, at)})
        if differing:
            await save(Subscription, present, **{name: each.now for name, each in differing.items()})
        told = {name: each for name, each in differing.items() if name in _TOLD}
        if told:
            emit(actor, org_id, SubscriptionUpdated(subject_id=org_id, **told))
        return bool(told)


def _grace(present: SubscriptionRow, target: Status, at: datetime) -> dict[str, datetime | None]:
    if target is not Status.PAST_DUE:
        return {"past_due_since": None, "grace_ends_at": None, "grace_ended_at": None}
    since = present.past_due_since or at
    return {"past_due_since": since, "grace_ends_at": since + GRACE}


async def end_grace(actor: Actor, at: datetime) -> int:
    """Write down, once, that the grace has ended where it has by then, in the actor's organizations; in how many.

    The limits of FREE count from that instant, whether or not this has been done.
    """
    total = 0
    for org_id in sorted(actor.standings):
        async with tx():
            present = await lock(org_id)
            if present.grace_ends_at is None or present.grace_ends_at > at or present.grace_ended_at is not None:
                continue
            differing = changes(present, {"grace_ended_at": at})
            await save(Subscription, present, grace_ended_at=at)
            emit(actor, org_id, SubscriptionUpdated(subject_id=org_id, **differing))
            total += 1
    return total
