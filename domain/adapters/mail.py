"""Mail: what is sent, the interface of those who send it, and how it is written down."""

import unicodedata
from dataclasses import dataclass
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime
from typing import Protocol
from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email

from domain.base.clock import now
from domain.base.errors import DomainError

# Addresses and links: cut into lines they would be rewritten as encoded words, which nobody reads as what they were.
# None of them comes near the 998 bytes of a line. Source: RFC 5322, section 2.1.1.
_UNFOLDED = frozenset({"list-unsubscribe", "message-id", "to"})
_LINE_BYTES = 998


@dataclass(frozen=True)
class Message:
    """One mail to one person. `message_id` has its angle brackets, and is the same whenever this is sent again."""

    to: str
    subject: str
    text: str
    html: str
    message_id: str
    unsubscribe_url: str | None = None


class MailRefused(DomainError):
    """This mail will not be taken, however often it is sent."""


class Mail(Protocol):
    """Whoever takes mail."""

    async def send(self, message: Message) -> None:
        """Hand the mail over. Raises Unavailable when it is to be tried again, MailRefused when that is no use.

        After Unavailable the mail may have been taken all the same, if the answer was lost.
        """

    async def close(self) -> None:
        """Close what is open."""


class MailOff:
    """Stands where no way to send mail is set. Every mail is refused, so that its job is kept among the dead."""

    async def send(self, message: Message) -> None:
        """Raises MailRefused."""
        raise MailRefused("no mail is sent: set SMTP_URL or RESEND_API_KEY")

    async def close(self) -> None:
        """Nothing is open."""


class _Policy(EmailPolicy):
    """SMTP's, with some headers left in one line, and the subject encoded as one."""

    def fold(self, name: str, value: str) -> str:
        return self._whole(name, value) or super().fold(name, value)

    def fold_binary(self, name: str, value: str) -> bytes:
        whole = self._whole(name, value)
        return whole.encode() if whole else super().fold_binary(name, value)

    def _whole(self, name: str, value: str) -> str | None:
        if name.lower() in _UNFOLDED:
            return f"{name}: {value}{self.linesep}"
        if name.lower() == "subject" and not value.isascii():
            # The policy encodes words of it, and loses a space between two of them.
            return f"{name}: {Header(value, 'utf-8', header_name=name).encode(linesep=self.linesep)}{self.linesep}"
        return None


_ASCII = _Policy(linesep=SMTP.linesep)
_UTF8 = _ASCII.clone(utf8=True)


def recipient(message: Message) -> str:
    """The one address that the mail goes to, in ASCII where it can be written so. Raises MailRefused."""
    try:
        found = validate_email(message.to, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise MailRefused("the recipient is not one e-mail address") from None
    return found.ascii_email or found.normalized


def headers(message: Message) -> dict[str, str]:
    """Those of its headers that do not say from whom to whom it goes. Raises MailRefused."""
    told = {"Subject": message.subject, "Message-ID": message.message_id, "Auto-Submitted": "auto-generated"}
    if (url := message.unsubscribe_url) is not None:
        told["List-Unsubscribe"] = f"<{url}>"
        # One click, without a page in between. Source: RFC 8058.
        told["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    for name, value in told.items():
        if any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in value):
            raise MailRefused(f"{name} has a line break or another control character")
        if "=?" in value:
            # It would be decoded when it is set, whatever it hides.
            raise MailRefused(f"{name} holds an encoded word")
        if name != "Subject" and (not value.isascii() or len(name) + len(value) + 2 > _LINE_BYTES):
            raise MailRefused(f"{name} is too long, or not of ASCII alone")
    if not (message.message_id.startswith("<") and message.message_id.endswith(">") and "@" in message.message_id):
        raise MailRefused("Message-ID is none")
    if url is not None and (urlsplit(url).scheme not in ("https", "http") or set(url) & set("<>, ")):
        raise MailRefused("List-Unsubscribe is no link")
    return told


def written(message: Message, *, sender: str) -> EmailMessage:
    """The mail as it travels: plain text and HTML as alternatives, all in UTF-8. Raises MailRefused."""
    to = recipient(message)
    mail = EmailMessage(policy=_ASCII if to.isascii() else _UTF8)
    mail["From"] = sender
    mail["To"] = to
    mail["Date"] = format_datetime(now())
    for name, value in headers(message).items():
        mail[name] = value
    try:
        # Quoted-printable keeps every line short, and needs no server that takes eight bits.
        mail.set_content(message.text, charset="utf-8", cte="quoted-printable")
        mail.add_alternative(message.html, subtype="html", charset="utf-8", cte="quoted-printable")
    except UnicodeEncodeError:
        raise MailRefused("the text cannot be written in UTF-8") from None
    return mail
