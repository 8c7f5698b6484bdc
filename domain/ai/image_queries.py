"""Reads of pictures that were drawn. A person sees their own, of the organizations they are in; a key has none."""

from datetime import datetime
from uuid import UUID

from domain.base.paging import PageRequest, newest_first, request
from domain.base.reads import One, Pages, Table, own_rows
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
NEWEST_FIRST = newest_first("generated_image")

visible = own_rows("generated_image")

by_ids = One(IMAGES, visible)
of_users = Pages(IMAGES, visible, key="generated_image.user_id")


def asked(*, first: int | None, after: str | None) -> PageRequest:
    """A page of somebody's pictures, the newest first. Raises BadInput for what request() refuses."""
    return request(NEWEST_FIRST, first=first, after=after, scope="images")
