"""Accounts: signing up, signing in, and what a person says about themselves.

None of this belongs to an organization, so none of it is in an organization's log.
"""

import functools
import math
import re
import zoneinfo
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import orjson

from domain.adapters.throttle import Limit, Throttle
from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.database import Door, execute, require_transaction, system, system_tx, tx
from domain.base.database_faults import unique
from domain.base.errors import Faults, Taken
from domain.base.settings import Settings
from domain.base.sql import sql
from domain.identity import account_tokens, addresses, credentials, passwords, queries, security_log, sessions
from domain.identity.account_tokens import Purpose
from domain.identity.models import Preferences, User
from domain.identity.networks import network_of
from domain.identity.queries import PreferencesRow, UserRow
from domain.identity.security_log import Action, Origin
from domain.identity.sessions import Started

SIGN_UPS = Limit(tries=20, window_s=3600)
SETTINGS_BYTES = 16 * 1024
SETTINGS_DEPTH = 20

# Without the cache each call walks the files of the database on the disk.
_time_zones = functools.cache(zoneinfo.available_timezones)

# The shape of a language tag; whether its parts are registered is not looked at. Source: RFC 5646, section 2.1.
_LOCALE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}")
_NOT_IN_A_URL = re.compile(r"[\s\x00-\x1f\x7f\"<>\\^`{|}]")
_AVATAR_URL_LENGTH = 2000


@dataclass(frozen=True)
class Applicant:
    """Somebody whose sign-up is in order, but for who has the address by now."""

    email: str
    password_digest: str
    name: str
    origin: Origin


async def applicant(
    *, email: str, password: str, name: str, client_address: str, user_agent: str | None, throttle: Throttle
) -> Applicant:
    """Whoever signs up, once what they say of themselves is right.

    Raises UserErrors; RateLimited after 20 an hour from one network, counted once the input is well formed;
    Unavailable.
    """
    faults = Faults()
    address = addresses.normalized(email)
    if address is None:
        faults.add("Must be an e-mail address.", "email")
    check_password(faults, password, "password")
    _check_name(faults, name)
    faults.check()
    await throttle.hit(f"sign-up:{network_of(client_address)}", SIGN_UPS)
    digest = await passwords.hashed(password)
    return Applicant(str(address), digest, name, Origin(client_address, user_agent))


async def sign_up(settings: Settings, **given: Any) -> Started:
    """Make an account and its first session. Takes and raises what `applicant` does; Taken (email)."""
    person = await applicant(**given)
    async with system_tx(Door.SIGN_UP):
        return await create(settings, person, is_verified=False)


async def create(settings: Settings, person: Applicant, *, is_verified: bool) -> Started:
    """The account and its first session, in the open transaction of the system's.

    `is_verified` says that the address is known to be theirs; otherwise there is a token to verify it with.
    Raises Taken (email).
    """
    user_id, entry_id, at = new_id(), new_id(), now()
    with unique("users_email", Taken("There is an account with this address already.", "email")):
        await execute(
            sql(
                "INSERT INTO users (id, name, email, email_verified_at, created_at, updated_at) "
                "VALUES ({}, {}, {}, {}, {}, {})",
                *(user_id, person.name, person.email, at if is_verified else None, at, at),
            )
        )
    await execute(
        sql(
            "INSERT INTO credential (user_id, password_digest, updated_at) VALUES ({}, {}, {})",
            *(user_id, person.password_digest, at),
        )
    )
    await execute(
        sql(
            "INSERT INTO preferences (user_id, locale, time_zone, email_on_assignment, email_on_mention, "
            "email_on_invitation, settings, updated_at) VALUES ({}, 'en', 'UTC', true, true, true, {}, {})",
            *(user_id, "{}", at),
        )
    )
    if not is_verified:
        await account_tokens.issue(settings, user_id, Purpose.VERIFY_EMAIL, email=person.email, entry_id=entry_id)
    connection = require_transaction().connection
    return await _begin(connection, user_id, Action.SIGNED_UP, person.origin, entry_id=entry_id)


async def sign_in(
    *, email: str, password: str, client_address: str, user_agent: str | None, throttle: Throttle
) -> Started:
    """Begin a session. An unknown address and a wrong password give the same answer in the same time.

    Raises what `credentials.check` does.
    """
    while True:
        known = await credentials.check(
            email, password, client_address=client_address, user_agent=user_agent, throttle=throttle
        )
        is_outdated = passwords.is_outdated(known.password_digest)
        renewed = await passwords.hashed(password) if is_outdated else known.password_digest
        async with system(Door.SIGN_IN) as connection:
            # Under the lock no other password can take the place of this one and leave the new session behind.
            stored = await connection.fetchval(
                "SELECT password_digest FROM credential WHERE user_id = $1 FOR NO KEY UPDATE", known.user_id
            )
            if stored != known.password_digest:
                # It was replaced just now, and may be the right one all the same.
                continue
            if renewed != stored:
                await connection.execute(
                    "UPDATE credential SET password_digest = $1, updated_at = $2 WHERE user_id = $3",
                    renewed,
                    now(),
                    known.user_id,
                )
            return await _begin(connection, known.user_id, Action.SIGNED_IN, Origin(client_address, user_agent))


async def _begin(
    connection: Any, user_id: UUID, action: Action, origin: Origin, *, entry_id: UUID | None = None
) -> Started:
    started = await sessions.start(connection, user_id, user_agent=origin.user_agent)
    told = security_log.entries(user_id, action, session_ids=[started.session_id], origin=origin, entry_id=entry_id)
    text, values = told.render()
    await connection.execute(text, *values)
    return started


async def profile_update(actor: Actor, **values: Any) -> UserRow:
    """Change the caller's name or avatar_url; the row. Raises Unauthenticated; UserErrors."""
    user_id = actor.require_person()
    faults = Faults()
    faults.required(values, "name")
    _check_name(faults, values.get("name"))
    if (url := values.get("avatar_url")) is not None:
        faults.text(url, "avatar_url", least=1, most=_AVATAR_URL_LENGTH)
        if not _is_https_url(url):
            faults.add("Must be an https address.", "avatar_url")
    faults.check()
    async with tx():
        if values:
            await User.filter(id=user_id).update(**values, updated_at=now())
            told = security_log.entries(
                user_id, Action.PROFILE_UPDATED, session_ids=[actor.session_id], details=[", ".join(sorted(values))]
            )
            await execute(told)
        return await queries.by_ids.get(actor, user_id)


async def preferences_update(actor: Actor, **values: Any) -> PreferencesRow:
    """Change what the caller chose; the row. `settings` is any JSON value, and None empties it.

    Raises Unauthenticated; UserErrors.
    """
    user_id = actor.require_person()
    faults = Faults()
    faults.required(values, *(name for name in values if name != "settings"))
    if (locale := values.get("locale")) is not None and not _LOCALE.fullmatch(locale):
        faults.add("Must be a language tag like en or de-CH.", "locale")
    if (zone := values.get("time_zone")) is not None and zone not in _time_zones():
        faults.add("Must be a time zone of the IANA database, like Europe/Zurich.", "time_zone")
    if "settings" in values:
        settings = {} if values["settings"] is None else values["settings"]
        if fault := _settings_fault(settings):
            faults.add(fault, "settings")
        else:
            # Encoded here, because Tortoise takes a string for JSON text already.
            values["settings"] = orjson.dumps(settings).decode()
    faults.check()
    async with tx():
        if values:
            await Preferences.filter(user_id=user_id).update(**values, updated_at=now())
        return await queries.preferences_of.get(actor, user_id)


def check_password(faults: Faults, password: str, path: str) -> None:
    """A new password has a length that can be had."""
    faults.text(password, path, least=passwords.MIN_LENGTH, most=passwords.MAX_LENGTH)


def _check_name(faults: Faults, name: str | None) -> None:
    faults.text(name, "name", least=1, most=100)


def _is_https_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        return False
    return url.scheme == "https" and bool(url.hostname) and "@" not in url.netloc and not _NOT_IN_A_URL.search(text)


def _settings_fault(value: Any) -> str | None:
    """Why a JSON value cannot be kept, or None. Iterative: nesting costs no stack."""
    pending = [(value, 1)]
    while pending:
        item, depth = pending.pop()
        if isinstance(item, float) and not math.isfinite(item):
            return "Numbers must be finite."
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        if inner and depth > SETTINGS_DEPTH:
            return f"At most {SETTINGS_DEPTH} levels deep."
        pending.extend((part, depth + 1) for part in inner)
    try:
        size = len(orjson.dumps(value))
    except TypeError:
        return "Integers must fit into 64 bits."
    return None if size <= SETTINGS_BYTES else f"At most {SETTINGS_BYTES} bytes; it has {size}."
