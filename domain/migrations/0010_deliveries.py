"""What is to be done after a commit, how far logs are relayed, the ticks of cron, and metrics by the hour."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from domain.base.clock import new_id, now
from domain.deliveries.models import Kind, State

FOREIGN_KEYS = (
    ("relay_position", "org_id", "organization"),
    ("delivery", "org_id", "organization"),
    ("delivery", "user_id", "users"),
    ("organization_metrics", "org_id", "organization"),
)

INDEXES = (
    ("UNIQUE INDEX", "delivery_once", "delivery", "(source_id, handler, org_id, user_id) NULLS NOT DISTINCT"),
    ("INDEX", "delivery_due", "delivery", "(queue_at, id) WHERE state = 'PENDING'"),
    ("INDEX", "delivery_dead", "delivery", "(id) WHERE state = 'DEAD'"),
    ("INDEX", "delivery_done", "delivery", "(ended_at) WHERE state = 'DONE'"),
    ("INDEX", "delivery_organization", "delivery", "(org_id)"),
    ("INDEX", "delivery_user", "delivery", "(user_id) WHERE user_id IS NOT NULL"),
    ("UNIQUE INDEX", "tick_once", "tick", "(name, period_start)"),
    ("UNIQUE INDEX", "organization_metrics_hour", "organization_metrics", "(org_id, at)"),
)


class Migration(migrations.Migration):
    """The road after the commit."""

    dependencies = [("planwire", "0009_rank_behind")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Delivery",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField(null=True)),
                ("user_id", fields.UUIDField(null=True)),
                (
                    "kind",
                    fields.CharEnumField(
                        description="EVENT: EVENT\nACCOUNT: ACCOUNT\nTICK: TICK", enum_type=Kind, max_length=16
                    ),
                ),
                ("source_id", fields.UUIDField()),
                ("seq", fields.BigIntField(null=True)),
                ("tick_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("handler", fields.TextField(unique=False)),
                (
                    "state",
                    fields.CharEnumField(
                        default=State.PENDING,
                        description="PENDING: PENDING\nDONE: DONE\nDEAD: DEAD",
                        enum_type=State,
                        max_length=16,
                    ),
                ),
                ("attempts", fields.IntField(default=0)),
                ("available_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("queue_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("claim", fields.UUIDField(null=True)),
                ("last_error", fields.TextField(null=True, unique=False)),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("ended_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "delivery",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "One thing for one handler, and what became of it: once it is DONE it is the record that it was done.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OrganizationMetrics",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("members", fields.IntField()),
                ("projects", fields.IntField()),
                ("tasks_open", fields.IntField()),
                ("tasks_done", fields.IntField()),
                ("events", fields.BigIntField()),
            ],
            options={
                "table": "organization_metrics",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "What an organization held in an hour.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="RelayPosition",
            fields=[
                ("org_id", fields.UUIDField(primary_key=True, unique=True, db_index=True)),
                ("seq", fields.BigIntField()),
            ],
            options={
                "table": "relay_position",
                "app": "planwire",
                "pk_attr": "org_id",
                "table_description": "The number of the organization's last relayed event. Its lock is held by the relay that is at this log.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Tick",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("name", fields.TextField(unique=False)),
                ("period_start", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("begun_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "tick",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "One period of one line of the schedule that has begun.",
            },
            bases=["Model"],
        ),
        ops.AddField(
            model_name="SecurityEntry",
            name="relayed_at",
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        *(
            ops.RunSQL(
                f"ALTER TABLE {table} ADD CONSTRAINT {table}_{column}_fk "
                f"FOREIGN KEY ({column}) REFERENCES {target} (id) ON DELETE CASCADE",
                reverse_sql=ops.RunSQL.noop,
            )
            for table, column, target in FOREIGN_KEYS
        ),
        *(
            ops.RunSQL(f"CREATE {kind} {name} ON {table} {columns}", reverse_sql=ops.RunSQL.noop)
            for kind, name, table, columns in INDEXES
        ),
        ops.RunSQL(
            "ALTER TABLE delivery ADD CONSTRAINT delivery_whose CHECK (CASE kind "
            "WHEN 'EVENT' THEN org_id IS NOT NULL AND seq IS NOT NULL "
            "WHEN 'ACCOUNT' THEN org_id IS NULL AND user_id IS NOT NULL "
            "ELSE user_id IS NULL AND tick_at IS NOT NULL END)",
            reverse_sql=ops.RunSQL.noop,
        ),
        # What was written before there was a relay has been history for long: nobody is told of it now.
        ops.RunSQL(
            "INSERT INTO relay_position (org_id, seq) SELECT org_id, seq FROM event_counter",
            reverse_sql=ops.RunSQL.noop,
        ),
        ops.RunSQL("UPDATE security_entry SET relayed_at = now()", reverse_sql=ops.RunSQL.noop),
        ops.RunSQL(
            "CREATE INDEX security_entry_unsent ON security_entry (id) WHERE relayed_at IS NULL",
            reverse_sql=ops.RunSQL.noop,
        ),
    ]
