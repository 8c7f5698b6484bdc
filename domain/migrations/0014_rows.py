"""Deliveries of rows of our own; and what a delivery begins with, said once."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from domain.deliveries.models import Kind

STATEMENTS = (
    "ALTER TABLE delivery ALTER COLUMN state SET DEFAULT 'PENDING', ALTER COLUMN attempts SET DEFAULT 0, "
    "ALTER COLUMN available_at SET DEFAULT now(), ALTER COLUMN queue_at SET DEFAULT now(), "
    "ALTER COLUMN created_at SET DEFAULT now()",
    "ALTER TABLE delivery DROP CONSTRAINT delivery_whose",
    "ALTER TABLE delivery ADD CONSTRAINT delivery_whose CHECK (CASE kind "
    "WHEN 'EVENT' THEN org_id IS NOT NULL AND seq IS NOT NULL "
    "WHEN 'ROW' THEN org_id IS NOT NULL AND num_nonnulls(user_id, seq, tick_at) = 0 "
    "WHEN 'ACCOUNT' THEN org_id IS NULL AND user_id IS NOT NULL "
    "WHEN 'INBOUND' THEN num_nonnulls(org_id, user_id, seq, tick_at) = 0 "
    "ELSE user_id IS NULL AND tick_at IS NOT NULL END)",
)


class Migration(migrations.Migration):
    """Rows that have something done for them."""

    dependencies = [("planwire", "0013_billing")]

    initial = False

    operations = [
        ops.AlterField(
            model_name="Delivery",
            name="kind",
            field=fields.CharEnumField(
                description="EVENT: EVENT\nROW: ROW\nACCOUNT: ACCOUNT\nTICK: TICK\nINBOUND: INBOUND",
                enum_type=Kind,
                max_length=16,
            ),
        ),
        *(ops.RunSQL(statement, reverse_sql=ops.RunSQL.noop) for statement in STATEMENTS),
    ]
