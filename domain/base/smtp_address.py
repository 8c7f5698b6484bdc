"""SMTP_URL and MAIL_FROM, as they are written in the settings and read by who sends mail."""

import ipaddress
from dataclasses import dataclass, field
from email.headerregistry import Address
from enum import StrEnum
from urllib.parse import parse_qs, unquote, urlsplit

from email_validator import EmailNotValidError, validate_email

# Source: RFC 8314, section 3.3, and RFC 6409, section 3.1.
TLS_PORT, SUBMISSION_PORT = 465, 587


class Encryption(StrEnum):
    """How a connection to a mail server is kept from other eyes."""

    TLS = "tls"
    STARTTLS_REQUIRED = "required"
    STARTTLS_AUTO = "auto"
    OFF = "off"


STARTTLS = {each.value: each for each in Encryption if each is not Encryption.TLS}


@dataclass(frozen=True)
class SmtpServer:
    """Where mail is handed in, and as whom."""

    host: str
    port: int
    encryption: Encryption
    user: str | None = None
    password: str | None = field(default=None, repr=False)


def smtp_server(url: str) -> SmtpServer:
    """The server of smtp://user:password@host:port?starttls=required|auto|off or of smtps://.

    Raises ValueError with a message that quotes nothing of the URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        asked = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError("is not a URL; special characters in a password are written as %XX") from None
    if parts.scheme not in ("smtp", "smtps"):
        raise ValueError("has to begin with smtp:// or smtps://")
    if not parts.hostname or port == 0:
        raise ValueError("names no host" if not parts.hostname else "its port has to be from 1 to 65535")
    if parts.path.strip("/") or parts.fragment:
        raise ValueError("has nothing behind the host and port but ?starttls=")
    if (parts.username is None) != (parts.password is None) or parts.username == "":
        raise ValueError("has to have a user and a password, or neither")
    if asked.keys() - {"starttls"} or (parts.scheme == "smtps" and asked):
        raise ValueError("takes no parameter but starttls, and that only with smtp://")
    encryption = Encryption.TLS
    if parts.scheme == "smtp":
        (chosen,) = asked.get("starttls", [Encryption.STARTTLS_REQUIRED])[-1:]
        if chosen not in STARTTLS:
            raise ValueError(f"its starttls has to be one of {', '.join(STARTTLS)}")
        encryption = STARTTLS[chosen]
    if parts.password is not None and encryption in (Encryption.STARTTLS_AUTO, Encryption.OFF):
        # Whoever sits between could say that there is no STARTTLS, and would be told the password.
        raise ValueError("a password needs starttls=required or smtps://")
    return SmtpServer(
        host=parts.hostname,
        port=port or (TLS_PORT if parts.scheme == "smtps" else SUBMISSION_PORT),
        encryption=encryption,
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


def mail_host(public_url: str) -> str:
    """The host of PUBLIC_URL as the part of an address or a Message-ID behind the @."""
    host = urlsplit(public_url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    # An address of the network has a form of its own behind the @, which few programs know.
    return "localhost"


def default_sender(public_url: str) -> str:
    """The sender when MAIL_FROM is not given."""
    return f"Planwire <no-reply@{mail_host(public_url)}>"


def sender(value: str) -> str:
    """MAIL_FROM as a header has it: Name <user@host>. Raises ValueError."""
    try:
        # Nothing is looked up in the DNS.
        found = validate_email(value, check_deliverability=False, test_environment=True, allow_display_name=True)
    except EmailNotValidError:
        raise ValueError("has to be an address like no-reply@planwire.example or Name <address>") from None
    if found.ascii_email is None:
        raise ValueError("has to have ASCII alone before the @; not every mail server takes anything else")
    if found.display_name and not found.display_name.isprintable():
        raise ValueError("has a name with control characters")
    return str(Address(found.display_name or "", addr_spec=found.ascii_email))
