"""Where the database is, who comes to it as what role, and what Tortoise is told of it."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from domain.base.database_faults import AWAY, WITHOUT_CONNECTION, cause_of
from domain.base.settings import Settings

MODELS = (
    "domain.idempotency.models",
    "domain.identity.models",
    "domain.organizations.models",
    "domain.invitations.models",
    "domain.billing.models",
    "domain.projects.models",
    "domain.labels.models",
    "domain.tasks.models",
    "domain.work.models",
    "domain.comments.models",
    "domain.attachments.models",
    "domain.notifications.models",
    "domain.ai.models",
    "domain.events.models",
    "domain.deliveries.models",
    "domain.search.models",
)

# For the first connection of a process, to a server that may be far away.
CONNECT_TIMEOUT_S = 10.0
# Settings of a session. When a machine of ours has gone without a word, the server finds out by these probes, after 5
# to 8 s, and lets go of what it had locked.
PROBES = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "3"}


class Unreachable(Exception):
    """The database cannot be had at all. The message is one line for the person at the prompt, without a password."""


def role_names(database: str) -> tuple[str, str]:
    """The application's and the system's role for a database. Roles belong to the server, so they carry its name."""
    return f"{database}_app", f"{database}_system"


def role_password(settings: Settings, role: str) -> str:
    """The role's password: derived, so that no second secret has to be kept."""
    return hmac.new(settings.secret_key.encode(), f"database role {role}".encode(), hashlib.sha256).hexdigest()


def address_of(settings: Settings) -> dict[str, Any]:
    """Host (or socket folder), port and database of DATABASE_URL as asyncpg takes them."""
    url = urlsplit(settings.database_url or "")
    query = {name: values[-1] for name, values in parse_qs(url.query).items()}
    address: dict[str, Any] = {
        "host": query.get("host") or url.hostname or "localhost",
        "port": int(query.get("port") or url.port or 5432),
        "database": unquote(url.path.lstrip("/")),
    }
    if "sslmode" in query:
        address["ssl"] = query["sslmode"]
    return address


def owner_credentials(settings: Settings) -> dict[str, Any]:
    """User and password of DATABASE_URL, which are the owner's where tables are made."""
    url = urlsplit(settings.database_url or "")
    return {"user": unquote(url.username or "postgres"), "password": unquote(url.password or "") or None}


@asynccontextmanager
async def owner_connected(settings: Settings) -> AsyncIterator[Any]:
    """A connection as the database's owner. Raises Unreachable."""
    with reaching(settings):
        owner = await asyncpg.connect(**address_of(settings), **owner_credentials(settings), timeout=CONNECT_TIMEOUT_S)
    try:
        yield owner
    finally:
        await owner.close()


def tortoise_config(settings: Settings, **credentials: Any) -> dict[str, Any]:
    """Tortoise's configuration for the models and migrations, over the given credentials."""
    return {
        "connections": {
            "default": {
                "engine": "tortoise.backends.asyncpg",
                "credentials": {**address_of(settings), **credentials},
            }
        },
        "apps": {
            "planwire": {"models": list(MODELS), "migrations": "domain.migrations", "default_connection": "default"}
        },
        "use_tz": True,
        "timezone": "UTC",
    }


@contextmanager
def reaching(settings: Settings) -> Iterator[None]:
    """Turn whatever keeps the block from connecting into Unreachable."""
    refused = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
    try:
        yield
    except (*refused, *AWAY, *WITHOUT_CONNECTION) as fault:
        address = address_of(settings)
        # The first line: the others are the server's details and hints.
        reason = str(cause_of(fault)).partition("\n")[0] or f"no answer within {CONNECT_TIMEOUT_S:.0f} s"
        where = f"{address['database']} at {address['host']}:{address['port']}"
        raise Unreachable(f"the database {where} cannot be used: {reason}") from fault
