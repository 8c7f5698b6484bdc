"""Tasks, their labels, relations and former identifiers."""

from enum import IntEnum, StrEnum

from tortoise import fields
from tortoise.models import Model

from domain.base.actor import ActorKind
from domain.base.clock import new_id
from domain.base.models import OrgModel


class Priority(IntEnum):
    """How urgent a task is; stored by its number, so that it sorts."""

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    URGENT = 4


class RelationKind(StrEnum):
    """How one task stands to another."""

    BLOCKS = "BLOCKS"
    RELATES_TO = "RELATES_TO"
    DUPLICATES = "DUPLICATES"


class Task(OrgModel):
    """One piece of work. `rank` orders it inside its state; compared byte by byte."""

    project_id = fields.UUIDField()
    number = fields.IntField()
    identifier = fields.TextField()
    title = fields.TextField()
    description = fields.TextField(null=True)
    state_id = fields.UUIDField()
    priority = fields.IntEnumField(Priority, default=Priority.NONE)
    assignee_id = fields.UUIDField(null=True)
    due_date = fields.DateField(null=True)
    estimate = fields.IntField(null=True)
    rank = fields.TextField()
    parent_id = fields.UUIDField(null=True)
    creator_kind = fields.CharEnumField(ActorKind, max_length=16)
    creator_id = fields.UUIDField(null=True)
    completed_at = fields.DatetimeField(null=True)
    archived_at = fields.DatetimeField(null=True)
    version = fields.IntField(default=1)

    class Meta:
        table = "task"


class TaskIdentifier(Model):
    """An identifier that a task had before it was transferred."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    org_id = fields.UUIDField()
    task_id = fields.UUIDField()
    identifier = fields.TextField()

    class Meta:
        table = "task_identifier"


class TaskLabel(Model):
    """A label on a task."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    org_id = fields.UUIDField()
    task_id = fields.UUIDField()
    label_id = fields.UUIDField()

    class Meta:
        table = "task_label"


class TaskRelation(OrgModel):
    """`from_id` stands to `to_id` as `kind` says."""

    kind = fields.CharEnumField(RelationKind, max_length=16)
    from_id = fields.UUIDField()
    to_id = fields.UUIDField()

    class Meta:
        table = "task_relation"


class DueReminder(Model):
    """That a task's assignee was reminded of a due date: once for each date that the task ever had."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    org_id = fields.UUIDField()
    task_id = fields.UUIDField()
    due_date = fields.DateField()

    class Meta:
        table = "due_reminder"
