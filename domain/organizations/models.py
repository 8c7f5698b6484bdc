"""Organizations, who belongs to them, and their API keys."""

from tortoise import fields
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.models import Model

from domain.base.clock import new_id, now
from domain.base.models import OrgModel
from domain.base.permissions import Role


class Organization(Model):
    """A tenant. Row-level security goes by its own id."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    name = fields.TextField()
    slug = fields.TextField()
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(default=now)
    updated_at = fields.DatetimeField(default=now)

    class Meta:
        table = "organization"


class Membership(OrgModel):
    """A person in an organization. One that ended stays, so that old work keeps its names."""

    user_id = fields.UUIDField()
    role = fields.CharEnumField(Role, max_length=32)
    ended_at = fields.DatetimeField(null=True)

    class Meta:
        table = "membership"


class ApiKey(OrgModel):
    """A key of an organization, made by `user_id`. Only the digest of its secret is kept."""

    user_id = fields.UUIDField()
    name = fields.TextField()
    prefix = fields.TextField()
    secret_digest = fields.BinaryField()
    permissions = ArrayField(element_type="text")
    last_used_at = fields.DatetimeField(null=True)
    expires_at = fields.DatetimeField(null=True)
    revoked_at = fields.DatetimeField(null=True)

    class Meta:
        table = "api_key"
