"""What is kept of a change that was asked for under a key. The rows belong to no organization, only to who asked."""

from tortoise import fields
from tortoise.models import Model

from domain.base.clock import new_id, now


class Idempotency(Model):
    """One a key, of one actor and one field. `outcome` is JSON text without any secret; null while it is claimed."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    actor_kind = fields.TextField()
    actor_id = fields.UUIDField()
    field = fields.TextField()
    key = fields.TextField()
    arguments_digest = fields.BinaryField()
    outcome = fields.TextField(null=True)
    lease_until = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField(default=now)

    class Meta:
        table = "idempotency"
