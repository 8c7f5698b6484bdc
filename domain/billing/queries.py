"""Reads of subscriptions."""

from datetime import datetime
from uuid import UUID

from domain.base.permissions import Permission
from domain.base.reads import One, Table, for_actor, orgs_with
from domain.base.sql import Row


class SubscriptionRow(Row):
    """What an organization pays for, and how far reads of Stripe have come."""

    id: UUID
    org_id: UUID
    plan: str
    status: str
    stripe_customer_id: str | None
    stripe_subscription_id: str | None
    current_period_end: datetime | None
    trial_ends_at: datetime | None
    past_due_since: datetime | None
    grace_ends_at: datetime | None
    grace_ended_at: datetime | None
    cancel_at_period_end: bool
    seats: int
    sync_begun: int
    sync_written: int
    created_at: datetime
    updated_at: datetime


SUBSCRIPTIONS = Table("subscription", SubscriptionRow)

visible = for_actor("subscription.org_id = ANY({}::uuid[])", orgs_with(Permission.BILLING_READ))
"""The subscriptions that the caller reads."""

by_organizations = One(SUBSCRIPTIONS, visible, key="org_id")
