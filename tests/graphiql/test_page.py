"""GraphiQL comes whole from this host."""

import re

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from graph.graphiql import page


async def test_page_loads_only_assets_of_this_host() -> None:
    urls = re.findall(r'(?:src|href)="(?!data:)([^"]+)"', page.page())
    app = Starlette(routes=[Mount("/graphiql", page.assets())])

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answers = [await client.get(url) for url in urls]

    assert [url.rpartition(".")[2] for url in urls] == ["css", "js"]
    assert all(url.startswith("/graphiql/") for url in urls)
    assert [answer.status_code for answer in answers] == [200, 200]
    assert {answer.headers["cache-control"] for answer in answers} == {"public, max-age=31536000, immutable"}


def test_missing_build_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "DIST", page.HERE / "nowhere")

    with pytest.raises(RuntimeError, match="npm ci && npm run build"):
        page.assets()
