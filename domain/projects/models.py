"""Projects, their workflow states, and what may follow what."""

from enum import StrEnum

from tortoise import fields
from tortoise.models import Model

from domain.base.clock import new_id
from domain.base.models import OrgModel


class ProjectStatus(StrEnum):
    """Where a project stands."""

    PLANNED = "PLANNED"
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"


class StateCategory(StrEnum):
    """What a workflow state means, whatever its name."""

    BACKLOG = "BACKLOG"
    TODO = "TODO"
    IN_PROGRESS = "IN_PROGRESS"
    DONE = "DONE"
    CANCELED = "CANCELED"


class Project(OrgModel):
    """A piece of work with tasks. Its row lock guards all that its tasks share: states, transitions, archiving."""

    key = fields.TextField()
    name = fields.TextField()
    description = fields.TextField(null=True)
    status = fields.CharEnumField(ProjectStatus, max_length=32, default=ProjectStatus.PLANNED)
    lead_id = fields.UUIDField(null=True)
    start_date = fields.DateField(null=True)
    target_date = fields.DateField(null=True)
    archived_at = fields.DatetimeField(null=True)
    version = fields.IntField(default=1)

    class Meta:
        table = "project"


class ProjectCounter(Model):
    """The last task number of a project; a row of its own, so that numbering does not wait for changes of tasks."""

    project_id = fields.UUIDField(primary_key=True)
    org_id = fields.UUIDField()
    last_number = fields.IntField(default=0)

    class Meta:
        table = "project_counter"


class WorkflowState(OrgModel):
    """A column of the project's board. `restricted` says that only the listed transitions may follow."""

    project_id = fields.UUIDField()
    name = fields.TextField()
    category = fields.CharEnumField(StateCategory, max_length=32)
    color = fields.TextField()
    position = fields.IntField()
    restricted = fields.BooleanField(default=False)

    class Meta:
        table = "workflow_state"


class WorkflowTransition(Model):
    """`to_id` may follow `from_id`."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    org_id = fields.UUIDField()
    from_id = fields.UUIDField()
    to_id = fields.UUIDField()

    class Meta:
        table = "workflow_transition"
