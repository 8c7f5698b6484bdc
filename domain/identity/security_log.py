"""An account's own log: what happened to it, and what it was denied. None of it belongs to an organization.

An entry is written with what it tells: in the same transaction where something changes, in one of its own where
something was refused, so that no rollback takes it along. It is also what the account's mail goes by: what an entry
asks for is sent once it is committed.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.database import execute, tx
from domain.base.sql import Row, Sql, sql
from domain.identity.networks import prefix_of

USER_AGENT_LENGTH = 500


class Action(StrEnum):
    """What an entry tells."""

    SIGNED_UP = "SIGNED_UP"
    SIGNED_IN = "SIGNED_IN"
    SIGN_IN_FAILED = "SIGN_IN_FAILED"
    SIGNED_OUT = "SIGNED_OUT"
    SESSION_REVOKED = "SESSION_REVOKED"
    PROFILE_UPDATED = "PROFILE_UPDATED"
    VERIFICATION_REQUESTED = "VERIFICATION_REQUESTED"
    EMAIL_VERIFIED = "EMAIL_VERIFIED"
    EMAIL_CHANGE_REQUESTED = "EMAIL_CHANGE_REQUESTED"
    EMAIL_CHANGED = "EMAIL_CHANGED"
    PASSWORD_RESET_REQUESTED = "PASSWORD_RESET_REQUESTED"  # noqa: S105  # the name of an action
    PASSWORD_RESET = "PASSWORD_RESET"  # noqa: S105
    PASSWORD_CHANGED = "PASSWORD_CHANGED"  # noqa: S105
    DENIED = "DENIED"


class SecurityEntryRow(Row):
    """An entry. `detail` names what was changed or denied, or the address that was left; nothing of a secret."""

    id: UUID
    user_id: UUID
    at: datetime
    action: str
    session_id: UUID | None
    detail: str | None


class Origin(NamedTuple):
    """Where a request comes from, as far as that is known."""

    client_address: str | None = None
    user_agent: str | None = None


_NOWHERE = Origin()
_origin: ContextVar[Origin] = ContextVar("origin", default=_NOWHERE)


def come_from(client_address: str, user_agent: str | None) -> None:
    """Say where the running task is asked from; its entries tell that."""
    _origin.set(Origin(client_address, user_agent))


def shortened(user_agent: str | None) -> str | None:
    """What a browser or program calls itself, as it is stored."""
    return user_agent and user_agent.replace("\x00", "")[:USER_AGENT_LENGTH]


def entries(
    user_id: UUID,
    action: Action,
    *,
    session_ids: Sequence[UUID | None] = (None,),
    details: Sequence[str | None] = (None,),
    origin: Origin | None = None,
    entry_id: UUID | None = None,
) -> Sql:
    """The statement that writes an entry for each session and each detail; none for who has no account.

    `entry_id` is the id of the only one, where somebody refers to it.
    """
    told = [(entry_id or new_id(), session_id, detail) for session_id in session_ids for detail in details]
    seen = origin or _origin.get()
    return sql(
        "INSERT INTO security_entry (id, user_id, at, action, session_id, detail, address_prefix, user_agent) "
        "SELECT told.id, users.id, {}::timestamptz, {}::text, told.session_id, told.detail, {}::text, {}::text "
        "FROM users, unnest({}::uuid[], {}::uuid[], {}::text[]) AS told(id, session_id, detail) "
        "WHERE users.id = {}::uuid",
        now(),
        action.value,
        seen.client_address and prefix_of(seen.client_address),
        shortened(seen.user_agent),
        *([list(column) for column in zip(*told, strict=True)] or [[], [], []]),
        user_id,
    )


async def note_denials(actor: Actor, permissions: Sequence[str]) -> None:
    """Write that the caller lacked these permissions, for good, whatever became of what was asked."""
    if actor.user_id is not None and permissions:
        async with tx():
            await execute(
                entries(actor.user_id, Action.DENIED, session_ids=[actor.session_id], details=sorted(set(permissions)))
            )
