"""What the value of a setting has to be: each reader gives it as the code uses it, or raises ValueError with the fault.

No fault holds the value, which could be a secret.
"""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

from domain.base.allowed_documents import allowed_documents
from domain.base.smtp_address import smtp_server

# 32 characters of base64 hold 192 bits; a shorter key could be guessed from what it signed.
SECRET_KEY_MIN_LENGTH = 32
METRICS_TOKEN_MIN_LENGTH = 16
PORT_MAX = 65535
# Source: PostgreSQL, database connection control functions, sslmode.
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
DEFAULT_PORTS = {"http": 80, "https": 443}
# Source: Amazon S3, bucket naming rules.
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# Of those that stand in a database, `migrate` says whether this one does.
TEXT_SEARCH_CONFIGURATION = re.compile(r"[a-z_][a-z0-9_]{0,62}")
REGION = re.compile(r"[a-z0-9-]{2,32}")
# Those whose objects can be read at once; from the others they would have to be restored first.
STORAGE_CLASSES = ("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "EXPRESS_ONEZONE")


def is_loopback(host: str) -> bool:
    """Whether a host name or address (without brackets) never leaves this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # RFC 6761, section 6.3: localhost and all below it.
        return host == "localhost" or host.endswith(".localhost")


def _split(url: str, schemes: tuple[str, ...]) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        # The reason given by urllib can quote the password.
        raise ValueError("is not a URL; special characters in a password are written as %XX") from None
    if parts.scheme not in schemes:
        raise ValueError(f"has to begin with {' or '.join(scheme + '://' for scheme in schemes)}")
    return parts


def database_url(value: str) -> str:
    """A PostgreSQL URL that names a host and a database."""
    parts = _split(value, ("postgres", "postgresql"))
    query = parse_qs(parts.query)
    if not parts.hostname and "host" not in query:
        raise ValueError("names no host")
    for port in query.get("port", ()):
        if not (port.isascii() and port.isdigit() and 1 <= int(port) <= PORT_MAX):
            raise ValueError(f"its port has to be a whole number from 1 to {PORT_MAX}")
    for mode in query.get("sslmode", ()):
        if mode not in SSL_MODES:
            raise ValueError(f"its sslmode has to be one of {', '.join(SSL_MODES)}")
    if not parts.path.strip("/"):
        raise ValueError("names no database; it ends in /NAME")
    return value


def redis_url(value: str) -> str:
    """A Redis URL that names a host or a socket."""
    parts = _split(value, ("redis", "rediss", "unix"))
    if parts.scheme == "unix" and not parts.path.strip("/"):
        raise ValueError("names no socket")
    if parts.scheme != "unix" and not parts.hostname:
        raise ValueError("names no host")
    return value


def secret_key(value: str) -> str:
    """A key that is long enough to sign with."""
    if len(value) < SECRET_KEY_MIN_LENGTH:
        raise ValueError(f"has {len(value)} characters; at least {SECRET_KEY_MIN_LENGTH} are needed")
    return value


def metrics_token(value: str) -> str:
    """A bearer token."""
    if len(value) < METRICS_TOKEN_MIN_LENGTH or not value.isascii():
        raise ValueError(f"has to have at least {METRICS_TOKEN_MIN_LENGTH} characters, of ASCII alone")
    return value


def smtp_url(value: str) -> str:
    """A mail server's URL."""
    smtp_server(value)
    return value


def key(example: str) -> Callable[[str], str]:
    """What reads a key or an id that a vendor gave."""

    def parse(value: str) -> str:
        if not (value.isascii() and value.isprintable()) or " " in value:
            raise ValueError(f"is a key of printable ASCII, like {example}")
        return value

    return parse


def slack_webhook_url(value: str) -> str:
    """An https:// URL without a user."""
    if not _split(value, ("https",)).hostname or "@" in value or not value.isascii():
        raise ValueError("names no host, or a user before it")
    return value


def _origin(value: str) -> str:
    """An origin as browsers send it: lower case, no default port, no slash at the end."""
    parts = _split(value, ("http", "https"))
    if not parts.hostname or "@" in parts.netloc or parts.path.strip("/") or "?" in value or "#" in value:
        raise ValueError("an origin is scheme, host and port alone, like https://planwire.example")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in (None, DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def private_origin(value: str) -> str:
    """An origin over TLS, or on this machine."""
    origin = _origin(value)
    if origin.startswith("http://") and not is_loopback(urlsplit(origin).hostname or ""):
        raise ValueError("has to be https:// for a host other than this machine; secrets would travel in the open")
    return origin


def base_url(value: str) -> str:
    """Where the paths of a service begin, over TLS or on this machine."""
    parts = _split(value, ("http", "https"))
    if not (value.isascii() and value.isprintable()) or " " in value or "?" in value or "#" in value:
        raise ValueError("is an address without a query, like https://api.openai.com/v1")
    private_origin(f"{parts.scheme}://{parts.netloc}")
    return value.rstrip("/")


def _listed(value: str) -> list[str]:
    return [item.strip() for item in value.split(",") if item.strip()]


def origins(value: str) -> tuple[str, ...]:
    """A list of origins, none of them twice."""
    if "*" in value:
        raise ValueError("every origin is to be named, * is not one")
    return tuple(dict.fromkeys(_origin(item) for item in _listed(value)))


def addresses(value: str) -> tuple[str, ...]:
    """A list of IP addresses or networks, or `*`."""
    if value == "*":
        return ("*",)
    for item in _listed(value):
        try:
            ipaddress.ip_network(item, strict=False)
        except ValueError:
            raise ValueError("is a list of IP addresses or networks, or * alone") from None
    return tuple(_listed(value))


def whole(least: int, most: int) -> Callable[[str], int]:
    """What reads a whole number from `least` to `most`."""

    def parse(value: str) -> int:
        # isascii, because int() also reads the digits of other scripts; the length, because int() refuses thousands.
        if not (value.isascii() and value.isdigit() and len(value) < 20 and least <= int(value) <= most):
            raise ValueError(f"has to be a whole number from {least} to {most}")
        return int(value)

    return parse


def one_of(choices: tuple[str, ...], value: str) -> str:
    """One of the choices, in lower case."""
    if value.lower() not in choices:
        raise ValueError(f"has to be one of {', '.join(choices)}")
    return value.lower()


def documents_file(value: str) -> Path:
    """A file that holds the documents which may be executed."""
    path = Path(value).absolute()
    allowed_documents(path)
    return path


def bucket(value: str) -> str:
    """The name of a bucket."""
    if not BUCKET.fullmatch(value) or ".." in value:
        raise ValueError("is no name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens")
    return value


def region(value: str) -> str:
    """The name of a region."""
    if not REGION.fullmatch(value):
        raise ValueError("is no region, like eu-central-1")
    return value


def storage_class(value: str) -> str:
    """A storage class whose objects can be read at once."""
    if value.upper() not in STORAGE_CLASSES:
        raise ValueError(f"has to be one of {', '.join(STORAGE_CLASSES)}")
    return value.upper()


def search_language(value: str) -> str:
    """The name of a text search configuration."""
    if not TEXT_SEARCH_CONFIGURATION.fullmatch(value.lower()):
        raise ValueError("is no name of a text search configuration, like english or simple")
    return value.lower()
