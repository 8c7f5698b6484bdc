"""The subscription of an organization; more than its plan comes with billing."""

from enum import StrEnum

from tortoise import fields

from domain.base.models import OrgModel


class Plan(StrEnum):
    """What an organization pays for."""

    FREE = "FREE"


class Subscription(OrgModel):
    """One a organization, made with it."""

    plan = fields.CharEnumField(Plan, max_length=32, default=Plan.FREE)

    class Meta:
        table = "subscription"
