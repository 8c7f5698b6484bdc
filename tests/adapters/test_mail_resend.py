"""Resend, as a fake of our own speaks it: what it takes, what it refuses, and that a key is one mail."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from domain.adapters.http import Http
from domain.adapters.mail import MailRefused
from domain.adapters.mail_resend import ResendMail
from domain.base.errors import Unavailable
from tests.adapters.http_server import Asked, Server, serving
from tests.adapters.test_http import names, only
from tests.adapters.test_mail_smtp import MESSAGE

KEY = "re_123"
SENDER = "Planwire <no-reply@planwire.example>"


class Resend:
    """What we use of Resend: a mail goes out once for each key, and the same key with another mail is refused."""

    def __init__(self) -> None:
        self.sent: dict[str, bytes] = {}
        self.loses_answers = 0

    def answer(self, asked: Asked) -> bytes:
        """The answer to a request, or none when the line drops first."""
        key = asked.headers["idempotency-key"]
        if asked.headers["authorization"] != f"Bearer {KEY}":
            return _answer(403, {"name": "invalid_api_key"})
        if self.sent.setdefault(key, asked.body) != asked.body:
            return _answer(409, {"name": "invalid_idempotent_request"})
        if self.loses_answers:
            self.loses_answers -= 1
            return b"HTTP/1.1 "
        return _answer(200, {"id": "49a3999c"})


def _answer(status: int, told: dict[str, str]) -> bytes:
    body = json.dumps(told).encode()
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (status, len(body), body)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """Stands for Resend."""
    async with serving() as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    """The way to it."""
    http = Http(resolve=names("127.0.0.1"), is_allowed=only("127.0.0.1"), schemes=("http",))
    yield http
    await http.close()


def mail_at(server: Server, http: Http, *, key: str = KEY) -> ResendMail:
    """The client of the fake."""
    return ResendMail(http, api_key=key, sender=SENDER, base_url=f"http://resend.example:{server.port}")


async def test_a_mail_is_told_whole(server: Server, http: Http) -> None:
    server.answers = [Resend().answer]

    await mail_at(server, http).send(replace(MESSAGE, to="jurg@bücher.test"))

    (asked,) = server.asked
    assert asked.line == "POST /emails HTTP/1.1"
    assert asked.headers["authorization"] == "Bearer re_123"
    assert asked.headers["idempotency-key"] == "<1234@planwire.example>"
    assert json.loads(asked.body) == {
        "from": SENDER,
        "to": ["jurg@xn--bcher-kva.test"],
        "subject": "Äpfel für WEB-1",
        "text": MESSAGE.text,
        "html": MESSAGE.html,
        "headers": {
            "Message-ID": "<1234@planwire.example>",
            "Auto-Submitted": "auto-generated",
            "List-Unsubscribe": f"<{MESSAGE.unsubscribe_url}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    }


async def test_a_lost_answer_gives_no_double(server: Server, http: Http) -> None:
    resend = Resend()
    resend.loses_answers = 1
    server.answers = [resend.answer]
    mail = mail_at(server, http)

    with pytest.raises(Unavailable):
        await mail.send(MESSAGE)
    await mail.send(MESSAGE)

    assert len(server.asked) == 2
    assert list(resend.sent) == [MESSAGE.message_id]


async def test_a_retry_that_reads_differently_counts_as_the_mail_that_went_out(server: Server, http: Http) -> None:
    resend = Resend()
    server.answers = [resend.answer]
    mail = mail_at(server, http)

    await mail.send(MESSAGE)
    await mail.send(replace(MESSAGE, subject="Another title"))

    assert [json.loads(body)["subject"] for body in resend.sent.values()] == ["Äpfel für WEB-1"]


async def test_a_wrong_key_is_not_the_fault_of_the_mail(server: Server, http: Http) -> None:
    resend = Resend()
    server.answers = [resend.answer]

    with pytest.raises(Unavailable):
        await mail_at(server, http, key="re_other").send(MESSAGE)

    assert resend.sent == {}


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (401, "missing_api_key"),
        (403, "validation_error"),
        (404, "not_found"),
        (409, "concurrent_idempotent_requests"),
        (409, ""),
        (429, "rate_limit_exceeded"),
        (429, "daily_quota_exceeded"),
        (500, "application_error"),
        (503, ""),
        (302, ""),
    ],
)
async def test_what_may_pass_is_unavailable(status: int, name: str, server: Server, http: Http) -> None:
    server.answers = [_answer(status, {"name": name})]

    with pytest.raises(Unavailable):
        await mail_at(server, http).send(MESSAGE)


@pytest.mark.parametrize(("status", "name"), [(400, "validation_error"), (422, "missing_required_field"), (413, "")])
async def test_what_is_wrong_with_the_mail_refuses_it(status: int, name: str, server: Server, http: Http) -> None:
    server.answers = [_answer(status, {"name": name})]

    with pytest.raises(MailRefused, match=f"{status} {name}"):
        await mail_at(server, http).send(MESSAGE)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"name": 7}', b"<html>", b"\xff"])
async def test_an_answer_that_says_nothing_is_read_by_its_status(body: bytes, server: Server, http: Http) -> None:
    server.answers = [b"HTTP/1.1 409 X\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)]

    with pytest.raises(Unavailable):
        await mail_at(server, http).send(MESSAGE)


async def test_a_mail_that_would_be_another_is_refused_and_not_sent(server: Server, http: Http) -> None:
    with pytest.raises(MailRefused):
        await mail_at(server, http).send(replace(MESSAGE, subject="Hello\r\nBcc: eve@evil.test"))

    assert server.asked == []
