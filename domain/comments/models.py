"""Comments on tasks, and whom they mention."""

from tortoise import fields
from tortoise.models import Model

from domain.base.actor import ActorKind
from domain.base.clock import new_id
from domain.base.models import OrgModel


class Comment(OrgModel):
    """What somebody said about a task."""

    task_id = fields.UUIDField()
    author_kind = fields.CharEnumField(ActorKind, max_length=16)
    author_id = fields.UUIDField(null=True)
    body = fields.TextField()
    reply_to_id = fields.UUIDField(null=True)
    edited_at = fields.DatetimeField(null=True)
    version = fields.IntField(default=1)

    class Meta:
        table = "comment"


class CommentMention(Model):
    """A person whom a comment names."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    org_id = fields.UUIDField()
    comment_id = fields.UUIDField()
    user_id = fields.UUIDField()

    class Meta:
        table = "comment_mention"
