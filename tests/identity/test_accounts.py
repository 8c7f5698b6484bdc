"""Signing up and signing in."""

import asyncio
import secrets
import time
from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from argon2 import PasswordHasher

from domain.adapters.throttle import Throttle
from domain.base.clock import frozen, now
from domain.base.errors import Unavailable
from domain.identity import accounts, sessions
from tests.client import Answer, GraphQL
from tests.factories import execute, rows

PASSWORD = "correct horse"  # noqa: S105  # of accounts that live as long as a test
SIGN_UP = """
mutation ($input: SignUpInput!) {
  signUp(input: $input) {
    viewer { user { id name email } email emailVerified organizations { totalCount } sessions { id isCurrent } }
    token session { id isCurrent userAgent } errors { code message path }
  }
}
"""
SIGN_IN = """
mutation ($input: SignInInput!) {
  signIn(input: $input) { viewer { email } token session { id isCurrent } errors { code message path } }
}
"""
VIEWER = "{ viewer { email } }"
ENDLESS = "a" + "\u0301\u0316" * 50_000

pytestmark = pytest.mark.usefixtures("adapters")


def somewhere() -> GraphQL:
    """A signed-out client in a network of its own."""
    return GraphQL(address=f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1")


def neighbours(count: int) -> list[GraphQL]:
    """Signed-out clients at addresses of their own in one network."""
    network = somewhere().address.removesuffix("1")
    return [GraphQL(address=f"{network}{n:x}:{secrets.token_hex(2)}") for n in range(count)]


def some_address() -> str:
    return f"ada-{secrets.token_hex(6)}@example.test"


def sign_up_input(**values: Any) -> dict[str, Any]:
    return {"email": some_address(), "password": PASSWORD, "name": "Ada Lovelace", **values}


async def make_account() -> str:
    """The address of an account with PASSWORD."""
    email = some_address()
    await somewhere().done(SIGN_UP, input=sign_up_input(email=email))
    return email


async def try_sign_in(client: GraphQL, email: str, password: str) -> str:
    """What came of it: SIGNED_IN, or the code of the refusal."""
    answer = await client.run(SIGN_IN, input={"email": email, "password": password})
    return outcome(answer, "signIn")


def outcome(answer: Answer, field: str) -> str:
    if answer.errors:
        return str(answer.codes[0])
    assert answer.data is not None
    errors = answer.data[field]["errors"]
    return str(errors[0]["code"]) if errors else "SIGNED_IN"


async def users_with(email: str) -> int:
    (row,) = await rows("SELECT count(*) AS n FROM users WHERE email = $1", email)
    return int(row["n"])


async def test_signing_up_makes_an_account_and_signs_in() -> None:
    email = some_address()

    payload = await somewhere().done(SIGN_UP, input=sign_up_input(email=f"  {email.upper()} "))

    viewer, session = payload["viewer"], payload["session"]
    assert viewer == {
        "user": {"id": viewer["user"]["id"], "name": "Ada Lovelace", "email": email},
        "email": email,
        "emailVerified": False,
        "organizations": {"totalCount": 0},
        "sessions": [{"id": session["id"], "isCurrent": True}],
    }
    assert await GraphQL(payload["token"]).ok(VIEWER) == {"viewer": {"email": email}}


async def test_neither_password_nor_token_is_stored() -> None:
    email = some_address()

    payload = await somewhere().done(SIGN_UP, input=sign_up_input(email=email))

    stored = await rows(
        "SELECT users::text || credential::text || preferences::text || session::text AS everything FROM users "
        "JOIN credential ON credential.user_id = users.id JOIN preferences ON preferences.user_id = users.id "
        "JOIN session ON session.user_id = users.id WHERE users.email = $1",
        email,
    )
    assert len(stored) == 1
    assert PASSWORD not in stored[0]["everything"]
    assert payload["token"] not in stored[0]["everything"]
    assert payload["token"].encode().hex() not in stored[0]["everything"]


async def test_signing_up_lets_the_rest_of_the_operation_act() -> None:
    document = """
    mutation ($input: SignUpInput!, $slug: String!) {
      signUp(input: $input) { viewer { organizations { totalCount } } errors { code } }
      organizationCreate(input: {name: "Analytical", slug: $slug}) { organization { slug viewerRole } errors { code } }
      profileUpdate(input: {name: "Ada"}) { viewer { user { name } organizations { nodes { slug } } } errors { code } }
    }
    """
    slug = f"analytical-{secrets.token_hex(6)}"

    data = await somewhere().ok(document, input=sign_up_input(), slug=slug)

    assert data == {
        "signUp": {"viewer": {"organizations": {"totalCount": 0}}, "errors": []},
        "organizationCreate": {"organization": {"slug": slug, "viewerRole": "ADMIN"}, "errors": []},
        "profileUpdate": {
            "viewer": {"user": {"name": "Ada"}, "organizations": {"nodes": [{"slug": slug}]}},
            "errors": [],
        },
    }


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"email": "ada"}, "email"),
        ({"email": "ada@@example.test"}, "email"),
        ({"email": "Ada <ada@example.test>"}, "email"),
        ({"email": f"{'a' * 250}@example.test"}, "email"),
        ({"email": ""}, "email"),
        ({"password": "a" * 9}, "password"),
        ({"password": "a" * 201}, "password"),
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "a" * 101}, "name"),
    ],
)
async def test_a_malformed_sign_up_is_refused(values: dict[str, str], path: str) -> None:
    given = sign_up_input(**values)

    errors = await somewhere().refused(SIGN_UP, input=given)

    assert [(error["code"], error["path"]) for error in errors] == [("INVALID", ["input", path])]
    assert await users_with(given["email"]) == 0


async def test_a_sign_up_tells_all_its_faults() -> None:
    errors = await somewhere().refused(SIGN_UP, input={"email": "ada", "password": "short", "name": ""})

    assert [error["path"] for error in errors] == [["input", "email"], ["input", "password"], ["input", "name"]]


async def test_an_address_has_one_account_whatever_its_case() -> None:
    email = await make_account()

    errors = await somewhere().refused(SIGN_UP, input=sign_up_input(email=f" {email.title()}"))

    assert [(error["code"], error["path"]) for error in errors] == [("TAKEN", ["input", "email"])]
    assert await users_with(email) == 1


async def test_of_two_sign_ups_with_one_address_one_is_taken() -> None:
    email = some_address()

    answers = await asyncio.gather(
        *(somewhere().run(SIGN_UP, input=sign_up_input(email=spelling)) for spelling in (email, email.upper(), email))
    )

    assert Counter(outcome(answer, "signUp") for answer in answers) == {"SIGNED_IN": 1, "TAKEN": 2}
    assert await users_with(email) == 1


async def test_the_twenty_first_sign_up_of_an_hour_from_one_address_is_refused() -> None:
    client, late = somewhere(), sign_up_input()
    for _ in range(20):
        await client.done(SIGN_UP, input=sign_up_input())

    answer = await client.run(SIGN_UP, input=late)

    assert answer.codes == ["RATE_LIMITED"]
    assert 0 < answer.errors[0]["extensions"]["retryAfter"] <= 3600
    assert answer.data == {"signUp": None}
    assert await users_with(late["email"]) == 0
    await somewhere().done(SIGN_UP, input=late)


async def test_sign_ups_are_counted_for_the_whole_network_of_an_address() -> None:
    *clients, last = neighbours(21)
    for client in clients:
        await client.done(SIGN_UP, input=sign_up_input())

    assert (await last.run(SIGN_UP, input=sign_up_input())).codes == ["RATE_LIMITED"]


@pytest.mark.parametrize(
    "values",
    [
        {"password": ENDLESS},
        {"email": f"{ENDLESS}@example.test"},
        {"email": f"ada@{ENDLESS}.test"},
        {"email": "a" * 1_000_000 + "@example.test"},
    ],
    ids=["password", "local part", "domain", "letters"],
)
async def test_what_is_far_too_long_is_refused_before_it_takes_time(values: dict[str, str]) -> None:
    """Normalizing ENDLESS takes seconds, in which nobody else is served."""
    started = time.perf_counter()
    errors = await somewhere().refused(SIGN_UP, input=sign_up_input(**values))
    outcome = await try_sign_in(somewhere(), values.get("email", some_address()), values.get("password", PASSWORD))
    took_s = time.perf_counter() - started

    assert [(error["code"], error["path"]) for error in errors] == [("INVALID", ["input", *values])]
    assert outcome == "WRONG_CREDENTIALS"
    assert took_s < 1


async def test_signing_in_gives_a_new_session() -> None:
    email = await make_account()

    payload = await somewhere().done(SIGN_IN, input={"email": f" {email.upper()}", "password": PASSWORD})

    assert payload["viewer"] == {"email": email}
    assert payload["session"]["isCurrent"] is True
    assert await GraphQL(payload["token"]).ok(VIEWER) == {"viewer": {"email": email}}


async def test_an_unknown_address_and_a_wrong_password_get_the_same_answer() -> None:
    email = await make_account()

    wrong = await somewhere().run(SIGN_IN, input={"email": email, "password": "not the one"})
    unknown = await somewhere().run(SIGN_IN, input={"email": some_address(), "password": "not the one"})
    malformed = await somewhere().run(SIGN_IN, input={"email": "ada", "password": "not the one"})

    assert wrong.data == unknown.data == malformed.data
    assert wrong.data is not None
    assert wrong.data["signIn"]["errors"] == [
        {"code": "WRONG_CREDENTIALS", "message": "Address and password do not belong together.", "path": []}
    ]
    assert "set-cookie" not in wrong.response.headers


async def test_the_eleventh_wrong_try_for_an_account_is_refused_wherever_it_comes_from() -> None:
    email = await make_account()

    tries = [await try_sign_in(somewhere(), email, "not the one") for _ in range(11)]

    assert tries == ["WRONG_CREDENTIALS"] * 10 + ["RATE_LIMITED"]
    assert await try_sign_in(somewhere(), email.upper(), PASSWORD) == "RATE_LIMITED"
    assert len(await rows("SELECT FROM session JOIN users ON users.id = user_id WHERE email = $1", email)) == 1


async def test_the_eleventh_wrong_try_from_a_network_address_is_refused_whatever_the_account() -> None:
    client, email = somewhere(), await make_account()

    tries = [await try_sign_in(client, some_address(), "not the one") for _ in range(11)]

    assert tries == ["WRONG_CREDENTIALS"] * 10 + ["RATE_LIMITED"]
    assert await try_sign_in(client, email, PASSWORD) == "RATE_LIMITED"
    assert await try_sign_in(somewhere(), email, PASSWORD) == "SIGNED_IN"


async def test_wrong_tries_are_counted_for_the_whole_network_of_an_address() -> None:
    email, clients = await make_account(), neighbours(12)

    tries = [await try_sign_in(client, some_address(), "not the one") for client in clients[:11]]

    assert tries == ["WRONG_CREDENTIALS"] * 10 + ["RATE_LIMITED"]
    assert await try_sign_in(clients[11], email, PASSWORD) == "RATE_LIMITED"
    assert await try_sign_in(somewhere(), email, PASSWORD) == "SIGNED_IN"


async def test_a_refused_network_address_does_not_lock_an_account() -> None:
    client, email = somewhere(), await make_account()
    for _ in range(10):
        await try_sign_in(client, some_address(), "not the one")

    tries = [await try_sign_in(client, email, "not the one") for _ in range(11)]

    assert tries == ["RATE_LIMITED"] * 11
    assert await try_sign_in(somewhere(), email, PASSWORD) == "SIGNED_IN"


@pytest.mark.parametrize("accounts_tried", [1, 12], ids=["of one account", "of many"])
async def test_aliases_gain_no_tries(accounts_tried: int) -> None:
    emails = [await make_account(), *(some_address() for _ in range(accounts_tried - 1))]
    fields = [
        f'try{n}: signIn(input: {{email: "{emails[n % accounts_tried]}", password: "guess number {n}"}}) '
        "{ errors { code } }"
        for n in range(12)
    ]

    answer = await somewhere().run("mutation { " + " ".join(fields) + " }")

    assert answer.data is not None
    wrong = {"errors": [{"code": "WRONG_CREDENTIALS"}]}
    assert list(answer.data.values()) == [wrong] * 10 + [None, None]
    assert answer.codes == ["RATE_LIMITED", "RATE_LIMITED"]
    assert all(0 < error["extensions"]["retryAfter"] <= 900 for error in answer.errors)


async def test_tries_of_an_account_at_the_same_moment_are_counted_one_by_one() -> None:
    email = await make_account()

    tries = await asyncio.gather(*(try_sign_in(somewhere(), email, f"guess number {n}") for n in range(15)))

    assert Counter(tries) == {"WRONG_CREDENTIALS": 10, "RATE_LIMITED": 5}


async def test_tries_from_a_network_at_the_same_moment_are_counted_one_by_one() -> None:
    client, email = somewhere(), await make_account()

    tries = await asyncio.gather(*(try_sign_in(client, some_address(), "not the one") for _ in range(15)))

    assert Counter(tries) == {"WRONG_CREDENTIALS": 10, "RATE_LIMITED": 5}
    assert await try_sign_in(client, email, PASSWORD) == "RATE_LIMITED"


@pytest.mark.parametrize("people", [1, 25], ids=["of one person", "of many"])
async def test_right_passwords_at_the_same_moment_are_all_right(people: int) -> None:
    client, emails = somewhere(), await asyncio.gather(*(make_account() for _ in range(people)))

    tries = await asyncio.gather(*(try_sign_in(client, emails[n % people], PASSWORD) for n in range(25)))

    assert tries == ["SIGNED_IN"] * 25


async def test_right_passwords_are_not_counted() -> None:
    client, email = somewhere(), await make_account()

    tries = [await try_sign_in(client, email, PASSWORD) for _ in range(12)]

    assert tries == ["SIGNED_IN"] * 12


async def test_a_right_password_clears_the_account_but_not_the_network_address() -> None:
    client, email = somewhere(), await make_account()
    for _ in range(9):
        await try_sign_in(client, email, "not the one")

    assert await try_sign_in(client, email, PASSWORD) == "SIGNED_IN"

    assert await try_sign_in(client, some_address(), "not the one") == "WRONG_CREDENTIALS"
    assert await try_sign_in(client, some_address(), "not the one") == "RATE_LIMITED"
    assert [await try_sign_in(somewhere(), email, "not the one") for _ in range(10)] == ["WRONG_CREDENTIALS"] * 10


async def test_a_password_of_old_parameters_is_kept_anew_at_sign_in() -> None:
    email = await make_account()
    weaker = PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash(PASSWORD)
    await execute(
        "UPDATE credential SET password_digest = $1 FROM users WHERE users.id = user_id AND email = $2", weaker, email
    )

    assert await try_sign_in(somewhere(), email, PASSWORD) == "SIGNED_IN"

    (row,) = await rows(
        "SELECT password_digest FROM credential JOIN users ON users.id = user_id WHERE email = $1", email
    )
    assert "m=19456,t=2,p=1" in row["password_digest"]
    assert await try_sign_in(somewhere(), email, PASSWORD) == "SIGNED_IN"


async def test_signing_in_sets_a_cookie_that_scripts_and_other_sites_cannot_use() -> None:
    email = await make_account()

    answer = await somewhere().run(SIGN_IN, input={"email": email, "password": PASSWORD})

    assert answer.data is not None
    token = answer.data["signIn"]["token"]
    assert set(answer.response.headers["set-cookie"].split("; ")) == {
        f"planwire_session={token}",
        "HttpOnly",
        "Max-Age=2592000",
        "Path=/",
        "SameSite=lax",
    }
    by_cookie = GraphQL(headers={"cookie": f"planwire_session={token}", "origin": "http://127.0.0.1:8000"})
    assert await by_cookie.ok(VIEWER) == {"viewer": {"email": email}}


async def test_signing_out_ends_the_session_and_the_cookie() -> None:
    payload = await somewhere().done(SIGN_UP, input=sign_up_input())
    client = GraphQL(payload["token"])

    answer = await client.run(
        'mutation { signOut { done errors { code } } profileUpdate(input: {name: "X"}) { errors { code } } }'
    )

    assert answer.data == {"signOut": {"done": True, "errors": []}, "profileUpdate": None}
    assert answer.codes == ["UNAUTHENTICATED"]
    assert 'planwire_session=""' in answer.response.headers["set-cookie"]
    assert (await client.run(VIEWER)).codes == ["UNAUTHENTICATED"]
    session_id = UUID(payload["session"]["id"].removeprefix("session_"))
    assert await rows("SELECT FROM session WHERE id = $1", session_id) == []


async def test_the_address_and_user_agent_of_a_sign_in_are_cut_to_what_is_kept() -> None:
    client = GraphQL(address=somewhere().address, headers={"user-agent": "Browser/1.0 " + "x" * 1000})

    payload = await client.done(SIGN_UP, input=sign_up_input())

    assert payload["session"]["userAgent"] == ("Browser/1.0 " + "x" * 1000)[:500]


async def test_signing_in_drops_the_sessions_that_have_ended() -> None:
    email = await make_account()

    with frozen(now() + sessions.LIFETIME):
        assert await try_sign_in(somewhere(), email, PASSWORD) == "SIGNED_IN"

    assert len(await rows("SELECT FROM session JOIN users ON users.id = user_id WHERE email = $1", email)) == 1


async def test_nobody_signs_in_while_tries_cannot_be_counted() -> None:
    throttle = Throttle("unix:///nowhere/redis.sock")

    with pytest.raises(Unavailable):
        await accounts.sign_in(
            email=await make_account(), password=PASSWORD, client_address="", user_agent=None, throttle=throttle
        )
