"""Mentions: `@(user id)` in a comment's body, for members of the organization."""

import re
from collections.abc import Iterable, Mapping
from uuid import UUID

from domain.base.clock import new_id
from domain.base.database import fetch
from domain.base.errors import Invalid
from domain.base.sql import Row, sql
from domain.comments.models import CommentMention

MOST_MENTIONS = 50
_MENTION = re.compile(r"@\(user_([0-9a-f]{32})\)")


def mentioned(body: str) -> list[UUID]:
    """Whom the body names, each once, in its order."""
    return list(dict.fromkeys(UUID(match[1]) for match in _MENTION.finditer(body)))


def named(body: str, names: Mapping[UUID, str]) -> str:
    """The body with `@name` for whom it mentions, `@somebody` for who has no name here."""
    return _MENTION.sub(lambda match: f"@{names.get(UUID(match[1]), 'somebody')}", body)


async def check(org_id: UUID, body: str, kept: Iterable[UUID] = ()) -> list[UUID]:
    """Whom the body names. Raises Invalid (`body`) for too many, or somebody who is neither a member nor in `kept`."""
    named = mentioned(body)
    if len(named) > MOST_MENTIONS:
        raise Invalid(f"Mentions at most {MOST_MENTIONS} people; these are {len(named)}.", "body")
    statement = sql(
        "SELECT user_id FROM membership WHERE org_id = {} AND user_id = ANY({}::uuid[]) AND ended_at IS NULL",
        org_id,
        named,
    )
    members = {row["user_id"] for row in await fetch(statement, Row)} | set(kept)
    if any(user_id not in members for user_id in named):
        raise Invalid("Mentions somebody who is not a member of the organization.", "body")
    return named


async def of(comment_id: UUID) -> list[UUID]:
    """Whom the comment is known to mention, in the order of its body."""
    found = await CommentMention.filter(comment_id=comment_id).order_by("id").values_list("user_id", flat=True)
    return [UUID(str(user_id)) for user_id in found]


async def replace(org_id: UUID, comment_id: UUID, user_ids: list[UUID]) -> None:
    """Make these the comment's mentions."""
    await CommentMention.filter(comment_id=comment_id).delete()
    await CommentMention.bulk_create(
        [CommentMention(id=new_id(), org_id=org_id, comment_id=comment_id, user_id=user_id) for user_id in user_ids]
    )
