"""What would be mailed now: found out when the mail is made, and not when it was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Mailing:
    """One mail to one address.

    `key` names what it is sent for and is the same at every try; `values` are what the mail's template fills in.
    """

    kind: str
    to: str
    key: str
    values: Mapping[str, Any]
