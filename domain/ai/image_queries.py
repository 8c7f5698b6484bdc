"""Reads of pictures that were drawn. A person sees their own, of the organizations they are in; a key has none."""

from datetime import datetime
from uuid import UUID

from domain.base.paging import Key, KeyKind, Order, PageRequest, request
from domain.base.reads import One, Pages, Table, for_actor
from domain.base.sql import Row


class GeneratedImageRow(Row):
    """A picture that somebody has asked for."""

    id: UUID
    org_id: UUID
    user_id: UUID
    prompt: str
    job_id: UUID
    created_at: datetime
    updated_at: datetime


IMAGES = Table("generated_image", GeneratedImageRow, called="image")
NEWEST_FIRST = Order(
    (
        Key("generated_image.created_at", KeyKind.INSTANT, descending=True),
        Key("generated_image.id", KeyKind.UUID, descending=True),
    )
)

visible = for_actor(
    "(generated_image.user_id = {}::uuid AND generated_image.org_id = ANY({}::uuid[]))",
    lambda actor: actor.person_id,
    lambda actor: list(actor.standings),
)

by_ids = One(IMAGES, visible)
of_users = Pages(IMAGES, visible, key="generated_image.user_id")


def asked(*, first: int | None, after: str | None) -> PageRequest:
    """A page of somebody's pictures, the newest first. Raises BadInput for what request() refuses."""
    return request(NEWEST_FIRST, first=first, after=after, scope="images")
