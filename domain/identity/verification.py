"""That an address is its account's: shown by a link that was mailed there. A new address takes the old one's place so.

What is asked for is written with the entry of the security log by which the mail is sent.
"""

from uuid import UUID

from domain.adapters.throttle import Limit, Throttle
from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.database import execute, fetch_value, tx
from domain.base.database_faults import unique
from domain.base.errors import Conflict, Invalid, Taken, Unauthenticated
from domain.base.settings import Settings
from domain.base.sql import sql
from domain.identity import account_tokens, addresses, credentials, queries, security_log
from domain.identity.account_tokens import AccountRow, AccountTokenRow, Purpose
from domain.identity.queries import UserRow
from domain.identity.security_log import Action

RESENDS = Limit(tries=3, window_s=3600)
CHANGE_REQUESTS = Limit(tries=5, window_s=3600)


async def resend(actor: Actor, *, settings: Settings, throttle: Throttle) -> None:
    """Have the link mailed again; earlier ones hold no more.

    Raises Unauthenticated; Conflict for an address that is verified; RateLimited after 3 an hour; Unavailable.
    """
    user_id = actor.require_person()
    if (await queries.by_ids.get(actor, user_id)).email_verified:
        raise Conflict("This address is verified already.")
    await throttle.hit(f"verification:{user_id}", RESENDS)
    async with tx():
        account = await _own_account(actor)
        if account.email_verified_at is not None:
            raise Conflict("This address is verified already.")
        entry_id = new_id()
        await account_tokens.issue(settings, account.id, Purpose.VERIFY_EMAIL, email=account.email, entry_id=entry_id)
        await _note(actor, Action.VERIFICATION_REQUESTED, entry_id=entry_id)


async def request_change(
    actor: Actor,
    new_email: str,
    password: str,
    *,
    client_address: str,
    user_agent: str | None,
    settings: Settings,
    throttle: Throttle,
) -> None:
    """Have a link mailed to the new address; the old one stays the account's until it is used.

    Raises Unauthenticated; Invalid, Taken (new_email); WrongCredentials (password); RateLimited, as for sign-ins and
    after 5 an hour; Unavailable.
    """
    user_id = actor.require_person()
    address = addresses.normalized(new_email)
    if address is None:
        raise Invalid("Must be an e-mail address.", "new_email")
    before = await queries.by_ids.get(actor, user_id)
    known = await credentials.check(
        str(before.email),
        password,
        client_address=client_address,
        user_agent=user_agent,
        throttle=throttle,
        path="password",
    )
    if address == before.email:
        raise Invalid("This is the account's address already.", "new_email")
    # Before it is told whether somebody has the address: nobody asks that of many.
    await throttle.hit(f"email-change:{user_id}", CHANGE_REQUESTS)
    if await fetch_value(sql("SELECT true FROM users WHERE email = {}", address)):
        raise _taken("new_email")
    async with tx():
        account = await _own_account(actor)
        if (known.user_id, before.email) != (account.id, account.email):
            raise credentials.wrong("password")
        entry_id = new_id()
        await account_tokens.issue(settings, account.id, Purpose.CHANGE_EMAIL, email=address, entry_id=entry_id)
        await _note(actor, Action.EMAIL_CHANGE_REQUESTED, entry_id=entry_id)


async def verify(actor: Actor, token: str, *, client_address: str, throttle: Throttle) -> UserRow:
    """Do what a mailed link is for: verify the account's address, or give it the new one. The row.

    The link is for whoever is signed in as its account: somebody who signed up with another one's address does not get
    it verified when that other one follows the link.

    Raises Unauthenticated; Invalid, Expired, Taken (token); RateLimited; Unavailable.
    """
    user_id = actor.require_person()
    purposes = (Purpose.VERIFY_EMAIL, Purpose.CHANGE_EMAIL)
    found = await account_tokens.find(token, purposes, client_address=client_address, throttle=throttle)
    if found.user_id != user_id:
        raise Invalid("This link is for another account. Sign in to that one first.", "token")
    async with tx():
        account = await account_tokens.use_up(found)
        if found.purpose == Purpose.CHANGE_EMAIL:
            await _change(actor, account, found)
        else:
            await execute(sql("UPDATE users SET email_verified_at = {}, updated_at = {} WHERE id = {}", *_at(account)))
            await _note(actor, Action.EMAIL_VERIFIED)
        return await queries.by_ids.get(actor, user_id)


async def _change(actor: Actor, account: AccountRow, found: AccountTokenRow) -> None:
    change = "UPDATE users SET email = {}, email_verified_at = {}, updated_at = {} WHERE id = {}"
    with unique("users_email", _taken("token")):
        await execute(sql(change, found.email, *_at(account)))
    # What was mailed to the old address proves nothing any more.
    await account_tokens.drop(account.id, *Purpose)
    await _note(actor, Action.EMAIL_CHANGED, detail=account.email)


def _at(account: AccountRow) -> tuple[object, ...]:
    at = now()
    return (at, at, account.id)


def _taken(path: str) -> Taken:
    return Taken("There is an account with this address already.", path)


async def _own_account(actor: Actor) -> AccountRow:
    account = await account_tokens.lock_account(actor.require_person())
    if account is None:
        raise Unauthenticated
    return account


async def _note(actor: Actor, action: Action, *, detail: str | None = None, entry_id: UUID | None = None) -> None:
    user_id, session_ids = actor.require_person(), [actor.session_id]
    await execute(security_log.entries(user_id, action, session_ids=session_ids, details=[detail], entry_id=entry_id))
