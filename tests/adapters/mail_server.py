"""A mail server on this machine that refuses, hangs up or falls silent where it is told to, and keeps what it took."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

# Instead of an answer.
HANG_UP, TAKE_AND_HANG_UP, FALL_SILENT = "hang up", "take and hang up", "fall silent"
USER, PASSWORD = "planwire", "pass/word@1"


@dataclass
class MailServer:
    """What the server is to say at MAIL, RCPT and DATA, in order; then it takes everything."""

    port: int = 0
    script: dict[str, list[str]] = field(default_factory=dict)
    taken: list[Envelope] = field(default_factory=list)
    were_encrypted: list[bool] = field(default_factory=list)

    def mails(self) -> list[EmailMessage]:
        """The mails that it took, doubles included."""
        contents = [envelope.content for envelope in self.taken]
        return [
            message_from_bytes(content, _class=EmailMessage, policy=policy.default)
            for content in contents
            if isinstance(content, bytes)
        ]

    async def handle_MAIL(
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """MAIL FROM."""
        if refusal := await self._said("MAIL", server):
            return refusal
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """RCPT TO."""
        if refusal := await self._said("RCPT", server):
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """The end of a mail."""
        if self.script.get("DATA", [])[:1] == [TAKE_AND_HANG_UP]:
            self.taken.append(envelope)
        if refusal := await self._said("DATA", server):
            return refusal
        self.taken.append(envelope)
        self.were_encrypted.append(session.ssl is not None)
        return "250 Taken"

    async def handle_QUIT(self, server: SMTP, _session: Session, _envelope: Envelope) -> str:
        """The good-bye."""
        return await self._said("QUIT", server) or "221 Bye"

    async def _said(self, stage: str, server: SMTP) -> str | None:
        if not (said := self.script.get(stage)):
            return None
        word = said.pop(0)
        if word == FALL_SILENT:
            await asyncio.Event().wait()
        if word in (HANG_UP, TAKE_AND_HANG_UP):
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
            # What is said now reaches nobody.
            return "421 Gone"
        return word


def _login(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
    is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=is_right, handled=False)


@contextlib.asynccontextmanager
async def serving(
    *, tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None, asks_who: bool = False
) -> AsyncIterator[MailServer]:
    """A mail server on a free port: with TLS from the start, with STARTTLS, or with neither."""
    server = MailServer()

    def protocol() -> SMTP:
        return SMTP(
            server,
            hostname="mail.test",
            enable_SMTPUTF8=True,
            tls_context=starttls,
            require_starttls=starttls is not None,
            auth_required=asks_who,
            auth_require_tls=asks_who,
            authenticator=_login if asks_who else None,
        )

    async with _listening(protocol, tls) as port:
        server.port = port
        yield server


@contextlib.asynccontextmanager
async def _listening(protocol: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None) -> AsyncIterator[int]:
    listening = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=tls)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await listening.wait_closed()
