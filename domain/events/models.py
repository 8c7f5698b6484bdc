"""The rows of the log: a counter an organization, its events, and the values that may be erased."""

from tortoise import fields
from tortoise.models import Model

from domain.base.actor import ActorKind
from domain.base.clock import new_id


class EventCounter(Model):
    """The number and digest of the organization's last event. Its lock is the last that a transaction takes."""

    org_id = fields.UUIDField(primary_key=True)
    seq = fields.BigIntField(default=0)
    digest = fields.BinaryField(default=b"")

    class Meta:
        table = "event_counter"


class EventRow(Model):
    """One fact. `digest` chains it to the one before; `values_digest` covers its erasable values."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    org_id = fields.UUIDField()
    seq = fields.BigIntField()
    type = fields.TextField()
    occurred_at = fields.DatetimeField()
    actor_kind = fields.CharEnumField(ActorKind, max_length=16)
    actor_id = fields.UUIDField(null=True)
    project_id = fields.UUIDField(null=True)
    subject_kind = fields.TextField()
    subject_id = fields.UUIDField()
    data = fields.TextField()
    values_digest = fields.BinaryField(null=True)
    digest = fields.BinaryField()

    class Meta:
        table = "event"


class EventValues(Model):
    """Values before and after that could be personal or free text. Erasing the row leaves the chain whole."""

    event_id = fields.UUIDField(primary_key=True)
    org_id = fields.UUIDField()
    salt = fields.BinaryField()
    data = fields.TextField()

    class Meta:
        table = "event_values"
