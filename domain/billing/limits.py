"""What plans limit, held where it is used: a slot is found and taken under the lock of the subscription's row.

Two who want the last slot come one after the other, so one gets it. Being over a limit, as after a change to a smaller
plan, takes nothing away; it only stops what is new.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, date, datetime
from uuid import UUID

from domain.base.clock import now
from domain.base.database import fetch, fetch_value
from domain.base.errors import LimitReached, NotFound
from domain.base.sql import Row, Sql, sql
from domain.billing import subscriptions
from domain.billing.plans import PLANS, Feature, Plan
from domain.billing.states import Status, effective

COUNTED: Mapping[Feature, Callable[[datetime], Sql]] = {
    # An open invitation reserves a seat; whoever accepts it takes that one.
    Feature.MEMBERS: lambda at: sql(
        "(SELECT count(*) FROM membership WHERE membership.org_id = subscription.org_id AND ended_at IS NULL) "
        "+ (SELECT count(*) FROM invitation WHERE invitation.org_id = subscription.org_id "
        "AND invitation.status = 'PENDING' AND expires_at > {})",
        at,
    ),
    Feature.PROJECTS: lambda _: sql(
        "(SELECT count(*) FROM project WHERE project.org_id = subscription.org_id AND archived_at IS NULL)"
    ),
    Feature.API_KEYS: lambda _: sql(
        "(SELECT count(*) FROM api_key WHERE api_key.org_id = subscription.org_id AND revoked_at IS NULL)"
    ),
    # An upload takes its room when it is announced.
    Feature.STORAGE_BYTES: lambda _: sql(
        "(SELECT coalesce(sum(size_bytes), 0)::bigint FROM attachment WHERE attachment.org_id = subscription.org_id "
        "AND attachment.status <> 'REJECTED')"
    ),
}
"""How much of a feature an organization uses at an instant, beside its row in FROM. Statements of features above this
one: it is the one place that knows what plans limit."""


async def require_room(org_id: UUID, feature: Feature, *, more: int = 1) -> None:
    """Hold room for `more` of what COUNTED counts, to the end of the open transaction.

    Before it, nothing is locked but the organization. Raises LimitReached; NotFound for an organization that is not the
    tenant's; RuntimeError outside a transaction.
    """
    at = now()
    limit = await _limit(org_id, feature, at)
    if limit is None:
        return
    # A statement of its own: what the lock was waited for is counted.
    used = await fetch_value(sql("SELECT {} FROM subscription WHERE org_id = {}", COUNTED[feature](at), org_id))
    if used + more > limit:
        raise LimitReached(feature.value, limit, used)


async def require_size(org_id: UUID, feature: Feature, size: int, *path: str) -> None:
    """Hold a single thing to what the plan allows of one, to the end of the open transaction.

    Locks as `require_room`. Raises LimitReached (`path`); NotFound; RuntimeError outside a transaction.
    """
    limit = await _limit(org_id, feature, now())
    if limit is not None and size > limit:
        message = f"The plan allows {limit:,} {feature.value.replace('_', ' ')}; this has {size:,}."
        raise LimitReached(feature.value, limit, size, *path, message=message)


async def tokens_used(org_ids: Collection[UUID]) -> dict[UUID, int]:
    """Organization -> the tokens of language models that it has used this month; one that has used none is left out.

    They are counted as they are spent, without an event, and whose organizations these are is for the caller to know.
    """
    statement = "SELECT org_id, tokens FROM ai_usage WHERE org_id = ANY({}::uuid[]) AND month = {}"
    found = await fetch(sql(statement, list(org_ids), month_of(now())), Row)
    return {row["org_id"]: row["tokens"] for row in found}


async def require_tokens(org_id: UUID) -> None:
    """Raises LimitReached (ai_tokens_month) when this month's tokens are used up; NotFound for a stranger's.

    Nothing is locked or held: what a call takes is known when it has ended.
    """
    at = now()
    statement = sql(
        "SELECT plan, status, grace_ends_at, coalesce((SELECT tokens FROM ai_usage "
        "WHERE ai_usage.org_id = subscription.org_id AND month = {}), 0) AS used FROM subscription WHERE org_id = {}",
        *(month_of(at), org_id),
    )
    rows = await fetch(statement, Row)
    if not rows:
        raise NotFound("organization")
    (row,) = rows
    terms = PLANS[effective(Plan(row["plan"]), Status(row["status"]), row["grace_ends_at"], at)]
    limit = terms.limits[Feature.AI_TOKENS_MONTH]
    if limit is not None and row["used"] >= limit:
        message = f"The plan has {limit:,} AI tokens a month; {row['used']:,} are used. The next month begins by UTC."
        raise LimitReached(Feature.AI_TOKENS_MONTH.value, limit, row["used"], message=message)


def month_of(at: datetime) -> date:
    """The month of an instant, by the calendar of UTC: its first day."""
    return at.astimezone(UTC).date().replace(day=1)


async def _limit(org_id: UUID, feature: Feature, at: datetime) -> int | None:
    held = await subscriptions.lock(org_id)
    return PLANS[effective(Plan(held.plan), Status(held.status), held.grace_ends_at, at)].limits[feature]


Paid = tuple[str, str, datetime | None]
"""Plan, status and end of the grace of a subscription that is not FREE."""


def points_minute(paid: Iterable[Paid], at: datetime) -> int:
    """Rate points of the best plan that is in force among them; 0 without one, since FREE has what everybody has."""
    plans = {effective(Plan(plan), Status(status), grace_ends_at, at) for plan, status, grace_ends_at in paid}
    return max((PLANS[plan].limits[Feature.RATE_POINTS_MINUTE] or 0 for plan in plans - {Plan.FREE}), default=0)
