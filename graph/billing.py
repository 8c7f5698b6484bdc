"""Plans, what an organization pays for, and what it may use."""

from datetime import datetime
from typing import Any, ClassVar

import strawberry

from domain.base.permissions import Permission
from domain.billing import entitlements, queries
from domain.billing.plans import PLANS
from domain.billing.plans import Feature as BilledFeature
from domain.billing.plans import Plan as PlanKey
from domain.billing.queries import SubscriptionRow
from domain.billing.states import Status
from graph.base.context import Info
from graph.base.fields import column, computed, query
from graph.base.nodes import FromRow
from graph.base.scalars import BigInt
from graph.base.selection import columns

strawberry.enum(PlanKey, name="PlanKey", description="Which plan.")
strawberry.enum(Status, name="SubscriptionStatus", description="Where a subscription stands.")


@strawberry.type
class PlanFeature:
    """What a plan has of a feature."""

    key: str = strawberry.field(description="The feature's name.")
    limit: BigInt | None = strawberry.field(description="How much of it; null means unlimited.")


@strawberry.type
class Plan:
    """Something that can be paid for."""

    key: PlanKey = strawberry.field(description="Which one.")
    name: str = strawberry.field(description="Its name for people.")
    price_cents: int = strawberry.field(description="Per seat and month.")
    currency: str = strawberry.field(description="Of the price, by ISO 4217.")
    features: list[PlanFeature] = strawberry.field(description="What it limits.")


_PLANS = {
    key: Plan(
        key=key,
        name=terms.name,
        price_cents=terms.price_cents,
        currency=terms.currency,
        features=[
            PlanFeature(key=feature.value, limit=None if limit is None else BigInt(limit))
            for feature, limit in terms.limits.items()
        ],
    )
    for key, terms in PLANS.items()
}


def _plan(root: Any) -> Plan:
    return _PLANS[PlanKey(root.plan)]


@strawberry.type
class BillingSubscription(FromRow):
    """What an organization pays for."""

    row: ClassVar[type[Any]] = SubscriptionRow

    plan: Plan = computed(
        _plan,
        needs=("plan",),
        description="What is paid for. Its limits count while the subscription is ACTIVE or TRIALING, and PAST_DUE "
        "until `graceEndsAt`; otherwise those of FREE do.",
    )
    status: Status = column("Where it stands.")
    current_period_end: datetime | None = column("Until when it is paid; null on FREE.")
    trial_ends_at: datetime | None = column("Until when it is tried without pay.")
    grace_ends_at: datetime | None = column("Until then a PAST_DUE plan keeps its features.")
    cancel_at_period_end: bool = column("Whether it ends with the period that is paid.")
    seats: int = column("How many are paid for; 0 on FREE.")


@strawberry.type
class Entitlement:
    """What an organization may use of a feature. One with neither limit nor use is a switch."""

    feature: str = strawberry.field(description="The feature's name.")
    enabled: bool = strawberry.field(description="Whether the organization has it.")
    limit: BigInt | None = strawberry.field(description="How much; null means unlimited.")
    used: BigInt | None = strawberry.field(
        description="How much is used, which may be more than the limit after a change to a smaller plan: nothing is "
        "taken away then. Null where that is not counted. Open invitations count as members, archived projects do not."
    )


async def subscription_of(root: Any, info: Info) -> Any:
    """The subscription of an organization. Raises Forbidden (BILLING_READ)."""
    info.context.actor.require(Permission.BILLING_READ, org_id=root.id)
    return await info.context.load(queries.by_organizations, root.id, columns(info))


async def entitlements_of(root: Any, info: Info) -> Any:
    """The entitlements of an organization."""
    return await info.context.load(entitlements.kept_of_organizations, root.id, info.context.adapters.cache)


async def storage_used_of(root: Any, info: Info) -> BigInt:
    """How many bytes an organization stores, as its entitlements count them."""
    found = await entitlements_of(root, info) or ()
    return BigInt(next((each.used for each in found if each.feature == BilledFeature.STORAGE_BYTES), 0))


@strawberry.type
class BillingQueries:
    """Reads of what can be paid for."""

    @query
    async def plans(self, info: Info) -> list[Plan]:
        """What can be paid for, the least first. For everybody, signed in or not."""
        return list(_PLANS.values())
