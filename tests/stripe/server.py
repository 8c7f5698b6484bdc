"""A Stripe of our own, for tests and for a demo: the application, what its API's doorkeeper says, and its server.

It begins with two products, and one price for each. `serving()` runs it on this machine; the official client talks to
it unchanged. Everything lies in memory.
"""

import asyncio
import contextlib
import copy
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.ports import at_a_port
from tests.stripe import account, api, pages, params
from tests.stripe.account import Account, Refused
from tests.stripe.objects import API_VERSION, OLDEST_API_VERSION, Json, new_id
from tests.stripe.webhooks import Courier

# Keys are forgotten after this long.
KEY_LIFE_S = 24 * 3600
# The next answer to the same key says the same, also when it was an error of these.
KEPT_ERRORS = (402, 500)


How = Literal["fail", "cut", "hang"]


class HungUp(Exception):
    """The client gets half an answer."""


@dataclass
class Kept:
    """What a request under an idempotency key was, and its answer once there is one."""

    path: str
    params: Json
    at: int
    request_id: str
    answer: tuple[int, Json] | None = None


@dataclass
class Fault:
    """What goes wrong with the next requests of a method whose path begins so, before or after they have their effect.

    "fail" answers with a status. "cut" hangs up in the midst of an answer. "hang" waits for `let_go`, and goes on as if
    nothing had been.
    """

    how: How
    when: Literal["before", "after"] = "before"
    method: str = "POST"
    path: str = "/v1/"
    times: int = 1
    status: int = 503
    # Set once a request was struck.
    struck: asyncio.Event = field(default_factory=asyncio.Event)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class FakeStripe:
    """The fake: its account, its webhooks, and what goes wrong."""

    origin: str
    courier: Courier
    account: Account
    secret_key: str = field(default_factory=lambda: f"sk_test_{secrets.token_hex(12)}")
    faults: list[Fault] = field(default_factory=list)
    # Each answer of the API takes this long.
    latency_s: float = 0.0
    # Method, path, parameters, idempotency key and status of each answered request.
    asked: list[tuple[str, str, Json, str | None, int]] = field(default_factory=list)
    keys: dict[str, Kept] = field(default_factory=dict)

    @classmethod
    def behind(cls, listener: socket.socket) -> "FakeStripe":
        """A fake that will be served at a port of this machine."""
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        courier = Courier(f"whsec_{secrets.token_hex(16)}")
        return cls(origin, courier, Account(origin, courier.take))

    @property
    def settings(self) -> dict[str, str]:
        """The settings with which Planwire uses it."""
        return {
            "STRIPE_SECRET_KEY": self.secret_key,
            "STRIPE_WEBHOOK_SECRET": self.courier.secret,
            "STRIPE_API_URL": self.origin,
            "STRIPE_PRICE_PRO": "price_fake_pro",
            "STRIPE_PRICE_BUSINESS": "price_fake_business",
        }

    @property
    def app(self) -> Starlette:
        """The ASGI application."""
        known = [Route(each.path, _endpoint(self, each), methods=[each.method]) for each in api.ROUTES]
        unknown = Route("/{path:path}", self._unknown, methods=["GET", "POST", "DELETE"])
        return Starlette(routes=[*known, *pages.routes(self.account), unknown])

    def fault(self, how: How, **where: Any) -> Fault:
        """Let something go wrong with the next requests; what it was is left at its place in `Fault`."""
        self.faults.append(made := Fault(how, **where))
        return made

    async def answer(self, request: Request, route: api.Route) -> Response:
        """The answer to one request of the API."""
        request_id = new_id("req")
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        text = (await request.body()).decode() if request.method == "POST" else request.url.query
        headers = {"request-id": request_id, "stripe-version": request.headers.get("stripe-version", API_VERSION)}
        tree: Json = {}
        try:
            self._check(request)
            tree = (given := params.read(text)).tree
            kept = None if key is None else self._kept(key, request, tree, request_id)
            if kept is not None and kept.answer is not None:
                status, body = kept.answer
                headers |= {"idempotent-replayed": "true", "original-request": kept.request_id}
            else:
                status, body = await self._executed(request, route, given, key, request_id)
        except Refused as refusal:
            status, body = refusal.status, {"error": refusal.error}
        except HungUp:
            return Response(b'{"id":', headers={**headers, "content-length": "4096"}, media_type="application/json")
        if key is not None:
            headers["idempotency-key"] = key
        self.asked.append((request.method, request.url.path, tree, key, status))
        return JSONResponse(body, status, headers)

    def _check(self, request: Request) -> None:
        if request.headers.get("authorization") != f"Bearer {self.secret_key}":
            raise Refused("This is no secret key of the fake.", status=401)
        version = request.headers.get("stripe-version", API_VERSION)
        if not OLDEST_API_VERSION <= version[:10] <= API_VERSION[:10]:
            raise Refused(f"The fake does not speak the version {version}.")

    def _kept(self, key: str, request: Request, tree: Json, request_id: str) -> Kept | None:
        """What is known under a key; None where this request is the first, which is then noted."""
        kept = self.keys.get(key)
        if kept is None or kept.at < self.account.now() - KEY_LIFE_S:
            self.keys[key] = Kept(request.url.path, tree, self.account.now(), request_id)
            return None
        if (kept.path, kept.params) != (request.url.path, tree):
            what = "parameters" if kept.path == request.url.path else "endpoint"
            raise Refused(f"The idempotency key {key} belongs to other {what}.", type="idempotency_error")
        if kept.answer is None:
            message = f"Another request with the idempotency key {key} is in progress."
            raise Refused(message, status=409, code="idempotency_key_in_use", type="idempotency_error")
        return kept

    async def _executed(
        self, request: Request, route: api.Route, given: params.Params, key: str | None, request_id: str
    ) -> tuple[int, Json]:
        kept = None if key is None else self.keys[key]
        try:
            await asyncio.sleep(self.latency_s)
            await self._strike(request, "before")
            token = account.request.set((request_id, key))
            try:
                self.account.advance()
                given.only((*route.known, "expand"))
                thing = copy.deepcopy(route.handler(self.account, given, request.path_params.get("id", "")))
                answer = (200, self._finished(thing, request, given))
            except Refused as refusal:
                if kept is None or refusal.status not in KEPT_ERRORS:
                    raise
                answer = (refusal.status, {"error": refusal.error})
            finally:
                account.request.reset(token)
        except BaseException:
            # What was not begun can be tried again under its key.
            if key is not None:
                del self.keys[key]
            raise
        if kept is not None:
            kept.answer = answer
        await self._strike(request, "after")
        return answer

    async def _strike(self, request: Request, when: str) -> None:
        for fault in self.faults:
            here = request.method == fault.method and request.url.path.startswith(fault.path)
            if here and fault.when == when and fault.times:
                fault.times -= 1
                fault.struck.set()
                if fault.how == "hang":
                    await fault.let_go.wait()
                    return
                if fault.how == "cut":
                    raise HungUp
                type = "rate_limit_error" if fault.status == 429 else "api_error"
                raise Refused("Something went wrong on the fake's side.", status=fault.status, type=type)

    def _finished(self, thing: Json, request: Request, given: params.Params) -> Json:
        if thing["object"] == "list":
            thing["url"] = request.url.path
        for path in given.texts("expand"):
            self._expand(thing, path.split("."), path)
        return thing

    def _expand(self, thing: Any, steps: list[str], path: str) -> None:
        if isinstance(thing, list):
            for each in thing:
                self._expand(each, steps, path)
            return
        step, *rest = steps
        if not isinstance(thing, dict) or step not in thing:
            raise Refused(f"{path} cannot be expanded.", param="expand")
        if isinstance(thing[step], str) and thing[step] in self.account.objects:
            thing[step] = copy.deepcopy(self.account.objects[thing[step]])
        if rest and thing[step] is not None:
            self._expand(thing[step], rest, path)

    async def _unknown(self, request: Request) -> Response:
        message = f"The fake knows no {request.method} {request.url.path}."
        return JSONResponse({"error": {"type": "invalid_request_error", "message": message}}, 404)


def _endpoint(fake: FakeStripe, route: api.Route) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await fake.answer(request, route)

    return endpoint


@contextlib.asynccontextmanager
async def serving(*, webhooks: str | None = None) -> AsyncIterator[FakeStripe]:
    """A fake at a free port of this machine. Its events go to `webhooks`, or wait until `courier.address` is set."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fake = FakeStripe.behind(listener)
        fake.courier.address = webhooks
        async with running(fake, listener):
            yield fake


@contextlib.asynccontextmanager
async def running(fake: FakeStripe, listener: socket.socket) -> AsyncIterator[None]:
    """Serve a fake at its port."""
    async with at_a_port(fake.app, listener):
        try:
            yield
        finally:
            for fault in fake.faults:
                fault.let_go.set()
            await fake.courier.close()
