"""The table of plans."""

from domain.billing.plans import PLANS, Feature, Plan

MIB, GIB = 1024**2, 1024**3
LIMITS = {
    "members": (10, 100, None),
    "projects": (10, 200, None),
    "storage_bytes": (GIB, 100 * GIB, 1000 * GIB),
    "upload_bytes": (25 * MIB, GIB, 5 * GIB),
    "ai_tokens_month": (50_000, 2_000_000, 20_000_000),
    "audit_days": (90, 365, 2555),
    "api_keys": (2, 20, 100),
    "rate_points_minute": (10_000, 50_000, 200_000),
}


def test_every_plan_limits_every_feature_as_was_agreed() -> None:
    assert {feature.value: tuple(PLANS[plan].limits[feature] for plan in Plan) for feature in Feature} == LIMITS
    assert list(PLANS) == list(Plan)


def test_who_pays_more_has_more() -> None:
    prices = [PLANS[plan].price_cents for plan in Plan]

    assert prices == sorted(set(prices))
    assert prices[0] == 0
    for feature in Feature:
        limits = [PLANS[plan].limits[feature] for plan in Plan]
        assert limits == sorted(limits, key=lambda limit: float("inf") if limit is None else limit)
