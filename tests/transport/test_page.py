"""What a browser is told about every answer, and the policy under which the GraphiQL page works."""

import re

import pytest

from domain.base.settings import Settings
from graph.graphiql.page import POLICY
from graph.http import HSTS, SECURITY_HEADERS
from tests.transport.servers import asking

HTML = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PATHS = [
    "/graphql?query={__typename}",
    "/graphql",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/nowhere",
    "/graphiql/x",
]


@pytest.mark.parametrize("public_url", ["http://127.0.0.1:8000", "https://planwire.example"])
async def test_every_answer_carries_each_security_header_once(settings: Settings, public_url: str) -> None:
    async with asking(settings, public_url=public_url, allowed_origins=(public_url,)) as http:
        answers = [await http.get(path) for path in PATHS]
        answers += [await http.put("/health/live"), await http.post("/graphql", content=b"{}")]
        page = await http.get("/graphql", headers=HTML)
        assets = [await http.get(path) for path in re.findall(r'(?:src|href)="(/[^"]+)"', page.text)]

    expected = dict(SECURITY_HEADERS)
    strict = [HSTS[1].decode()] if public_url.startswith("https:") else []
    for answer in (*answers, page, *assets):
        found = {name: answer.headers.get_list(name.decode()) for name in expected}
        wanted = {name: [value.decode()] for name, value in expected.items()}
        if answer is page:
            wanted[b"content-security-policy"] = [POLICY.decode()]
        elif answer in assets:
            wanted[b"cache-control"] = ["public, max-age=31536000, immutable"]
        assert found == wanted, answer.url
        assert answer.headers.get_list("strict-transport-security") == strict
        assert "server" not in answer.headers


async def test_the_page_and_all_that_it_loads_come_from_this_host(settings: Settings) -> None:
    async with asking(settings) as http:
        page = await http.get("/graphql", headers=HTML)
        loaded = re.findall(r'(?:src|href)="(?!data:)([^"]+)"', page.text)
        answers = [await http.get(path) for path in loaded]

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "//" not in page.text.replace("http://www.w3.org", "")
    assert loaded
    assert [answer.status_code for answer in answers] == [200] * len(loaded)


def test_the_policy_lets_nothing_in_but_what_is_of_this_host() -> None:
    directives = {name: sources for name, *sources in (each.split() for each in POLICY.decode().split(";"))}
    sources = {source for each in directives.values() for source in each}

    assert directives["default-src"] == ["'none'"]
    assert directives["script-src"] == ["'self'"]
    assert directives["connect-src"] == ["'self'"]
    assert {name for name, each in directives.items() if "'unsafe-inline'" in each} == {"style-src"}
    assert sources == {"'none'", "'self'", "'unsafe-inline'", "data:", "blob:"}
    assert {"base-uri", "form-action", "frame-ancestors"} <= directives.keys()


async def test_the_page_is_for_who_asks_for_nothing_else(settings: Settings) -> None:
    async with asking(settings) as http:
        asked = await http.get("/graphql", params={"query": "{ __typename }"}, headers=HTML)
        html_alone = await http.get("/graphql", params={"query": "{ __typename }"}, headers={"accept": "text/html"})
        posted = await http.post("/graphql", json={"query": "{ __typename }"}, headers=HTML)
        plain = await http.get("/graphql", headers={"accept": "application/json"})

    assert (asked.status_code, asked.json()["data"]) == (200, {"__typename": "Query"})
    assert (html_alone.status_code, posted.status_code, plain.status_code) == (406, 200, 400)
