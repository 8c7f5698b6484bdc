"""What can be paid for, and what each plan holds: one table. No rows here."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Plan(StrEnum):
    """What an organization pays for, the least first."""

    FREE = "FREE"
    PRO = "PRO"
    BUSINESS = "BUSINESS"


class Feature(StrEnum):
    """What a plan limits, by the name that clients and LimitReached know it by."""

    MEMBERS = "members"
    PROJECTS = "projects"
    STORAGE_BYTES = "storage_bytes"
    UPLOAD_BYTES = "upload_bytes"
    AI_TOKENS_MONTH = "ai_tokens_month"
    AUDIT_DAYS = "audit_days"
    API_KEYS = "api_keys"
    RATE_POINTS_MINUTE = "rate_points_minute"


@dataclass(frozen=True)
class Terms:
    """A plan's price for each seat and month, and its limits; None is without one."""

    name: str
    price_cents: int
    limits: Mapping[Feature, int | None]
    currency: str = "USD"


_MIB = 1024**2
_GIB = 1024**3
F = Feature

PLANS: Mapping[Plan, Terms] = {
    Plan.FREE: Terms(
        "Free",
        0,
        {
            F.MEMBERS: 10,
            F.PROJECTS: 10,
            F.STORAGE_BYTES: _GIB,
            F.UPLOAD_BYTES: 25 * _MIB,
            F.AI_TOKENS_MONTH: 50_000,
            F.AUDIT_DAYS: 90,
            F.API_KEYS: 2,
            F.RATE_POINTS_MINUTE: 10_000,
        },
    ),
    Plan.PRO: Terms(
        "Pro",
        800,
        {
            F.MEMBERS: 100,
            F.PROJECTS: 200,
            F.STORAGE_BYTES: 100 * _GIB,
            F.UPLOAD_BYTES: _GIB,
            F.AI_TOKENS_MONTH: 2_000_000,
            F.AUDIT_DAYS: 365,
            F.API_KEYS: 20,
            F.RATE_POINTS_MINUTE: 50_000,
        },
    ),
    Plan.BUSINESS: Terms(
        "Business",
        1600,
        {
            F.MEMBERS: None,
            F.PROJECTS: None,
            F.STORAGE_BYTES: 1000 * _GIB,
            F.UPLOAD_BYTES: 5 * _GIB,
            F.AI_TOKENS_MONTH: 20_000_000,
            F.AUDIT_DAYS: 2555,
            F.API_KEYS: 100,
            F.RATE_POINTS_MINUTE: 200_000,
        },
    ),
}
