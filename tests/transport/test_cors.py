"""Pages of other origins: which may read answers, with cookies, and what they are told before they ask."""

import httpx
import pytest

from domain.base.settings import Settings
from graph.http import SECURITY_HEADERS
from tests.transport.servers import ask, asking

OURS, THEIRS = "https://app.planwire.example", "https://evil.example"
ALLOWED = (OURS, "http://localhost:3000")
FOREIGN = [THEIRS, "null", "http://app.planwire.example", f"{OURS}:8443", f"{OURS}.evil.example", OURS.upper(), ""]


async def preflight(
    http: httpx.AsyncClient, origin: str, method: str = "POST", path: str = "/graphql"
) -> httpx.Response:
    """What a browser asks before it sends JSON."""
    asked = {"access-control-request-method": method, "access-control-request-headers": "authorization,content-type"}
    return await http.options(path, headers={"origin": origin, **asked})


@pytest.mark.parametrize("origin", ALLOWED)
async def test_a_page_of_an_allowed_origin_may_send_json_with_its_cookie(settings: Settings, origin: str) -> None:
    async with asking(settings, allowed_origins=ALLOWED) as http:
        asked = await preflight(http, origin)
        answer = await ask(http, "{ __typename }", headers={"origin": origin})
        refused = await http.post("/graphql", content=b"x", headers={"origin": origin, "content-type": "text/plain"})
        missing = await http.get("/nowhere", headers={"origin": origin})

    assert asked.status_code == 200
    assert asked.headers["access-control-allow-headers"] == "authorization,content-type"
    assert asked.headers["access-control-allow-methods"] == "GET, POST"
    assert asked.headers["access-control-max-age"] == "3600"
    for each in (asked, answer, refused, missing):
        assert each.headers["access-control-allow-origin"] == origin
        assert each.headers["access-control-allow-credentials"] == "true"
        assert "Origin" in each.headers["vary"].split(", ")
    assert answer.headers["access-control-expose-headers"] == "Retry-After"
    assert [each.status_code for each in (answer, refused, missing)] == [200, 415, 404]


@pytest.mark.parametrize("origin", FOREIGN)
async def test_a_page_of_another_origin_may_read_nothing(settings: Settings, origin: str) -> None:
    async with asking(settings, allowed_origins=ALLOWED) as http:
        asked = await preflight(http, origin)
        answers = [await ask(http, "{ __typename }", headers={"origin": origin}), await http.get("/health/live")]

    assert asked.status_code == 400
    for each in (asked, *answers):
        assert "access-control-allow-origin" not in each.headers
    assert "Origin" in answers[0].headers["vary"].split(", ")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_no_page_may_use_another_method(settings: Settings, method: str) -> None:
    async with asking(settings, allowed_origins=ALLOWED) as http:
        asked = await preflight(http, OURS, method)

    assert asked.status_code == 400


async def test_an_answer_to_a_preflight_carries_the_security_headers(settings: Settings) -> None:
    async with asking(settings, allowed_origins=ALLOWED) as http:
        answers = [
            await preflight(http, OURS),
            await preflight(http, THEIRS),
            await preflight(http, OURS, path="/metrics"),
        ]

    for answer in answers:
        for name, value in SECURITY_HEADERS:
            assert answer.headers.get_list(name.decode()) == [value.decode()]
