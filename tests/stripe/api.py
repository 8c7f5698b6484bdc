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
LIST = ("limit", "starting_after")
ITEM = ("deleted", "id", "price", "quantity")
# With names that a client may use without a change to what the fake does, in the last lines.
CHECKOUT = (
    *"cancel_url client_reference_id customer customer_email expires_at line_items metadata mode".split(),
    *"subscription_data success_url".split(),
    *"allow_promotion_codes automatic_tax billing_address_collection customer_update locale".split(),
    *"payment_method_collection payment_method_types tax_id_collection ui_mode".split(),
)
SUBSCRIPTION = (
    *"items metadata".split(),
    *"billing_mode collection_method payment_behavior payment_settings proration_behavior".split(),
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


def _list(path: str, object: str, *filters: str) -> Route:
    def handler(account: Account, given: Params, _: str) -> Json:
        wanted = {name: value for name in filters if (value := given.text(name)) is not None}
        return _page(account, object, given, lambda thing: all(_shown(thing[name]) == wanted[name] for name in wanted))

    return Route("GET", path, handler, (*LIST, *filters))


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _page(account: Account, object: str, given: Params, wanted: Callable[[Json], bool]) -> Json:
    """The newest first, after an object that the client knows."""
    limit = given.whole("limit", PAGE, most=PAGE_MOST)
    every = account.all(object)[::-1]
    if (after := given.text("starting_after")) is not None:
        every = every[every.index(account.get(object, after, "starting_after")) + 1 :]
    found = [thing for thing in every if not thing.get("deleted") and wanted(thing)]
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
    """POST /v1/customers."""
    customer: Json = {"metadata": {}}
    _fill_customer(customer, given)
    return account.create_customer(**customer)


def update_customer(account: Account, given: Params, id: str) -> Json:
    """POST /v1/customers/{id}."""
    customer = account.get("customer", id)
    if customer.get("deleted"):
        raise Refused(f"No such customer: '{id}'", status=404, param="id", code="resource_missing")
    with account.changing(customer):
        _fill_customer(customer, given)
    return customer


def search_customers(account: Account, given: Params, _: str) -> Json:
    """GET /v1/customers/search, as far as `params.clauses` can read it."""
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
    """POST /v1/checkout/sessions."""
    if (mode := given.required("mode")) != "subscription":
        raise Refused(f"The fake has no checkout of the mode {mode}.", param="mode")
    items = [_item(account, each.only(("price", "quantity"))) for each in given.parts("line_items")]
    if not items:
        raise Refused("line_items is missing.", param="line_items", code="parameter_missing")
    total = sum(account.objects[price]["unit_amount"] * quantity for price, quantity in items)
    customer = given.text("customer")
    if customer is not None:
        account.payer(customer)
    if customer is not None and given.text("customer_email") is not None:
        raise Refused("A checkout has a customer or a customer_email.", param="customer")
    given.required("success_url")
    for name in ("cancel_url", "success_url"):
        given.url(name)
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
    """POST /v1/billing_portal/sessions."""
    customer = account.payer(given.required("customer"))["id"]
    made = objects.portal_session(account.now(), account.origin, customer, given.url("return_url"))
    return account.keep(made)


def create_subscription(account: Account, given: Params, _: str) -> Json:
    """POST /v1/subscriptions, paid at once or incomplete."""
    customer = account.payer(given.required("customer"))["id"]
    items = [_item(account, each.only(("price", "quantity"))) for each in given.parts("items")]
    if not items:
        raise Refused("items is missing.", param="items", code="parameter_missing")
    days = given.whole("trial_period_days", 0)
    return account.subscribe(customer, items, metadata=given.part("metadata").tree, trial_days=days)


def list_subscriptions(account: Account, given: Params, _: str) -> Json:
    """GET /v1/subscriptions; those that were canceled only where the status asks for them."""
    status = given.text("status")

    def matches(thing: Json) -> bool:
        by_status = {None: thing["status"] != "canceled", "all": True, "ended": thing["status"] in ENDED}
        of_price = given.text("price") in (None, *(item["price"]["id"] for item in thing["items"]["data"]))
        of_customer = given.text("customer") in (None, thing["customer"])
        return of_customer and of_price and by_status.get(status, thing["status"] == status)

    return _page(account, "subscription", given, matches)


def update_subscription(account: Account, given: Params, id: str) -> Json:
    """POST /v1/subscriptions/{id}, all of it or nothing."""
    subscription = account.get("subscription", id)
    if subscription["status"] in ENDED and given.tree.keys() - {"metadata"}:
        raise Refused("Of a subscription that has ended only the metadata can be changed.")
    if "cancel_at" in given.tree and "cancel_at_period_end" in given.tree:
        raise Refused("cancel_at and cancel_at_period_end exclude each other.")
    changed = copy.deepcopy(subscription)
    _with_metadata(changed, given)
    for each in given.parts("items"):
        _change_item(account, changed, each.only(ITEM))
    if not changed["items"]["data"]:
        raise Refused("Nothing would be subscribed to.", param="items")
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
            raise Refused("Another item has this price already.", param=given.name("price"))
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


ROUTES = (
    _list("/v1/customers", "customer", "email"),
    Route("POST", "/v1/customers", create_customer, CUSTOMER),
    Route("GET", "/v1/customers/search", search_customers, ("limit", "page", "query")),
    Route("GET", "/v1/customers/{id}", _get("customer")),
    Route("POST", "/v1/customers/{id}", update_customer, CUSTOMER),
    Route("DELETE", "/v1/customers/{id}", lambda account, _, id: account.delete_customer(id)),
    _list("/v1/products", "product", "active"),
    Route("GET", "/v1/products/{id}", _get("product")),
    _list("/v1/prices", "price", "active", "product"),
    Route("GET", "/v1/prices/{id}", _get("price")),
    _list("/v1/checkout/sessions", "checkout.session", "customer", "status", "subscription"),
    Route("POST", "/v1/checkout/sessions", create_session, CHECKOUT),
    Route("GET", "/v1/checkout/sessions/{id}", _get("checkout.session")),
    Route("POST", "/v1/checkout/sessions/{id}/expire", lambda account, _, id: account.expire(id)),
    Route("POST", "/v1/billing_portal/sessions", create_portal_session, ("customer", "locale", "return_url")),
    Route("GET", "/v1/subscriptions", list_subscriptions, (*LIST, "customer", "price", "status")),
    Route("POST", "/v1/subscriptions", create_subscription, ("customer", "trial_period_days", *SUBSCRIPTION)),
    Route("GET", "/v1/subscriptions/{id}", _get("subscription")),
    Route("POST", "/v1/subscriptions/{id}", update_subscription, ("cancel_at", "cancel_at_period_end", *SUBSCRIPTION)),
    Route("DELETE", "/v1/subscriptions/{id}", lambda account, _, id: account.cancel(id), ("invoice_now", "prorate")),
    _list("/v1/invoices", "invoice", "customer", "status"),
    Route("GET", "/v1/invoices/{id}", _get("invoice")),
    Route("POST", "/v1/invoices/{id}/pay", lambda account, _, id: account.pay_invoice(id)),
    _list("/v1/events", "event", "type"),
    Route("GET", "/v1/events/{id}", _get("event")),
)
