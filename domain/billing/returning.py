"""Where Stripe may send people back to: pages of ours alone, or a link to us would lead to whoever made it."""

import re

from domain.base.errors import Faults
from domain.base.settings import Settings

LONGEST = 2000
_PRINTABLE = re.compile(r"[!-~]*")


def check(faults: Faults, settings: Settings, **addresses: str) -> None:
    """Add a fault for each address, by its argument's name, that does not lie under an origin of ours.

    An origin is compared as text up to the end of its host, so there is nothing in a URL to be read in two ways.
    """
    for name, address in addresses.items():
        if len(address) > LONGEST:
            faults.add(f"Must have at most {LONGEST} characters; it has {len(address)}.", name)
        elif not (_PRINTABLE.fullmatch(address) and "\\" not in address and _is_ours(address, settings)):
            faults.add(f"Must be a URL of {' or '.join(settings.allowed_origins)}.", name)


def _is_ours(address: str, settings: Settings) -> bool:
    return any(
        address.startswith(origin) and address[len(origin) : len(origin) + 1] in ("", "/", "?", "#")
        for origin in settings.allowed_origins
    )
