"""Documents of the account's flows, and what an account's entries would have mailed."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from domain.base.database import acting_for, fetch
from domain.base.mailing import Mailing
from domain.base.sql import sql
from domain.identity import mails
from domain.identity.security_log import SecurityEntryRow
from tests.client import GraphQL, served
from tests.factories import rows

VERIFY = """
mutation ($token: String!) { emailVerify(token: $token) { viewer { email emailVerified } errors { code path } } }
"""
RESEND = "mutation { emailVerificationResend { done errors { code path } } }"
REQUEST_RESET = "mutation ($email: String!) { passwordResetRequest(email: $email) { done errors { code path } } }"
RESET = """
mutation ($token: String!, $password: String!) {
  passwordReset(token: $token, newPassword: $password) { done errors { code path } }
}
"""
CHANGE = """
mutation ($current: String!, $new: String!) {
  passwordChange(currentPassword: $current, newPassword: $new) { done errors { code path } }
}
"""
CHANGE_EMAIL = """
mutation ($email: String!, $password: String!) {
  emailChangeRequest(newEmail: $email, password: $password) { done errors { code path } }
}
"""
SIGN_IN = "mutation ($input: SignInInput!) { signIn(input: $input) { token errors { code } } }"
SIGN_UP = """
mutation ($input: SignUpInput!) {
  signUp(input: $input) { viewer { email emailVerified organizations { nodes { id } } } token errors { code path } }
}
"""
NEW_PASSWORD = "a new password"  # noqa: S105  # of accounts that live as long as a test


def somewhere() -> GraphQL:
    """A signed-out client in a network of its own."""
    return GraphQL(address=f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1")


def some_address() -> str:
    """An address that nobody has."""
    return f"eve-{secrets.token_hex(6)}@example.test"


async def entries_of(user_id: UUID, action: str) -> list[SecurityEntryRow]:
    """The account's entries of this action, the oldest first, as whoever mails reads them."""
    statement = "SELECT id, user_id, at, action, session_id, detail FROM security_entry"
    with acting_for([]):
        return await fetch(
            sql(f"{statement} WHERE user_id = {{}} AND action = {{}} ORDER BY at, id", user_id, action),
            SecurityEntryRow,
        )


async def mailed(user_id: UUID, action: str) -> list[Mailing | None]:
    """What the account's entries of this action would have mailed now."""
    with acting_for([]):
        return [await mails.of(user_id, entry, served()[0]) for entry in await entries_of(user_id, action)]


async def last_token(user_id: UUID, action: str) -> str:
    """The token of the link in the last mail for this action."""
    found = (await mailed(user_id, action))[-1]
    assert found is not None
    return str(found.values["token"])


async def user_id_of(email: str) -> UUID:
    """Whose address it is."""
    (row,) = await rows("SELECT id FROM users WHERE email = $1", email)
    return UUID(str(row["id"]))


async def can_sign_in(email: str, password: str) -> bool:
    """Whether a session begins with them."""
    answer = await somewhere().ok(SIGN_IN, input={"email": email, "password": password})
    return answer["signIn"]["token"] is not None


async def everything_stored() -> str:
    """Every row of every table in which a token could lie."""
    tables = ("account_token", "invitation", "security_entry", "event", "event_values", "idempotency")
    found = [await rows(f"SELECT t::text AS row FROM {table} t") for table in tables]
    return "\n".join(row["row"] for each in found for row in each)


@asynccontextmanager
async def unchanged(*user_ids: UUID) -> AsyncIterator[None]:
    """Nothing of these accounts but their log differs after the block."""
    before = [await _state(user_id) for user_id in user_ids]
    yield
    assert [await _state(user_id) for user_id in user_ids] == before


async def _state(user_id: UUID) -> list[Any]:
    keys = {"users": "id", "credential": "user_id", "account_token": "user_id", "session": "user_id"}
    return [
        await rows(
            f"SELECT (to_jsonb(t) - 'last_used_at' - 'expires_at')::text AS row FROM {table} t "
            f"WHERE {key} = $1 ORDER BY 1",
            user_id,
        )
        for table, key in keys.items()
    ]
