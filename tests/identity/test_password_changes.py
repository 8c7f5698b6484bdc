"""New passwords: by a mailed link, or by the old one."""

import asyncio
import secrets
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from domain.base.actor import Actor
from domain.base.clock import frozen, now
from domain.base.errors import WrongCredentials
from domain.identity import credentials, password_changes, sessions
from domain.identity.account_tokens import Purpose
from tests.client import GraphQL, served
from tests.factories import PASSWORD, Person, make_person, rows, statements
from tests.identity.mail import (
    CHANGE,
    CHANGE_EMAIL,
    NEW_PASSWORD,
    REQUEST_RESET,
    RESET,
    SIGN_IN,
    VERIFY,
    can_sign_in,
    entries_of,
    everything_stored,
    last_token,
    mailed,
    some_address,
    somewhere,
    unchanged,
)
from tests.isolation.world import make_session
from tests.links import issue
from tests.sockets import opened
from tests.tasks.races import uncommitted, waiting

pytestmark = pytest.mark.usefixtures("adapters")

UNKNOWN = [{"code": "INVALID", "path": ["token"]}]
VIEWER = "{ viewer { email } }"


@pytest.fixture
async def ada(adapters: object) -> Person:
    """Somebody with three sessions."""
    person = await make_person()
    for _ in range(2):
        await make_session(person)
    return person


async def sessions_of(person: Person) -> list[object]:
    return [row["id"] for row in await rows("SELECT id FROM session WHERE user_id = $1", person.user_id)]


async def test_a_mailed_link_sets_a_new_password_and_ends_every_session(ada: Person) -> None:
    await somewhere().done(REQUEST_RESET, email=f" {ada.email.upper()}")
    (mail,) = await mailed(ada.user_id, "PASSWORD_RESET_REQUESTED")
    token = await last_token(ada.user_id, "PASSWORD_RESET_REQUESTED")

    await somewhere().done(RESET, token=token, password=NEW_PASSWORD)

    assert mail is not None
    assert (mail.kind, mail.to, len(token)) == ("password_reset", ada.email, 43)
    assert await sessions_of(ada) == []
    assert (await ada.client.run(VIEWER)).codes == ["UNAUTHENTICATED"]
    assert not await can_sign_in(ada.email, PASSWORD)
    assert await can_sign_in(ada.email, NEW_PASSWORD)
    (told,) = await mailed(ada.user_id, "PASSWORD_RESET")
    assert told is not None
    assert (told.kind, told.to) == ("password_changed", ada.email)
    assert len(await entries_of(ada.user_id, "SESSION_REVOKED")) == 3
    assert token not in await everything_stored()


async def test_who_resets_their_own_password_is_signed_out_for_the_rest_of_the_operation(ada: Person) -> None:
    token = await issue(ada, Purpose.RESET_PASSWORD)
    document = """
    mutation ($token: String!, $password: String!) {
      passwordReset(token: $token, newPassword: $password) { done }
      profileUpdate(input: {name: "Mine"}) { errors { code } }
    }
    """

    answer = await ada.client.run(document, token=token, password=NEW_PASSWORD)

    assert answer.data == {"passwordReset": {"done": True}, "profileUpdate": None}
    assert answer.codes == ["UNAUTHENTICATED"]


async def test_known_and_unknown_addresses_get_the_same_answer_by_the_same_work(ada: Person) -> None:
    found = []
    (before,) = await rows("SELECT (SELECT count(*) FROM account_token) + (SELECT count(*) FROM security_entry) AS n")

    for email in (ada.email, some_address(), "no address at all", "a" * 10_000):
        with statements() as sent:
            answer = await somewhere().run(REQUEST_RESET, email=email)
        found.append((answer.data, answer.errors, sent))

    assert found[1:] == found[:1] * 3
    assert found[0][0] == {"passwordResetRequest": {"done": True, "errors": []}}
    assert sum("pg_logical_emit_message" in each for each in found[0][2]) == 1
    (after,) = await rows("SELECT (SELECT count(*) FROM account_token) + (SELECT count(*) FROM security_entry) AS n")
    assert after["n"] == before["n"] + 2


@pytest.mark.parametrize("known", [True, False])
async def test_requests_for_one_address_wait_for_each_other_known_or_not(ada: Person, known: bool) -> None:
    """Otherwise several at once would take longer for an account, whose row is locked."""
    email = ada.email if known else some_address()
    settings, adapters = served()
    given: dict[str, Any] = {"client_address": somewhere().address, "settings": settings, "throttle": adapters.throttle}

    async def request(_actor: Actor) -> None:
        await password_changes.request_reset(email, **given)

    async with uncommitted(ada, request):
        same = await waiting(somewhere().run(REQUEST_RESET, email=email))
        other = await somewhere().run(REQUEST_RESET, email=some_address())
        is_waiting = not same.done()

    assert (is_waiting, other.codes, (await same).codes) == (True, [], [])


@pytest.mark.parametrize("known", [True, False])
async def test_requests_are_counted_for_the_address_known_or_not(ada: Person, known: bool) -> None:
    email = ada.email if known else some_address()

    codes = [(await somewhere().run(REQUEST_RESET, email=each)).codes for each in [email, email.upper()] * 3]

    assert codes == [[]] * 5 + [["RATE_LIMITED"]]
    assert len(await entries_of(ada.user_id, "PASSWORD_RESET_REQUESTED")) == (5 if known else 0)


async def test_requests_are_counted_for_the_network(ada: Person) -> None:
    client = somewhere()

    codes = [(await client.run(REQUEST_RESET, email=some_address())).codes for _ in range(21)]
    stopped = await client.run(REQUEST_RESET, email=ada.email)

    assert codes == [[]] * 20 + [["RATE_LIMITED"]]
    assert stopped.codes == ["RATE_LIMITED"]
    assert await entries_of(ada.user_id, "PASSWORD_RESET_REQUESTED") == []


async def test_a_second_request_ends_the_link_of_the_first(ada: Person) -> None:
    tokens = []
    for _ in range(2):
        await somewhere().done(REQUEST_RESET, email=ada.email)
        tokens.append(await last_token(ada.user_id, "PASSWORD_RESET_REQUESTED"))

    async with unchanged(ada.user_id):
        assert await somewhere().refused(RESET, token=tokens[0], password=NEW_PASSWORD) == UNKNOWN

    assert [mail is None for mail in await mailed(ada.user_id, "PASSWORD_RESET_REQUESTED")] == [True, False]
    await somewhere().done(RESET, token=tokens[1], password=NEW_PASSWORD)


async def test_requests_at_the_same_moment_leave_one_link(ada: Person) -> None:
    await asyncio.gather(*(somewhere().done(REQUEST_RESET, email=ada.email) for _ in range(5)))

    (row,) = await rows("SELECT generation FROM account_token WHERE user_id = $1", ada.user_id)
    sent = [mail for mail in await mailed(ada.user_id, "PASSWORD_RESET_REQUESTED") if mail is not None]
    assert (row["generation"], len(sent)) == (5, 1)
    await somewhere().done(RESET, token=sent[0].values["token"], password=NEW_PASSWORD)


async def test_a_link_resets_once(ada: Person) -> None:
    token = await issue(ada, Purpose.RESET_PASSWORD)

    answers = await asyncio.gather(
        *(somewhere().ok(RESET, token=token, password=f"{NEW_PASSWORD} {n}") for n in range(4))
    )

    outcomes = [answer["passwordReset"]["errors"] for answer in answers]
    assert Counter(map(str, outcomes)) == {"[]": 1, str(UNKNOWN): 3}
    assert await can_sign_in(ada.email, f"{NEW_PASSWORD} {outcomes.index([])}")
    assert len(await entries_of(ada.user_id, "PASSWORD_RESET")) == 1


async def test_a_link_lasts_an_hour(ada: Person) -> None:
    token = await issue(ada, Purpose.RESET_PASSWORD)

    with frozen(now() + timedelta(hours=1, seconds=1)):
        async with unchanged(ada.user_id):
            late = await somewhere().refused(RESET, token=token, password=NEW_PASSWORD)

    assert late == [{"code": "EXPIRED", "path": ["token"]}]
    with frozen(now() + timedelta(minutes=59)):
        await somewhere().done(RESET, token=token, password=NEW_PASSWORD)


@pytest.mark.parametrize("purpose", [Purpose.VERIFY_EMAIL, Purpose.CHANGE_EMAIL])
async def test_a_token_of_another_purpose_resets_nothing(ada: Person, purpose: Purpose) -> None:
    token = await issue(ada, purpose)

    async with unchanged(ada.user_id):
        assert await somewhere().refused(RESET, token=token, password=NEW_PASSWORD) == UNKNOWN


@pytest.mark.parametrize("password", ["a" * 9, "a" * 201, " " * 12])
async def test_a_password_that_cannot_be_had_is_refused_and_leaves_the_link(ada: Person, password: str) -> None:
    token = await issue(ada, Purpose.RESET_PASSWORD)

    async with unchanged(ada.user_id):
        reset = await somewhere().refused(RESET, token=token, password=password)
        changed = await ada.client.refused(CHANGE, current=PASSWORD, new=password)

    assert reset == changed == [{"code": "INVALID", "path": ["newPassword"]}]


async def test_unknown_tokens_are_counted_for_the_network(ada: Person) -> None:
    client, token = somewhere(), await issue(ada, Purpose.RESET_PASSWORD)

    codes = [(await client.run(RESET, token=f"guess {n}", password=NEW_PASSWORD)).codes for n in range(21)]
    async with unchanged(ada.user_id):
        stopped = await client.run(RESET, token=token, password=NEW_PASSWORD)

    assert codes == [[]] * 20 + [["RATE_LIMITED"]]
    assert stopped.codes == ["RATE_LIMITED"]


async def test_a_reset_forgets_the_wrong_tries_against_the_old_password(ada: Person) -> None:
    for _ in range(10):
        await somewhere().refused(SIGN_IN, input={"email": ada.email, "password": "not the one"})

    await somewhere().done(RESET, token=await issue(ada, Purpose.RESET_PASSWORD), password=NEW_PASSWORD)

    assert await can_sign_in(ada.email, NEW_PASSWORD)


async def test_changing_the_password_keeps_this_session_alone(ada: Person) -> None:
    await ada.client.done(CHANGE, current=PASSWORD, new=NEW_PASSWORD)

    assert await sessions_of(ada) == [ada.session_id]
    assert await ada.client.ok(VIEWER) == {"viewer": {"email": ada.email}}
    assert not await can_sign_in(ada.email, PASSWORD)
    assert await can_sign_in(ada.email, NEW_PASSWORD)
    (told,) = await mailed(ada.user_id, "PASSWORD_CHANGED")
    assert told is not None
    assert (told.kind, told.to) == ("password_changed", ada.email)


@pytest.mark.parametrize("how", [RESET, CHANGE])
async def test_open_sockets_of_the_sessions_that_end_are_closed(address: str, ada: Person, how: str) -> None:
    other = (await somewhere().done(SIGN_IN, input={"email": ada.email, "password": PASSWORD}))["token"]
    async with opened(address, ada.token) as mine, opened(address, other) as others:
        if how == RESET:
            await somewhere().done(RESET, token=await issue(ada, Purpose.RESET_PASSWORD), password=NEW_PASSWORD)
            assert await mine.close_code() == 4403
        else:
            await ada.client.done(CHANGE, current=PASSWORD, new=NEW_PASSWORD)
        assert await others.close_code() == 4403

        if how == CHANGE:
            assert await (await mine.run(VIEWER)).data() == {"email": ada.email}


async def test_a_change_ends_the_links_that_could_take_the_account_over(ada: Person) -> None:
    reset = await issue(ada, Purpose.RESET_PASSWORD)
    verify = await issue(ada, Purpose.VERIFY_EMAIL)
    await ada.client.done(CHANGE_EMAIL, email=some_address(), password=PASSWORD)
    change = await last_token(ada.user_id, "EMAIL_CHANGE_REQUESTED")

    await ada.client.done(CHANGE, current=PASSWORD, new=NEW_PASSWORD)

    assert await somewhere().refused(RESET, token=reset, password=NEW_PASSWORD) == UNKNOWN
    assert await ada.client.refused(VERIFY, token=change) == UNKNOWN
    await ada.client.done(VERIFY, token=verify)


async def test_a_wrong_password_changes_nothing_and_counts_with_those_of_sign_ins(ada: Person) -> None:
    async with unchanged(ada.user_id):
        errors = [
            await GraphQL(ada.token, somewhere().address).refused(CHANGE, current="not the one", new=NEW_PASSWORD)
            for _ in range(10)
        ]
        stopped = await GraphQL(ada.token, somewhere().address).run(CHANGE, current=PASSWORD, new=NEW_PASSWORD)

    assert errors == [[{"code": "WRONG_CREDENTIALS", "path": ["currentPassword"]}]] * 10
    assert stopped.codes == ["RATE_LIMITED"]
    signing_in = await somewhere().run(SIGN_IN, input={"email": ada.email, "password": PASSWORD})
    assert signing_in.codes == ["RATE_LIMITED"]


async def test_of_two_changes_at_the_same_moment_one_is_wrong(ada: Person) -> None:
    news = [f"{NEW_PASSWORD} {n}" for n in range(2)]

    answers = await asyncio.gather(*(ada.client.ok(CHANGE, current=PASSWORD, new=new) for new in news))

    outcomes = [answer["passwordChange"]["errors"] for answer in answers]
    assert Counter(str(each) for each in outcomes) == {
        "[]": 1,
        str([{"code": "WRONG_CREDENTIALS", "path": ["currentPassword"]}]): 1,
    }
    assert await can_sign_in(ada.email, news[outcomes.index([])])


async def test_a_sign_in_that_was_right_a_moment_ago_leaves_no_session_behind(
    ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password is verified, and then replaced before the session begins."""
    check, is_first = credentials.check, [True]

    async def then_change(*args: object, **kwargs: object) -> object:
        known = await check(*args, **kwargs)  # type: ignore[arg-type]
        if is_first.pop() if is_first else False:
            await somewhere().done(RESET, token=await issue(ada, Purpose.RESET_PASSWORD), password=NEW_PASSWORD)
        return known

    monkeypatch.setattr(credentials, "check", then_change)

    answer = await somewhere().refused(SIGN_IN, input={"email": ada.email, "password": PASSWORD})

    assert answer == [{"code": "WRONG_CREDENTIALS"}]
    assert await sessions_of(ada) == []


async def test_a_wrong_password_is_told_where_it_stands(ada: Person) -> None:
    with pytest.raises(WrongCredentials) as told:
        await credentials.check(
            ada.email,
            secrets.token_hex(),
            client_address=somewhere().address,
            user_agent=None,
            throttle=served()[1].throttle,
            path="password",
        )

    assert told.value.path == ("password",)
    assert sessions.PREFIX not in told.value.message
