"""What an organization may use of each feature, and how much of it is used: one statement for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from domain.adapters.cache import Cache, Codec, Kind
from domain.base.actor import Actor
from domain.base.clock import now
from domain.base.database import fetch
from domain.base.permissions import Permission
from domain.base.reads import for_actor, orgs_with
from domain.base.sql import Row, joined, sql
from domain.billing.limits import COUNTED, tokens_used
from domain.billing.plans import PLANS, Feature, Plan
from domain.billing.states import Status, effective
from domain.events.cached import cached

visible = for_actor("subscription.org_id = ANY({}::uuid[])", orgs_with(Permission.ORG_READ))
"""The organizations whose members ask: whoever works there meets the limits."""


@dataclass(frozen=True)
class Entitlement:
    """A feature by its name. No `limit` is without one; no `used` is not counted."""

    feature: str
    limit: int | None
    used: int | None

    @property
    def enabled(self) -> bool:
        """Whether the plan has any of it."""
        return self.limit is None or self.limit > 0


async def of_organizations(actor: Actor, org_ids: Sequence[UUID]) -> dict[UUID, list[Entitlement]]:
    """Organization -> its entitlements, one for each Feature, in their order; a stranger's is left out.

    Without the use of what is spent with no event: that is nothing to be kept. Raises Unavailable; Timeout.
    """
    at = now()
    used = joined(", ", (sql(f"{{}} AS {feature.value}", count(at)) for feature, count in COUNTED.items()))
    statement = sql(
        "SELECT org_id, plan, status, grace_ends_at, {} FROM subscription WHERE org_id = ANY({}::uuid[]) AND {}",
        used,
        list(org_ids),
        visible(actor),
    )
    found = {}
    for row in await fetch(statement, Row):
        limits = PLANS[effective(Plan(row["plan"]), Status(row["status"]), row["grace_ends_at"], at)].limits
        found[row["org_id"]] = [
            Entitlement(feature.value, limits[feature], row[feature.value] if feature in COUNTED else None)
            for feature in Feature
        ]
    return found


def _encoded(shown: list[Entitlement]) -> Any:
    return [[each.feature, each.limit, each.used] for each in shown]


def _decoded(kept: Any) -> list[Entitlement]:
    return [Entitlement(*each) for each in kept]


KEPT = Kind("entitlements", Codec(_encoded, _decoded), ttl_s=300.0)


async def kept_of_organizations(
    actor: Actor, org_ids: Sequence[UUID], cache: Cache
) -> dict[UUID, list[Entitlement] | None]:
    """As `of_organizations`, from the cache where nothing has happened in the organization since it was read.

    For showing alone: what time itself changes, as the end of a grace, is here with the event that tells of it. The
    tokens of the month are those of now.
    """
    found, _ = await cached(cache, KEPT, actor, org_ids, of_organizations)
    used = await tokens_used([org_id for org_id, kept in found.items() if kept is not None])
    return {org_id: kept and [_with(each, used.get(org_id, 0)) for each in kept] for org_id, kept in found.items()}


def _with(entitlement: Entitlement, tokens: int) -> Entitlement:
    return replace(entitlement, used=tokens) if entitlement.feature == Feature.AI_TOKENS_MONTH else entitlement
