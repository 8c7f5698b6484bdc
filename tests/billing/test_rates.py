"""How many rate points somebody has: as many as everybody, or those of the best plan that is paid for."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from domain.base.clock import frozen, now
from domain.base.permissions import Permission
from domain.base.settings import Settings
from domain.billing.limits import points_minute
from domain.billing.plans import Plan
from domain.billing.states import GRACE, Status
from domain.organizations import api_keys, callers
from tests.factories import Person, Tenant, execute, make_person, set_plan, statements
from tests.sockets import opened
from tests.transport.servers import ask, asking, served

LIMIT = "{ rateLimit { limit remaining } }"
LEAST = 20_000


async def limit(http: httpx.AsyncClient, person: Person | None, secret: str | None = None) -> int:
    """How many points a minute has for the person, or for the key of this secret."""
    headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
    found: dict[str, Any] = (await ask(http, LIMIT, person, headers=headers)).json()["data"]["rateLimit"]
    return int(found["limit"])


async def join(person: Person, tenant: Tenant) -> None:
    await execute(
        "INSERT INTO membership (id, org_id, user_id, role, created_at, updated_at) "
        "VALUES (gen_random_uuid(), $1, $2, 'GUEST', now(), now())",
        tenant.org_id, person.user_id,
    )  # fmt: skip


async def test_a_person_has_the_points_of_the_best_plan_of_theirs(
    settings: Settings, acme: Tenant, globex: Tenant
) -> None:
    ada = acme.guest
    await join(ada, globex)
    async with asking(settings, rate_points_minute=LEAST) as http:
        on_free = await limit(http, ada)
        await set_plan(acme.org_id, Plan.PRO)
        on_pro = await limit(http, ada)
        await set_plan(globex.org_id, Plan.BUSINESS)
        on_both = await limit(http, ada)
        others = [await limit(http, person) for person in (acme.member, globex.member, await make_person(), None)]
        await execute("UPDATE membership SET ended_at = now() WHERE user_id = $1", ada.user_id)
        left = await limit(http, ada)

    assert (on_free, on_pro, on_both, left) == (LEAST, 50_000, 200_000, LEAST)
    assert others == [50_000, 200_000, LEAST, LEAST]


async def test_nobody_has_less_than_everybody(settings: Settings, acme: Tenant) -> None:
    await set_plan(acme.org_id, Plan.PRO)

    async with asking(settings, rate_points_minute=60_000) as http:
        assert await limit(http, acme.member) == 60_000


async def test_a_key_has_the_points_of_its_organization_and_not_of_its_maker(
    settings: Settings, acme: Tenant, globex: Tenant
) -> None:
    async with acme.admin.acting() as actor:
        made = await api_keys.create(actor, acme.org_id, name="CI", permissions=[Permission.TASK_READ])
    await join(acme.admin, globex)
    await set_plan(globex.org_id, Plan.BUSINESS)

    async with asking(settings, rate_points_minute=LEAST) as http:
        on_free = await limit(http, None, made.secret)
        await set_plan(acme.org_id, Plan.PRO)
        on_pro = await limit(http, None, made.secret)

    assert (on_free, on_pro) == (LEAST, 50_000)


async def test_what_was_used_of_the_minute_counts_on_when_the_plan_changes(settings: Settings, acme: Tenant) -> None:
    async with asking(settings, rate_points_minute=LEAST) as http:
        first = (await ask(http, LIMIT, acme.member)).json()["data"]["rateLimit"]
        await set_plan(acme.org_id, Plan.PRO)
        second = (await ask(http, LIMIT, acme.member)).json()["data"]["rateLimit"]

    assert first == {"limit": LEAST, "remaining": LEAST - 1}
    assert second == {"limit": 50_000, "remaining": 50_000 - 2}


async def test_an_open_socket_has_the_points_of_the_plan_of_now(settings: Settings, acme: Tenant) -> None:
    token = acme.member.token
    async with served(settings, rate_points_minute=LEAST) as server, opened(server.address, token) as client:
        before = await (await client.run(LIMIT)).data()
        await set_plan(acme.org_id, Plan.BUSINESS)
        after = await (await client.run(LIMIT)).data()

    assert [before["limit"], after["limit"]] == [LEAST, 200_000]


async def test_who_asks_and_what_is_paid_for_are_found_in_one_statement(acme: Tenant) -> None:
    await set_plan(acme.org_id, Plan.PRO)

    with statements() as sent:
        actor = await callers.signed_in(acme.member.token)

    assert len(sent) == 1
    assert actor is not None
    assert actor.points_minute == 50_000


async def test_the_points_of_a_grace_end_with_it(acme: Tenant) -> None:
    at = now()
    with frozen(at):
        await set_plan(acme.org_id, Plan.PRO, Status.PAST_DUE)

    found = []
    for moment in (at + GRACE - timedelta(seconds=1), at + GRACE):
        with frozen(moment):
            actor = await callers.signed_in(acme.member.token)
            found.append(actor and actor.points_minute)

    assert found == [50_000, 0]


@pytest.mark.parametrize(
    ("paid", "expected"),
    [
        ([], 0),
        ([("FREE", "ACTIVE", None)], 0),
        ([("PRO", "CANCELED", None), ("BUSINESS", "UNPAID", None)], 0),
        ([("PRO", "ACTIVE", None), ("BUSINESS", "INCOMPLETE", None)], 50_000),
        ([("PRO", "TRIALING", None), ("BUSINESS", "ACTIVE", None), ("PRO", "ACTIVE", None)], 200_000),
    ],
)
def test_only_what_is_in_force_counts(paid: list[tuple[str, str, None]], expected: int) -> None:
    assert points_minute(paid, now()) == expected
