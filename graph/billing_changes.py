"""Pages where a plan is bought and managed, and the end of what is paid for. What is read is in `billing.py`."""

from typing import Annotated

import strawberry

from domain.billing import checkout, syncing
from domain.billing.plans import Plan
from domain.billing.syncing import Look
from domain.idempotency.service import OutsideCall
from domain.organizations import queries as organizations
from graph.base.context import Info
from graph.base.errors import UserError, mutation, no_errors
from graph.base.ids import parse_id
from graph.organizations import Organization, OrganizationPayload


@strawberry.type
class BillingUrlPayload:
    """Where to go on."""

    url: str | None = strawberry.field(default=None, description="A page of Stripe's; null when it was refused.")
    errors: list[UserError] = no_errors()


async def _url(url: str) -> BillingUrlPayload:
    return BillingUrlPayload(url=url)


@strawberry.type
class BillingMutations:
    """Changes to what is paid for. Each asks Stripe, and none waits for it inside a transaction."""

    @mutation(calls_outside=True)
    def billing_checkout_create(
        self,
        info: Info,
        organization_id: strawberry.ID,
        plan: Annotated[Plan, strawberry.argument(description="What to buy; FREE cannot be.")],
        success_url: Annotated[str, strawberry.argument(description="Where to go once it is paid.")],
        cancel_url: Annotated[str, strawberry.argument(description="Where to go when nothing was bought.")],
    ) -> OutsideCall[str, BillingUrlPayload]:
        """Open a page where the plan is bought, a seat for each member. Needs BILLING_MANAGE.

        People come back to `successUrl` or `cancelUrl`, pages of this deployment. What was opened before closes, so
        that nobody pays there as well. CONFLICT where a plan is paid for already, FEATURE_DISABLED where nothing can
        be.
        """
        adapters = info.context.adapters
        call = checkout.buy(
            info.context.actor,
            parse_id(organization_id, "organization", "organizationId"),
            plan=plan,
            success_url=success_url,
            cancel_url=cancel_url,
            stripe=adapters.stripe,
            settings=adapters.settings,
        )
        return OutsideCall(call, _url, checkout.TIMEOUT_S)

    @mutation(calls_outside=True)
    def billing_portal_create(
        self,
        info: Info,
        organization_id: strawberry.ID,
        return_url: Annotated[str, strawberry.argument(description="Where to go afterwards.")],
    ) -> OutsideCall[str, BillingUrlPayload]:
        """Open the page with bills, cards and a change of plan. Needs BILLING_MANAGE.

        People come back to `returnUrl`, a page of this deployment. CONFLICT before the first checkout.
        """
        adapters = info.context.adapters
        call = checkout.manage(
            info.context.actor,
            parse_id(organization_id, "organization", "organizationId"),
            return_url=return_url,
            stripe=adapters.stripe,
            settings=adapters.settings,
        )
        return OutsideCall(call, _url, checkout.TIMEOUT_S)

    @mutation(calls_outside=True)
    def subscription_cancel(self, info: Info, organization_id: strawberry.ID) -> OutsideCall[Look, OrganizationPayload]:
        """Let what is paid for end with its period. Needs BILLING_MANAGE. CONFLICT where nothing is paid for."""
        org_id = parse_id(organization_id, "organization", "organizationId")
        return _changed(info, checkout.cancel(info.context.actor, org_id, stripe=info.context.adapters.stripe))

    @mutation(calls_outside=True)
    def subscription_resume(self, info: Info, organization_id: strawberry.ID) -> OutsideCall[Look, OrganizationPayload]:
        """Take the end back while the period runs. Needs BILLING_MANAGE. CONFLICT where it has ended."""
        org_id = parse_id(organization_id, "organization", "organizationId")
        return _changed(info, checkout.resume(info.context.actor, org_id, stripe=info.context.adapters.stripe))


def _changed(info: Info, call: checkout.Change) -> OutsideCall[Look, OrganizationPayload]:
    actor, settings = info.context.actor, info.context.settings

    async def finish(seen: Look) -> OrganizationPayload:
        await syncing.write(actor, seen, settings)
        organization = await organizations.by_ids.get(actor, seen.org_id)
        return OrganizationPayload(organization=Organization.of(organization))

    return OutsideCall(call, finish, checkout.TIMEOUT_S)
