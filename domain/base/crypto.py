"""Tokens and keys that are derived from SECRET_KEY. A token that travels by mail is derived from a row, so that whoever
mails one makes it again and nobody keeps it.
"""

import base64
import hashlib
import hmac
from uuid import UUID

from domain.base.settings import Settings


def mailed_token(settings: Settings, purpose: str, row_id: UUID, generation: int) -> str:
    """The token of a row, 256 bits: one for each purpose and generation. A row of the next generation has another.

    `purpose` is a name without spaces, so that no two messages are the same.
    """
    message = f"mailed token {purpose} {row_id.hex} {generation}"
    derived = hmac.new(settings.secret_key.encode(), message.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(derived).decode().rstrip("=")


def signing_key(settings: Settings, purpose: str) -> bytes:
    """The key that signatures of one purpose are made with. `purpose` is a name without spaces."""
    return hmac.new(settings.secret_key.encode(), f"signing key {purpose}".encode(), hashlib.sha256).digest()
