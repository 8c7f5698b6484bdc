"""Cursors that only this deployment gives out: a position in text, signed together with what it is a position in."""

import base64
import binascii
import hashlib
import hmac

from domain.base.settings import Settings

# 128 bits: nobody finds a signature by trying.
_SIGNATURE_BYTES = 16


def write(settings: Settings, whose: bytes, position: bytes) -> str:
    """The position as clients hold it. `whose` says what kind of cursor it is, and of whom."""
    return base64.urlsafe_b64encode(position + _signature(settings, whose, position)).decode().rstrip("=")


def read(settings: Settings, whose: bytes, cursor: str) -> bytes | None:
    """The position that was written for the same `whose`; None for any other text."""
    try:
        decoded = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), b"-_", True)
    except (ValueError, binascii.Error):
        return None
    position, signature = decoded[:-_SIGNATURE_BYTES], decoded[-_SIGNATURE_BYTES:]
    return position if hmac.compare_digest(signature, _signature(settings, whose, position)) else None


def _signature(settings: Settings, whose: bytes, position: bytes) -> bytes:
    return hmac.new(settings.secret_key.encode(), whose + position, hashlib.sha256).digest()[:_SIGNATURE_BYTES]
