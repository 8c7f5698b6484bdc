"""Bearer tokens: made once, told once, kept as a digest."""

import hashlib
import secrets

# 256 bits: too many to guess, so a plain digest without salt or stretching keeps them safe.
_TOKEN_BYTES = 32


def new(prefix: str) -> str:
    """A random token of 256 bits behind a prefix that says what it is for."""
    return prefix + secrets.token_urlsafe(_TOKEN_BYTES)


def digest(token: str) -> bytes:
    """The SHA-256 that is stored in place of the token. Takes any string that a caller may send."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
