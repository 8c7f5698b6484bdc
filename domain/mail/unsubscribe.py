"""The tokens in the links that turn a kind of mail off. They name a person and a kind, signed with SECRET_KEY.

Nothing of them is stored, they never expire, as old mails are opened late, and turning off is all that they can do.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID

from domain.base.settings import Settings
from domain.mail.kinds import KINDS
from domain.mail.links import UNSUBSCRIBE, link

# 128 bits. Source for cutting an HMAC: RFC 2104, section 5.
_SIGNATURE_BYTES = 16
_PURPOSE = b"planwire unsubscribe"


@dataclass(frozen=True)
class Unsubscribe:
    """Whose mail of what kind is turned off."""

    user_id: UUID
    kind: str


def token(user_id: UUID, kind: str, settings: Settings) -> str:
    """What goes into the link."""
    told = f"{kind}.{user_id.hex}"
    return f"{told}.{_signature(told, settings)}"


def url(user_id: UUID, kind: str, settings: Settings) -> str:
    """The link itself."""
    return link(settings.public_url, UNSUBSCRIBE, token=token(user_id, kind, settings))


def read(text: str, settings: Settings) -> Unsubscribe | None:
    """What a token says, or None when it is not one of ours or for a kind that cannot be turned off."""
    told, _, signature = text.rpartition(".")
    if not text.isascii() or not hmac.compare_digest(signature, _signature(told, settings)):
        return None
    kind, _, user_id = told.partition(".")
    if kind not in KINDS or KINDS[kind].preference is None:
        return None
    return Unsubscribe(UUID(hex=user_id), kind)


def _signature(told: str, settings: Settings) -> str:
    # A key of its own for the purpose, so that no other signature of ours can be passed off as this one.
    key = hmac.digest(settings.secret_key.encode(), _PURPOSE, hashlib.sha256)
    signature = hmac.digest(key, told.encode(), hashlib.sha256)[:_SIGNATURE_BYTES]
    return base64.urlsafe_b64encode(signature).decode().rstrip("=")
