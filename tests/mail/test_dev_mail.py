"""/dev/mail shows what was written, to a browser of this machine alone, and runs nothing of it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from domain.adapters.mail_files import FileMail, Stored
from domain.adapters.wiring import Adapters
from domain.base.clock import new_id
from domain.base.settings import Settings
from graph.app import create_app
from tests.adapters.test_mail_smtp import MESSAGE
from tests.attacks.raw import running
from tests.ports import http_client


@pytest.fixture
async def http(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser of this machine."""
    async with http_client(base_url=f"http://{address}") as client:
        yield client


async def stored(adapters: Adapters, **changed: Any) -> Stored:
    """A mail of its own, as it was written."""
    assert isinstance(adapters.mail, FileMail)
    message = replace(MESSAGE, message_id=f"<{new_id().hex}@planwire.example>", **changed)
    await adapters.mail.send(message)
    found = [each for each in await adapters.mail.newest(100) if each.header("message-id") == message.message_id]
    return found[0]


async def test_mails_are_listed_newest_first_and_shown(adapters: Adapters, http: httpx.AsyncClient) -> None:
    first = await stored(adapters, subject="The first <b>")
    second = await stored(adapters, subject="The second")

    listed = await http.get("/dev/mail")
    shown = await http.get(f"/dev/mail/{first.name}")

    assert (listed.status_code, shown.status_code) == (200, 200)
    assert listed.text.index(second.name) < listed.text.index(first.name)
    assert "The first &lt;b&gt;" in listed.text
    for text in ("The first &lt;b&gt;", "ann@acme.test", "auto-generated", "Grüezi", "List-Unsubscribe"):
        assert text in shown.text
    assert f'<iframe sandbox src="/dev/mail/{first.name}/html"' in shown.text


async def test_the_html_of_a_mail_can_do_nothing(adapters: Adapters, http: httpx.AsyncClient) -> None:
    mail = await stored(adapters, html="<script>alert(1)</script>", text="<script>alert(2)</script>")

    frame = await http.get(f"/dev/mail/{mail.name}/html")
    around = await http.get(f"/dev/mail/{mail.name}")

    assert frame.text.strip() == "<script>alert(1)</script>"
    assert frame.headers["content-type"] == "text/html; charset=utf-8"
    assert frame.headers["x-content-type-options"] == "nosniff"
    assert frame.headers["content-security-policy"] == (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'"
    )
    assert "<script>" not in around.text
    assert around.headers["content-security-policy"] == (
        "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


async def test_only_what_leads_here_is_a_link(adapters: Adapters, http: httpx.AsyncClient, settings: Settings) -> None:
    own = f"{settings.public_url}/verify-email?token=a&b"
    mail = await stored(adapters, text=f'Open {own} or https://evil.example/ or {settings.public_url}.evil.example/"x')

    shown = await http.get(f"/dev/mail/{mail.name}")

    escaped = own.replace("&", "&amp;")
    assert f'<pre>Open <a href="{escaped}">{escaped}</a> or https://evil.example/ or' in shown.text
    assert shown.text.count("<a href") == 2


@pytest.mark.parametrize(
    "path",
    [
        "/dev/mail/..%2Fsecret_key",
        "/dev/mail/../secret_key",
        "/dev/mail/%2e%2e%2fsecret_key/html",
        "/dev/mail/x.eml",
        "/dev/mail/20260101T000000000000Z-00000000000000000000000000000000.eml",
        "/dev/mail/20260101T000000000000Z-00000000000000000000000000000000.eml/html",
        "/dev/mail/secret_key%00.eml",
    ],
)
async def test_nothing_else_is_found(path: str, http: httpx.AsyncClient) -> None:
    answer = await http.get(path)

    assert (answer.status_code, answer.text) == (404, "Not Found")


@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.example"}, {"host": "192.0.2.1:8000"}, {"x-forwarded-for": "203.0.113.9"}],
)
async def test_nobody_else_sees_it(headers: dict[str, str], adapters: Adapters, http: httpx.AsyncClient) -> None:
    mail = await stored(adapters)

    for path in ("/dev/mail", f"/dev/mail/{mail.name}", f"/dev/mail/{mail.name}/html"):
        answer = await http.get(path, headers=headers)
        assert (answer.status_code, answer.text) == (404, "Not Found"), path


@pytest.mark.parametrize("changed", [{"embedded": False}, {"smtp_url": "smtp://mail.test"}, {"resend_api_key": "re_1"}])
async def test_where_mail_is_sent_there_is_no_such_page(
    changed: dict[str, Any], adapters: Adapters, settings: Settings
) -> None:
    mail = await stored(adapters)
    app = create_app(replace(settings, **changed))

    async with (
        running(settings, app=app) as server,
        http_client(base_url=f"http://{server.address}") as http,
    ):
        for path in ("/dev/mail", f"/dev/mail/{mail.name}", f"/dev/mail/{mail.name}/html"):
            assert (await http.get(path)).status_code == 404

    await app.state.adapters.close()
