"""Rate points over HTTP: what is shown, what is given back, and what happens to who has none left."""

from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from domain.base.settings import Settings
from graph.base.prices import INTROSPECTION
from tests.events.live import until
from tests.factories import Person, Tenant, make_person, rows
from tests.transport.servers import ask, asking, codes

POINTS = 100
LIMITED = "{ rateLimit { cost limit remaining resetAt } viewer { organizations(first: 20) { nodes { id } } } }"
CHEAP = "{ viewer { user { id } } }"
RENAME = 'mutation { profileUpdate(input: {name: "Renamed"}) { errors { code } } }'
KEY = """mutation ($org: ID!) {
  apiKeyCreate(input: {organizationId: $org, name: "points", permissions: [TASK_READ]}) { secret errors { code } }
}"""


def cost(answer: httpx.Response) -> dict[str, Any]:
    """What it says of its points."""
    found: dict[str, Any] = answer.json()["extensions"]["cost"]
    return found


async def spend(http: httpx.AsyncClient, person: Person | None, **headers: str) -> httpx.Response:
    """Ask until it is refused. The refusal."""
    for _ in range(POINTS + 1):
        answer = await ask(http, CHEAP, person, headers=headers)
        if answer.status_code != 200:
            return answer
    raise AssertionError("nothing was refused")


def assert_refused(answer: httpx.Response) -> None:
    """That it was refused for want of points, and told when to come again."""
    assert (answer.status_code, codes(answer)) == (429, ["RATE_LIMITED"])
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert "data" not in answer.json()


async def test_the_field_and_the_extension_tell_the_same(settings: Settings, acme: Tenant) -> None:
    async with asking(settings, rate_points_minute=POINTS) as http:
        answer = await ask(http, LIMITED, acme.member)

    field, told = answer.json()["data"]["rateLimit"], cost(answer)
    assert (field["limit"], told["limit"]) == (POINTS, POINTS)
    assert field["cost"] == told["estimated"]
    assert field["remaining"] == POINTS - told["estimated"]
    assert told["remaining"] == POINTS - told["charged"]
    assert told["resetAt"][:19] == field["resetAt"][:19]


async def test_what_was_not_loaded_is_given_back(settings: Settings, acme: Tenant) -> None:
    async with asking(settings, rate_points_minute=POINTS) as http:
        first = await ask(http, LIMITED, acme.member)

        charged, spent = cost(first)["charged"], 0

        async def is_back() -> bool:
            nonlocal spent
            spent += 1
            return bool(cost(await ask(http, "{ __typename }", acme.member))["remaining"] == POINTS - charged - spent)

        await until(is_back)

    # Of twenty organizations there is one.
    assert cost(first)["estimated"] - charged == 19


async def test_who_has_used_the_minute_up_is_told_when_to_come_again_and_nothing_runs(settings: Settings) -> None:
    person, other = await make_person("Paula Points"), await make_person("Olga Other")

    async with asking(settings, rate_points_minute=POINTS) as http:
        refused = await spend(http, person)
        changed = await ask(http, RENAME, person)
        older = await ask(http, CHEAP, person, headers={"accept": "application/json"})
        served = await ask(http, CHEAP, other)

    for answer in (refused, changed, older):
        assert_refused(answer)
    assert await rows("SELECT name FROM users WHERE id = $1", person.user_id) == [{"name": "Paula Points"}]
    assert served.json()["data"]["viewer"]["user"]["id"] == other.id


async def test_what_a_whole_minute_does_not_have_is_told_no_time_to_wait(settings: Settings, acme: Tenant) -> None:
    async with asking(settings, rate_points_minute=10) as http:
        answer = await ask(http, LIMITED, acme.member)
        after = await ask(http, CHEAP, acme.member)

    assert (answer.status_code, codes(answer)) == (429, ["RATE_LIMITED"])
    assert "retry-after" not in answer.headers
    # Nothing was taken.
    assert cost(after)["remaining"] == 10 - cost(after)["charged"]


async def test_a_key_has_points_of_its_own(settings: Settings, acme: Tenant) -> None:
    async with asking(settings, rate_points_minute=POINTS) as http:
        made = (await ask(http, KEY, acme.admin, variables={"org": acme.id})).json()["data"]["apiKeyCreate"]
        assert made["errors"] == []
        by_key = {"authorization": f"Bearer {made['secret']}"}
        refused = await spend(http, None, **by_key)
        person = await ask(http, CHEAP, acme.admin)

    assert_refused(refused)
    assert person.status_code == 200


@pytest.mark.parametrize(
    ("spender", "same", "another"),
    [
        ("203.0.113.7", "203.0.113.7", "203.0.113.8"),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"),
    ],
)
async def test_who_is_signed_out_has_those_of_the_network(
    settings: Settings, spender: str, same: str, another: str
) -> None:
    person = await make_person("Nina Network")

    async with asking(settings, rate_points_minute=POINTS) as http:
        refused = await spend(http, None, **{"x-forwarded-for": spender})
        neighbor = await ask(http, CHEAP, headers={"x-forwarded-for": same})
        elsewhere = await ask(http, CHEAP, headers={"x-forwarded-for": another})
        signed_in = await ask(http, CHEAP, person, headers={"x-forwarded-for": same})

    assert_refused(refused)
    assert_refused(neighbor)
    assert [elsewhere.status_code, signed_in.status_code] == [200, 200]


async def test_with_the_next_window_all_points_are_there_again(settings: Settings) -> None:
    person = await make_person("Wanda Window")

    async with asking(settings, rate_points_minute=POINTS) as http, Redis.from_url(str(settings.redis_url)) as redis:
        assert_refused(await spend(http, person))
        # A minute later.
        await redis.pexpire(f"points:user:{person.user_id}", 1)
        await until(lambda: is_gone(redis, person))
        answer = await ask(http, CHEAP, person)

    assert cost(answer)["remaining"] == POINTS - cost(answer)["charged"]


async def is_gone(redis: Redis, person: Person) -> bool:
    """Whether the window has ended."""
    return not await redis.exists(f"points:user:{person.user_id}")


@pytest.mark.parametrize(
    "document", ["{", "{ nothing }", "query($id: ID!) { node(id: $id) { id } }", "query A { a } query B { b }"]
)
async def test_what_is_refused_costs_a_point_or_what_it_would_have(settings: Settings, document: str) -> None:
    person = await make_person("Rita Refused")

    async with asking(settings, rate_points_minute=POINTS) as http:
        refused = await ask(http, document, person)
        after = await ask(http, "{ __typename }", person)

    assert refused.status_code == 400
    assert cost(refused)["charged"] == 1
    assert cost(after)["remaining"] == POINTS - 2


async def test_introspection_gives_nothing_back_and_costs_what_it_is(settings: Settings, acme: Tenant) -> None:
    beside = LIMITED.replace("{ rateLimit", "{ __schema { queryType { name } } rateLimit", 1)

    async with asking(settings, rate_points_minute=1000) as http:
        plain, mixed = [cost(await ask(http, document, acme.member)) for document in (LIMITED, beside)]

    assert mixed["estimated"] == plain["estimated"] + INTROSPECTION
    assert plain["charged"] < plain["estimated"]
    assert mixed["charged"] == mixed["estimated"]
