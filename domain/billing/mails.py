"""What is mailed when a payment fails: to all who can do something about it."""

from collections.abc import Mapping
from uuid import UUID

import orjson

from domain.base.clock import now
from domain.base.database import fetch
from domain.base.mailing import Mailing
from domain.base.permissions import GRANTS, Permission
from domain.base.sql import Row, sql
from domain.billing.plans import PLANS, Plan
from domain.billing.states import Status
from domain.events.queries import EventRow

_ROLES = [role.value for role, granted in GRANTS.items() if Permission.BILLING_MANAGE in granted]


async def told_of(event: EventRow) -> list[UUID]:
    """Who is mailed about a SUBSCRIPTION_UPDATED: those who hold BILLING_MANAGE, once it is PAST_DUE; in order of ids.

    Runs for the event's organization. Raises Unavailable; Timeout.
    """
    status: Mapping[str, str] = orjson.loads(event.data).get("status") or {}
    if status.get("now") != Status.PAST_DUE:
        return []
    rows = await fetch(
        sql(
            "SELECT user_id FROM membership WHERE org_id = {} AND ended_at IS NULL AND role = ANY({}::text[]) "
            "ORDER BY user_id",
            event.org_id,
            _ROLES,
        ),
        Row,
    )
    return [row["user_id"] for row in rows]


async def payment_failed(event: EventRow, user_id: UUID) -> Mailing | None:
    """The mail to one of them; None where it was paid meanwhile, is not theirs to mend, or the address is unverified.

    Runs for the event's organization. Raises Unavailable; Timeout.
    """
    rows = await fetch(
        sql(
            "SELECT users.name, users.email, organization.name AS organization_name, organization.slug, "
            "subscription.plan, subscription.grace_ends_at FROM subscription "
            "JOIN organization ON organization.id = subscription.org_id "
            "JOIN membership ON membership.org_id = subscription.org_id AND membership.user_id = {} "
            "AND membership.ended_at IS NULL AND membership.role = ANY({}::text[]) "
            "JOIN users ON users.id = membership.user_id AND users.email_verified_at IS NOT NULL "
            "WHERE subscription.org_id = {} AND subscription.status = 'PAST_DUE' AND subscription.grace_ends_at > {}",
            *(user_id, _ROLES, event.org_id, now()),
        ),
        Row,
    )
    if not rows:
        return None
    (row,) = rows
    return Mailing(
        "payment_failed",
        row.email,
        str(event.id),
        {
            "name": row.name,
            "organization_name": row.organization_name,
            "organization_slug": row.slug,
            "plan_name": PLANS[Plan(row.plan)].name,
            "grace_ends_at": row.grace_ends_at,
        },
    )
