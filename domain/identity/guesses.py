"""Tokens of links that somebody sends in: looked up by their digest, and counted where there is none like it."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from domain.adapters.throttle import Limit, Throttle
from domain.identity import tokens
from domain.identity.networks import network_of

T = TypeVar("T")

# Nobody guesses 256 bits; who tries is stopped all the same, before the database hears of it.
UNKNOWN_TOKENS = Limit(tries=20, window_s=15 * 60)


async def look_up(
    token: str, find: Callable[[bytes], Awaitable[T | None]], *, client_address: str, throttle: Throttle
) -> T | None:
    """What `find` gives for the token's digest, or None for an unknown one.

    Raises RateLimited after 20 unknown ones within 15 minutes from one network, whatever they were for; Unavailable.
    """
    key = f"mailed-token:{network_of(client_address)}"
    await throttle.check(key, UNKNOWN_TOKENS)
    found = await find(tokens.digest(token))
    if found is None:
        await throttle.hit(key, UNKNOWN_TOKENS)
    return found
