"""Outcomes of changes that were asked for under a key: one for each actor, field and key."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from domain.base.clock import new_id, now


class Migration(migrations.Migration):
    """Safe repeats."""

    dependencies = [("planwire", "0004_security_log")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Idempotency",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("actor_kind", fields.TextField(unique=False)),
                ("actor_id", fields.UUIDField()),
                ("field", fields.TextField(unique=False)),
                ("key", fields.TextField(unique=False)),
                ("arguments_digest", fields.BinaryField()),
                ("outcome", fields.TextField(null=True, unique=False)),
                ("lease_until", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "idempotency",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "One a key, of one actor and one field. `outcome` is JSON text without any secret; null while it is claimed.",
            },
            bases=["Model"],
        ),
        ops.RunSQL(
            "CREATE UNIQUE INDEX idempotency_key ON idempotency (actor_kind, actor_id, field, key)",
            reverse_sql=ops.RunSQL.noop,
        ),
        ops.RunSQL(
            "CREATE INDEX idempotency_age ON idempotency (actor_kind, actor_id, created_at)",
            reverse_sql=ops.RunSQL.noop,
        ),
        ops.RunSQL(
            "ALTER TABLE idempotency ADD CONSTRAINT idempotency_claimed_or_done "
            "CHECK ((outcome IS NULL) = (lease_until IS NOT NULL))",
            reverse_sql=ops.RunSQL.noop,
        ),
    ]
