"""What Stripe's API answers: each request's parameters against the account."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

from tests.stripe import objects, params
from tests.stripe.account import ENDED, Account, Refused, end_at, period_end
from tests.stripe.objects import Json
from tests.stripe.params import PAGE, PAGE_MOST, Params

Handler = Callable[[Account, Params, str], Json]
CUSTOMER = ("address", "description", "email", "metadata", "name", "phone", "preferred_locales", "tax_exempt")
LIST = ("created", "ending_before", "limit", "starting_after")
ITEM = ("deleted", "id", "price", "quantity")
# What a client may ask for without a change to what the fake does.
UNSEEN_CHECKOUT = (
    *("allow_promotion_codes", "automatic_tax", "billing_address_collection", "customer_update", "locale"),
    *("payment_method_collection", "payment_method_types", "tax_id_collection", "ui_mode"),
)
UNSEEN_SUBSCRIPTION = (
    "billing_mode",
    "collection_method",
    "payment_behavior",
    "payment_settings",
    "proration_behavior",
)


@dataclass(frozen=True)
class Route:
    """One request that is known, and the names of its parameters."""

    method: str
    path: str
    handler: Handler
    known: tuple[str, ...] = ()


def _get(object: str) -> Handler:
    return lambda account, _, id: account.get(object, id)


def _list(object: str, *filters: str) -> Handler:
    def handler(account: Account, given: Params, _: str) -> Json:
        wanted = {name: value for name in filters if (value := given.text(name)) is not None}
        return _page(account, object, given, lambda thing: all(_shown(thing[name]) == wanted[name] for name in wanted))

    return handler


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _page(account: Account, object: str, given: Params, wanted: Callable[[Json], bool]) -> Json:
    """The newest first, after or before an object that the client knows."""
    limit = given.whole("limit", PAGE, most=PAGE_MOST)
    created = given.part("created").only(("gt", "gte", "lt", "lte"))
    found = [thing for thing in reversed(account.all(object)) if not thing.get("deleted") and wanted(thing)]
    found = [
        thing
        for thing in found
        if created.whole("gte", 0) <= thing["created"] <= created.whole("lte", thing["created"])
        and created.whole("gt", -1) < thing["created"] < created.whole("lt", thing["created"] + 1)
    ]
    if (after := given.text("starting_after")) is not None:
        account.get(object, after, "starting_after")
        found = found[[thing["id"] for thing in found].index(after) + 1 :]
    elif (before := given.text("ending_before")) is not None:
        account.get(object, before, "ending_before")
        found = found[: [thing["id"] for thing in found].index(before)][-limit:]
    return objects.listed(found[:limit], "", has_more=len(found) > limit)


def _with_metadata(thing: Json, given: Params) -> None:
    if given.tree.get("metadata") == "":
        thing["metadata"] = {}
    changed = {**thing["metadata"], **given.part("metadata").tree}
    thing["metadata"] = {name: value for name, value in changed.items() if value != ""}


def _fill_customer(customer: Json, given: Params) -> None:
    customer |= {name: given.tree[name] or None for name in CUSTOMER if name in given.tree and name != "metadata"}
    _with_metadata(customer, given)


def create_customer(account: Account, given: Params, _: str) -> Json:
    customer: Json = {"metadata": {}}
    _fill_customer(customer, given)
    return account.create_customer(**customer)


def update_customer(account: Account, given: Params, id: str) -> Json:
    customer = account.get("customer", id)
    if customer.get("deleted"):
        raise Refused(f"No such customer: '{id}'", status=404, param="id", code="resource_missing")
    with account.changing(customer):
        _fill_customer(customer, given)
    return customer


def search_customers(account: Account, given: Params, _: str) -> Json:
    wanted = params.clauses(given.required("query"))
    limit, until = given.whole("limit", PAGE, most=PAGE_MOST), account.now() - account.search_lag_s

    def matches(customer: Json) -> bool:
        pairs = [(customer["metadata"].get(key) if key else customer.get(name), value) for name, key, value in wanted]
        return all(found == value for found, value in pairs)

    alive = [each for each in reversed(account.all("customer")) if not each.get("deleted")]
    found = [each for each in alive if each["created"] <= until and matches(each)]
    page = objects.listed(found[:limit], "/v1/customers/search", has_more=len(found) > limit)
    return page | {"object": "search_result", "next_page": None}


def create_session(account: Account, given: Params, _: str) -> Json:
    if (mode := given.required("mode")) != "subscription":
        raise Refused(f"The fake has no checkout of the mode {mode}.", param="mode")
    items = [_item(account, each.only(("price", "quantity"))) for each in given.parts("line_items")]
    if not items:
        raise Refused("Missing required param: line_items.", param="line_items", code="parameter_missing")
    total = sum(account.objects[price]["unit_amount"] * quantity for price, quantity in items)
    customer = given.text("customer")
    if customer is not None:
        account.payer(customer)
    if customer is not None and given.text("customer_email") is not None:
        raise Refused("You may only specify one of these parameters: customer, customer_email.", param="customer")
    if given.url("success_url") is None:
        raise Refused("Missing required param: success_url.", param="success_url", code="parameter_missing")
    given.url("cancel_url")
    of_subscription = given.part("subscription_data").only(("description", "metadata", "trial_period_days"))
    names = ("cancel_url", "client_reference_id", "customer_email", "locale", "success_url")
    fields = {name: given.text(name) for name in names} | {"customer": customer}
    session = objects.session(account.now(), account.origin, total, **fields)
    session["expires_at"] = given.whole("expires_at", session["expires_at"])
    _with_metadata(session, given)
    account.orders[session["id"]] = {
        "items": items,
        "metadata": of_subscription.part("metadata").tree,
        "trial_days": of_subscription.whole("trial_period_days", 0),
    }
    return account.keep(session)


def _item(account: Account, given: Params) -> tuple[str, int]:
    price = given.required("price")
    account.get("price", price, given.name("price"))
    return price, given.whole("quantity", 1)


def create_portal_session(account: Account, given: Params, _: str) -> Json:
    customer = account.payer(given.required("customer"))["id"]
    made = objects.portal_session(account.now(), account.origin, customer, given.url("return_url"))
    return account.keep(made)


def create_subscription(account: Account, given: Params, _: str) -> Json:
    customer = account.payer(given.required("customer"))["id"]
    items = [_item(account, each.only(("price", "quantity"))) for each in given.parts("items")]
    if not items:
        raise Refused("Missing required param: items.", param="items", code="parameter_missing")
    days = given.whole("trial_period_days", 0)
    return account.subscribe(customer, items, metadata=given.part("metadata").tree, trial_days=days)


def list_subscriptions(account: Account, given: Params, _: str) -> Json:
    status = given.text("status")

    def matches(thing: Json) -> bool:
        by_status = {None: thing["status"] != "canceled", "all": True, "ended": thing["status"] in ENDED}
        of_price = given.text("price") in (None, *(item["price"]["id"] for item in thing["items"]["data"]))
        of_customer = given.text("customer") in (None, thing["customer"])
        return of_customer and of_price and by_status.get(status, thing["status"] == status)

    return _page(account, "subscription", given, matches)


def update_subscription(account: Account, given: Params, id: str) -> Json:
    subscription = account.get("subscription", id)
    if subscription["status"] in ENDED and given.tree.keys() - {"cancellation_details", "metadata"}:
        raise Refused("A canceled subscription can only update its cancellation_details and metadata.")
    if "cancel_at" in given.tree and "cancel_at_period_end" in given.tree:
        raise Refused("Received both cancel_at and cancel_at_period_end parameters. Please pass in only one.")
    changed = copy.deepcopy(subscription)
    _with_metadata(changed, given)
    for each in given.parts("items"):
        _change_item(account, changed, each.only(ITEM))
    if not changed["items"]["data"]:
        raise Refused("A subscription must have at least one active plan.", param="items")
    at_period_end, now = given.flag("cancel_at_period_end"), account.now()
    if at_period_end or (at_period_end is False and subscription["cancel_at_period_end"]):
        end_at(changed, period_end(changed) if at_period_end else None, now, period_end=True)
    elif "cancel_at" in given.tree:
        end_at(changed, given.whole("cancel_at", 0) or None, now, period_end=False)
    with account.changing(subscription):
        subscription |= changed
    return subscription


def _change_item(account: Account, subscription: Json, given: Params) -> None:
    items = subscription["items"]["data"]
    if (id := given.text("id")) is None:
        # Who forgets the item's id subscribes to a second price.
        price, quantity = _item(account, given)
        if price in [item["price"]["id"] for item in items]:
            raise Refused("Cannot add multiple subscription items with the same plan.", param=given.name("price"))
        period = (items[0]["current_period_start"], items[0]["current_period_end"])
        made = objects.subscription_item(account.now(), subscription["id"], account.objects[price], quantity, period)
        items.append(made)
        return
    found = [item for item in items if item["id"] == id]
    if not found:
        raise Refused(f"No such subscription item: '{id}'", param=given.name("id"), code="resource_missing")
    if given.flag("deleted"):
        items.remove(found[0])
        return
    found[0]["quantity"] = given.whole("quantity", found[0]["quantity"])
    if (price_id := given.text("price")) is not None:
        found[0]["price"] = account.get("price", price_id, given.name("price"))


def cancel_subscription(account: Account, given: Params, id: str) -> Json:
    return account.cancel(id)


ROUTES = (
    Route("GET", "/v1/customers", _list("customer", "email"), (*LIST, "email")),
    Route("POST", "/v1/customers", create_customer, CUSTOMER),
    Route("GET", "/v1/customers/search", search_customers, ("limit", "page", "query")),
    Route("GET", "/v1/customers/{id}", _get("customer")),
    Route("POST", "/v1/customers/{id}", update_customer, CUSTOMER),
    Route("DELETE", "/v1/customers/{id}", lambda account, _, id: account.delete_customer(id)),
    Route("GET", "/v1/products", _list("product", "active"), (*LIST, "active")),
    Route("GET", "/v1/products/{id}", _get("product")),
    Route("GET", "/v1/prices", _list("price", "active", "product"), (*LIST, "active", "product")),
    Route("GET", "/v1/prices/{id}", _get("price")),
    Route(
        "GET",
        "/v1/checkout/sessions",
        _list("checkout.session", "customer", "status", "subscription"),
        (*LIST, "customer", "status", "subscription"),
    ),
    Route(
        "POST",
        "/v1/checkout/sessions",
        create_session,
        (
            *("cancel_url", "client_reference_id", "customer", "customer_email", "expires_at", "line_items"),
            *("metadata", "mode", "subscription_data", "success_url", *UNSEEN_CHECKOUT),
        ),
    ),
    Route("GET", "/v1/checkout/sessions/{id}", _get("checkout.session")),
    Route("POST", "/v1/checkout/sessions/{id}/expire", lambda account, _, id: account.expire(id)),
    Route("POST", "/v1/billing_portal/sessions", create_portal_session, ("customer", "locale", "return_url")),
    Route("GET", "/v1/subscriptions", list_subscriptions, (*LIST, "customer", "price", "status")),
    Route(
        "POST",
        "/v1/subscriptions",
        create_subscription,
        ("customer", "items", "metadata", "trial_period_days", *UNSEEN_SUBSCRIPTION),
    ),
    Route("GET", "/v1/subscriptions/{id}", _get("subscription")),
    Route(
        "POST",
        "/v1/subscriptions/{id}",
        update_subscription,
        ("cancel_at", "cancel_at_period_end", "items", "metadata", *UNSEEN_SUBSCRIPTION),
    ),
    Route("DELETE", "/v1/subscriptions/{id}", cancel_subscription, ("invoice_now", "prorate")),
    Route(
        "GET",
        "/v1/invoices",
        _list("invoice", "customer", "status"),
        (*LIST, "customer", "status", "subscription"),
    ),
    Route("GET", "/v1/invoices/{id}", _get("invoice")),
    Route("POST", "/v1/invoices/{id}/pay", lambda account, _, id: account.pay_invoice(id)),
    Route("GET", "/v1/events", _list("event", "type"), (*LIST, "type")),
    Route("GET", "/v1/events/{id}", _get("event")),
)
