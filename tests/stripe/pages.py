"""The two pages of the fake that people see: the checkout and the billing portal."""

from html import escape
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.stripe.account import Account, Refused, end_at, period_end
from tests.stripe.objects import Json

PAGE = """<!doctype html><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 34em; margin: 4em auto; padding: 0 1em }}
button {{ font: inherit; padding: .4em 1em; margin: 0 .4em .4em 0 }}</style>
<h1>{title}</h1><p><em>A fake Stripe: nobody pays anything.</em></p>{body}"""


def routes(account: Account) -> list[Route]:
    """The pages of an account."""

    async def checkout(request: Request) -> Response:
        session = account.get("checkout.session", request.path_params["id"])
        if request.method == "POST":
            if await _pressed(request) == "cancel":
                return RedirectResponse(session["cancel_url"] or session["success_url"], 303)
            account.pay_session(session["id"])
            return RedirectResponse(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"]), 303)
        if session["status"] != "open":
            return _page("Checkout", f"<p>This checkout is {escape(session['status'])}.</p>")
        lines = [
            f"<p>{_line(account, price, quantity)}</p>" for price, quantity in account.orders[session["id"]]["items"]
        ]
        return _page("Checkout", "".join(lines) + _form([("pay", "Pay"), ("cancel", "Cancel")]))

    async def portal(request: Request) -> Response:
        session = account.get("billing_portal.session", request.path_params["id"])
        if request.method == "POST":
            action, _, id = (await _pressed(request)).partition(" ")
            _do(account, session["customer"], action, id)
            return RedirectResponse(request.url.path, 303)
        parts = [_subscription(account, each) for each in account.subscriptions_of(session["customer"])]
        back = session["return_url"]
        link = f'<p><a href="{escape(back)}">Return to Planwire</a></p>' if back else ""
        return _page("Billing portal", "".join(parts or ["<p>Nothing is subscribed to.</p>"]) + link)

    async def safely(request: Request) -> Response:
        account.advance()
        try:
            return await (checkout if request.url.path.startswith("/c/") else portal)(request)
        except Refused as refusal:
            return _page("That does not work", f"<p>{escape(str(refusal))}</p>", refusal.status)

    return [Route(path, safely, methods=["GET", "POST"]) for path in ("/c/pay/{id}", "/p/session/{id}")]


async def _pressed(request: Request) -> str:
    return parse_qs((await request.body()).decode()).get("do", [""])[0]


def _do(account: Account, customer: str, action: str, id: str) -> None:
    subscription = account.get("subscription", id)
    if subscription["customer"] != customer:
        raise Refused(f"No such subscription: '{id}'", status=404)
    if action == "cancel":
        with account.changing(subscription):
            end_at(subscription, period_end(subscription), account.now(), period_end=False)
    elif action == "resume":
        with account.changing(subscription):
            end_at(subscription, None, account.now(), period_end=False)
    elif action == "fail":
        account.failing.add(customer)
        account.renew(id)
    elif action == "pay":
        account.failing.discard(customer)
        for invoice in account.all("invoice"):
            if invoice["status"] == "open" and invoice["parent"]["subscription_details"]["subscription"] == id:
                account.pay_invoice(invoice["id"])
    elif action in account.objects:
        with account.changing(subscription):
            subscription["items"]["data"][0]["price"] = account.get("price", action)


def _subscription(account: Account, subscription: Json) -> str:
    item, id = subscription["items"]["data"][0], subscription["id"]
    ending = subscription["cancel_at"] is not None
    told = f"{subscription['status']}, {'ends' if ending else 'renews'} at the period's end"
    buttons = [(f"resume {id}", "Resume") if ending else (f"cancel {id}", "Cancel at the period's end")]
    for price in account.all("price"):
        if price["id"] != item["price"]["id"]:
            buttons.append((f"{price['id']} {id}", f"Change to {account.objects[price['product']]['name']}"))
    buttons += [(f"fail {id}", "Let the next payment fail"), (f"pay {id}", "Pay what is open")]
    return f"<h2>{_line(account, item['price']['id'], item['quantity'])}</h2><p>{escape(told)}</p>{_form(buttons)}"


def _line(account: Account, price: str, quantity: int) -> str:
    what = account.objects[price]
    name = account.objects[what["product"]]["name"]
    return escape(f"{name}: {quantity} x ${what['unit_amount'] / 100:.2f} a month")


def _form(buttons: list[tuple[str, str]]) -> str:
    shown = [f'<button name="do" value="{escape(value)}">{escape(text)}</button>' for value, text in buttons]
    return f'<form method="post">{"".join(shown)}</form>'


def _page(title: str, body: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(PAGE.format(title=title, body=body), status, {"cache-control": "no-store"})
