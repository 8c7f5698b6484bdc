"""Rate points: what an operation costs whoever asks, taken before it runs, and given back as far as it loaded less.

Without Redis nothing is counted, and what reads or writes goes on.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from domain.adapters.points import Balance, Points
from domain.base.actor import Actor
from domain.base.clock import now
from domain.base.errors import Unavailable
from domain.base.settings import Settings
from domain.identity.networks import network_of
from graph.base.cost import Estimate

_WINDOW = timedelta(minutes=1)


def payer(caller: Actor | None, address: str) -> str:
    """Whose points they are: the key's, the person's, or for who is signed out the network's."""
    if caller is None:
        return f"network:{network_of(address)}"
    if caller.api_key_id is not None:
        return f"key:{caller.api_key_id}"
    return f"user:{caller.user_id}"


def budget(caller: Actor | None, settings: Settings) -> int:
    """How many points of a minute the payer has: as many as everybody, or more where somebody pays for more."""
    least = settings.rate_points_minute
    return least if caller is None else max(least, caller.points_minute)


@dataclass(slots=True)
class Charge:
    """What one operation pays, of `limit` points a minute."""

    cost: Estimate
    limit: int
    balance: Balance | None
    """What was left after it was taken; None where nothing is counted."""

    @property
    def remaining(self) -> int:
        """What is left of this minute; as much as ever where nothing is counted."""
        return self.limit if self.balance is None else self.balance.remaining

    @property
    def reset_at(self) -> datetime:
        """When there are as many again as ever."""
        return now() + _WINDOW if self.balance is None else self.balance.reset_at

    def settled(self, points: Points, loaded: int | None) -> dict[str, Any]:
        """Give back what was not loaded, nothing where that is not known; and say how it stands now.

        It is `extensions.cost` of the answer.
        """
        estimated, work, _ = self.cost
        charged = estimated if loaded is None else max(1, min(estimated, work + loaded))
        if self.balance is not None:
            points.give_back(self.balance, estimated - charged)
        return {
            "estimated": estimated,
            "charged": charged,
            "limit": self.limit,
            "remaining": min(self.limit, self.remaining + estimated - charged),
            "resetAt": self.reset_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }


async def charge(points: Points, by: str, cost: Estimate, *, limit: int) -> Charge:
    """Take the points of an operation. Raises RateLimited where they are not left."""
    try:
        return Charge(cost, limit, await points.take(by, cost.points, limit))
    except Unavailable:
        # The adapter has logged it.
        return Charge(cost, limit, None)
