"""Subscriptions: begun with their organization."""

from uuid import UUID

from domain.base.database import require_transaction
from domain.billing.models import Subscription


async def start_free(org_id: UUID) -> None:
    """Give a new organization its FREE subscription, in the open transaction. Raises RuntimeError outside one."""
    require_transaction()
    await Subscription.create(org_id=org_id)
