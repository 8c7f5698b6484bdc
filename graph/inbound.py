"""The doors that are not GraphQL: metrics, the link in a mail that turns off more of its kind, and Stripe's events."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable

import structlog
from jinja2 import Environment
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from domain.adapters.stripe import NotFromStripe, Stripe
from domain.base import telemetry
from domain.base.errors import RequestError
from domain.base.setting_values import is_loopback
from domain.base.settings import Settings
from domain.billing import webhooks
from domain.identity import mail_choices

RETRY_AFTER_S = 60
BODY_DEADLINE_S = 10.0
STRIPE_WEBHOOK = "webhooks/stripe"
_log = structlog.get_logger("inbound")
_PAGE = Environment(autoescape=True).from_string(
    """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Planwire</title></head>
<body>
<p>{{ text }}</p>
{% if asks %}<form method="post"><button>Turn it off</button></form>{% endif %}
</body>
</html>
"""
)
_PAGE_HEADERS = {"content-security-policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'"}


def metrics(settings: Settings) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint that shows the metrics in Prometheus' text format.

    For whoever brings METRICS_TOKEN as a bearer token; without that setting, for this machine alone. Others get 404.
    """

    async def endpoint(request: Request) -> Response:
        if settings.metrics_token is None:
            admitted = request.client is not None and is_loopback(request.client.host)
        else:
            sent = request.headers.get("authorization", "").encode()
            admitted = hmac.compare_digest(sent, f"Bearer {settings.metrics_token}".encode())
        if not admitted:
            return PlainTextResponse("Not Found", status_code=404)
        return Response(telemetry.exposition(), media_type=telemetry.EXPOSITION_TYPE)

    return endpoint


def unsubscribe(settings: Settings) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of the link in a mail: GET asks, because scanners follow links; POST turns off at once.

    The token in the link is the right to do so; neither cookie nor body is looked at. Source: RFC 8058, section 3.2.
    """

    async def endpoint(request: Request) -> Response:
        token = request.query_params.get("token", "")
        asks = request.method != "POST"
        try:
            kind = mail_choices.kind_of(token, settings) if asks else await mail_choices.turn_off(token, settings)
        except RequestError:
            return _page("This cannot be done right now. Try again soon.", 503, {"retry-after": str(RETRY_AFTER_S)})
        if kind is None:
            return _page("This link does not hold. Mail can be turned off in your preferences.", 404)
        if asks:
            return _page(f"Do you want no more mail about {kind.described}?", asks=True)
        return _page(f"You get no more mail about {kind.described}. Your preferences turn it on again.")

    return endpoint


def stripe_webhook(stripe: Stripe | None) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint that Stripe sends events to: 200 once the event is kept for good, 400 for what Stripe did not sign.

    503 asks Stripe to send it again. Nothing that was sent is logged.
    """

    async def endpoint(request: Request) -> Response:
        if stripe is None:
            return PlainTextResponse("Not Found", status_code=404)
        try:
            async with asyncio.timeout(BODY_DEADLINE_S):
                body = await request.body()
            await webhooks.receive(stripe.event(body, request.headers.get("stripe-signature")))
        except (NotFromStripe, ClientDisconnect, TimeoutError) as fault:
            _log.warning("a webhook is not Stripe's", fault=type(fault).__name__)
            return PlainTextResponse("This is no event that Stripe has signed.", status_code=400)
        except RequestError:
            told = {"retry-after": str(RETRY_AFTER_S)}
            return PlainTextResponse("This cannot be taken right now. Send it again.", 503, told)
        return PlainTextResponse("Taken.")

    return endpoint


def _page(text: str, status: int = 200, headers: dict[str, str] | None = None, *, asks: bool = False) -> Response:
    return HTMLResponse(_PAGE.render(text=text, asks=asks), status, {**_PAGE_HEADERS, **(headers or {})})
