"""The doors that are not GraphQL: metrics."""

import hmac
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from domain.base import telemetry
from domain.base.settings import Settings, is_loopback


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
