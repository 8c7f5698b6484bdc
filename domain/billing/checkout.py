"""Pages of Stripe's, where a plan is bought and bills and cards are kept; and an end that is wished for or taken back.

Each is a call between two transactions (`OutsideCall`). Its id makes the key that Stripe gets, so a repeat under a key
of the client's leads to the same page, also after a crash.
"""

from collections.abc import Awaitable, Callable
from uuid import UUID

from domain.adapters.stripe import MISSING, Stripe, StripeRefused, Subscribed
from domain.base.actor import Actor
from domain.base.errors import Conflict, Faults, FeatureDisabled
from domain.base.permissions import Permission
from domain.base.settings import Settings
from domain.billing import customers, returning, seats, syncing
from domain.billing.plans import Plan
from domain.billing.states import ALLOWS, Act
from domain.billing.syncing import Look

# Less than a whole operation may take.
TIMEOUT_S = 9.0
_NO_CUSTOMER = "Nothing was ever paid for here. Begin with billingCheckoutCreate."

Call = Callable[[UUID], Awaitable[str]]
Change = Callable[[UUID], Awaitable[Look]]


def allowed(actor: Actor, org_id: UUID, stripe: Stripe | None) -> Stripe:
    """Stripe, for who may change what is paid for.

    Raises NotFound; Forbidden (BILLING_MANAGE); FeatureDisabled.
    """
    actor.require(Permission.BILLING_MANAGE, org_id=org_id)
    if stripe is None:
        raise FeatureDisabled("Nothing can be paid for here: this deployment has no STRIPE_SECRET_KEY.")
    return stripe


def buy(
    actor: Actor,
    org_id: UUID,
    *,
    plan: Plan,
    success_url: str,
    cancel_url: str,
    stripe: Stripe | None,
    settings: Settings,
) -> Call:
    """What gives the address of a page where the plan is bought, with a seat for each member. Pages before it close.

    Raises NotFound; Forbidden (BILLING_MANAGE); FeatureDisabled; UserErrors. The call raises Conflict where a plan is
    paid for already; Unavailable; Timeout.
    """
    stripe = allowed(actor, org_id, stripe)
    faults = Faults()
    price_id = syncing.prices(settings).get(plan, "")
    if not price_id:
        faults.add("Is free: nothing is to be bought. subscriptionCancel ends what is paid for.", "plan")
    returning.check(faults, settings, success_url=success_url, cancel_url=cancel_url)
    faults.check()

    async def call(id: UUID) -> str:
        customer_id = await customers.ensure(org_id, stripe)
        # Stripe is asked, because an event may be on its way; a second plan beside the first would be paid for twice.
        subscribed = syncing.best(await stripe.subscriptions(customer_id))
        if subscribed is not None and Act.CHECKOUT not in _acts(subscribed):
            raise Conflict("A plan is paid for already. Change it in the billing portal.")
        count = max(1, await seats.members(org_id))
        page = await stripe.create_checkout(
            customer_id,
            price_id=price_id,
            seats=count,
            success_url=success_url,
            cancel_url=cancel_url,
            key=f"checkout-{id}-{customer_id}-{count}",
        )
        # Of several who buy at once the one with the last page goes on.
        await stripe.close_checkouts(customer_id, before=page)
        return page.url

    return call


def manage(actor: Actor, org_id: UUID, *, return_url: str, stripe: Stripe | None, settings: Settings) -> Call:
    """What gives the address of the portal: bills, cards, another plan, an end.

    Raises NotFound; Forbidden (BILLING_MANAGE); FeatureDisabled; UserErrors. The call raises Conflict before the first
    checkout; Unavailable; Timeout.
    """
    stripe = allowed(actor, org_id, stripe)
    faults = Faults()
    returning.check(faults, settings, return_url=return_url)
    faults.check()

    async def call(id: UUID) -> str:
        if (customer_id := await customers.stored(org_id)) is None:
            raise Conflict(_NO_CUSTOMER)
        try:
            return await stripe.create_portal(customer_id, return_url=return_url, key=f"portal-{id}-{customer_id}")
        except StripeRefused as refusal:
            if refusal.code == MISSING:
                raise Conflict(_NO_CUSTOMER) from refusal
            raise

    return call


def cancel(actor: Actor, org_id: UUID, *, stripe: Stripe | None) -> Change:
    """What lets the subscription end with what is paid for; the look at it afterwards is to be written.

    Raises NotFound; Forbidden (BILLING_MANAGE); FeatureDisabled. The call raises Conflict where there is nothing to
    end; Unavailable; Timeout.
    """
    return _change(org_id, Act.CANCEL, allowed(actor, org_id, stripe))


def resume(actor: Actor, org_id: UUID, *, stripe: Stripe | None) -> Change:
    """What takes the end back; the look at it afterwards is to be written.

    Raises NotFound; Forbidden (BILLING_MANAGE); FeatureDisabled. The call raises Conflict where it has ended, or there
    is nothing; Unavailable; Timeout.
    """
    return _change(org_id, Act.RESUME, allowed(actor, org_id, stripe))


def _change(org_id: UUID, act: Act, stripe: Stripe) -> Change:
    async def call(id: UUID) -> Look:
        customer_id = await customers.stored(org_id)
        subscribed = None if customer_id is None else syncing.best(await stripe.subscriptions(customer_id))
        if customer_id is None or subscribed is None or act not in _acts(subscribed):
            raise Conflict("Nothing is paid for that could end or go on. Begin with billingCheckoutCreate.")
        if act is Act.CANCEL and not subscribed.is_to_end:
            await stripe.end_at_period_end(subscribed.id, key=f"cancel-{id}")
        elif act is Act.RESUME and subscribed.is_to_end:
            await stripe.go_on(subscribed, key=f"resume-{id}")
        return await syncing.look(org_id, customer_id, stripe)

    return call


def _acts(subscribed: Subscribed) -> frozenset[Act]:
    return ALLOWS[syncing.STATUSES[subscribed.status]].acts
