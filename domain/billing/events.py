"""What happens to subscriptions. What Stripe calls them by stays out of it."""

from dataclasses import dataclass
from typing import ClassVar

from domain.events.log import Change, Event, instant


@dataclass(frozen=True, kw_only=True)
class SubscriptionUpdated(Event):
    """What is paid for changed, or the grace of what was not paid for ended. Its subject is the organization."""

    type: ClassVar = "SUBSCRIPTION_UPDATED"
    subject: ClassVar = "organization"
    plan: Change | None = None
    status: Change | None = None
    seats: Change | None = None
    cancel_at_period_end: Change | None = None
    current_period_end: Change | None = instant()
    trial_ends_at: Change | None = instant()
    grace_ends_at: Change | None = instant()
    grace_ended_at: Change | None = instant()
