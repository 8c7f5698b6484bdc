"""What subscriptions hold beside their plan, what Stripe told, and deliveries of rows that came from outside."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from domain.base.clock import new_id, now
from domain.billing.plans import Plan
from domain.billing.states import Status
from domain.deliveries.models import Kind

STATEMENTS = (
    "CREATE UNIQUE INDEX subscription_customer ON subscription (stripe_customer_id)",
    "CREATE UNIQUE INDEX subscription_stripe ON subscription (stripe_subscription_id)",
    "CREATE INDEX subscription_grace ON subscription (grace_ends_at) "
    "WHERE grace_ends_at IS NOT NULL AND grace_ended_at IS NULL",
    "ALTER TABLE subscription ADD CONSTRAINT subscription_past_due CHECK (CASE status "
    "WHEN 'PAST_DUE' THEN past_due_since IS NOT NULL AND grace_ends_at IS NOT NULL "
    "ELSE num_nonnulls(past_due_since, grace_ends_at, grace_ended_at) = 0 END)",
    "ALTER TABLE subscription ADD CONSTRAINT subscription_sync CHECK (sync_written <= sync_begun)",
    "CREATE UNIQUE INDEX stripe_event_once ON stripe_event (stripe_id)",
    "CREATE INDEX stripe_event_received ON stripe_event (received_at)",
    "ALTER TABLE delivery DROP CONSTRAINT delivery_whose",
    "ALTER TABLE delivery ADD CONSTRAINT delivery_whose CHECK (CASE kind "
    "WHEN 'EVENT' THEN org_id IS NOT NULL AND seq IS NOT NULL "
    "WHEN 'ACCOUNT' THEN org_id IS NULL AND user_id IS NOT NULL "
    "WHEN 'INBOUND' THEN num_nonnulls(org_id, user_id, seq, tick_at) = 0 "
    "ELSE user_id IS NULL AND tick_at IS NOT NULL END)",
)


class Migration(migrations.Migration):
    """Billing."""

    dependencies = [("planwire", "0012_notifications")]

    initial = False

    operations = [
        ops.CreateModel(
            name="StripeEvent",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("stripe_id", fields.TextField(unique=False)),
                ("type", fields.TextField(unique=False)),
                ("object_id", fields.TextField(null=True, unique=False)),
                ("livemode", fields.BooleanField()),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("received_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "stripe_event",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "A word from Stripe that was verified, once each. Whose it is, is found when it is looked at.",
            },
            bases=["Model"],
        ),
        ops.AlterField(
            model_name="Delivery",
            name="kind",
            field=fields.CharEnumField(
                description="EVENT: EVENT\nACCOUNT: ACCOUNT\nTICK: TICK\nINBOUND: INBOUND",
                enum_type=Kind,
                max_length=16,
            ),
        ),
        ops.AlterModelOptions(
            name="Subscription",
            options={
                "table": "subscription",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "One a organization, made with it: FREE and ACTIVE until somebody pays. Its lock guards what plans limit.",
            },
        ),
        ops.AlterField(
            model_name="Subscription",
            name="plan",
            field=fields.CharEnumField(
                default=Plan.FREE, description="FREE: FREE\nPRO: PRO\nBUSINESS: BUSINESS", enum_type=Plan, max_length=32
            ),
        ),
        ops.AddField(
            model_name="Subscription",
            name="cancel_at_period_end",
            field=fields.BooleanField(db_default=False),
        ),
        ops.AddField(
            model_name="Subscription",
            name="current_period_end",
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name="Subscription",
            name="grace_ended_at",
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name="Subscription",
            name="grace_ends_at",
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name="Subscription",
            name="past_due_since",
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name="Subscription",
            name="seats",
            field=fields.IntField(db_default=0),
        ),
        ops.AddField(
            model_name="Subscription",
            name="status",
            field=fields.CharEnumField(
                db_default=Status.ACTIVE,
                description="ACTIVE: ACTIVE\nTRIALING: TRIALING\nPAST_DUE: PAST_DUE\nCANCELED: CANCELED\nINCOMPLETE: INCOMPLETE\nUNPAID: UNPAID",
                enum_type=Status,
                max_length=16,
            ),
        ),
        ops.AddField(
            model_name="Subscription",
            name="stripe_customer_id",
            field=fields.TextField(null=True, unique=False),
        ),
        ops.AddField(
            model_name="Subscription",
            name="stripe_subscription_id",
            field=fields.TextField(null=True, unique=False),
        ),
        ops.AddField(
            model_name="Subscription",
            name="sync_begun",
            field=fields.BigIntField(db_default=0),
        ),
        ops.AddField(
            model_name="Subscription",
            name="sync_written",
            field=fields.BigIntField(db_default=0),
        ),
        ops.AddField(
            model_name="Subscription",
            name="trial_ends_at",
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        *(ops.RunSQL(statement, reverse_sql=ops.RunSQL.noop) for statement in STATEMENTS),
    ]
