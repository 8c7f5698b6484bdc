"""Conversations with a language model, summaries of searches, pictures, and what an organization used."""

from orjson import loads
from tortoise import fields, migrations
from tortoise.fields.data import JSON_DUMPS
from tortoise.migrations import operations as ops

from domain.ai.models import AiMessageStatus, AiRole
from domain.base.clock import new_id, now

# A unique pair of the organization and the id is what foreign keys refer to; the first also finds an organization's.
PAIRS = ("ai_thread", "ai_message", "job")
# table, columns, target, its columns
FOREIGN_KEYS = (
    ("ai_thread", "org_id", "organization", "id"),
    ("ai_thread", "user_id", "users", "id"),
    ("ai_message", "org_id, thread_id", "ai_thread", "org_id, id"),
    ("ai_message", "org_id, question_id", "ai_message", "org_id, id"),
    ("ai_message", "user_id", "users", "id"),
    ("search_query", "org_id", "organization", "id"),
    ("search_query", "user_id", "users", "id"),
    ("generated_image", "org_id", "organization", "id"),
    ("generated_image", "org_id, job_id", "job", "org_id, id"),
    ("generated_image", "user_id", "users", "id"),
    ("ai_usage", "org_id", "organization", "id"),
)
OTHERS = (
    "DROP INDEX job_organization",
    "ALTER TABLE ai_message ADD CONSTRAINT ai_message_question CHECK ((question_id IS NULL) = (role = 'USER'))",
    "ALTER TABLE ai_message ADD CONSTRAINT ai_message_ended CHECK ((finished_at IS NULL) = (status = 'STREAMING'))",
    "ALTER TABLE ai_message ADD CONSTRAINT ai_message_asked CHECK (role = 'ASSISTANT' OR status = 'DONE')",
    "CREATE INDEX ai_thread_newest ON ai_thread (user_id, org_id, created_at, id)",
    "CREATE INDEX ai_message_in_order ON ai_message (thread_id, created_at, id)",
    "CREATE UNIQUE INDEX ai_message_streaming ON ai_message (thread_id) WHERE status = 'STREAMING'",
    "CREATE INDEX ai_message_question ON ai_message (org_id, question_id) WHERE question_id IS NOT NULL",
    "CREATE INDEX ai_message_user ON ai_message (user_id)",
    "CREATE INDEX search_query_newest ON search_query (user_id, created_at, id)",
    "CREATE INDEX search_query_organization ON search_query (org_id)",
    "CREATE INDEX generated_image_newest ON generated_image (user_id, created_at, id)",
    "CREATE UNIQUE INDEX generated_image_job ON generated_image (org_id, job_id)",
    "CREATE UNIQUE INDEX ai_usage_month ON ai_usage (org_id, month)",
)


def _statements() -> list[str]:
    statements = [f"ALTER TABLE {table} ADD CONSTRAINT {table}_org_id UNIQUE (org_id, id)" for table in PAIRS]
    for table, columns, target, target_columns in FOREIGN_KEYS:
        name = f"{table}_{columns.replace(', ', '_')}_fk"
        statements.append(
            f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({columns}) "
            f"REFERENCES {target} ({target_columns}) ON DELETE CASCADE"
        )
    return [*statements, *OTHERS]


class Migration(migrations.Migration):
    """AI."""

    dependencies = [("planwire", "0017_search")]

    initial = False

    operations = [
        ops.CreateModel(
            name="AiMessage",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("thread_id", fields.UUIDField()),
                ("user_id", fields.UUIDField()),
                ("question_id", fields.UUIDField(null=True)),
                (
                    "role",
                    fields.CharEnumField(
                        description="USER: USER\nASSISTANT: ASSISTANT", enum_type=AiRole, max_length=16
                    ),
                ),
                (
                    "status",
                    fields.CharEnumField(
                        description="STREAMING: STREAMING\nDONE: DONE\nFAILED: FAILED\nCANCELED: CANCELED",
                        enum_type=AiMessageStatus,
                        max_length=16,
                    ),
                ),
                ("content", fields.TextField(default="", unique=False)),
                ("sources", fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
                ("input_tokens", fields.IntField(null=True)),
                ("output_tokens", fields.IntField(null=True)),
                ("claim", fields.UUIDField(null=True)),
                ("version", fields.IntField(default=1)),
                ("finished_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "ai_message",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "A question or an answer. A question may have several answers, one after the other; one at a time is STREAMING.",
            },
            bases=["OrgModel"],
        ),
        ops.CreateModel(
            name="AiThread",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("user_id", fields.UUIDField()),
                ("title", fields.TextField(unique=False)),
            ],
            options={
                "table": "ai_thread",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "A person's conversation. Its lock lets one message after the other be asked for.",
            },
            bases=["OrgModel"],
        ),
        ops.CreateModel(
            name="AiUsage",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("month", fields.DateField()),
                ("tokens", fields.BigIntField(default=0)),
            ],
            options={
                "table": "ai_usage",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "What an organization's calls of a language model came to in a month, by the calendar of UTC; one a month.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="GeneratedImage",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("user_id", fields.UUIDField()),
                ("prompt", fields.TextField(unique=False)),
                ("job_id", fields.UUIDField()),
            ],
            options={
                "table": "generated_image",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "A picture that somebody asked for. What becomes of it is the job's, and it goes with the job.",
            },
            bases=["OrgModel"],
        ),
        ops.CreateModel(
            name="SearchQuery",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("user_id", fields.UUIDField()),
                ("text", fields.TextField(unique=False)),
                ("summary", fields.TextField(null=True, unique=False)),
                ("sources", fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
                ("is_generated", fields.BooleanField(default=False)),
            ],
            options={
                "table": "search_query",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "A search that was summarized, for whoever asked. `is_generated` where a language model wrote the summary.",
            },
            bases=["OrgModel"],
        ),
        *(ops.RunSQL(statement, reverse_sql=ops.RunSQL.noop) for statement in _statements()),
    ]
