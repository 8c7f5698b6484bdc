"""A mail server on loopback that works, refuses, hangs up, falls silent, or takes a mail and drops the line."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import quote

import pytest
import trustme

from domain.adapters.mail import MailRefused, Message
from domain.adapters.mail_smtp import SmtpMail
from domain.base.errors import Unavailable
from domain.base.smtp_address import Encryption, SmtpServer, smtp_server
from tests.adapters.mail_server import (
    FALL_SILENT,
    HANG_UP,
    PASSWORD,
    TAKE_AND_HANG_UP,
    USER,
    MailServer,
    serving,
)
from tests.events.live import until

# Only a test that fails waits for so long.
PATIENCE_S = 20.0
MESSAGE = Message(
    to="ann@acme.test",
    subject="Äpfel für WEB-1",
    text="Grüezi\n.\nline\n",
    html="<p>Grüezi</p>",
    message_id="<1234@planwire.example>",
    unsubscribe_url="https://planwire.example/unsubscribe?token=" + "t" * 100,
)


def mail_to(port: int, encryption: Encryption = Encryption.OFF, *, step_timeout_s: float = PATIENCE_S) -> SmtpMail:
    """The client of a server without accounts."""
    return SmtpMail(
        SmtpServer("127.0.0.1", port, encryption),
        sender="Planwire <no-reply@planwire.example>",
        own_host="planwire.example",
        step_timeout_s=step_timeout_s,
    )


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    """A server without encryption."""
    async with serving() as running:
        yield running


async def test_a_mail_arrives_as_it_was_meant(server: MailServer) -> None:
    await mail_to(server.port).send(MESSAGE)

    (envelope,), (mail,) = server.taken, server.mails()
    assert (envelope.mail_from, envelope.rcpt_tos) == ("no-reply@planwire.example", ["ann@acme.test"])
    assert mail["From"] == "Planwire <no-reply@planwire.example>"
    assert mail["To"] == "ann@acme.test"
    assert mail["Subject"] == "Äpfel für WEB-1"
    assert mail["Message-ID"] == "<1234@planwire.example>"
    assert mail["Date"].datetime is not None
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["List-Unsubscribe"] == f"<{MESSAGE.unsubscribe_url}>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail.get_content_type() == "multipart/alternative"
    assert [
        (part.get_content_type(), part.get_content_charset(), part.get_content().splitlines())
        for part in mail.iter_parts()
    ] == [
        ("text/plain", "utf-8", ["Grüezi", ".", "line"]),
        ("text/html", "utf-8", ["<p>Grüezi</p>"]),
    ]


async def test_an_address_of_other_letters_arrives(server: MailServer) -> None:
    await mail_to(server.port).send(replace(MESSAGE, to="jürg@bücher.test"))
    await mail_to(server.port).send(replace(MESSAGE, to="jurg@bücher.test"))

    first, second = server.taken
    assert (first.rcpt_tos, "SMTPUTF8" in first.mail_options) == (["jürg@bücher.test"], True)
    assert (second.rcpt_tos, "SMTPUTF8" in second.mail_options) == (["jurg@xn--bcher-kva.test"], False)


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("answer", ["421 Closing", "450 Busy", "451 Later", "452 Full"])
async def test_a_server_that_says_later_is_unavailable_and_takes_it_later(
    stage: str, answer: str, server: MailServer
) -> None:
    server.script = {stage: [answer]}
    mail = mail_to(server.port)

    with pytest.raises(Unavailable):
        await mail.send(MESSAGE)
    taken_at_first = len(server.taken)
    await mail.send(MESSAGE)

    assert (taken_at_first, len(server.taken)) == (0, 1)


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("answer", ["550 No such user", "552 Too big", "554 Spam"])
async def test_a_server_that_says_never_refuses(stage: str, answer: str, server: MailServer) -> None:
    server.script = {stage: [answer]}

    with pytest.raises(MailRefused, match=answer[:3]):
        await mail_to(server.port).send(MESSAGE)

    assert server.taken == []


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("word", [HANG_UP, FALL_SILENT])
async def test_a_line_that_drops_before_the_mail_is_taken_gives_no_double(
    stage: str, word: str, server: MailServer
) -> None:
    server.script = {stage: [word]}
    mail = mail_to(server.port, step_timeout_s=0.3 if word == FALL_SILENT else PATIENCE_S)

    # On a busy machine an earlier step may take too long for so little patience.
    while server.script[stage]:
        with pytest.raises(Unavailable):
            await mail.send(MESSAGE)
    taken_at_first = len(server.taken)
    await mail_to(server.port).send(MESSAGE)

    assert (taken_at_first, len(server.taken)) == (0, 1)


async def test_only_a_lost_answer_gives_a_double_and_it_has_the_same_message_id(server: MailServer) -> None:
    server.script = {"DATA": [TAKE_AND_HANG_UP]}
    mail = mail_to(server.port)

    with pytest.raises(Unavailable):
        await mail.send(MESSAGE)
    await mail.send(MESSAGE)

    assert [each["Message-ID"] for each in server.mails()] == ["<1234@planwire.example>"] * 2


@pytest.mark.parametrize("word", [HANG_UP, "421 Closing", "500 What"])
async def test_a_mail_that_was_taken_is_sent_whatever_comes_of_the_good_bye(word: str, server: MailServer) -> None:
    server.script = {"QUIT": [word]}

    await mail_to(server.port).send(MESSAGE)

    assert len(server.taken) == 1


async def test_a_sender_that_is_cancelled_has_sent_nothing(server: MailServer) -> None:
    server.script = {"DATA": [FALL_SILENT]}
    mail = mail_to(server.port)

    sending = asyncio.create_task(mail.send(MESSAGE))
    await until(lambda: not server.script["DATA"])
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending

    assert server.taken == []


async def test_nobody_or_somebody_else_at_the_port_is_unavailable() -> None:
    async def other(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-x\r\n")
        writer.close()

    listening = await asyncio.start_server(other, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    with pytest.raises(Unavailable):
        await mail_to(port).send(MESSAGE)
    listening.close()
    await listening.wait_closed()

    with pytest.raises(Unavailable):
        await mail_to(port).send(MESSAGE)


@pytest.mark.parametrize("greeting", [b"421 Too busy\r\n", b"554 Not for you\r\n", b""])
async def test_a_server_that_sends_everybody_away_is_unavailable(greeting: bytes) -> None:
    async def away(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.close()

    listening = await asyncio.start_server(away, "127.0.0.1", 0)
    with pytest.raises(Unavailable):
        await mail_to(listening.sockets[0].getsockname()[1]).send(MESSAGE)
    listening.close()
    await listening.wait_closed()


@pytest.mark.parametrize(
    "change",
    [
        {"to": "ann@acme.test\r\nBcc: eve@evil.test"},
        {"to": "ann@acme.test, eve@evil.test"},
        {"to": "Ann <ann@acme.test>"},
        {"to": "ann"},
        {"subject": "Hello\r\nBcc: eve@evil.test"},
        {"subject": "Hello\nBcc: eve@evil.test"},
        {"subject": "Hello\x85there"},
        {"subject": "Hello\u2028there"},
        {"subject": "Hello\x00"},
        {"subject": "Hello \ud800"},
        {"subject": "=?utf-8?q?Hello=0D=0ABcc:_eve@evil.test?="},
        {"message_id": "<1@planwire.example>\r\nBcc: eve@evil.test"},
        {"message_id": "1"},
        {"unsubscribe_url": "https://planwire.example/\r\nBcc: eve@evil.test"},
        {"unsubscribe_url": "https://planwire.example/>, <mailto:eve@evil.test"},
        {"unsubscribe_url": "javascript:alert(1)"},
        {"unsubscribe_url": "https://planwire.example/" + "a" * 1000},
        {"text": "\ud800"},
        {"html": "\ud800"},
    ],
)
async def test_a_mail_that_would_be_another_is_refused_and_not_sent(change: dict[str, str], server: MailServer) -> None:
    with pytest.raises(MailRefused):
        await mail_to(server.port).send(replace(MESSAGE, **change))

    assert server.taken == []


@pytest.fixture
def authority() -> trustme.CA:
    """Who vouches for the servers of a test."""
    return trustme.CA()


def server_context(authority: trustme.CA, host: str = "127.0.0.1") -> ssl.SSLContext:
    """A server's, with a certificate for the host."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A client's that trusts who vouches."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def mail_of(url: str, tls: ssl.SSLContext | None) -> SmtpMail:
    """The client that an SMTP_URL makes."""
    return SmtpMail(
        smtp_server(url),
        sender="no-reply@planwire.example",
        own_host="planwire.example",
        tls=tls,
        step_timeout_s=PATIENCE_S,
    )


async def test_tls_from_the_start(authority: trustme.CA) -> None:
    async with serving(tls=server_context(authority)) as server:
        await mail_of(f"smtps://127.0.0.1:{server.port}", trusting(authority)).send(MESSAGE)

        assert len(server.taken) == 1


@pytest.mark.parametrize("query", ["", "?starttls=required", "?starttls=auto"])
async def test_starttls_where_it_is_offered(query: str, authority: trustme.CA) -> None:
    async with serving(starttls=server_context(authority)) as server:
        await mail_of(f"smtp://127.0.0.1:{server.port}{query}", trusting(authority)).send(MESSAGE)

        assert server.were_encrypted == [True]


async def test_without_starttls_only_who_does_not_require_it_sends(server: MailServer, authority: trustme.CA) -> None:
    with pytest.raises(Unavailable):
        await mail_of(f"smtp://127.0.0.1:{server.port}", trusting(authority)).send(MESSAGE)
    taken_at_first = len(server.taken)
    await mail_of(f"smtp://127.0.0.1:{server.port}?starttls=auto", trusting(authority)).send(MESSAGE)
    await mail_of(f"smtp://127.0.0.1:{server.port}?starttls=off", trusting(authority)).send(MESSAGE)

    assert (taken_at_first, server.were_encrypted) == (0, [False, False])


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
@pytest.mark.parametrize("is_trusted", [True, False])
async def test_a_certificate_of_a_stranger_or_for_another_host_is_refused(
    scheme: str, is_trusted: bool, authority: trustme.CA
) -> None:
    context = server_context(authority, "127.0.0.1" if not is_trusted else "other.example")
    is_tls = scheme == "smtps"
    async with serving(tls=context if is_tls else None, starttls=None if is_tls else context) as server:
        mail = mail_of(f"{scheme}://127.0.0.1:{server.port}", trusting(authority) if is_trusted else None)

        with pytest.raises(Unavailable):
            await mail.send(MESSAGE)

        assert server.taken == []


async def test_who_has_an_account_signs_in(authority: trustme.CA) -> None:
    async with serving(starttls=server_context(authority), asks_who=True) as server:
        place = f"127.0.0.1:{server.port}"
        await mail_of(f"smtp://{USER}:{quote(PASSWORD, safe='')}@{place}", trusting(authority)).send(MESSAGE)
        taken_at_first = len(server.taken)
        with pytest.raises(Unavailable, match="user and password"):
            await mail_of(f"smtp://{USER}:wrong@{place}", trusting(authority)).send(MESSAGE)

        assert (taken_at_first, len(server.taken)) == (1, 1)


@pytest.mark.parametrize("answer", ["530 Authentication required", "535 Wrong", "538 Encryption required"])
async def test_a_server_that_wants_to_know_who_we_are_says_nothing_of_the_mail(answer: str, server: MailServer) -> None:
    server.script = {"MAIL": [answer]}
    mail = mail_to(server.port)

    with pytest.raises(Unavailable, match="user and password"):
        await mail.send(MESSAGE)
    taken_at_first = len(server.taken)
    await mail.send(MESSAGE)

    assert (taken_at_first, len(server.taken)) == (0, 1)
