"""Invitations of an organization."""

from tortoise import fields

from domain.base.models import OrgModel
from domain.base.permissions import Role
from domain.invitations.states import Status


class Invitation(OrgModel):
    """An address that was asked to join. `email` is stored as accounts store theirs.

    `generation` goes up when it is mailed anew, which ends the link before. Only the digest of a link's token is kept.
    """

    email = fields.TextField()
    role = fields.CharEnumField(Role, max_length=32)
    status = fields.CharEnumField(Status, max_length=16, default=Status.PENDING)
    invited_by_id = fields.UUIDField(null=True)
    generation = fields.IntField()
    token_digest = fields.BinaryField()
    expires_at = fields.DatetimeField()
    responded_at = fields.DatetimeField(null=True)

    class Meta:
        table = "invitation"
