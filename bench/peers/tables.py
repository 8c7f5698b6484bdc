"""Tortoise's models of what the Strawberry peer reads and writes, as its documentation shows models."""

from uuid import uuid4

from tortoise import fields
from tortoise.models import Model


class Users(Model):
    """A person."""

    id = fields.UUIDField(primary_key=True)
    name = fields.TextField()
    email = fields.TextField()

    class Meta:
        table = "users"


class Projects(Model):
    """A project."""

    id = fields.UUIDField(primary_key=True)
    org_id = fields.UUIDField()
    key = fields.TextField()
    name = fields.TextField()

    class Meta:
        table = "project"


class States(Model):
    """A workflow state."""

    id = fields.UUIDField(primary_key=True)
    name = fields.TextField()

    class Meta:
        table = "workflow_state"


class Labels(Model):
    """A label."""

    id = fields.UUIDField(primary_key=True)
    name = fields.TextField()

    class Meta:
        table = "label"


class TaskLabels(Model):
    """A label on a task."""

    id = fields.UUIDField(primary_key=True)
    task_id = fields.UUIDField()
    label: fields.ForeignKeyRelation[Labels] = fields.ForeignKeyField("bench.Labels")

    class Meta:
        table = "task_label"


class Comments(Model):
    """A comment."""

    id = fields.UUIDField(primary_key=True)
    task_id = fields.UUIDField()
    author_id = fields.UUIDField(null=True)
    body = fields.TextField()
    created_at = fields.DatetimeField()

    class Meta:
        table = "comment"


class Tasks(Model):
    """A task."""

    id = fields.UUIDField(primary_key=True, default=uuid4)
    org_id = fields.UUIDField()
    project_id = fields.UUIDField()
    state_id = fields.UUIDField()
    assignee_id = fields.UUIDField(null=True)
    number = fields.IntField()
    identifier = fields.TextField()
    title = fields.TextField()
    description = fields.TextField(null=True)
    priority = fields.IntField()
    estimate = fields.IntField(null=True)
    due_date = fields.DateField(null=True)
    rank = fields.TextField()
    creator_kind = fields.TextField()
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "task"
