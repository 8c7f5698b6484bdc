"""Mail by SMTP: one connection for each mail, which is encrypted as SMTP_URL says.

What can go wrong, and what is known then: before the end of DATA has been sent, the server has nothing. When it has
answered, it has the mail or has refused it. In between, between the last byte and the answer, nobody can know: the mail
counts as not sent and is sent again with the same Message-ID, because a double is better than a loss. That is the only
way to a double.
"""

import asyncio
import ssl
from contextlib import suppress
from email.headerregistry import AddressHeader
from functools import cached_property
from typing import cast

import structlog
from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPDataError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)

from domain.adapters.mail import MailRefused, Message, written
from domain.base.errors import Unavailable
from domain.base.smtp_address import Encryption, SmtpServer

# A server may take its time to look at a mail before it answers.
STEP_TIMEOUT_S = 60.0
SEND_TIMEOUT_S = 120.0
QUIT_TIMEOUT_S = 2.0
_START_TLS = {
    Encryption.TLS: False,
    Encryption.STARTTLS_REQUIRED: True,
    Encryption.STARTTLS_AUTO: None,
    Encryption.OFF: False,
}
# Said at any step by a server that wants to know who we are, or encryption first. Source: RFC 4954, section 6.
_ABOUT_US = (530, 534, 535, 538)

_log = structlog.get_logger("mail")


class SmtpMail:
    """A mail server."""

    def __init__(
        self,
        server: SmtpServer,
        *,
        sender: str,
        own_host: str,
        tls: ssl.SSLContext | None = None,
        step_timeout_s: float = STEP_TIMEOUT_S,
        send_timeout_s: float = SEND_TIMEOUT_S,
    ) -> None:
        self._server = server
        self._sender = sender
        self._own_host = own_host
        self._given_tls = tls
        self._step_timeout_s = step_timeout_s
        self._send_timeout_s = send_timeout_s

    async def send(self, message: Message) -> None:
        """Hand the mail over. Raises Unavailable, MailRefused; see `Mail.send`."""
        mail = written(message, sender=self._sender)
        sender = cast(AddressHeader, mail["From"]).addresses[0].addr_spec
        to = cast(AddressHeader, mail["To"]).addresses[0].addr_spec
        client = self._client()
        try:
            async with asyncio.timeout(self._send_timeout_s):
                await client.connect()
                options = [] if to.isascii() else ["SMTPUTF8"]
                await client.sendmail(sender, [to], mail.as_bytes(), mail_options=options)
        except (SMTPException, OSError, TimeoutError) as fault:
            client.close()
            raise _told(fault) from fault
        except BaseException:
            client.close()
            raise
        # The mail is taken; whatever becomes of the good-bye changes nothing.
        try:
            with suppress(SMTPException, OSError, TimeoutError):
                await client.quit(timeout=QUIT_TIMEOUT_S)
        finally:
            client.close()

    async def close(self) -> None:
        """Nothing is open between two mails."""

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # Once and not for each mail: it reads the certificates of all authorities.
        return self._given_tls or ssl.create_default_context()

    def _client(self) -> SMTP:
        return SMTP(
            hostname=self._server.host,
            port=self._server.port,
            username=self._server.user,
            password=self._server.password,
            # The library would ask the DNS for it.
            local_hostname=self._own_host,
            timeout=self._step_timeout_s,
            use_tls=self._server.encryption is Encryption.TLS,
            start_tls=_START_TLS[self._server.encryption],
            tls_context=self._tls,
        )


def _told(fault: Exception) -> Unavailable | MailRefused:
    """What a failure means for the mail. A refusal of ourselves, as by a wrong password, is no word on the mail."""
    answer: object = fault
    if isinstance(fault, SMTPRecipientsRefused):
        answer = fault.recipients[0]
    code = answer.code if isinstance(answer, SMTPResponseException) else None
    is_about_the_mail = isinstance(fault, SMTPSenderRefused | SMTPRecipientsRefused | SMTPDataError)
    if is_about_the_mail and code is not None and code >= 500 and code not in _ABOUT_US:
        return MailRefused(f"the mail server refused it with {code}")
    if isinstance(fault, SMTPNotSupported) and "UTF8" in fault.message.upper():
        return MailRefused("the mail server takes no address with other characters than ASCII")
    # The answer of the server can quote an address, so only its number is told.
    _log.warning("mail was not taken", fault=type(fault).__name__, code=code)
    if isinstance(fault, SMTPAuthenticationError) or code in _ABOUT_US:
        return Unavailable("The mail server does not accept our user and password.")
    return Unavailable("The mail server does not take the mail right now.")
