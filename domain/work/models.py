"""Jobs: what somebody has asked for that takes long."""

from enum import StrEnum

from tortoise import fields

from domain.base.actor import ActorKind
from domain.base.models import OrgModel
from domain.work.states import JobStatus


class JobKind(StrEnum):
    """What is done."""

    REPORT = "REPORT"
    EXPORT = "EXPORT"
    IMAGE = "IMAGE"
    ERASURE = "ERASURE"


class Job(OrgModel):
    """Something that takes long, for the person or API key that has asked for it.

    `user_id` is the person's, or of a key its maker's. `claim` names the last attempt, and what it left in storage lies
    under that id; it is null before the first, and once nothing can lie there any more.
    """

    kind = fields.CharEnumField(JobKind, max_length=16)
    status = fields.CharEnumField(JobStatus, max_length=16, default=JobStatus.QUEUED)
    progress = fields.FloatField(default=0.0)
    message = fields.TextField(null=True)
    handler = fields.TextField()
    arguments = fields.JSONField(default=dict)  # type: ignore[var-annotated]
    asked_by_kind = fields.CharEnumField(ActorKind, max_length=16)
    asked_by_id = fields.UUIDField()
    user_id = fields.UUIDField()
    # What whoever takes the result needs, on the day that they take it.
    permission = fields.TextField()
    attempts = fields.IntField(default=0)
    claim = fields.UUIDField(null=True)
    result_filename = fields.TextField(null=True)
    result_type = fields.TextField(null=True)
    result_size_bytes = fields.BigIntField(null=True)
    started_at = fields.DatetimeField(null=True)
    finished_at = fields.DatetimeField(null=True)
    expires_at = fields.DatetimeField(null=True)
    version = fields.IntField(default=1)

    class Meta:
        table = "job"
