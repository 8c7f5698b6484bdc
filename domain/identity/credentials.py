"""Whether somebody knows an account's password. Every place that asks counts the wrong tries together."""

import hashlib
from dataclasses import dataclass
from uuid import UUID

from domain.adapters.throttle import Limit, Throttle
from domain.base.clock import new_id
from domain.base.database import Door, system
from domain.base.errors import WrongCredentials
from domain.identity import addresses, passwords, security_log
from domain.identity.networks import network_of
from domain.identity.security_log import Action, Origin

WRONG_TRIES = Limit(tries=10, window_s=15 * 60)


@dataclass(frozen=True)
class Known:
    """Whose password it was, and the digest that it was held against."""

    user_id: UUID
    password_digest: str


async def check(
    email: str, password: str, *, client_address: str, user_agent: str | None, throttle: Throttle, path: str = ""
) -> Known:
    """Hold a password against the account's. An unknown address and a wrong password take the same time.

    For its account a try is counted before it is verified, so that guesses at the same moment cannot pass together; a
    right password forgets them. For its network only a wrong one is counted, once it is known to be wrong: many people
    may share a network, and none of them can wipe out its count with an account of their own.

    Raises WrongCredentials (`path`); RateLimited after 10 wrong tries within 15 minutes for the address or from one
    network, also with the right password; Unavailable.
    """
    address = addresses.normalized(email) or email.strip().lower()
    network_key, account_key = f"sign-in:network:{network_of(client_address)}", _account_key(address)
    # From the check to the count in one seat: past the limit of a network go at most the verifications in flight, two
    # in each process, and of those only a right one is told, because counting the others refuses them.
    async with passwords.seats:
        # The network goes first: one that is refused cannot lock anybody else's account as well.
        await throttle.check(network_key, WRONG_TRIES)
        await throttle.hit(account_key, WRONG_TRIES)
        async with system(Door.CREDENTIAL_CHECK) as connection:
            found = await connection.fetchrow(
                "SELECT users.id, credential.password_digest FROM users "
                "JOIN credential ON credential.user_id = users.id WHERE users.email = $1",
                address,
            )
        stored = found["password_digest"] if found else None
        if not await passwords.matches(password, stored) or found is None:
            await _note_failure(found["id"] if found else new_id(), Origin(client_address, user_agent))
            await throttle.hit(network_key, WRONG_TRIES)
            raise wrong(path)
        await throttle.clear(account_key)
    return Known(found["id"], found["password_digest"])


def wrong(path: str = "") -> WrongCredentials:
    """What whoever does not know the password is told."""
    if path:
        return WrongCredentials("This is not the account's password.", path)
    return WrongCredentials("Address and password do not belong together.")


async def forget_tries(email: str, throttle: Throttle) -> None:
    """Forget the wrong tries for an account whose password is another one now. Raises Unavailable."""
    await throttle.clear(_account_key(email))


def digest_of(address: str) -> str:
    """What stands for an address in the name of a count."""
    return hashlib.sha256(address.encode()).hexdigest()


def _account_key(address: str) -> str:
    return f"sign-in:account:{digest_of(address)}"


async def _note_failure(user_id: UUID, origin: Origin) -> None:
    """An entry for the account, none for an address that has none; the time it takes must not tell which.

    So the statement is the same, and the commit does not wait for the disk, which it would only after an entry.
    """
    async with system(Door.SIGN_IN_FAILURE) as connection:
        await connection.execute("SET LOCAL synchronous_commit = off")
        text, values = security_log.entries(user_id, Action.SIGN_IN_FAILED, origin=origin).render()
        await connection.execute(text, *values)
