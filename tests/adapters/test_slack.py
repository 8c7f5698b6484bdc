"""An incoming webhook gets plain text, and its answer says whether to try again."""

import json
from collections.abc import AsyncIterator

import pytest

from domain.adapters.http import Http, RequestRefused
from domain.adapters.slack import Slack
from domain.base.errors import Unavailable
from tests.adapters.http_server import Server, serving
from tests.adapters.test_http import names, only


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """Stands for Slack."""
    async with serving() as running:
        yield running


@pytest.fixture
async def slack(server: Server) -> AsyncIterator[Slack]:
    """The channel that the server is."""
    http = Http(resolve=names("127.0.0.1"), is_allowed=only("127.0.0.1"), schemes=("http",))
    yield Slack(http, url=f"http://hooks.example:{server.port}/services/T/B/x")
    await http.close()


async def test_a_text_arrives_and_calls_nobody(slack: Slack, server: Server) -> None:
    await slack.post("<!channel> WEB-1 & <https://evil.example|WEB-2> done")

    (asked,) = server.asked
    assert asked.line == "POST /services/T/B/x HTTP/1.1"
    assert asked.headers["content-type"] == "application/json"
    assert json.loads(asked.body) == {
        "text": "&lt;!channel&gt; WEB-1 &amp; &lt;https://evil.example|WEB-2&gt; done",
    }


async def test_a_long_text_is_cut(slack: Slack, server: Server) -> None:
    await slack.post("&" * 5000)

    assert json.loads(server.asked[0].body)["text"] == "&amp;" * 4000


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_a_busy_webhook_is_unavailable(status: int, slack: Slack, server: Server) -> None:
    server.answers = [f"HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n".encode()]

    with pytest.raises(Unavailable):
        await slack.post("done")


@pytest.mark.parametrize("status", [302, 400, 403, 404, 410])
async def test_a_webhook_that_is_gone_refuses(status: int, slack: Slack, server: Server) -> None:
    server.answers = [f"HTTP/1.1 {status} No\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n".encode()]

    with pytest.raises(RequestRefused, match=str(status)):
        await slack.post("done")

    assert len(server.asked) == 1


async def test_a_webhook_on_a_private_address_is_refused(server: Server) -> None:
    http = Http(schemes=("http",))

    with pytest.raises(RequestRefused, match="not on the open internet"):
        await Slack(http, url=f"http://127.0.0.1:{server.port}/").post("done")

    assert server.connections == 0
    await http.close()
