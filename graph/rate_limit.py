"""What the caller may ask for yet."""

from datetime import datetime

import strawberry

from graph.base.context import Info
from graph.base.fields import query


@strawberry.type
class RateLimit:
    """Cost of this request and what is left, in points."""

    cost: int = strawberry.field(description="What this request may load at most; what it does not is given back.")
    limit: int = strawberry.field(description="How many there are in a minute.")
    remaining: int = strawberry.field(description="How many are left of this minute.")
    reset_at: datetime = strawberry.field(description="When there are as many again as `limit`.")


@strawberry.type
class RateLimitQueries:
    """Reads of the caller's points."""

    @query
    async def rate_limit(self, info: Info) -> RateLimit:
        """The points of whoever asks: a person, an API key, or for who is signed out the network."""
        charge = info.context.operation.charge
        if charge is None:
            raise RuntimeError("the operation was not charged")
        cost = charge.cost.points
        return RateLimit(cost=cost, limit=charge.limit, remaining=charge.remaining, reset_at=charge.reset_at)
