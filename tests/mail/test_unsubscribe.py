"""The link in a mail that turns off its kind: signed, for one person and one kind, asked for before it acts."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from domain.base.settings import Settings
from domain.mail import unsubscribe
from domain.mail.kinds import KINDS
from tests.factories import Tenant, rows
from tests.mail.kinds import USER_ID
from tests.ports import http_client

OFFERED = sorted(kind for kind, told in KINDS.items() if told.preference is not None)
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
async def http(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser, or the server of a mail box."""
    async with http_client(base_url=f"http://{address}") as client:
        yield client


async def chosen(user_id: UUID) -> dict[str, Any]:
    """What a person has chosen to be mailed."""
    (row,) = await rows(
        "SELECT email_on_assignment, email_on_mention, email_on_invitation FROM preferences WHERE user_id = $1", user_id
    )
    return dict(row)


# Only a test that fails waits for so long.
PATIENCE_S = 20.0
ALL_ON = {"email_on_assignment": True, "email_on_mention": True, "email_on_invitation": True}


@pytest.mark.parametrize("kind", OFFERED)
async def test_one_click_turns_off_this_kind_for_this_person(
    kind: str, acme: Tenant, http: httpx.AsyncClient, settings: Settings
) -> None:
    token = unsubscribe.token(acme.member.user_id, kind, settings)

    answers = [await http.post("/unsubscribe", params={"token": token}, data=ONE_CLICK) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert f"no more mail about {KINDS[kind].described}" in answers[0].text
    assert await chosen(acme.member.user_id) == {**ALL_ON, str(KINDS[kind].preference): False}
    assert await chosen(acme.admin.user_id) == ALL_ON


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_following_the_link_only_asks(
    method: str, acme: Tenant, http: httpx.AsyncClient, settings: Settings
) -> None:
    url = unsubscribe.url(acme.member.user_id, "mentioned", settings)

    answer = await http.request(method, url.removeprefix(settings.public_url))

    assert answer.status_code == 200
    assert method == "HEAD" or '<form method="post">' in answer.text
    assert answer.headers["content-security-policy"] == (
        "default-src 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert await chosen(acme.member.user_id) == ALL_ON


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_link_that_is_not_ours_changes_nothing(
    method: str, acme: Tenant, http: httpx.AsyncClient, settings: Settings
) -> None:
    user_id = acme.member.user_id
    right = unsubscribe.token(user_id, "mentioned", settings)
    kind, user, signature = right.split(".")
    tokens = [
        "",
        "x",
        "..",
        right[:-1],
        right + "A",
        f"{kind}.{acme.admin.user_id.hex}.{signature}",
        f"task_assigned.{user}.{signature}",
        f"{kind}.{user}.",
        f"{kind}.{user}.{'ä' * len(signature)}",
        unsubscribe.token(user_id, "mentioned", replace(settings, secret_key="k" * 32)),
        unsubscribe.token(user_id, "password_reset", settings),
        unsubscribe.token(user_id, "unknown", settings),
    ]

    answers = [await http.request(method, "/unsubscribe", params={"token": token}) for token in tokens]
    without = await http.request(method, "/unsubscribe")

    assert [answer.status_code for answer in [*answers, without]] == [404] * (len(tokens) + 1)
    assert not any("<form" in answer.text for answer in answers)
    assert await chosen(user_id) == ALL_ON


async def test_an_account_that_is_gone_is_answered_alike(http: httpx.AsyncClient, settings: Settings) -> None:
    answer = await http.post("/unsubscribe", params={"token": unsubscribe.token(uuid4(), "mentioned", settings)})

    assert answer.status_code == 200


async def test_a_row_that_somebody_holds_is_told_as_for_now(
    acme: Tenant, http: httpx.AsyncClient, settings: Settings
) -> None:
    user_id = acme.member.user_id
    params = {"token": unsubscribe.token(user_id, "mentioned", settings)}
    holder = await asyncpg.connect(settings.database_url)
    async with holder.transaction():
        await holder.execute("SELECT FROM preferences WHERE user_id = $1 FOR UPDATE", user_id)
        # As long as a change waits for a lock.
        held = await http.post("/unsubscribe", params=params, timeout=PATIENCE_S)
    await holder.close()
    kept = await chosen(user_id)
    free = await http.post("/unsubscribe", params=params)

    assert (held.status_code, held.headers["retry-after"], kept) == (503, "60", ALL_ON)
    assert (free.status_code, await chosen(user_id)) == (200, {**ALL_ON, "email_on_mention": False})


async def test_other_methods_are_not_offered(http: httpx.AsyncClient) -> None:
    assert (await http.delete("/unsubscribe")).status_code == 405


def test_a_token_says_whom_it_is_for_and_holds_128_bits(settings: Settings) -> None:
    token = unsubscribe.token(USER_ID, "task_assigned", settings)

    assert unsubscribe.read(token, settings) == unsubscribe.Unsubscribe(USER_ID, "task_assigned")
    assert len(token.rsplit(".", 1)[1]) * 6 >= 128
    assert unsubscribe.token(USER_ID, "task_assigned", settings) == token


async def test_every_preference_is_one_that_people_have(acme: Tenant) -> None:
    assert {told.preference for told in KINDS.values()} - {None} == set(await chosen(acme.member.user_id))
