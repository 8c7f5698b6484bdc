"""Passwords: argon2id with the second set of parameters that OWASP names (19 MiB, two passes, one lane).

A verification takes about 31 ms of a core and 19 MiB, so it runs in a thread and only a few run at a time: each needs
one of the `seats`.
"""

import asyncio
import secrets
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_LENGTH = 10
MAX_LENGTH = 200

# Source: OWASP Password Storage Cheat Sheet, section Argon2id.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# More at once would starve the event loop of the two cores that a small machine has.
seats = asyncio.Semaphore(2)
# Checked when the address is unknown, so that it takes as long as a wrong password.
_nobody = _hasher.hash(secrets.token_urlsafe())


def _prepared(password: str) -> str:
    """One form for what keyboards write in several. Source: NIST SP 800-63B, section 5.1.1.2."""
    return unicodedata.normalize("NFKC", password)


async def hashed(password: str) -> str:
    """What is stored in place of the password: parameters, salt and digest in one string.

    The password has at most MAX_LENGTH characters, which the caller has seen to. Takes a seat.
    """
    async with seats:
        return await asyncio.to_thread(_hasher.hash, _prepared(password))


async def matches(password: str, stored: str | None) -> bool:
    """Whether the password is the stored one. Without a stored one: False, after the same time.

    The caller holds one of the seats: what counts the tries has to happen in it as well.
    """
    if len(password) > MAX_LENGTH:
        # Nobody has it, and to normalize it would take time that grows with the square of its length.
        password, stored = "", None
    return await asyncio.to_thread(_verify, _prepared(password), stored or _nobody) and stored is not None


def is_outdated(stored: str) -> bool:
    """Whether the stored password was made with other parameters than today's."""
    return _hasher.check_needs_rehash(stored)


def _verify(password: str, stored: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
