"""Attachments: files at tasks."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from domain.attachments.states import Status
from domain.base.actor import ActorKind
from domain.base.clock import new_id, now

STATEMENTS = (
    "ALTER TABLE attachment ADD CONSTRAINT attachment_org_id_task_id_fk FOREIGN KEY (org_id, task_id) "
    "REFERENCES task (org_id, id) ON DELETE CASCADE",
    "CREATE INDEX attachment_task ON attachment (task_id, created_at, id)",
    # What an organization stores is summed up under the lock that guards its limits, from this index alone.
    "CREATE INDEX attachment_stored ON attachment (org_id) INCLUDE (size_bytes) WHERE status <> 'REJECTED'",
    "CREATE INDEX attachment_ended ON attachment (org_id, updated_at) WHERE status = 'REJECTED'",
    "CREATE INDEX attachment_open ON attachment (org_id, created_at) WHERE status = 'REQUESTED'",
    "CREATE INDEX attachment_ready ON attachment (org_id, id) WHERE status = 'READY'",
    "ALTER TABLE attachment ADD CONSTRAINT attachment_size CHECK (size_bytes > 0)",
    "ALTER TABLE attachment ADD CONSTRAINT attachment_found CHECK (CASE status "
    "WHEN 'READY' THEN content_type IS NOT NULL AND rejection_reason IS NULL "
    "WHEN 'REJECTED' THEN content_type IS NULL AND rejection_reason IS NOT NULL AND NOT has_thumbnail "
    "ELSE num_nonnulls(content_type, rejection_reason) = 0 AND NOT has_thumbnail END)",
)


class Migration(migrations.Migration):
    """Attachments."""

    dependencies = [("planwire", "0014_rows")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Attachment",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("task_id", fields.UUIDField()),
                ("filename", fields.TextField(unique=False)),
                ("claimed_type", fields.TextField(unique=False)),
                ("content_type", fields.TextField(null=True, unique=False)),
                ("size_bytes", fields.BigIntField()),
                ("sha256", fields.TextField(unique=False)),
                (
                    "status",
                    fields.CharEnumField(
                        default=Status.REQUESTED,
                        description="REQUESTED: REQUESTED\nREADY: READY\nREJECTED: REJECTED",
                        enum_type=Status,
                        max_length=16,
                    ),
                ),
                ("rejection_reason", fields.TextField(null=True, unique=False)),
                ("has_thumbnail", fields.BooleanField(default=False)),
                (
                    "uploaded_by_kind",
                    fields.CharEnumField(
                        description="USER: USER\nAPI_KEY: API_KEY\nSYSTEM: SYSTEM", enum_type=ActorKind, max_length=16
                    ),
                ),
                ("uploaded_by_id", fields.UUIDField(null=True)),
                ("completed_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "attachment",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "A file at a task. It takes its size of the organization's storage until it is rejected or deleted.",
            },
            bases=["OrgModel"],
        ),
        *(ops.RunSQL(statement, reverse_sql=ops.RunSQL.noop) for statement in STATEMENTS),
    ]
