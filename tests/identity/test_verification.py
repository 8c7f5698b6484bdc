"""Verifying an address, and changing it, by links that are mailed there."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from domain.base.clock import frozen, now
from domain.identity.account_tokens import LIFETIMES, Purpose
from tests.client import GraphQL
from tests.factories import PASSWORD, Person, execute, make_person, rows
from tests.identity.mail import (
    CHANGE_EMAIL,
    RESEND,
    SIGN_UP,
    VERIFY,
    can_sign_in,
    entries_of,
    everything_stored,
    last_token,
    mailed,
    some_address,
    somewhere,
    unchanged,
    user_id_of,
)
from tests.links import issue

pytestmark = pytest.mark.usefixtures("adapters")

UNKNOWN = [{"code": "INVALID", "path": ["token"]}]
TAKEN = [{"code": "TAKEN", "path": ["token"]}]


@pytest.fixture
async def ada(adapters: object) -> Person:
    """Somebody whose address nobody has verified."""
    return await make_person()


async def ask_for_change(person: Person, email: str) -> str:
    """The token that was mailed to the new address."""
    await person.client.done(CHANGE_EMAIL, email=email, password=PASSWORD)
    return await last_token(person.user_id, "EMAIL_CHANGE_REQUESTED")


async def test_signing_up_mails_a_link_that_verifies_the_address() -> None:
    email = some_address()
    payload = await somewhere().done(SIGN_UP, input={"email": email, "password": PASSWORD, "name": "Ada"})
    user_id = await user_id_of(email)
    (welcome,) = await mailed(user_id, "SIGNED_UP")

    verified = await GraphQL(payload["token"]).done(VERIFY, token=await last_token(user_id, "SIGNED_UP"))

    assert payload["viewer"]["emailVerified"] is False
    assert welcome is not None
    assert (welcome.kind, welcome.to, welcome.values["name"]) == ("welcome", email, "Ada")
    assert verified["viewer"] == {"email": email, "emailVerified": True}
    assert [entry.detail for entry in await entries_of(user_id, "EMAIL_VERIFIED")] == [None]


async def test_what_is_mailed_is_derived_anew_and_nothing_of_it_is_kept(
    ada: Person, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    await ada.client.done(RESEND)
    token = await last_token(ada.user_id, "VERIFICATION_REQUESTED")

    (stored,) = await rows(
        "SELECT encode(token_digest, 'hex') AS digest FROM account_token WHERE user_id = $1", ada.user_id
    )
    (digest,) = await rows("SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex') AS digest", token)
    await ada.client.done(VERIFY, token=token)

    assert len(token) == 43
    assert stored == digest
    logged = caplog.text + "".join(capsys.readouterr())
    for where in (await everything_stored(), logged):
        assert token not in where
        assert token.encode().hex() not in where


async def test_a_link_is_used_once(ada: Person) -> None:
    token = await issue(ada, Purpose.VERIFY_EMAIL)

    answers = await asyncio.gather(*(ada.client.ok(VERIFY, token=token) for _ in range(5)))
    late = await ada.client.refused(VERIFY, token=token)

    outcomes = Counter(str(answer["emailVerify"]["errors"]) for answer in answers)
    assert outcomes == {"[]": 1, str(UNKNOWN): 4}
    assert late == UNKNOWN
    assert len(await entries_of(ada.user_id, "EMAIL_VERIFIED")) == 1


@pytest.mark.parametrize("purpose", [Purpose.VERIFY_EMAIL, Purpose.CHANGE_EMAIL])
async def test_a_link_lasts_as_long_as_it_says(ada: Person, purpose: Purpose) -> None:
    token, made = await issue(ada, purpose, email=some_address() if purpose is Purpose.CHANGE_EMAIL else None), now()

    with frozen(made + LIFETIMES[purpose] + timedelta(seconds=1)):
        async with unchanged(ada.user_id):
            late = await ada.client.refused(VERIFY, token=token)
    with frozen(made + LIFETIMES[purpose] - timedelta(seconds=1)):
        await ada.client.done(VERIFY, token=token)

    assert late == [{"code": "EXPIRED", "path": ["token"]}]


@pytest.mark.parametrize("token", ["", "nonsense", "a" * 43, "a" * 100_000])
async def test_an_unknown_token_verifies_nothing(ada: Person, token: str) -> None:
    client = GraphQL(ada.token, somewhere().address)

    async with unchanged(ada.user_id):
        assert await client.refused(VERIFY, token=token) == UNKNOWN


async def test_a_token_of_another_purpose_verifies_nothing(ada: Person) -> None:
    token = await issue(ada, Purpose.RESET_PASSWORD)

    async with unchanged(ada.user_id):
        assert await ada.client.refused(VERIFY, token=token) == UNKNOWN


async def test_a_link_is_good_only_for_who_is_signed_in_as_its_account(ada: Person) -> None:
    """Somebody who signed up with another one's address has nothing of it when that other one follows the link."""
    victim, token = await make_person("Vic Tim"), await issue(ada, Purpose.VERIFY_EMAIL)

    async with unchanged(ada.user_id, victim.user_id):
        refused = await victim.client.refused(VERIFY, token=token)
        nobody = await somewhere().run(VERIFY, token=token)

    assert refused == UNKNOWN
    assert nobody.codes == ["UNAUTHENTICATED"]


async def test_unknown_tokens_are_counted_for_the_network(ada: Person) -> None:
    client, right = GraphQL(ada.token, somewhere().address), await issue(ada, Purpose.VERIFY_EMAIL)

    tries = [await client.run(VERIFY, token=f"guess {n}") for n in range(21)]
    stopped = await client.run(VERIFY, token=right)

    assert [each.codes for each in tries] == [[]] * 20 + [["RATE_LIMITED"]]
    assert stopped.codes == ["RATE_LIMITED"]
    await ada.client.done(VERIFY, token=right)


async def test_resending_ends_the_link_before_and_goes_three_times_an_hour(ada: Person) -> None:
    tokens = []
    for _ in range(3):
        await ada.client.done(RESEND)
        tokens.append(await last_token(ada.user_id, "VERIFICATION_REQUESTED"))

    fourth = await ada.client.run(RESEND)

    assert fourth.codes == ["RATE_LIMITED"]
    sent = await mailed(ada.user_id, "VERIFICATION_REQUESTED")
    assert [None if mail is None else (mail.kind, mail.to) for mail in sent] == [
        None,
        None,
        ("verify_email", ada.email),
    ]
    assert len(set(tokens)) == 3
    assert [await ada.client.refused(VERIFY, token=token) for token in tokens[:2]] == [UNKNOWN] * 2
    await ada.client.done(VERIFY, token=tokens[2])
    assert await mailed(ada.user_id, "VERIFICATION_REQUESTED") == [None] * 3


async def test_a_verified_address_is_not_verified_again(ada: Person) -> None:
    await execute("UPDATE users SET email_verified_at = now() WHERE id = $1", ada.user_id)

    assert await ada.client.refused(RESEND) == [{"code": "CONFLICT", "path": []}]

    assert await entries_of(ada.user_id, "VERIFICATION_REQUESTED") == []


async def test_a_new_address_takes_the_old_ones_place_when_its_link_is_used(ada: Person) -> None:
    email = some_address()
    reset = await issue(ada, Purpose.RESET_PASSWORD)

    token = await ask_for_change(ada, f" {email.upper()}")
    (asked,) = await mailed(ada.user_id, "EMAIL_CHANGE_REQUESTED")
    meanwhile = await ada.client.ok("{ viewer { email emailVerified } }")
    after = await ada.client.done(VERIFY, token=token)

    assert asked is not None
    assert (asked.kind, asked.to) == ("email_change", email)
    assert meanwhile == {"viewer": {"email": ada.email, "emailVerified": False}}
    assert after["viewer"] == {"email": email, "emailVerified": True}
    (told,) = await mailed(ada.user_id, "EMAIL_CHANGED")
    assert told is not None
    assert (told.kind, told.to, told.values["new_email"]) == ("email_changed", ada.email, email)
    assert await can_sign_in(email, PASSWORD)
    assert not await can_sign_in(ada.email, PASSWORD)
    assert reset
    assert await rows("SELECT 1 FROM account_token WHERE user_id = $1", ada.user_id) == []


async def test_an_address_that_somebody_takes_meanwhile_is_refused(ada: Person) -> None:
    email = some_address()
    token = await ask_for_change(ada, email)
    await somewhere().done(SIGN_UP, input={"email": email, "password": PASSWORD, "name": "Eve"})

    async with unchanged(ada.user_id):
        assert await ada.client.refused(VERIFY, token=token) == TAKEN

    assert await entries_of(ada.user_id, "EMAIL_CHANGED") == []


async def test_of_two_who_want_one_address_the_first_to_use_the_link_gets_it(ada: Person) -> None:
    email, other = some_address(), await make_person("Eve")
    tokens = [(person, await ask_for_change(person, email)) for person in (ada, other)]

    answers = await asyncio.gather(*(person.client.ok(VERIFY, token=token) for person, token in tokens))

    assert Counter(str(answer["emailVerify"]["errors"]) for answer in answers) == {"[]": 1, str(TAKEN): 1}
    assert len(await rows("SELECT 1 FROM users WHERE email = $1", email)) == 1


@pytest.mark.parametrize(
    ("email", "password", "code", "path"),
    [
        ("ada", PASSWORD, "INVALID", "newEmail"),
        ("{own}", PASSWORD, "INVALID", "newEmail"),
        ("{other}", PASSWORD, "TAKEN", "newEmail"),
        ("new@example.test", "not the one", "WRONG_CREDENTIALS", "password"),
    ],
)
async def test_a_change_that_cannot_be_is_refused(ada: Person, email: str, password: str, code: str, path: str) -> None:
    email = email.format(own=ada.email.upper(), other=(await make_person()).email)

    async with unchanged(ada.user_id):
        errors = await ada.client.refused(CHANGE_EMAIL, email=email, password=password)

    assert errors == [{"code": code, "path": [path]}]
    assert await entries_of(ada.user_id, "EMAIL_CHANGE_REQUESTED") == []


async def test_asking_whether_addresses_are_taken_is_counted(ada: Person) -> None:
    email = (await make_person()).email

    tries = [await ada.client.run(CHANGE_EMAIL, email=email, password=PASSWORD) for _ in range(6)]

    assert [each.codes for each in tries] == [[]] * 5 + [["RATE_LIMITED"]]
    assert await entries_of(ada.user_id, "EMAIL_CHANGE_REQUESTED") == []


async def test_wrong_passwords_count_with_those_of_sign_ins(ada: Person) -> None:
    clients = [GraphQL(ada.token, somewhere().address) for _ in range(10)]

    for client in clients:
        await client.refused(CHANGE_EMAIL, email=some_address(), password="not the one")  # noqa: S106
    stopped = await GraphQL(ada.token, somewhere().address).run(CHANGE_EMAIL, email=some_address(), password=PASSWORD)
    sign_in = "mutation ($input: SignInInput!) { signIn(input: $input) { errors { code } } }"
    signing_in = await somewhere().run(sign_in, input={"email": ada.email, "password": PASSWORD})

    assert stopped.codes == signing_in.codes == ["RATE_LIMITED"]
    assert len(await entries_of(ada.user_id, "SIGN_IN_FAILED")) == 10


async def test_a_link_for_an_address_that_was_left_verifies_nothing(ada: Person) -> None:
    token = await issue(ada, Purpose.VERIFY_EMAIL)
    await execute("UPDATE users SET email = $1 WHERE id = $2", some_address(), ada.user_id)

    async with unchanged(ada.user_id):
        assert await ada.client.refused(VERIFY, token=token) == UNKNOWN


async def test_an_account_that_is_gone_is_mailed_nothing(ada: Person) -> None:
    await ada.client.done(RESEND)
    found = await entries_of(ada.user_id, "VERIFICATION_REQUESTED")
    await execute("DELETE FROM users WHERE id = $1", ada.user_id)

    assert len(found) == 1
    assert await mailed(ada.user_id, "VERIFICATION_REQUESTED") == []
    assert await rows("SELECT 1 FROM account_token WHERE user_id = $1", ada.user_id) == []
