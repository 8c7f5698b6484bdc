"""What an organization reads of its plan: who may, what it shows in every state, and in how many statements."""

from datetime import timedelta
from typing import Any

import pytest

from domain.base.clock import frozen, now
from domain.base.permissions import Permission
from domain.billing import subscriptions
from domain.billing.plans import PLANS, Plan
from domain.billing.states import GRACE, Status
from domain.organizations import api_keys
from domain.projects import service as projects
from tests.client import GraphQL
from tests.factories import Tenant, execute, make_project, set_plan, statements
from tests.identity.mail import some_address
from tests.links import make_invitation

PLANS_ASKED = "{ plans { key name priceCents currency features { key limit } } }"
SUBSCRIPTION = """
query ($id: ID!) { organization(id: $id) { subscription {
  plan { key name priceCents features { key limit } } status currentPeriodEnd trialEndsAt graceEndsAt cancelAtPeriodEnd
  seats
} } }
"""
ENTITLEMENTS = "query ($id: ID!) { organization(id: $id) { entitlements { feature enabled limit used } } }"
EVERYWHERE = """
{ viewer { organizations(first: 10) { nodes { id subscription { status seats } entitlements { feature used } } } } }
"""
COUNTED = {"members", "projects", "api_keys"}


def limits(plan: Plan) -> dict[str, int | None]:
    return {feature.value: limit for feature, limit in PLANS[plan].limits.items()}


async def entitlements(tenant: Tenant, client: GraphQL | None = None) -> dict[str, dict[str, Any]]:
    data = await (client or tenant.member.client).ok(ENTITLEMENTS, id=tenant.id)
    return {each.pop("feature"): each for each in data["organization"]["entitlements"]}


async def test_everybody_reads_the_plans(acme: Tenant) -> None:
    data = await GraphQL().ok(PLANS_ASKED)

    assert data["plans"] == [
        {
            "key": plan.value,
            "name": terms.name,
            "priceCents": terms.price_cents,
            "currency": "USD",
            "features": [{"key": key, "limit": limit} for key, limit in limits(plan).items()],
        }
        for plan, terms in PLANS.items()
    ]
    assert await acme.guest.client.ok(PLANS_ASKED) == data


async def test_a_new_organization_is_on_free(acme: Tenant) -> None:
    ada = acme.admin
    created = await ada.client.done(
        "mutation ($input: OrganizationCreateInput!) { organizationCreate(input: $input) { organization { id "
        "subscription { plan { key } status currentPeriodEnd graceEndsAt cancelAtPeriodEnd seats } "
        "entitlements { feature used } } errors { code } } }",
        input={"name": "New", "slug": f"new-{ada.user_id.hex[-12:]}"},
    )

    assert created["organization"]["subscription"] == {
        "plan": {"key": "FREE"},
        "status": "ACTIVE",
        "currentPeriodEnd": None,
        "graceEndsAt": None,
        "cancelAtPeriodEnd": False,
        "seats": 0,
    }
    used = {each["feature"]: each["used"] for each in created["organization"]["entitlements"]}
    assert {name: used[name] for name in COUNTED} == {"members": 1, "projects": 0, "api_keys": 0}


async def test_what_is_paid_for_is_shown_as_it_stands(acme: Tenant) -> None:
    at = now().replace(microsecond=0)
    with frozen(at):
        await set_plan(acme.org_id, Plan.PRO, Status.PAST_DUE)
    await execute(
        "UPDATE subscription SET seats = 4, cancel_at_period_end = true, current_period_end = $2, trial_ends_at = $3 "
        "WHERE org_id = $1",
        acme.org_id, at + timedelta(days=30), at,
    )  # fmt: skip

    data = await acme.billing.client.ok(SUBSCRIPTION, id=acme.id)

    def told(days: int) -> str:
        return (at + timedelta(days=days)).isoformat().replace("+00:00", "Z")

    assert data["organization"]["subscription"] == {
        "plan": {
            "key": "PRO",
            "name": "Pro",
            "priceCents": 800,
            "features": [{"key": key, "limit": limit} for key, limit in limits(Plan.PRO).items()],
        },
        "status": "PAST_DUE",
        "currentPeriodEnd": told(30),
        "trialEndsAt": told(0),
        "graceEndsAt": told(GRACE.days),
        "cancelAtPeriodEnd": True,
        "seats": 4,
    }


async def test_the_subscription_is_for_who_reads_bills_and_entitlements_for_all_who_work_there(
    acme: Tenant, globex: Tenant
) -> None:
    async with acme.admin.acting() as actor:
        made = await api_keys.create(actor, acme.org_id, name="CI", permissions=[Permission.TASK_READ])

    for client in (acme.member.client, acme.guest.client, GraphQL(made.secret)):
        answer = await client.run(SUBSCRIPTION, id=acme.id)
        assert answer.codes == ["FORBIDDEN"]
        assert answer.errors[0]["extensions"]["permission"] == "BILLING_READ"
        assert answer.data == {"organization": {"subscription": None}}
        assert (await entitlements(acme, client))["api_keys"]["used"] == 1
    assert (await globex.admin.client.ok(ENTITLEMENTS, id=acme.id)) == {"organization": None}


async def test_what_is_used_is_counted_and_the_rest_is_not(acme: Tenant) -> None:
    await make_invitation(acme.admin, acme, some_address())
    projects_made = [await make_project(acme.member, acme) for _ in range(3)]
    async with acme.member.acting() as actor:
        await projects.archive(actor, projects_made[0].id)

    found = await entitlements(acme)

    used = {"members": 5, "projects": 2, "api_keys": 0, "storage_bytes": 0, "ai_tokens_month": 0}
    assert found == {
        name: {"enabled": True, "limit": limit, "used": used.get(name)} for name, limit in limits(Plan.FREE).items()
    }


@pytest.mark.parametrize(
    ("plan", "status", "in_force"),
    [
        (Plan.PRO, Status.ACTIVE, Plan.PRO),
        (Plan.BUSINESS, Status.TRIALING, Plan.BUSINESS),
        (Plan.BUSINESS, Status.PAST_DUE, Plan.BUSINESS),
        (Plan.BUSINESS, Status.CANCELED, Plan.FREE),
        (Plan.PRO, Status.UNPAID, Plan.FREE),
        (Plan.PRO, Status.INCOMPLETE, Plan.FREE),
    ],
)
async def test_the_limits_are_those_of_the_plan_that_is_in_force(
    acme: Tenant, plan: Plan, status: Status, in_force: Plan
) -> None:
    await set_plan(acme.org_id, plan, status)

    assert {name: each["limit"] for name, each in (await entitlements(acme)).items()} == limits(in_force)


async def test_when_the_grace_is_over_the_limits_are_those_of_free(acme: Tenant) -> None:
    await set_plan(acme.org_id, Plan.PRO, Status.PAST_DUE, grace=timedelta(0))

    assert {name: each["limit"] for name, each in (await entitlements(acme)).items()} == limits(Plan.FREE)


async def test_any_number_of_organizations_take_the_same_statements(acme: Tenant, globex: Tenant) -> None:
    ada = acme.admin

    with statements() as of_one:
        await ada.client.ok(EVERYWHERE)
    await execute(
        "INSERT INTO membership (id, org_id, user_id, role, created_at, updated_at) "
        "VALUES (gen_random_uuid(), $1, $2, 'ADMIN', now(), now())",
        globex.org_id, ada.user_id,
    )  # fmt: skip
    with statements() as of_two:
        data = await ada.client.ok(EVERYWHERE)

    assert len(data["viewer"]["organizations"]["nodes"]) == 2
    assert len(of_two) == len(of_one)
    # One for all subscriptions, and one for all that is counted.
    assert len([text for text in of_two if "FROM subscription" in text]) == 2


async def test_what_has_not_changed_is_not_counted_again_and_a_change_shows_at_once(acme: Tenant) -> None:
    await make_project(acme.admin, acme)
    first = await entitlements(acme)
    with statements() as sent:
        again = await entitlements(acme)
    counted = [each for each in sent if "AS members" in each]

    async with acme.admin.acting() as actor:
        await subscriptions.change(actor, acme.org_id, at=now(), plan=Plan.PRO, stripe_subscription_id="sub_1", seats=4)
    raised = await entitlements(acme)
    await make_project(acme.admin, acme, key="TWO")

    assert again == first
    assert counted == []
    assert first["projects"] == {"enabled": True, "limit": 10, "used": 1}
    assert raised["projects"] == {"enabled": True, "limit": 200, "used": 1}
    assert (await entitlements(acme))["projects"]["used"] == 2
