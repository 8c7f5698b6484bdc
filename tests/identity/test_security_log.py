"""An account's own log: what happened to it and what it was denied, and that no rollback takes an entry along."""

from typing import Any
from unittest.mock import patch
from uuid import UUID

import asyncpg
import pytest

from domain.base import database
from domain.base.permissions import Permission
from domain.base.sql import Row, sql
from domain.identity import security_log
from domain.identity.networks import prefix_of
from domain.organizations import api_keys
from graph.base.ids import global_id
from tests.client import GraphQL
from tests.factories import Person, Tenant, events, execute, make_person, rows, statements
from tests.isolation.world import make_session

AGENT = {"User-Agent": "Probe/1.0"}
SIGN_UP = """
mutation ($input: SignUpInput!) {
  signUp(input: $input) { token session { id } viewer { user { id } } errors { code } }
}
"""
SIGN_IN = "mutation ($input: SignInInput!) { signIn(input: $input) { token session { id } errors { code } } }"
PROFILE = "mutation ($input: ProfileUpdateInput!) { profileUpdate(input: $input) { errors { code } } }"
REVOKE = "mutation ($id: ID!) { sessionRevoke(id: $id) { errors { code } } }"
DENIED = """
mutation ($id: ID!) {
  organizationUpdate(id: $id, input: {name: "Mine"}) { errors { code } }
  again: organizationUpdate(id: $id, input: {name: "Mine"}) { errors { code } }
  projectCreate(input: {organizationId: $id, name: "Mine"}) { errors { code } }
  labelCreate(input: {organizationId: $id, name: "Mine", color: "#ff0000"}) { errors { code } }
}
"""


async def log_of(user_id: UUID) -> list[dict[str, Any]]:
    """The entries of an account, the oldest first, without their ids and instants."""
    return await rows(
        "SELECT action, session_id, detail, address_prefix, user_agent FROM security_entry WHERE user_id = $1 "
        "ORDER BY at, id",
        user_id,
    )


def entry(action: str, session_id: UUID | None = None, detail: str | None = None, **seen: Any) -> dict[str, Any]:
    """An entry as `log_of` gives it, of a program that says no name at the clients' address."""
    told = {"action": action, "session_id": session_id, "detail": detail}
    return {**told, "address_prefix": "192.0.2.0/24", "user_agent": None, **seen}


def key_of(id: str) -> UUID:
    return UUID(id.rpartition("_")[2])


async def test_signing_up_in_and_out_is_told_with_where_from(acme: Tenant) -> None:
    client = GraphQL(address="2001:db8:1:2::3", headers=AGENT)
    given = {"email": f"ada-{acme.org_id.hex[-12:]}@example.test", "password": "correct horse battery"}
    seen: dict[str, Any] = {"address_prefix": "2001:db8:1::/48", "user_agent": "Probe/1.0"}

    begun = await client.done(SIGN_UP, input={**given, "name": "Ada"})
    user_id = key_of(begun["viewer"]["user"]["id"])
    refused = await client.refused(SIGN_IN, input={**given, "password": "wrong"})
    again = await client.done(SIGN_IN, input=given)
    await GraphQL(again["token"]).done("mutation { signOut { errors { code } } }")

    assert [error["code"] for error in refused] == ["WRONG_CREDENTIALS"]
    first, second = key_of(begun["session"]["id"]), key_of(again["session"]["id"])
    assert await log_of(user_id) == [
        entry("SIGNED_UP", first, **seen),
        entry("SIGN_IN_FAILED", **seen),
        entry("SIGNED_IN", second, **seen),
        entry("SIGNED_OUT", second),
    ]


async def test_a_wrong_password_and_an_unknown_address_take_the_same_statements(acme: Tenant) -> None:
    given = {"email": f"eve-{acme.org_id.hex[-12:]}@example.test", "password": "correct horse battery"}
    client, sent = GraphQL(address="198.51.100.9"), []
    await client.done(SIGN_UP, input={**given, "name": "Eve"})
    (before,) = await rows("SELECT count(*) FROM security_entry")

    for email in (given["email"], f"nobody-{acme.org_id.hex[-12:]}@example.test"):
        with statements() as each:
            await client.refused(SIGN_IN, input={"email": email, "password": "wrong"})
        sent.append(each)

    assert sent[0] == sent[1]
    (after,) = await rows("SELECT count(*) FROM security_entry")
    assert after["count"] == before["count"] + 1


async def test_changes_of_a_profile_and_ended_sessions_are_told(acme: Tenant) -> None:
    person = await make_person()
    session_ids = [await make_session(person) for _ in range(3)]

    await person.client.done(PROFILE, input={"name": "Countess", "avatarUrl": None})
    await person.client.done(PROFILE, input={})
    await person.client.done(REVOKE, id=global_id("session", session_ids[0]))
    await person.client.done("mutation { sessionsRevokeOthers { errors { code } } }")
    await person.client.done("mutation { sessionsRevokeOthers { errors { code } } }")

    found = await log_of(person.user_id)
    assert found[0] == entry("PROFILE_UPDATED", person.session_id, "avatar_url, name")
    assert found[1] == entry("SESSION_REVOKED", session_ids[0])
    assert {each["session_id"] for each in found[2:]} == set(session_ids[1:])
    assert [each["action"] for each in found[2:]] == ["SESSION_REVOKED"] * 2


async def test_what_was_refused_leaves_no_entry_of_a_change(acme: Tenant) -> None:
    person = await make_person()

    await person.client.refused(PROFILE, input={"name": ""})
    stranger = await person.client.run(REVOKE, id=global_id("session", acme.admin.session_id))

    assert stranger.codes == ["NOT_FOUND"]
    assert await log_of(person.user_id) == []
    assert await log_of(acme.admin.user_id) == []


async def test_a_denial_is_told_once_for_each_permission_and_outlives_the_rollback(acme: Tenant) -> None:
    answer = await acme.guest.client.run(DENIED, id=acme.id)

    assert answer.codes == ["FORBIDDEN"] * 4
    assert await log_of(acme.guest.user_id) == [
        entry("DENIED", acme.guest.session_id, permission)
        for permission in ("ORG_UPDATE", "PROJECT_CREATE", "PROJECT_UPDATE")
    ]
    assert await events(acme.org_id) == []


@pytest.mark.asked_once
async def test_a_denial_of_a_read_is_told(acme: Tenant) -> None:
    await acme.guest.client.run("query ($id: ID!) { organization(id: $id) { apiKeys { id } } }", id=acme.id)

    assert await log_of(acme.guest.user_id) == [entry("DENIED", acme.guest.session_id, "API_KEYS_MANAGE")]


async def test_what_a_key_was_denied_is_told_to_its_maker(acme: Tenant) -> None:
    async with acme.admin.acting() as actor:
        made = await api_keys.create(actor, acme.org_id, name="Reader", permissions=[Permission.TASK_READ])

    await GraphQL(made.secret).run(DENIED, id=acme.id)

    assert {each["detail"] for each in await log_of(acme.admin.user_id)} == {
        "ORG_UPDATE",
        "PROJECT_CREATE",
        "PROJECT_UPDATE",
    }
    assert {each["session_id"] for each in await log_of(acme.admin.user_id)} == {None}


async def test_an_answer_does_not_fail_with_the_log(acme: Tenant) -> None:
    with patch.object(security_log, "note_denials", side_effect=OSError("the server is away")):
        answer = await acme.guest.client.run(DENIED, id=acme.id)

    assert answer.codes == ["FORBIDDEN"] * 4


async def test_nobody_is_told_what_who_is_not_signed_in_was_refused(acme: Tenant) -> None:
    (before,) = await rows("SELECT count(*) FROM security_entry")

    await GraphQL().run(DENIED, id=acme.id)

    assert await rows("SELECT count(*) FROM security_entry") == [before]


async def test_entries_are_added_and_never_changed_and_go_with_their_account(acme: Tenant) -> None:
    person: Person = await make_person()
    await person.client.done(PROFILE, input={"name": "Countess"})

    for statement in ("UPDATE security_entry SET action = 'x'", "DELETE FROM security_entry"):
        with database.acting_for([acme.org_id]), pytest.raises(asyncpg.InsufficientPrivilegeError):
            await database.fetch(sql(statement), Row)
    await execute("DELETE FROM users WHERE id = $1", person.user_id)

    assert await log_of(person.user_id) == []


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("unknown", None),
        ("", None),
    ],
)
def test_an_address_is_kept_by_its_beginning(address: str, prefix: str | None) -> None:
    assert prefix_of(address) == prefix
