from uuid import uuid4

from orjson import loads
from tortoise import fields, migrations
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.data import JSON_DUMPS
from tortoise.migrations import operations as ops

from domain.base.actor import ActorKind
from domain.base.clock import new_id, now
from domain.base.permissions import Role
from domain.billing.plans import Plan
from domain.projects.models import ProjectStatus, StateCategory
from domain.tasks.models import Priority, RelationKind


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="ApiKey",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("user_id", fields.UUIDField()),
                ("name", fields.TextField(unique=False)),
                ("prefix", fields.TextField(unique=False)),
                ("secret_digest", fields.BinaryField()),
                ("permissions", ArrayField(element_type="TEXT")),
                ("last_used_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("expires_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("revoked_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "api_key",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "A key of an organization, made by `user_id`. Only the digest of its secret is kept.",
            },
            bases=["OrgModel"],
        ),
        ops.CreateModel(
            name="Comment",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("task_id", fields.UUIDField()),
                (
                    "author_kind",
                    fields.CharEnumField(
                        description="USER: USER\nAPI_KEY: API_KEY\nSYSTEM: SYSTEM", enum_type=ActorKind, max_length=16
                    ),
                ),
                ("author_id", fields.UUIDField(null=True)),
                ("body", fields.TextField(unique=False)),
                ("reply_to_id", fields.UUIDField(null=True)),
                ("edited_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("version", fields.IntField(default=1)),
            ],
            options={
                "table": "comment",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "What somebody said about a task.",
            },
            bases=["OrgModel"],
        ),
        ops.CreateModel(
            name="CommentMention",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("comment_id", fields.UUIDField()),
                ("user_id", fields.UUIDField()),
            ],
            options={
                "table": "comment_mention",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "A person whom a comment names.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Credential",
            fields=[
                ("user_id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                ("password_digest", fields.TextField(unique=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "credential",
                "app": "planwire",
                "pk_attr": "user_id",
                "table_description": "A person's password, as argon2id keeps it.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="EventCounter",
            fields=[
                ("org_id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                ("seq", fields.BigIntField(default=0)),
                ("digest", fields.BinaryField(default=b"")),
            ],
            options={
                "table": "event_counter",
                "app": "planwire",
                "pk_attr": "org_id",
                "table_description": "The number and digest of the organization's last event. Its lock is the last that a transaction takes.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="EventRow",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("seq", fields.BigIntField()),
                ("type", fields.TextField(unique=False)),
                ("occurred_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                (
                    "actor_kind",
                    fields.CharEnumField(
                        description="USER: USER\nAPI_KEY: API_KEY\nSYSTEM: SYSTEM", enum_type=ActorKind, max_length=16
                    ),
                ),
                ("actor_id", fields.UUIDField(null=True)),
                ("project_id", fields.UUIDField(null=True)),
                ("subject_kind", fields.TextField(unique=False)),
                ("subject_id", fields.UUIDField()),
                ("data", fields.TextField(unique=False)),
                ("values_digest", fields.BinaryField(null=True)),
                ("digest", fields.BinaryField()),
            ],
            options={
                "table": "event",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "One fact. `digest` chains it to the one before; `values_digest` covers its erasable values.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="EventValues",
            fields=[
                ("event_id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("salt", fields.BinaryField()),
                ("data", fields.TextField(unique=False)),
            ],
            options={
                "table": "event_values",
                "app": "planwire",
                "pk_attr": "event_id",
                "table_description": "Values before and after that could be personal or free text. Erasing the row leaves the chain whole.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Label",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("name", fields.TextField(unique=False)),
                ("color", fields.TextField(unique=False)),
                ("description", fields.TextField(null=True, unique=False)),
            ],
            options={
                "table": "label",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "A name and a color that tasks are marked with.",
            },
            bases=["OrgModel"],
        ),
        ops.CreateModel(
            name="Membership",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("user_id", fields.UUIDField()),
                (
                    "role",
                    fields.CharEnumField(
                        description="ADMIN: ADMIN\nMEMBER: MEMBER\nBILLING_MANAGER: BILLING_MANAGER\nGUEST: GUEST",
                        enum_type=Role,
                        max_length=32,
                    ),
                ),
                ("ended_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "membership",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "A person in an organization. One that ended stays, so that old work keeps its names.",
            },
            bases=["OrgModel"],
        ),
        ops.CreateModel(
            name="Organization",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("name", fields.TextField(unique=False)),
                ("slug", fields.TextField(unique=False)),
                ("version", fields.IntField(default=1)),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "organization",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "A tenant. Row-level security goes by its own id.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Preferences",
            fields=[
                ("user_id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                ("locale", fields.TextField(default="en", unique=False)),
                ("time_zone", fields.TextField(default="UTC", unique=False)),
                ("email_on_assignment", fields.BooleanField(default=True)),
                ("email_on_mention", fields.BooleanField(default=True)),
                ("email_on_invitation", fields.BooleanField(default=True)),
                ("settings", fields.JSONField(default=dict, encoder=JSON_DUMPS, decoder=loads)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "preferences",
                "app": "planwire",
                "pk_attr": "user_id",
                "table_description": "What a person chose for themselves.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Project",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("key", fields.TextField(unique=False)),
                ("name", fields.TextField(unique=False)),
                ("description", fields.TextField(null=True, unique=False)),
                (
                    "status",
                    fields.CharEnumField(
                        default=ProjectStatus.PLANNED,
                        description="PLANNED: PLANNED\nACTIVE: ACTIVE\nPAUSED: PAUSED\nCOMPLETED: COMPLETED\nCANCELED: CANCELED",
                        enum_type=ProjectStatus,
                        max_length=32,
                    ),
                ),
                ("lead_id", fields.UUIDField(null=True)),
                ("start_date", fields.DateField(null=True)),
                ("target_date", fields.DateField(null=True)),
                ("archived_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("version", fields.IntField(default=1)),
            ],
            options={
                "table": "project",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "A piece of work with tasks. Its row lock guards all that its tasks share: states, transitions, archiving.",
            },
            bases=["OrgModel"],
        ),
        ops.CreateModel(
            name="ProjectCounter",
            fields=[
                ("project_id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("last_number", fields.IntField(default=0)),
            ],
            options={
                "table": "project_counter",
                "app": "planwire",
                "pk_attr": "project_id",
                "table_description": "The last task number of a project; a row of its own, so that numbering does not wait for changes of tasks.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Session",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("user_id", fields.UUIDField()),
                ("token_digest", fields.BinaryField()),
                ("user_agent", fields.TextField(null=True, unique=False)),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("last_used_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("expires_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "session",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "A sign-in on one device. Only the digest of its token is kept.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Subscription",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                (
                    "plan",
                    fields.CharEnumField(default=Plan.FREE, description="FREE: FREE", enum_type=Plan, max_length=32),
                ),
            ],
            options={
                "table": "subscription",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "One a organization, made with it.",
            },
            bases=["OrgModel"],
        ),
        ops.CreateModel(
            name="Task",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("project_id", fields.UUIDField()),
                ("number", fields.IntField()),
                ("identifier", fields.TextField(unique=False)),
                ("title", fields.TextField(unique=False)),
                ("description", fields.TextField(null=True, unique=False)),
                ("state_id", fields.UUIDField()),
                (
                    "priority",
                    fields.IntEnumField(
                        default=Priority.NONE,
                        description="NONE: 0\nLOW: 1\nMEDIUM: 2\nHIGH: 3\nURGENT: 4",
                        enum_type=Priority,
                        generated=False,
                    ),
                ),
                ("assignee_id", fields.UUIDField(null=True)),
                ("due_date", fields.DateField(null=True)),
                ("estimate", fields.IntField(null=True)),
                ("rank", fields.TextField(unique=False)),
                ("parent_id", fields.UUIDField(null=True)),
                (
                    "creator_kind",
                    fields.CharEnumField(
                        description="USER: USER\nAPI_KEY: API_KEY\nSYSTEM: SYSTEM", enum_type=ActorKind, max_length=16
                    ),
                ),
                ("creator_id", fields.UUIDField(null=True)),
                ("completed_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("archived_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("version", fields.IntField(default=1)),
            ],
            options={
                "table": "task",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "One piece of work. `rank` orders it inside its state; compared byte by byte.",
            },
            bases=["OrgModel"],
        ),
        ops.CreateModel(
            name="TaskIdentifier",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("task_id", fields.UUIDField()),
                ("identifier", fields.TextField(unique=False)),
            ],
            options={
                "table": "task_identifier",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "An identifier that a task had before it was transferred.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="TaskLabel",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("task_id", fields.UUIDField()),
                ("label_id", fields.UUIDField()),
            ],
            options={
                "table": "task_label",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "A label on a task.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="TaskRelation",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                (
                    "kind",
                    fields.CharEnumField(
                        description="BLOCKS: BLOCKS\nRELATES_TO: RELATES_TO\nDUPLICATES: DUPLICATES",
                        enum_type=RelationKind,
                        max_length=16,
                    ),
                ),
                ("from_id", fields.UUIDField()),
                ("to_id", fields.UUIDField()),
            ],
            options={
                "table": "task_relation",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "`from_id` stands to `to_id` as `kind` says.",
            },
            bases=["OrgModel"],
        ),
        ops.CreateModel(
            name="User",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("name", fields.TextField(unique=False)),
                ("email", fields.TextField(unique=False)),
                ("email_verified_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("avatar_url", fields.TextField(null=True, unique=False)),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "users",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "A person. `email` is stored trimmed and lower-cased.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="WorkflowState",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("project_id", fields.UUIDField()),
                ("name", fields.TextField(unique=False)),
                (
                    "category",
                    fields.CharEnumField(
                        description="BACKLOG: BACKLOG\nTODO: TODO\nIN_PROGRESS: IN_PROGRESS\nDONE: DONE\nCANCELED: CANCELED",
                        enum_type=StateCategory,
                        max_length=32,
                    ),
                ),
                ("color", fields.TextField(unique=False)),
                ("position", fields.IntField()),
                ("restricted", fields.BooleanField(default=False)),
            ],
            options={
                "table": "workflow_state",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "A column of the project's board. `restricted` says that only the listed transitions may follow.",
            },
            bases=["OrgModel"],
        ),
        ops.CreateModel(
            name="WorkflowTransition",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("from_id", fields.UUIDField()),
                ("to_id", fields.UUIDField()),
            ],
            options={
                "table": "workflow_transition",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "`to_id` may follow `from_id`.",
            },
            bases=["Model"],
        ),
    ]
