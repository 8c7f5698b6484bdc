"""Inboxes: their entries and counters, who follows which task, and which due dates were reminded of.

Entries name their event, task and doer without a foreign key: they stay when those are gone.
"""

from uuid import uuid4

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from domain.base.actor import ActorKind
from domain.base.clock import new_id, now
from domain.notifications.models import NotificationKind

# table, columns, target, its columns
FOREIGN_KEYS = (
    ("inbox", "user_id", "users", "id"),
    ("notification", "org_id", "organization", "id"),
    ("notification", "user_id", "users", "id"),
    ("task_subscription", "org_id, task_id", "task", "org_id, id"),
    ("task_subscription", "user_id", "users", "id"),
    ("due_reminder", "org_id, task_id", "task", "org_id, id"),
)
INDEXES = (
    "CREATE UNIQUE INDEX notification_number ON notification (user_id, seq)",
    "CREATE UNIQUE INDEX notification_event ON notification (event_id, user_id)",
    "CREATE INDEX notification_unread ON notification (user_id, seq) INCLUDE (org_id) WHERE read_at IS NULL",
    "CREATE INDEX notification_read ON notification (read_at) WHERE read_at IS NOT NULL",
    "CREATE UNIQUE INDEX task_subscription_pair ON task_subscription (task_id, user_id)",
    "CREATE UNIQUE INDEX due_reminder_pair ON due_reminder (task_id, due_date)",
    "CREATE INDEX task_due ON task (org_id, due_date) WHERE due_date IS NOT NULL AND archived_at IS NULL",
)


def _statements() -> list[str]:
    statements = []
    for table, columns, target, target_columns in FOREIGN_KEYS:
        name = f"{table}_{columns.replace(', ', '_')}_fk"
        statements.append(
            f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({columns}) "
            f"REFERENCES {target} ({target_columns}) ON DELETE CASCADE"
        )
    return [*statements, *INDEXES]


class Migration(migrations.Migration):
    """Inboxes."""

    dependencies = [("planwire", "0011_invitations")]

    initial = False

    operations = [
        ops.CreateModel(
            name="DueReminder",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("task_id", fields.UUIDField()),
                ("due_date", fields.DateField()),
            ],
            options={
                "table": "due_reminder",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "That a task's assignee was reminded of a due date: once for each date that the task ever had.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Inbox",
            fields=[
                ("user_id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                ("seq", fields.BigIntField(default=0)),
                ("version", fields.BigIntField(default=0)),
            ],
            options={
                "table": "inbox",
                "app": "planwire",
                "pk_attr": "user_id",
                "table_description": "A person's counter, over all organizations. `seq` numbers entries; `version` goes up with every change.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Notification",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("user_id", fields.UUIDField()),
                ("seq", fields.BigIntField()),
                ("event_id", fields.UUIDField()),
                (
                    "kind",
                    fields.CharEnumField(
                        description="TASK_ASSIGNED: TASK_ASSIGNED\nMENTIONED: MENTIONED\nCOMMENTED: COMMENTED\nINVITATION_ACCEPTED: INVITATION_ACCEPTED\nDUE_SOON: DUE_SOON\nREPORT_READY: REPORT_READY",
                        enum_type=NotificationKind,
                        max_length=32,
                    ),
                ),
                (
                    "actor_kind",
                    fields.CharEnumField(
                        description="USER: USER\nAPI_KEY: API_KEY\nSYSTEM: SYSTEM", enum_type=ActorKind, max_length=16
                    ),
                ),
                ("actor_id", fields.UUIDField(null=True)),
                ("subject_kind", fields.TextField(unique=False)),
                ("subject_id", fields.UUIDField()),
                ("task_id", fields.UUIDField(null=True)),
                ("read_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "notification",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "One entry of a person's inbox: what of its event does not change. What people wrote is read when it is shown.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="TaskSubscription",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("task_id", fields.UUIDField()),
                ("user_id", fields.UUIDField()),
                ("is_subscribed", fields.BooleanField()),
            ],
            options={
                "table": "task_subscription",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "Whether a person wants to hear of a task, said in so many words; it goes before what their part in it says.",
            },
            bases=["OrgModel"],
        ),
        *(ops.RunSQL(statement, reverse_sql=ops.RunSQL.noop) for statement in _statements()),
    ]
