"""Sessions: how long they last, who sees them, how they end."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from domain.base.clock import frozen, now
from domain.base.permissions import Permission
from domain.identity import sessions, tokens
from domain.organizations import api_keys, callers
from graph.base.ids import global_id
from tests.client import GraphQL
from tests.factories import Person, Tenant, execute, make_person, rows, statements

VIEWER = "{ viewer { email } }"
SESSIONS = "{ viewer { sessions { id userAgent isCurrent } } }"
REVOKE = "mutation ($id: ID!) { sessionRevoke(id: $id) { deletedId errors { code } } }"

pytestmark = pytest.mark.usefixtures("adapters")


async def make_session(person: Person, user_agent: str | None = None) -> tuple[UUID, str]:
    """One more session of the person: its id and token."""
    (row,) = await rows("SELECT gen_random_uuid() AS id")
    token = tokens.new(sessions.PREFIX)
    await execute(
        "INSERT INTO session (id, user_id, token_digest, user_agent, created_at, last_used_at, expires_at) "
        "VALUES ($1, $2, $3, $4, $5, $5, $6)",
        row["id"], person.user_id, tokens.digest(token), user_agent, now(), now() + sessions.LIFETIME,
    )  # fmt: skip
    return row["id"], token


async def times_of(session_id: UUID) -> tuple[datetime, datetime]:
    (row,) = await rows("SELECT last_used_at, expires_at FROM session WHERE id = $1", session_id)
    return row["last_used_at"], row["expires_at"]


async def sessions_left(person: Person) -> set[UUID]:
    return {row["id"] for row in await rows("SELECT id FROM session WHERE user_id = $1", person.user_id)}


def test_tokens_hold_256_bits_and_differ() -> None:
    made = {tokens.new("pws_") for _ in range(100)}

    assert len(made) == 100
    assert all(token.startswith("pws_") and len(token) == 4 + 43 for token in made)


@pytest.mark.parametrize("token", ["", "pws_", "pws_unknown", "pwk_unknown", "nonsense", "pws_\ud800", "pws_\u00e9"])
async def test_an_unknown_token_is_nobodys(token: str) -> None:
    assert await callers.signed_in(token) is None


async def test_an_unknown_token_is_refused_and_no_token_is_nobody() -> None:
    unknown = await GraphQL("pws_unknown").run(VIEWER)

    assert (unknown.data, unknown.codes) == ({"viewer": None}, ["UNAUTHENTICATED"])
    assert await GraphQL().ok(VIEWER) == {"viewer": None}


async def test_a_session_slides_with_its_use_but_is_written_once_a_minute() -> None:
    ada = await make_person()
    began = await times_of(ada.session_id)

    with frozen(began[0] + timedelta(seconds=59)):
        await ada.client.ok(VIEWER)
    untouched = await times_of(ada.session_id)
    later = began[0] + timedelta(days=29)
    with frozen(later):
        await ada.client.ok(VIEWER)

    assert untouched == began
    assert await times_of(ada.session_id) == (later, later + timedelta(days=30))


async def test_a_session_ends_thirty_days_after_its_last_use() -> None:
    ada = await make_person()
    _, ends = await times_of(ada.session_id)

    with frozen(ends - timedelta(seconds=1)):
        assert await callers.signed_in(ada.token) is not None
    _, ends = await times_of(ada.session_id)
    with frozen(ends):
        assert (await ada.client.run(VIEWER)).codes == ["UNAUTHENTICATED"]
    assert await times_of(ada.session_id) == (ends - timedelta(days=30), ends)


async def test_a_person_sees_their_own_sessions_that_last_the_last_used_first() -> None:
    ada, _eve = await make_person(), await make_person("Eve")
    ended, _ = await make_session(ada)
    await execute("UPDATE session SET expires_at = now() - interval '1 second' WHERE id = $1", ended)
    phone, _ = await make_session(ada, "Phone/1")

    data = await ada.client.ok(SESSIONS)

    assert data["viewer"]["sessions"] == [
        {"id": global_id("session", phone), "userAgent": "Phone/1", "isCurrent": False},
        {"id": global_id("session", ada.session_id), "userAgent": None, "isCurrent": True},
    ]


async def test_at_most_a_hundred_sessions_are_listed_in_one_statement() -> None:
    ada = await make_person()
    for _ in range(101):
        await make_session(ada)

    with statements() as sent:
        data = await ada.client.ok(SESSIONS)

    assert len(data["viewer"]["sessions"]) == 100
    assert len([text for text in sent if "ORDER BY session.last_used_at" in text]) == 1


async def test_a_session_is_revoked_by_its_owner() -> None:
    ada = await make_person()
    phone, token = await make_session(ada)

    payload = await ada.client.done(REVOKE, id=global_id("session", phone))

    assert payload["deletedId"] == global_id("session", phone)
    assert (await GraphQL(token).run(VIEWER)).codes == ["UNAUTHENTICATED"]
    assert await sessions_left(ada) == {ada.session_id}


async def test_a_stranger_cannot_revoke_a_session_nor_tell_that_it_is_there() -> None:
    ada, eve = await make_person(), await make_person("Eve")

    strangers = await eve.client.run(REVOKE, id=global_id("session", ada.session_id))
    unknown = await eve.client.run(REVOKE, id=global_id("session", UUID(int=7)))

    assert strangers.codes == ["NOT_FOUND"]
    assert (strangers.data, strangers.errors) == (unknown.data, unknown.errors)
    assert await sessions_left(ada) == {ada.session_id}


async def test_revoking_the_present_session_ends_the_operation_too() -> None:
    ada = await make_person()
    document = """
    mutation ($id: ID!) {
      sessionRevoke(id: $id) { deletedId errors { code } }
      profileUpdate(input: {name: "Gone"}) { errors { code } }
    }
    """

    answer = await ada.client.run(document, id=global_id("session", ada.session_id))

    assert answer.codes == ["UNAUTHENTICATED"]
    assert await sessions_left(ada) == set()
    assert await rows("SELECT FROM users WHERE id = $1 AND name = 'Gone'", ada.user_id) == []


async def test_revoking_the_others_keeps_the_present_session_and_other_people() -> None:
    ada, eve = await make_person(), await make_person("Eve")
    await make_session(ada)
    await make_session(ada)

    payload = await ada.client.done("mutation { sessionsRevokeOthers { done errors { code } } }")

    assert payload["done"] is True
    assert await sessions_left(ada) == {ada.session_id}
    assert await sessions_left(eve) == {eve.session_id}


@pytest.mark.parametrize(
    "document",
    [
        "mutation { signOut { done } }",
        "mutation { sessionsRevokeOthers { done } }",
        'mutation { sessionRevoke(id: "session_00000000000070008000000000000000") { deletedId } }',
        'mutation { profileUpdate(input: {name: "X"}) { errors { code } } }',
        'mutation { preferencesUpdate(input: {locale: "de"}) { errors { code } } }',
    ],
)
async def test_account_mutations_need_a_signed_in_person(document: str, acme: Tenant) -> None:
    async with acme.admin.acting() as actor:
        made = await api_keys.create(actor, acme.org_id, name="CI", permissions=list(Permission))

    signed_out, key = await GraphQL().run(document), await GraphQL(made.secret).run(document)

    assert signed_out.codes == key.codes == ["UNAUTHENTICATED"]
    assert await sessions_left(acme.admin) == {acme.admin.session_id}
