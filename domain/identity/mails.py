"""What an entry of the security log has mailed: found out from the rows as they are when the mail is made.

Each function gives None when there is nothing to send any more: the link was used or replaced, the account is gone.
They read what the application may read; tokens are made anew from their rows.
"""

from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

from domain.base.crypto import mailed_token
from domain.base.database import fetch
from domain.base.mailing import Mailing
from domain.base.settings import Settings
from domain.base.sql import sql
from domain.identity import account_tokens
from domain.identity.account_tokens import AccountRow
from domain.identity.security_log import Action, SecurityEntryRow

Mail = Callable[[UUID, SecurityEntryRow, Settings], Awaitable[Mailing | None]]


async def of(user_id: UUID, entry: SecurityEntryRow, settings: Settings) -> Mailing | None:
    """The mail of an entry, or None: most have none."""
    mail = MAILS.get(entry.action)
    return None if mail is None else await mail(user_id, entry, settings)


async def welcome(user_id: UUID, entry: SecurityEntryRow, settings: Settings) -> Mailing | None:
    """To who has signed up, with the link that verifies the address; to nobody whose address needs none any more."""
    return await _with_token("welcome", user_id, entry, settings)


async def verification(user_id: UUID, entry: SecurityEntryRow, settings: Settings) -> Mailing | None:
    """The link that verifies the account's address."""
    return await _with_token("verify_email", user_id, entry, settings)


async def email_change(user_id: UUID, entry: SecurityEntryRow, settings: Settings) -> Mailing | None:
    """The link that makes an address the account's, to that address."""
    return await _with_token("email_change", user_id, entry, settings)


async def email_changed(user_id: UUID, entry: SecurityEntryRow, settings: Settings) -> Mailing | None:
    """To the address that was left: which one is the account's now."""
    account = await _account(user_id)
    if account is None or entry.detail is None:
        return None
    return _mailing("email_changed", entry.detail, entry, account, new_email=account.email)


async def password_reset(user_id: UUID, entry: SecurityEntryRow, settings: Settings) -> Mailing | None:
    """The link to set a new password with."""
    return await _with_token("password_reset", user_id, entry, settings)


async def password_changed(user_id: UUID, entry: SecurityEntryRow, settings: Settings) -> Mailing | None:
    """That the password is another one now, however that came about."""
    account = await _account(user_id)
    return None if account is None else _mailing("password_changed", account.email, entry, account)


MAILS: Mapping[str, Mail] = {
    Action.SIGNED_UP: welcome,
    Action.VERIFICATION_REQUESTED: verification,
    Action.EMAIL_CHANGE_REQUESTED: email_change,
    Action.EMAIL_CHANGED: email_changed,
    Action.PASSWORD_RESET_REQUESTED: password_reset,
    Action.PASSWORD_RESET: password_changed,
    Action.PASSWORD_CHANGED: password_changed,
}
"""Action -> the mail that its entries have sent."""


async def _with_token(kind: str, user_id: UUID, entry: SecurityEntryRow, settings: Settings) -> Mailing | None:
    account, token = await _account(user_id), await account_tokens.asked_by(entry.id)
    if account is None or token is None:
        return None
    secret = mailed_token(settings, token.purpose, token.id, token.generation)
    return _mailing(kind, token.email, entry, account, token=secret)


def _mailing(kind: str, to: str, entry: SecurityEntryRow, account: AccountRow, **values: object) -> Mailing:
    return Mailing(kind, to, str(entry.id), {"name": account.name, **values})


async def _account(user_id: UUID) -> AccountRow | None:
    rows = await fetch(sql("SELECT id, name, email, email_verified_at FROM users WHERE id = {}", user_id), AccountRow)
    return rows[0] if rows else None
