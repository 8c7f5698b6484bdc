"""Jobs: what somebody has asked for that takes long."""

from orjson import loads
from tortoise import fields, migrations
from tortoise.fields.data import JSON_DUMPS
from tortoise.migrations import operations as ops

from domain.base.actor import ActorKind
from domain.base.clock import new_id, now
from domain.work.models import JobKind
from domain.work.states import JobStatus

STATEMENTS = (
    "ALTER TABLE job ADD CONSTRAINT job_org_id_fk FOREIGN KEY (org_id) REFERENCES organization (id) ON DELETE CASCADE",
    "ALTER TABLE job ADD CONSTRAINT job_user_id_fk FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE",
    "ALTER TABLE job ADD CONSTRAINT job_ended CHECK ((finished_at IS NULL) = (status IN ('QUEUED', 'RUNNING')))",
    "ALTER TABLE job ADD CONSTRAINT job_result CHECK (status = 'SUCCEEDED' "
    "OR num_nonnulls(result_filename, result_type, result_size_bytes, expires_at) = 0)",
    "CREATE INDEX job_newest ON job (user_id, created_at, id)",
    "CREATE INDEX job_organization ON job (org_id)",
    "CREATE INDEX job_open ON job (org_id, user_id) WHERE status IN ('QUEUED', 'RUNNING')",
    "CREATE INDEX job_finished ON job (finished_at)",
)


class Migration(migrations.Migration):
    """Jobs."""

    dependencies = [("planwire", "0015_attachments")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Job",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                (
                    "kind",
                    fields.CharEnumField(
                        description="REPORT: REPORT\nEXPORT: EXPORT\nIMAGE: IMAGE\nERASURE: ERASURE",
                        enum_type=JobKind,
                        max_length=16,
                    ),
                ),
                (
                    "status",
                    fields.CharEnumField(
                        default=JobStatus.QUEUED,
                        description="QUEUED: QUEUED\nRUNNING: RUNNING\nSUCCEEDED: SUCCEEDED\nFAILED: FAILED\nCANCELED: CANCELED",
                        enum_type=JobStatus,
                        max_length=16,
                    ),
                ),
                ("progress", fields.FloatField(default=0.0)),
                ("message", fields.TextField(null=True, unique=False)),
                ("handler", fields.TextField(unique=False)),
                ("arguments", fields.JSONField(default=dict, encoder=JSON_DUMPS, decoder=loads)),
                (
                    "asked_by_kind",
                    fields.CharEnumField(
                        description="USER: USER\nAPI_KEY: API_KEY\nSYSTEM: SYSTEM", enum_type=ActorKind, max_length=16
                    ),
                ),
                ("asked_by_id", fields.UUIDField()),
                ("user_id", fields.UUIDField()),
                ("permission", fields.TextField(unique=False)),
                ("attempts", fields.IntField(default=0)),
                ("claim", fields.UUIDField(null=True)),
                ("result_filename", fields.TextField(null=True, unique=False)),
                ("result_type", fields.TextField(null=True, unique=False)),
                ("result_size_bytes", fields.BigIntField(null=True)),
                ("started_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("finished_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("expires_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("version", fields.IntField(default=1)),
            ],
            options={
                "table": "job",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "Something that takes long, for the person or API key that has asked for it.",
            },
            bases=["OrgModel"],
        ),
        *(ops.RunSQL(statement, reverse_sql=ops.RunSQL.noop) for statement in STATEMENTS),
    ]
