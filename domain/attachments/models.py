"""Attachments: files at tasks. Their bytes are in storage, under keys that follow from the ids of the row."""

from tortoise import fields

from domain.attachments.states import Status
from domain.base.actor import ActorKind
from domain.base.models import OrgModel


class Attachment(OrgModel):
    """A file at a task. It takes its size of the organization's storage until it is rejected or deleted."""

    task_id = fields.UUIDField()
    filename = fields.TextField()
    # What its sender said, and after the check what its bytes are.
    claimed_type = fields.TextField()
    content_type = fields.TextField(null=True)
    size_bytes = fields.BigIntField()
    sha256 = fields.TextField()
    status = fields.CharEnumField(Status, max_length=16, default=Status.REQUESTED)
    rejection_reason = fields.TextField(null=True)
    has_thumbnail = fields.BooleanField(default=False)
    uploaded_by_kind = fields.CharEnumField(ActorKind, max_length=16)
    uploaded_by_id = fields.UUIDField(null=True)
    # When its sender said that the bytes are there, where a job checks them.
    completed_at = fields.DatetimeField(null=True)

    class Meta:
        table = "attachment"
