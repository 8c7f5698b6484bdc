"""The shapes of Stripe's objects, as far as the fake has them, in the API version that it speaks.

Since 2025-03-31.basil a subscription's period lies on its items, and an invoice names its subscription under `parent`.
Source: the resource classes of the package `stripe` 16.1, which are made from Stripe's published description.
"""

import secrets
import string
from typing import Any

API_VERSION = "2026-10-28.endive"
# With the fields where the fake has them.
OLDEST_API_VERSION = "2025-03-31"
ALPHABET = string.ascii_letters + string.digits
DAY_S = 86_400
PERIOD_S = 30 * DAY_S
Json = dict[str, Any]


def new_id(prefix: str) -> str:
    """An identifier that nobody had before, also not before a restart."""
    return f"{prefix}_{''.join(secrets.choice(ALPHABET) for _ in range(24))}"


def _made(object: str, id: str, at: int, empty: str = "", **fields: Any) -> Json:
    """An object; `empty` names the fields that are null."""
    common = {"id": id, "object": object, "created": at, "livemode": False, "metadata": {}}
    return common | dict.fromkeys(empty.split()) | fields


def customer(at: int, **given: Any) -> Json:
    """Who pays."""
    empty = "address currency default_source description email name phone shipping test_clock"
    settings = {"custom_fields": None, "default_payment_method": None, "footer": None}
    fields = {"balance": 0, "delinquent": False, "invoice_settings": settings, "tax_exempt": "none"}
    return _made("customer", new_id("cus"), at, empty, **fields | given)


def product(at: int, key: str, name: str) -> Json:
    """What is sold."""
    sale = {"default_price": f"price_fake_{key}", "name": name, "type": "service", "unit_label": "seat"}
    fields = {"active": True, "images": [], "marketing_features": [], "updated": at}
    return _made("product", f"prod_fake_{key}", at, "description shippable url", **sale, **fields)


def price(at: int, key: str, cents: int) -> Json:
    """What a seat of it costs a month."""
    rhythm = {"interval": "month", "interval_count": 1, "usage_type": "licensed"}
    return _made(
        "price",
        f"price_fake_{key}",
        at,
        "custom_unit_amount nickname tiers_mode transform_quantity",
        active=True,
        billing_scheme="per_unit",
        currency="usd",
        lookup_key=key,
        product=f"prod_fake_{key}",
        recurring=rhythm | {"meter": None, "trial_period_days": None},
        tax_behavior="unspecified",
        type="recurring",
        unit_amount=cents,
        unit_amount_decimal=str(cents),
    )


def session(at: int, origin: str, total: int, **given: Any) -> Json:
    """A visit to the checkout."""
    id = new_id("cs_test")
    empty = "cancel_url client_reference_id client_secret customer customer_details customer_email invoice locale"
    fields: Json = {
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "currency": "usd",
        "custom_fields": [],
        "expires_at": at + DAY_S,
        "mode": "subscription",
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "status": "open",
        "ui_mode": "hosted_page",
        "url": f"{origin}/c/pay/{id}",
    }
    return _made(
        "checkout.session", id, at, f"{empty} payment_intent setup_intent subscription success_url", **fields | given
    )


def portal_session(at: int, origin: str, customer: str, return_url: str | None) -> Json:
    """A visit to the billing portal."""
    id = new_id("bps")
    fields = {"configuration": "bpc_fake", "customer": customer, "return_url": return_url}
    made = _made("billing_portal.session", id, at, "flow locale on_behalf_of", url=f"{origin}/p/session/{id}", **fields)
    del made["metadata"]
    return made


def subscription_item(at: int, subscription: str, price: Json, quantity: int, period: tuple[int, int]) -> Json:
    """A price that is subscribed to, how many times, and for which period it was billed."""
    made = _made(
        "subscription_item",
        new_id("si"),
        at,
        "billing_thresholds",
        current_period_end=period[1],
        current_period_start=period[0],
        discounts=[],
        price=price,
        quantity=quantity,
        subscription=subscription,
        tax_rates=[],
    )
    del made["livemode"]
    return made


def subscription(at: int, customer: str, **given: Any) -> Json:
    """What a customer pays for again and again; its items are added by who makes it."""
    id = new_id("sub")
    empty = "billing_thresholds cancel_at canceled_at days_until_due default_payment_method default_source description"
    fields: Json = {
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": at,
        "billing_mode": {"type": "flexible", "updated_at": None},
        "billing_schedules": [],
        "cancel_at_period_end": False,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "currency": "usd",
        "customer": customer,
        "discounts": [],
        "items": listed([], f"/v1/subscription_items?subscription={id}"),
        "start_date": at,
        "status": "incomplete",
    }
    return _made(
        "subscription",
        id,
        at,
        f"{empty} ended_at latest_invoice pause_collection pending_setup_intent pending_update schedule test_clock "
        "trial_end trial_start",
        **fields | given,
    )


def invoice(at: int, origin: str, subscription: Json, reason: str, amount: int) -> Json:
    """What one period of a subscription costs, as a draft."""
    id, items = new_id("in"), subscription["items"]["data"]
    whose = {"metadata": subscription["metadata"], "subscription": subscription["id"]}
    return _made(
        "invoice",
        id,
        at,
        "default_payment_method description due_date invoice_pdf next_payment_attempt number",
        amount_due=amount,
        amount_paid=0,
        amount_remaining=amount,
        attempt_count=0,
        attempted=False,
        auto_advance=True,
        billing_reason=reason,
        collection_method="charge_automatically",
        currency="usd",
        customer=subscription["customer"],
        hosted_invoice_url=f"{origin}/i/{id}",
        lines=listed([_line(id, each, free=amount == 0) for each in items], f"/v1/invoices/{id}/lines"),
        parent={"type": "subscription_details", "quote_details": None, "subscription_details": whose},
        period_end=items[0]["current_period_end"],
        period_start=items[0]["current_period_start"],
        status="draft",
        status_transitions=dict.fromkeys(("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")),
        subtotal=amount,
        total=amount,
    )


def _line(invoice: str, item: Json, *, free: bool) -> Json:
    price = item["price"]
    of = {"invoice_item": None, "proration": False}
    of |= {"subscription": item["subscription"], "subscription_item": item["id"]}
    made = _made(
        "line_item",
        new_id("il"),
        0,
        "description",
        amount=0 if free else item["quantity"] * price["unit_amount"],
        currency="usd",
        invoice=invoice,
        parent={"type": "subscription_item_details", "invoice_item_details": None, "subscription_item_details": of},
        period={"end": item["current_period_end"], "start": item["current_period_start"]},
        pricing={
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        quantity=item["quantity"],
    )
    del made["created"]
    return made


def event(at: int, type: str, thing: Json, previous: Json | None, request: Json) -> Json:
    """That something happened; `thing` is how the object was then."""
    data = {"object": thing} | ({} if previous is None else {"previous_attributes": previous})
    fields: Json = {"api_version": API_VERSION, "data": data, "pending_webhooks": 1, "request": request, "type": type}
    made = _made("event", new_id("evt"), at, **fields)
    del made["metadata"]
    return made


def listed(data: list[Json], url: str, *, has_more: bool = False) -> Json:
    """A page of objects."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}
