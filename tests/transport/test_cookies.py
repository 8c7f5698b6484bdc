"""The session as a browser's cookie: how it is set and dropped."""

from http.cookies import Morsel, SimpleCookie
from typing import Any

import httpx
import pytest

from domain.base.settings import Settings
from domain.identity.sessions import LIFETIME
from graph.base.auth import COOKIE
from tests.factories import execute, make_person, rows
from tests.transport.servers import ask, asking, codes

SIGN_UP = """mutation ($email: String!) {
  signUp(input: {email: $email, password: "long enough", name: "Signe"}) { token errors { code } }
}"""
SIGN_IN = """mutation ($email: String!, $password: String!) {
  signIn(input: {email: $email, password: $password}) { token errors { code } }
}"""
SIGN_OUT = "mutation { signOut { done } }"
VIEWER = "{ viewer { user { id } } }"
HTTPS = "https://planwire.example"


def cookie_of(answer: httpx.Response) -> "Morsel[str]":
    """The one cookie that it sets."""
    (line,) = answer.headers.get_list("set-cookie")
    jar = SimpleCookie(line)
    assert list(jar) == [COOKIE]
    return jar[COOKIE]


@pytest.mark.parametrize(("public_url", "is_secure"), [("http://127.0.0.1:8000", False), (HTTPS, True)])
async def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(
    settings: Settings, public_url: str, is_secure: bool
) -> None:
    email = f"signe-{is_secure}@cookies.test"
    async with asking(settings, public_url=public_url, allowed_origins=(public_url,)) as http:
        answers = [
            await ask(http, SIGN_UP, variables={"email": email}),
            await ask(http, SIGN_IN, variables={"email": email, "password": "long enough"}),
        ]

    for answer, name in zip(answers, ("signUp", "signIn"), strict=True):
        cookie = cookie_of(answer)
        assert cookie.value == answer.json()["data"][name]["token"]
        told: dict[str, Any] = {key: value for key, value in cookie.items() if value}
        assert {name: str(value).lower() for name, value in told.items()} == {
            "httponly": "true",
            "max-age": str(int(LIFETIME.total_seconds())),
            "path": "/",
            "samesite": "lax",
            **({"secure": "true"} if is_secure else {}),
        }


async def test_a_refused_sign_in_sets_no_cookie(settings: Settings) -> None:
    async with asking(settings) as http:
        answer = await ask(http, SIGN_IN, variables={"email": "nobody@cookies.test", "password": "long enough"})

    assert answer.json()["data"]["signIn"]["token"] is None
    assert "set-cookie" not in answer.headers


async def test_signing_out_drops_the_cookie_and_ends_the_session(settings: Settings) -> None:
    person = await make_person("Otto Out")
    ours = {"cookie": f"{COOKIE}={person.token}", "origin": settings.allowed_origins[0]}

    async with asking(settings) as http:
        before = await ask(http, VIEWER, headers=ours)
        out = await ask(http, SIGN_OUT, headers=ours)
        after = await ask(http, VIEWER, headers=ours)

    cookie = cookie_of(out)
    assert (cookie.value, cookie["max-age"], cookie["path"], cookie["httponly"]) == ("", "0", "/", True)
    assert [each.json()["data"]["viewer"] for each in (before, after)] == [{"user": {"id": person.id}}, None]
    # A browser cannot drop an HttpOnly cookie by itself, so one that ended is none and no fault.
    assert codes(after) == []
    assert await rows("SELECT id FROM session WHERE id = $1", person.session_id) == []


async def test_the_header_goes_before_the_cookie(settings: Settings) -> None:
    by_header, by_cookie = await make_person("Hedda Header"), await make_person("Carla Cookie")
    await execute("DELETE FROM session WHERE id = $1", by_cookie.session_id)

    async with asking(settings) as http:
        headers = {"cookie": f"{COOKIE}={by_cookie.token}", "origin": "https://evil.example"}
        answer = await ask(http, VIEWER, by_header, headers=headers)

    assert answer.json()["data"] == {"viewer": {"user": {"id": by_header.id}}}
