"""What every application does, by each client in its own way: all of them must see the same."""

import pytest

from tests.clients.conftest import Given, Story
from tests.factories import Tenant

CLIENTS = ("graphql_ws", "apollo", "urql", "relay")
CACHES = CLIENTS[1:]
TITLES = ["One", "Two", "Three", "Four", "Five"]
TASK = "query ($id: ID!) { task(id: $id) { title version } }"


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_person_signs_in_and_asks_as_themselves(client: str, given: Given, acme: Tenant, story: Story) -> None:
    refused, signed_in, found = await story(client, "signIn")

    assert [error["code"] for error in refused["refused"]] == ["WRONG_CREDENTIALS"]
    assert signed_in == {"signedIn": given["email"]}
    assert found["organization"]["name"] == "Acme"
    assert found["organization"]["viewerRole"] == "MEMBER"


@pytest.mark.parametrize("client", CLIENTS)
async def test_pages_join_to_one_list(client: str, story: Story) -> None:
    assert await story(client, "pages") == [
        {"shown": TITLES[:2], "more": True},
        {"shown": TITLES[:4], "more": True},
        {"shown": TITLES, "more": False},
    ]


@pytest.mark.parametrize("client", CACHES)
async def test_a_mutation_changes_what_the_cache_shows_without_another_query(client: str, story: Story) -> None:
    assert await story(client, "change") == [
        {"shown": TITLES, "more": False},
        {"shown": ["Renamed", *TITLES[1:]], "more": False},
        {"requests": 2},
    ]


@pytest.mark.parametrize("client", CLIENTS)
async def test_refusals_are_typed_and_other_errors_have_codes(
    client: str, given: Given, acme: Tenant, story: Story
) -> None:
    stale = {"__typename": "StaleVersionError", "code": "STALE_VERSION", "path": ["ifVersion"], "currentVersion": 1}
    invalid = {"__typename": "InputError", "code": "INVALID", "path": ["input", "title"]}

    assert await story(client, "refusals") == [{"errors": [stale]}, {"errors": [invalid]}, {"codes": ["NOT_FOUND"]}]

    task = await acme.member.client.ok(TASK, id=given["taskId"])
    assert task == {"task": {"title": "One", "version": 1}}


@pytest.mark.parametrize("client", CACHES)
async def test_what_another_person_does_comes_by_itself(client: str, story: Story) -> None:
    assert await story(client, "live") == [
        {"shown": TITLES, "more": False},
        {"type": "TASK_UPDATED", "by": "Admin Acme", "title": "Renamed"},
        {"shown": ["Renamed", *TITLES[1:]], "more": False},
        {"requests": 1},
    ]


@pytest.mark.parametrize("client", CACHES)
async def test_a_wrong_token_is_told_over_both_transports(client: str, story: Story) -> None:
    assert await story(client, "stranger") == [{"codes": ["UNAUTHENTICATED"]}, {"closed": 4403}]
