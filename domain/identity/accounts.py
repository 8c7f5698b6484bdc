"""Accounts: signing up, signing in, and what a person says about themselves.

None of this belongs to an organization, so none of it is in an organization's log.
"""

import functools
import hashlib
import math
import re
import zoneinfo
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import orjson
from email_validator import EmailNotValidError, validate_email

from domain.adapters.throttle import Limit, Throttle
from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.database import Door, execute, system, tx
from domain.base.errors import Faults, Taken, WrongCredentials
from domain.base.sql import Sql
from domain.identity import passwords, queries, security_log, sessions
from domain.identity.models import Preferences, User
from domain.identity.networks import network_of
from domain.identity.queries import PreferencesRow, UserRow
from domain.identity.security_log import Action, Origin
from domain.identity.sessions import Started

SIGN_UPS = Limit(tries=20, window_s=3600)
WRONG_SIGN_INS = Limit(tries=10, window_s=15 * 60)
SETTINGS_BYTES = 16 * 1024
SETTINGS_DEPTH = 20
# 64 characters before the @ and 255 after it. Source: RFC 5321, sections 4.5.3.1.1 and 4.5.3.1.2.
_ADDRESS_LENGTH = 320

# Without the cache each call walks the files of the database on the disk.
_time_zones = functools.cache(zoneinfo.available_timezones)

# The shape of a language tag; whether its parts are registered is not looked at. Source: RFC 5646, section 2.1.
_LOCALE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}")
_NOT_IN_A_URL = re.compile(r"[\s\x00-\x1f\x7f\"<>\\^`{|}]")
_AVATAR_URL_LENGTH = 2000


async def sign_up(
    *, email: str, password: str, name: str, client_address: str, user_agent: str | None, throttle: Throttle
) -> Started:
    """Make an account and its first session.

    Raises UserErrors; Taken (email); RateLimited after 20 an hour from one network, counted once the input is well
    formed; Unavailable.
    """
    faults = Faults()
    address = _address(email)
    if address is None:
        faults.add("Must be an e-mail address.", "email")
    faults.text(password, "password", least=passwords.MIN_LENGTH, most=passwords.MAX_LENGTH)
    _check_name(faults, name)
    faults.check()
    await throttle.hit(f"sign-up:{network_of(client_address)}", SIGN_UPS)
    digest = await passwords.hashed(password)
    user_id, at = new_id(), now()
    try:
        async with system(Door.SIGN_UP) as connection:
            await connection.execute(
                "INSERT INTO users (id, name, email, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)",
                user_id,
                name,
                address,
                at,
            )
            await connection.execute(
                "INSERT INTO credential (user_id, password_digest, updated_at) VALUES ($1, $2, $3)", user_id, digest, at
            )
            await connection.execute(
                "INSERT INTO preferences (user_id, locale, time_zone, email_on_assignment, email_on_mention, "
                "email_on_invitation, settings, updated_at) VALUES ($1, 'en', 'UTC', true, true, true, '{}', $2)",
                user_id,
                at,
            )
            return await _begin(connection, user_id, Action.SIGNED_UP, Origin(client_address, user_agent))
    except asyncpg.UniqueViolationError as failure:
        if failure.constraint_name != "users_email":
            raise
        raise Taken("There is an account with this address already.", "email") from failure


async def sign_in(
    *, email: str, password: str, client_address: str, user_agent: str | None, throttle: Throttle
) -> Started:
    """Begin a session. An unknown address and a wrong password give the same answer in the same time.

    For its account a try is counted before it is verified, so that guesses at the same moment cannot pass together; a
    right password forgets them. For its network only a wrong one is counted, once it is known to be wrong: many people
    may share a network, and none of them can wipe out its count with an account of their own.

    Raises WrongCredentials; RateLimited after 10 wrong tries within 15 minutes for the address or from one network,
    also with the right password; Unavailable.
    """
    address = _address(email) or email.strip().lower()
    network_key = f"sign-in:network:{network_of(client_address)}"
    account_key = f"sign-in:account:{hashlib.sha256(address.encode()).hexdigest()}"
    # From the check to the count in one seat: past the limit of a network go at most the verifications in flight, two
    # in each process, and of those only a right one is told, because counting the others refuses them.
    async with passwords.seats:
        # The network goes first: one that is refused cannot lock anybody else's account as well.
        await throttle.check(network_key, WRONG_SIGN_INS)
        await throttle.hit(account_key, WRONG_SIGN_INS)
        async with system(Door.SIGN_IN) as connection:
            found = await connection.fetchrow(
                "SELECT users.id, credential.password_digest FROM users "
                "JOIN credential ON credential.user_id = users.id WHERE users.email = $1",
                address,
            )
        stored = found["password_digest"] if found else None
        if not await passwords.matches(password, stored) or found is None:
            await _note_failure(found["id"] if found else new_id(), Origin(client_address, user_agent))
            await throttle.hit(network_key, WRONG_SIGN_INS)
            raise WrongCredentials("Address and password do not belong together.")
        await throttle.clear(account_key)
    renewed = await passwords.hashed(password) if passwords.is_outdated(found["password_digest"]) else None
    async with system(Door.SIGN_IN) as connection:
        if renewed is not None:
            await connection.execute(
                "UPDATE credential SET password_digest = $1, updated_at = $2 "
                "WHERE user_id = $3 AND password_digest = $4",
                renewed,
                now(),
                found["id"],
                stored,
            )
        return await _begin(connection, found["id"], Action.SIGNED_IN, Origin(client_address, user_agent))


async def _begin(connection: Any, user_id: UUID, action: Action, origin: Origin) -> Started:
    started = await sessions.start(connection, user_id, user_agent=origin.user_agent)
    await _write(connection, security_log.entries(user_id, action, session_ids=[started.session_id], origin=origin))
    return started


async def _note_failure(user_id: UUID, origin: Origin) -> None:
    """An entry for the account, none for an address that has none; the time it takes must not tell which.

    So the statement is the same, and the commit does not wait for the disk, which it would only after an entry.
    """
    async with system(Door.SIGN_IN_FAILURE) as connection:
        await connection.execute("SET LOCAL synchronous_commit = off")
        await _write(connection, security_log.entries(user_id, Action.SIGN_IN_FAILED, origin=origin))


async def _write(connection: Any, statement: Sql) -> None:
    text, values = statement.render()
    await connection.execute(text, *values)


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


def _address(text: str) -> str | None:
    """The address as it is stored and compared, or None when it is not one."""
    if len(text) > _ADDRESS_LENGTH:
        # Before anything looks at it: to normalize it would take time that grows with the square of its length.
        return None
    try:
        # .test is what the demo accounts use; nothing is looked up in the DNS.
        found = validate_email(text.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return None
    return found.normalized.lower()


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
