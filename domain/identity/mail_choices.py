"""Mail that a person turns off by the link in it, without signing in."""

from domain.base.clock import now
from domain.base.database import acting_for, tx
from domain.base.settings import Settings
from domain.identity.models import Preferences
from domain.mail import unsubscribe
from domain.mail.kinds import KINDS, Kind


def kind_of(token: str, settings: Settings) -> Kind | None:
    """The kind of mail that a link turns off, or None when the link is not one of ours. Nothing changes."""
    found = unsubscribe.read(token, settings)
    return None if found is None else KINDS[found.kind]


async def turn_off(token: str, settings: Settings) -> Kind | None:
    """Turn off what the link is for; the kind of mail, or None when the link is not one of ours.

    Doing it again, or for an account that is gone, is the same. Raises Unavailable; Timeout.
    """
    found = unsubscribe.read(token, settings)
    if found is None:
        return None
    kind = KINDS[found.kind]
    assert kind.preference is not None  # noqa: S101  # no token is read for any other kind
    # Preferences belong to no organization, and the token is the right to change this one.
    with acting_for(()):
        async with tx():
            rows = Preferences.filter(user_id=found.user_id, **{kind.preference: True})
            await rows.update(**{kind.preference: False}, updated_at=now())
    return kind
