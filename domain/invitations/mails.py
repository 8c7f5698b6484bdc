"""What an invitation's events have mailed: found out from the row as it is when the mail is made."""

import orjson

from domain.base.clock import now
from domain.base.crypto import mailed_token
from domain.base.database import fetch
from domain.base.mailing import Mailing
from domain.base.settings import Settings
from domain.base.sql import Row, sql
from domain.events.queries import EventRow
from domain.invitations.service import PURPOSE


async def invitation(event: EventRow, settings: Settings) -> Mailing | None:
    """The link of an invitation that was made or is sent again (INVITATION_CREATED, INVITATION_RESENT).

    None when it waits for no answer any more, or was sent again since. Runs for the event's organization.
    """
    rows = await fetch(
        sql(
            "SELECT invitation.id, invitation.generation, invitation.email, invitation.role, invitation.expires_at, "
            "organization.name AS organization_name, users.name AS inviter_name FROM invitation "
            "JOIN organization ON organization.id = invitation.org_id "
            "LEFT JOIN users ON users.id = invitation.invited_by_id "
            "WHERE invitation.org_id = {} AND invitation.id = {} AND invitation.generation = {} "
            "AND invitation.status = 'PENDING' AND invitation.expires_at > {}",
            *(event.org_id, event.subject_id, orjson.loads(event.data)["generation"], now()),
        ),
        Row,
    )
    if not rows:
        return None
    (row,) = rows
    return Mailing(
        "invitation",
        row.email,
        str(event.id),
        {
            "organization_name": row.organization_name,
            "inviter_name": row.inviter_name,
            "role": row.role,
            "expires_at": row.expires_at,
            "token": mailed_token(settings, PURPOSE, row.id, row.generation),
        },
    )
