"""The subscription of an organization, and what Stripe told."""

from tortoise import fields
from tortoise.models import Model

from domain.base.clock import new_id, now
from domain.base.models import OrgModel
from domain.billing.plans import Plan
from domain.billing.states import Status


class Subscription(OrgModel):
    """One a organization, made with it: FREE and ACTIVE until somebody pays. Its lock guards what plans limit."""

    plan = fields.CharEnumField(Plan, max_length=32, default=Plan.FREE)
    # The database knows the defaults, so that rows that are there already, and processes of before, have them too.
    status = fields.CharEnumField(Status, max_length=16, db_default=Status.ACTIVE)
    stripe_customer_id = fields.TextField(null=True)
    stripe_subscription_id = fields.TextField(null=True)
    current_period_end = fields.DatetimeField(null=True)
    trial_ends_at = fields.DatetimeField(null=True)
    # All three are null unless it is PAST_DUE. The last: when the log was told that the grace is over.
    past_due_since = fields.DatetimeField(null=True)
    grace_ends_at = fields.DatetimeField(null=True)
    grace_ended_at = fields.DatetimeField(null=True)
    cancel_at_period_end = fields.BooleanField(db_default=False)
    # Paid for at Stripe; 0 on FREE.
    seats = fields.IntField(db_default=0)
    # Reads of Stripe are numbered as they begin; only a later one than was written may be written.
    sync_begun = fields.BigIntField(db_default=0)
    sync_written = fields.BigIntField(db_default=0)

    class Meta:
        table = "subscription"


class StripeEvent(Model):
    """A word from Stripe that was verified, once each. Whose it is, is found when it is looked at."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    stripe_id = fields.TextField()
    type = fields.TextField()
    object_id = fields.TextField(null=True)
    livemode = fields.BooleanField()
    # By Stripe's clock.
    created_at = fields.DatetimeField()
    received_at = fields.DatetimeField(default=now)

    class Meta:
        table = "stripe_event"
