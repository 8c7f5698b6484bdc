"""A new password: for who knows the old one, or has a link that was mailed to the account's address.

Either ends sessions and every link that was mailed before, but for one that verifies the address.
"""

from uuid import UUID

from domain.adapters.throttle import Limit, Throttle
from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.database import Door, execute, fetch, fetch_value, system_tx, tx
from domain.base.errors import Faults
from domain.base.settings import Settings
from domain.base.sql import Row, sql
from domain.identity import account_tokens, accounts, addresses, credentials, passwords, queries, security_log
from domain.identity.account_tokens import Purpose
from domain.identity.networks import network_of
from domain.identity.security_log import Action

REQUESTS_FOR_AN_ADDRESS = Limit(tries=5, window_s=3600)
REQUESTS_FROM_A_NETWORK = Limit(tries=20, window_s=3600)


async def request_reset(email: str, *, client_address: str, settings: Settings, throttle: Throttle) -> None:
    """Have a link mailed to the address, where it is an account's; earlier ones hold no more.

    Nobody can tell from it whether the address is known: the same statements run, both commits wait for the disk, and
    of several at once each waits for the one before.
    Raises RateLimited after 5 an hour for an address and 20 from a network, known or not; Unavailable.
    """
    address = addresses.normalized(email) or email.strip().lower()[: addresses.LONGEST]
    await throttle.hit(f"password-reset:network:{network_of(client_address)}", REQUESTS_FROM_A_NETWORK)
    await throttle.hit(f"password-reset:account:{credentials.digest_of(address)}", REQUESTS_FOR_AN_ADDRESS)
    async with tx():
        # An account's row makes them wait below; for an address that has none, nothing else would.
        await fetch_value(sql("SELECT pg_advisory_xact_lock(hashtext('password reset'), hashtext({}))", address))
        # A commit that has written nothing would not wait for the disk. Source: PostgreSQL, pg_logical_emit_message.
        await fetch_value(sql("SELECT pg_logical_emit_message(true, 'planwire', '')"))
        user_id = await fetch_value(sql("SELECT id FROM users WHERE email = {} FOR NO KEY UPDATE", address))
        user_id, entry_id = user_id or new_id(), new_id()
        await account_tokens.issue(settings, user_id, Purpose.RESET_PASSWORD, email=address, entry_id=entry_id)
        await execute(security_log.entries(user_id, Action.PASSWORD_RESET_REQUESTED, entry_id=entry_id))


async def reset(token: str, new_password: str, *, client_address: str, throttle: Throttle) -> UUID:
    """Set a new password by a mailed link, and end every session of the account; the account's id.

    Raises Invalid, Expired (token); UserErrors (new_password); RateLimited; Unavailable.
    """
    _check(new_password)
    found = await account_tokens.find(
        token, (Purpose.RESET_PASSWORD,), client_address=client_address, throttle=throttle
    )
    digest = await passwords.hashed(new_password)
    async with system_tx(Door.CREDENTIAL_RESET):
        account = await account_tokens.use_up(found)
        await execute(
            sql(
                "UPDATE credential SET password_digest = {}, updated_at = {} WHERE user_id = {}",
                *(digest, now(), account.id),
            )
        )
        await _end(account.id, Action.PASSWORD_RESET)
    # Whoever tried wrong ones did so against the old password.
    await credentials.forget_tries(account.email, throttle)
    return account.id


async def change(
    actor: Actor,
    current_password: str,
    new_password: str,
    *,
    client_address: str,
    user_agent: str | None,
    throttle: Throttle,
) -> None:
    """Set a new password, and end every other session of the account.

    Raises Unauthenticated; UserErrors (new_password); WrongCredentials (current_password); RateLimited, as for
    sign-ins; Unavailable.
    """
    user_id = actor.require_person()
    _check(new_password)
    own = await queries.by_ids.get(actor, user_id)
    known = await credentials.check(
        str(own.email),
        current_password,
        client_address=client_address,
        user_agent=user_agent,
        throttle=throttle,
        path="current_password",
    )
    digest = await passwords.hashed(new_password)
    async with system_tx(Door.CREDENTIAL_CHANGE):
        await account_tokens.lock_account(user_id)
        changed = await execute(
            sql(
                "UPDATE credential SET password_digest = {}, updated_at = {} "
                "WHERE user_id = {} AND user_id = {} AND password_digest = {}",
                *(digest, now(), user_id, known.user_id, known.password_digest),
            )
        )
        if not changed:
            # Somebody else has changed it since.
            raise credentials.wrong("current_password")
        await _end(user_id, Action.PASSWORD_CHANGED, keep=actor.session_id)


def _check(new_password: str) -> None:
    faults = Faults()
    accounts.check_password(faults, new_password, "new_password")
    faults.check()


async def _end(user_id: UUID, action: Action, *, keep: UUID | None = None) -> None:
    """End the account's sessions but one, and the links that could take it over; tell the account of it."""
    sessions = sql(
        "DELETE FROM session WHERE user_id = {}::uuid AND id IS DISTINCT FROM {}::uuid RETURNING id", user_id, keep
    )
    ended = [row["id"] for row in await fetch(sessions, Row)]
    await account_tokens.drop(user_id, Purpose.RESET_PASSWORD, Purpose.CHANGE_EMAIL)
    await execute(security_log.entries(user_id, action, session_ids=[keep]))
    await execute(security_log.entries(user_id, Action.SESSION_REVOKED, session_ids=ended))
