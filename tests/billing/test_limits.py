"""What plans limit: the last slot goes to one, what is over is left alone, what is new is refused without a trace."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.base.actor import Actor
from domain.base.clock import frozen, new_id, now
from domain.base.database import acting_for, tx
from domain.base.errors import LimitReached, NotFound
from domain.base.permissions import Permission, Role
from domain.billing.limits import COUNTED, require_room
from domain.billing.plans import PLANS, Feature, Plan
from domain.billing.states import GRACE, Status
from domain.invitations import service as invitations
from domain.organizations import api_keys, memberships
from domain.projects import service as projects
from graph.base.ids import global_id
from tests.client import served
from tests.factories import Tenant, events, execute, make_person, make_project, rows, set_plan
from tests.identity.mail import some_address, somewhere
from tests.invitations.inviting import ACCEPT, CREATE, DECLINE, RESEND, REVOKE, invited, make_verified
from tests.invitations.test_signing_up import SIGN_UP, sign_up_input
from tests.links import make_invitation, token_of

PROJECT = "mutation ($input: ProjectCreateInput!) { projectCreate(input: $input) { project { id } errors { ...E } } } "
UNARCHIVE = "mutation ($id: ID!) { projectUnarchive(id: $id) { project { archivedAt } errors { ...E } } } "
API_KEY = "mutation ($input: ApiKeyCreateInput!) { apiKeyCreate(input: $input) { secret errors { ...E } } } "
INVITE = "mutation ($input: InvitationCreateInput!) { invitationCreate(input: $input) { errors { ...E } } } "
E = "fragment E on UserError { code ... on LimitError { feature limit used } }"
FREE = PLANS[Plan.FREE].limits
# What is counted by one. How many bytes are stored is held in tests/attachments.
SLOTS = [feature for feature in COUNTED if feature is not Feature.STORAGE_BYTES]
# Of a new tenant, which has a member of each role.
MEMBERS = 4


async def fill(tenant: Tenant, feature: Feature, number: int) -> None:
    """Use so many of the feature beside what there is."""
    for _ in range(number):
        id = new_id()
        if feature is Feature.PROJECTS:
            await execute(
                "INSERT INTO project (id, org_id, key, name, status, version, created_at, updated_at) "
                "VALUES ($1, $2, $3, 'Filler', 'PLANNED', 1, now(), now())",
                id, tenant.org_id, id.hex[-6:].upper(),
            )  # fmt: skip
        elif feature is Feature.API_KEYS:
            await execute(
                "INSERT INTO api_key (id, org_id, user_id, name, prefix, secret_digest, permissions, created_at, "
                "updated_at) VALUES ($1, $2, $3, 'Filler', 'pwk_', uuid_send($1), '{TASK_READ}', now(), now())",
                id, tenant.org_id, tenant.admin.user_id,
            )  # fmt: skip
        else:
            person = await make_person()
            await execute(
                "INSERT INTO membership (id, org_id, user_id, role, created_at, updated_at) "
                "VALUES ($1, $2, $3, 'GUEST', now(), now())",
                id, tenant.org_id, person.user_id,
            )  # fmt: skip


async def used(tenant: Tenant, feature: Feature) -> int:
    """How much of it the organization uses, as a client sees it."""
    data = await tenant.member.client.ok(
        "query ($id: ID!) { organization(id: $id) { entitlements { feature used } } }", id=tenant.id
    )
    (found,) = [each["used"] for each in data["organization"]["entitlements"] if each["feature"] == feature]
    return int(found)


async def try_to(person: Any, act: Callable[[Actor], Awaitable[Any]]) -> LimitReached | None:
    """The refusal, or None when it was done."""
    async with person.acting() as actor:
        try:
            await act(actor)
        except LimitReached as refusal:
            return refusal
    return None


async def invite(actor: Actor, tenant: Tenant) -> None:
    settings, adapters = served()
    await invitations.create(
        actor,
        tenant.org_id,
        email=some_address(),
        role=Role.GUEST,
        settings=settings,
        throttle=adapters.throttle,
    )


def creating(feature: Feature, tenant: Tenant) -> Callable[[Actor], Awaitable[Any]]:
    """What makes one more of the feature."""
    if feature is Feature.PROJECTS:
        return lambda actor: projects.create(actor, tenant.org_id, name="Another")
    if feature is Feature.API_KEYS:
        return lambda actor: api_keys.create(actor, tenant.org_id, name="CI", permissions=[Permission.TASK_READ])
    return lambda actor: invite(actor, tenant)


def document(feature: Feature, tenant: Tenant) -> tuple[str, dict[str, Any]]:
    """The same over the API."""
    org = {"organizationId": tenant.id}
    if feature is Feature.PROJECTS:
        return PROJECT + E, {**org, "name": "Another"}
    if feature is Feature.API_KEYS:
        return API_KEY + E, {**org, "name": "CI", "permissions": ["TASK_READ"]}
    return INVITE + E, {**org, "email": some_address(), "role": "GUEST"}


def free(feature: Feature) -> int:
    """How many FREE has."""
    limit = FREE[feature]
    assert limit is not None
    return limit


def there(feature: Feature) -> int:
    """How many a new tenant uses."""
    return MEMBERS if feature is Feature.MEMBERS else 0


@pytest.mark.parametrize("feature", SLOTS)
async def test_of_twenty_at_once_one_gets_the_last_slot(acme: Tenant, globex: Tenant, feature: Feature) -> None:
    limit = free(feature)
    await fill(acme, feature, limit - 1 - there(feature))
    # What another organization uses is nobody's business here.
    await fill(globex, feature, limit - there(feature))

    refusals = await asyncio.gather(*(try_to(acme.admin, creating(feature, acme)) for _ in range(20)))

    told = [(each.feature, each.limit, each.used) for each in refusals if each is not None]
    assert told == [(feature.value, limit, limit)] * 19
    assert await used(acme, feature) == limit
    assert len(await events(acme.org_id)) == 1


@pytest.mark.parametrize("feature", SLOTS)
async def test_a_full_organization_is_told_so_and_nothing_changes(acme: Tenant, feature: Feature) -> None:
    limit = free(feature)
    await fill(acme, feature, limit - there(feature))
    asked, given = document(feature, acme)

    refused = await acme.admin.client.refused(asked, input=given)

    assert refused == [{"code": "LIMIT_REACHED", "feature": feature.value, "limit": limit, "used": limit}]
    assert await used(acme, feature) == limit
    assert await events(acme.org_id) == []


@pytest.mark.parametrize("feature", SLOTS)
async def test_a_larger_plan_has_room_at_once_and_a_smaller_one_takes_nothing_away(
    acme: Tenant, feature: Feature
) -> None:
    limit = free(feature)
    await fill(acme, feature, limit - there(feature))

    await set_plan(acme.org_id, Plan.PRO)
    assert await try_to(acme.admin, creating(feature, acme)) is None
    await set_plan(acme.org_id, Plan.FREE)

    refusal = await try_to(acme.admin, creating(feature, acme))
    assert refusal is not None
    assert (refusal.limit, refusal.used) == (limit, limit + 1)
    assert await used(acme, feature) == limit + 1


@pytest.mark.parametrize("feature", [Feature.MEMBERS, Feature.PROJECTS])
async def test_without_a_limit_there_is_always_room(acme: Tenant, feature: Feature) -> None:
    await set_plan(acme.org_id, Plan.BUSINESS)
    await fill(acme, feature, 101)

    assert await try_to(acme.admin, creating(feature, acme)) is None


@pytest.mark.parametrize(
    ("status", "is_paid"),
    [
        (Status.ACTIVE, True),
        (Status.TRIALING, True),
        (Status.PAST_DUE, True),
        (Status.CANCELED, False),
        (Status.INCOMPLETE, False),
        (Status.UNPAID, False),
    ],
)
async def test_the_plan_counts_only_where_its_state_keeps_it(acme: Tenant, status: Status, is_paid: bool) -> None:
    await fill(acme, Feature.PROJECTS, 10)
    await set_plan(acme.org_id, Plan.PRO, status)

    assert (await try_to(acme.admin, creating(Feature.PROJECTS, acme)) is None) is is_paid


async def test_the_limits_of_free_count_from_the_instant_that_the_grace_ends(acme: Tenant) -> None:
    at = now()
    await fill(acme, Feature.PROJECTS, 10)
    with frozen(at):
        await set_plan(acme.org_id, Plan.PRO, Status.PAST_DUE)

    with frozen(at + GRACE - timedelta(microseconds=1)):
        before = await try_to(acme.admin, creating(Feature.PROJECTS, acme))
    with frozen(at + GRACE):
        after = await try_to(acme.admin, creating(Feature.PROJECTS, acme))

    assert before is None
    assert after is not None
    assert (after.limit, after.used) == (10, 11)


async def test_what_is_over_the_limit_goes_on_as_before(acme: Tenant) -> None:
    await set_plan(acme.org_id, Plan.PRO)
    made = await make_project(acme.member, acme)
    await fill(acme, Feature.PROJECTS, 14)
    await set_plan(acme.org_id, Plan.FREE)

    async with acme.member.acting() as actor:
        await projects.update(actor, made.id, name="Renamed")
        await projects.archive(actor, made.id)

    data = await acme.guest.client.ok(
        "query ($id: ID!) { organization(id: $id) { projects(first: 100) { totalCount nodes { name } } } }", id=acme.id
    )
    assert data["organization"]["projects"]["totalCount"] == 14
    assert await used(acme, Feature.PROJECTS) == 14


async def test_archived_projects_take_no_room_until_they_are_taken_out_again(acme: Tenant) -> None:
    put_away, kept = await make_project(acme.member, acme), await make_project(acme.member, acme)
    async with acme.member.acting() as actor:
        await projects.archive(actor, put_away.id)
    await fill(acme, Feature.PROJECTS, 9)
    before = await events(acme.org_id)

    refused = await acme.member.client.refused(UNARCHIVE + E, id=global_id("project", put_away.id))

    assert refused == [{"code": "LIMIT_REACHED", "feature": "projects", "limit": 10, "used": 10}]
    # One that is out already is not one more.
    out = await acme.member.client.done(UNARCHIVE + E, id=global_id("project", kept.id))
    assert out["project"] == {"archivedAt": None}
    assert await events(acme.org_id) == before
    (row,) = await rows("SELECT archived_at FROM project WHERE id = $1", put_away.id)
    assert row["archived_at"] is not None

    async with acme.admin.acting() as actor:
        await projects.delete(actor, kept.id)
    assert (await acme.member.client.done(UNARCHIVE + E, id=global_id("project", put_away.id)))["project"] == {
        "archivedAt": None
    }


async def test_who_makes_a_project_and_who_takes_one_out_want_the_same_slot(acme: Tenant) -> None:
    archived = [await make_project(acme.member, acme) for _ in range(8)]
    async with acme.member.acting() as actor:
        for each in archived:
            await projects.archive(actor, each.id)
    await fill(acme, Feature.PROJECTS, 9)

    def taking_out(project_id: UUID) -> Callable[[Actor], Awaitable[Any]]:
        return lambda actor: projects.unarchive(actor, project_id)

    refusals = await asyncio.gather(
        *(try_to(acme.member, taking_out(each.id)) for each in archived),
        *(try_to(acme.member, creating(Feature.PROJECTS, acme)) for _ in range(8)),
    )

    assert refusals.count(None) == 1
    assert await used(acme, Feature.PROJECTS) == 10


async def test_who_may_not_take_a_project_out_waits_for_nothing(acme: Tenant, globex: Tenant) -> None:
    project = await make_project(acme.member, acme)
    id = global_id("project", project.id)

    assert (await acme.guest.client.run(UNARCHIVE + E, id=id)).codes == ["FORBIDDEN"]
    assert (await globex.admin.client.run(UNARCHIVE + E, id=id)).codes == ["NOT_FOUND"]


async def test_whoever_was_invited_has_a_seat_in_a_full_organization(acme: Tenant) -> None:
    eve = await make_verified()
    _, token = await invited(acme, eve)
    other = await make_invitation(acme.admin, acme, some_address())
    email = (await rows("SELECT email FROM invitation WHERE id = $1", other.id))[0]["email"]
    await fill(acme, Feature.MEMBERS, 4)
    assert await used(acme, Feature.MEMBERS) == 10

    await eve.client.done(ACCEPT, token=token)
    await somewhere().done(SIGN_UP, input=sign_up_input(email, await token_of(other.id)))

    assert await used(acme, Feature.MEMBERS) == 10
    (row,) = await rows(
        "SELECT count(*) AS members FROM membership WHERE org_id = $1 AND ended_at IS NULL", acme.org_id
    )
    assert row["members"] == 10


async def test_a_seat_that_was_reserved_outlasts_the_plan(acme: Tenant) -> None:
    await set_plan(acme.org_id, Plan.PRO)
    await fill(acme, Feature.MEMBERS, 10)
    eve = await make_verified()
    _, token = await invited(acme, eve)
    await set_plan(acme.org_id, Plan.FREE)

    await eve.client.done(ACCEPT, token=token)

    assert await used(acme, Feature.MEMBERS) == 15


@pytest.mark.parametrize("end", ["declined", "revoked", "expired"])
async def test_an_invitation_that_ends_gives_its_seat_back(acme: Tenant, end: str) -> None:
    await fill(acme, Feature.MEMBERS, 5)
    invitation_id, token = await invited(acme, await make_verified())
    given = {"organizationId": acme.id, "email": some_address(), "role": "GUEST"}
    assert [each["code"] for each in await acme.admin.client.refused(CREATE, input=given)] == ["LIMIT_REACHED"]

    if end == "declined":
        await somewhere().done(DECLINE, token=token)
    elif end == "revoked":
        await acme.admin.client.done(REVOKE, id=global_id("invitation", invitation_id))
    else:
        # Nobody has written it down yet.
        await execute("UPDATE invitation SET expires_at = now() WHERE id = $1", invitation_id)

    await acme.admin.client.done(CREATE, input=given)
    assert await used(acme, Feature.MEMBERS) == 10


async def test_sending_it_again_takes_no_second_seat_and_an_expired_one_gets_none(acme: Tenant) -> None:
    invitation_id, _ = await invited(acme, await make_verified())
    await fill(acme, Feature.MEMBERS, 5)
    id = global_id("invitation", invitation_id)

    await acme.admin.client.done(RESEND, id=id)
    assert await used(acme, Feature.MEMBERS) == 10
    await execute("UPDATE invitation SET expires_at = now() WHERE id = $1", invitation_id)
    await fill(acme, Feature.MEMBERS, 1)

    assert [each["code"] for each in await acme.admin.client.refused(RESEND, id=id)] == ["TRANSITION_NOT_ALLOWED"]
    assert await used(acme, Feature.MEMBERS) == 10


async def test_a_member_who_leaves_and_a_key_that_is_revoked_make_room(acme: Tenant) -> None:
    await fill(acme, Feature.MEMBERS, 6)
    await fill(acme, Feature.API_KEYS, 2)
    async with acme.guest.acting() as actor:
        await memberships.leave(actor, acme.org_id)
    async with acme.admin.acting() as actor:
        (key, *_) = await rows("SELECT id FROM api_key WHERE org_id = $1", acme.org_id)
        await api_keys.revoke(actor, key["id"])

    assert await try_to(acme.admin, creating(Feature.MEMBERS, acme)) is None
    assert await try_to(acme.admin, creating(Feature.API_KEYS, acme)) is None


async def test_room_is_held_for_the_tenant_alone_and_inside_a_transaction(acme: Tenant, globex: Tenant) -> None:
    with acting_for([acme.org_id]):
        with pytest.raises(RuntimeError):
            await require_room(acme.org_id, Feature.PROJECTS)
        with pytest.raises(NotFound):
            async with tx():
                await require_room(globex.org_id, Feature.PROJECTS)
        async with tx():
            await require_room(acme.org_id, Feature.PROJECTS, more=10)
            with pytest.raises(LimitReached):
                await require_room(acme.org_id, Feature.PROJECTS, more=11)
