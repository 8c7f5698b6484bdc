"""Tokens that are mailed to the holder of an account: one at a time for each purpose, of which the digest is kept.

An account's row is locked before its tokens, so two changes of them happen one after the other.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import cast
from uuid import UUID

from domain.adapters.throttle import Throttle
from domain.base.clock import new_id, now
from domain.base.crypto import mailed_token
from domain.base.database import Door, execute, fetch, require_transaction, system_fetch
from domain.base.errors import Expired, Invalid
from domain.base.settings import Settings
from domain.base.sql import Row, sql
from domain.identity import guesses, tokens


class Purpose(StrEnum):
    """What a token is good for, and nothing else."""

    VERIFY_EMAIL = "VERIFY_EMAIL"
    CHANGE_EMAIL = "CHANGE_EMAIL"
    RESET_PASSWORD = "RESET_PASSWORD"  # noqa: S105  # the name of a purpose


LIFETIMES = {
    Purpose.VERIFY_EMAIL: timedelta(days=7),
    Purpose.CHANGE_EMAIL: timedelta(days=1),
    Purpose.RESET_PASSWORD: timedelta(hours=1),
}


class AccountRow(Row):
    """What of an account its tokens depend on."""

    id: UUID
    name: str
    email: str
    email_verified_at: datetime | None


class AccountTokenRow(Row):
    """A token without its digest. `email` is where it is mailed to, `entry_id` the entry that asks for it."""

    id: UUID
    user_id: UUID
    purpose: str
    generation: int
    email: str
    entry_id: UUID
    expires_at: datetime


_COLUMNS = ", ".join(AccountTokenRow.__annotations__)


async def lock_account(user_id: UUID) -> AccountRow | None:
    """The account, locked to the end of the open transaction; None when it is gone."""
    require_transaction()
    text = "SELECT id, name, email, email_verified_at FROM users WHERE id = {}::uuid FOR NO KEY UPDATE"
    rows = await fetch(sql(text, user_id), AccountRow)
    return rows[0] if rows else None


async def issue(settings: Settings, user_id: UUID, purpose: Purpose, *, email: str, entry_id: UUID) -> None:
    """Make the account's token of this purpose anew, to be mailed to `email`; an earlier one holds no more.

    Inside the transaction that has locked the account. For who has no account the same statements do nothing.
    """
    existing = await fetch(
        sql("SELECT id, generation FROM account_token WHERE user_id = {} AND purpose = {}", user_id, purpose.value), Row
    )
    token_id, generation = (existing[0]["id"], existing[0]["generation"] + 1) if existing else (new_id(), 1)
    digest, at = tokens.digest(mailed_token(settings, purpose, token_id, generation)), now()
    expires_at = at + LIFETIMES[purpose]
    await execute(
        sql(
            "INSERT INTO account_token (id, user_id, purpose, generation, token_digest, email, entry_id, expires_at, "
            "created_at, updated_at) SELECT {}::uuid, users.id, {}::text, {}::int, {}::bytea, {}::text, {}::uuid, "
            "{}::timestamptz, {}::timestamptz, {}::timestamptz FROM users WHERE users.id = {}::uuid "
            "ON CONFLICT (user_id, purpose) DO UPDATE SET generation = {}::int, token_digest = {}::bytea, "
            "email = {}::text, entry_id = {}::uuid, expires_at = {}::timestamptz, updated_at = {}::timestamptz",
            *(token_id, purpose.value, generation, digest, email, entry_id, expires_at, at, at, user_id),
            *(generation, digest, email, entry_id, expires_at, at),
        )
    )


async def find(
    token: str, purposes: Collection[Purpose], *, client_address: str, throttle: Throttle
) -> AccountTokenRow:
    """The token of a link, for one of these purposes.

    Raises Invalid (token) for one that is unknown, was used or was replaced; Expired (token); RateLimited; Unavailable.
    """

    by_digest = partial(_by_digest, list(purposes))
    found = await guesses.look_up(token, by_digest, client_address=client_address, throttle=throttle)
    if found is None:
        raise unknown()
    if found.expires_at <= now():
        raise Expired("This link has expired. Ask for a new one.", "token")
    return found


async def _by_digest(purposes: Sequence[Purpose], digest: bytes) -> AccountTokenRow | None:
    text = f"SELECT {_COLUMNS} FROM account_token WHERE token_digest = $1 AND purpose = ANY($2::text[])"
    rows = await system_fetch(Door.MAILED_LINK, text, digest, purposes)
    # The columns are those of the row.
    return cast(AccountTokenRow, rows[0]) if rows else None


async def use_up(found: AccountTokenRow) -> AccountRow:
    """Take the token away in the open transaction, so that it is used once; its account, locked.

    Raises Invalid (token) when somebody was faster, or the address has changed since it was mailed.
    """
    account = await lock_account(found.user_id)
    used = sql("DELETE FROM account_token WHERE id = {} AND generation = {}", found.id, found.generation)
    if account is None or not await execute(used):
        raise unknown()
    if found.purpose != Purpose.CHANGE_EMAIL and found.email != account.email:
        raise unknown()
    return account


async def drop(user_id: UUID, *purposes: Purpose) -> None:
    """Let no mailed token of the account for these purposes hold any more, in the open transaction."""
    which = [purpose.value for purpose in purposes]
    await execute(sql("DELETE FROM account_token WHERE user_id = {} AND purpose = ANY({}::text[])", user_id, which))


async def asked_by(entry_id: UUID) -> AccountTokenRow | None:
    """The token that an entry of the security log has mailed; None once it was used or replaced, or has expired."""
    text = f"SELECT {_COLUMNS} FROM account_token WHERE entry_id = {{}} AND expires_at > {{}}"
    rows = await fetch(sql(text, entry_id, now()), AccountTokenRow)
    return rows[0] if rows else None


def unknown() -> Invalid:
    """What whoever sends an unknown token is told."""
    return Invalid("This link is unknown, or was used already.", "token")
