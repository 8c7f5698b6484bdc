"""Reads of invitations by who manages them. What the holder of a link sees is in links.py."""

from datetime import datetime
from functools import partial
from uuid import UUID

from domain.base.clock import now
from domain.base.paging import PageRequest, newest_first, request
from domain.base.permissions import Permission
from domain.base.reads import One, Pages, Table, for_actor, orgs_with
from domain.base.sql import Row, Sql
from domain.invitations.states import Status


class InvitationRow(Row):
    """An invitation, without its token. `status` is that of this moment."""

    id: UUID
    org_id: UUID
    email: str
    role: str
    status: str
    invited_by_id: UUID | None
    generation: int
    expires_at: datetime
    responded_at: datetime | None
    created_at: datetime
    updated_at: datetime


# Once the time is over it has expired, also before that is written down.
_STATUS = (
    "CASE WHEN invitation.status = 'PENDING' AND invitation.expires_at <= {} THEN 'EXPIRED' ELSE invitation.status END"
)
INVITATIONS = Table("invitation", InvitationRow, {"status": for_actor(_STATUS, lambda _: now())})
NEWEST_FIRST = newest_first("invitation")

visible = for_actor("invitation.org_id = ANY({}::uuid[])", orgs_with(Permission.INVITATIONS_MANAGE))
"""The invitations of the organizations where the caller manages them."""

by_ids = One(INVITATIONS, visible)
of_organizations = Pages(INVITATIONS, visible, key="invitation.org_id")


def _in_state(status: Status) -> Sql:
    return for_actor(f"{_STATUS} = {{}}", lambda _: now(), lambda _: status.value).piece


def asked(*, first: int | None, after: str | None, status: Status | None) -> PageRequest:
    """Invitations in this state at present, or in any; the newest first. Raises BadInput as request() does."""
    where = None if status is None else partial(_in_state, status)
    return request(NEWEST_FIRST, first=first, after=after, scope=repr(("invitations", status)), where=where)
