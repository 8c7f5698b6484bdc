"""Notifications, the counter of each inbox, and who follows a task or does not want to."""

from enum import StrEnum

from tortoise import fields
from tortoise.models import Model

from domain.base.actor import ActorKind
from domain.base.clock import new_id, now
from domain.base.models import OrgModel


class NotificationKind(StrEnum):
    """Why somebody is told."""

    TASK_ASSIGNED = "TASK_ASSIGNED"
    MENTIONED = "MENTIONED"
    COMMENTED = "COMMENTED"
    INVITATION_ACCEPTED = "INVITATION_ACCEPTED"
    DUE_SOON = "DUE_SOON"
    REPORT_READY = "REPORT_READY"


class Inbox(Model):
    """A person's counter, over all organizations. `seq` numbers entries; `version` goes up with every change.

    Its lock is the last that a transaction takes, and held to the commit: numbers follow commit order.
    """

    user_id = fields.UUIDField(primary_key=True)
    seq = fields.BigIntField(default=0)
    version = fields.BigIntField(default=0)

    class Meta:
        table = "inbox"


class Notification(Model):
    """One entry of a person's inbox: what of its event does not change. What people wrote is read when it is shown."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    org_id = fields.UUIDField()
    user_id = fields.UUIDField()
    seq = fields.BigIntField()
    event_id = fields.UUIDField()
    kind = fields.CharEnumField(NotificationKind, max_length=32)
    actor_kind = fields.CharEnumField(ActorKind, max_length=16)
    actor_id = fields.UUIDField(null=True)
    subject_kind = fields.TextField()
    subject_id = fields.UUIDField()
    task_id = fields.UUIDField(null=True)
    read_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField(default=now)

    class Meta:
        table = "notification"


class TaskSubscription(OrgModel):
    """Whether a person wants to hear of a task, said in so many words; it goes before what their part in it says."""

    task_id = fields.UUIDField()
    user_id = fields.UUIDField()
    is_subscribed = fields.BooleanField()

    class Meta:
        table = "task_subscription"
