"""Who sees whom, and whose address."""

from uuid import UUID

from domain.base.actor import Actor, Standing
from domain.base.clock import new_id
from domain.base.database import acting_for, fetch
from domain.base.permissions import Permission, Role
from domain.base.sql import Row, sql
from domain.identity import queries
from tests.factories import Person, Tenant, execute, make_member, make_person, statements


async def seen(viewer: Actor, person: Person) -> dict[str, str | None] | None:
    """Name and address of the person as the viewer sees them; None when they do not."""
    with acting_for(viewer.standings):
        row = (await queries.by_ids(viewer, [person.user_id], ("id", "name", "email"))).get(person.user_id)
    return None if row is None else {"name": row.name, "email": row.email}


async def end_membership(person: Person) -> None:
    await execute("UPDATE membership SET ended_at = now() WHERE user_id = $1", person.user_id)


async def test_members_of_one_organization_see_each_other_with_address(acme: Tenant) -> None:
    for viewer in (acme.admin, acme.member, acme.billing, acme.guest):
        found = await seen(await viewer.actor(), acme.member)
        assert found == {"name": "Member Acme", "email": acme.member.email}


async def test_a_stranger_sees_only_themselves(acme: Tenant, globex: Tenant) -> None:
    loner = await make_person("Lone Ranger")

    assert await seen(await loner.actor(), acme.member) is None
    assert await seen(await globex.admin.actor(), acme.member) is None
    assert await seen(await loner.actor(), loner) == {"name": "Lone Ranger", "email": loner.email}


async def test_who_left_stays_named_without_address(acme: Tenant) -> None:
    await end_membership(acme.member)

    assert await seen(await acme.guest.actor(), acme.member) == {"name": "Member Acme", "email": None}
    assert await seen(await acme.member.actor(), acme.guest) is None


async def test_an_address_is_seen_through_the_organization_that_is_still_shared(acme: Tenant, globex: Tenant) -> None:
    await execute(
        "INSERT INTO membership (id, org_id, user_id, role, created_at, updated_at, ended_at) "
        "VALUES ($1, $2, $3, 'MEMBER', now(), now(), now())",
        new_id(), globex.org_id, acme.member.user_id,
    )  # fmt: skip

    assert await seen(await globex.admin.actor(), acme.member) == {"name": "Member Acme", "email": None}
    assert await seen(await acme.admin.actor(), acme.member) == {"name": "Member Acme", "email": acme.member.email}


async def test_without_members_read_nobody_else_is_seen(acme: Tenant) -> None:
    standing = Standing(Role.ADMIN, frozenset({Permission.TASK_READ}))
    key = Actor.of_api_key(new_id(), acme.admin.user_id, {acme.org_id: standing})

    assert await seen(key, acme.member) is None
    assert await seen(key, acme.admin) == {"name": "Admin Acme", "email": acme.admin.email}


async def test_a_stranger_and_an_unknown_id_look_the_same(acme: Tenant, globex: Tenant) -> None:
    document = "query ($id: ID!) { node(id: $id) { id ... on User { name email } } }"

    stranger = await globex.admin.client.run(document, id=acme.member.id)
    unknown = await globex.admin.client.run(document, id=f"user_{UUID(int=7).hex}")

    assert stranger.data == unknown.data == {"node": None}
    assert stranger.errors == unknown.errors == []


async def test_many_people_are_read_in_one_statement(acme: Tenant) -> None:
    people = [await make_member(acme.org_id, Role.MEMBER) for _ in range(10)]
    actor = await acme.admin.actor()

    with acting_for(actor.standings), statements() as sent:
        found = await queries.by_ids(actor, [person.user_id for person in people], queries.USERS.columns)

    assert len(found) == 10
    assert len(sent) == 1


async def test_somebody_is_found_without_reading_all_members(acme: Tenant) -> None:
    viewer = await acme.guest.actor()
    email = queries.USERS.select(viewer, ("email",))

    with acting_for(viewer.standings):
        steps = await fetch(sql("EXPLAIN SELECT {} FROM users WHERE {}", email, queries.visible(viewer)), Row)

    plan = "\n".join(step[0] for step in steps)
    assert plan.count("user_id = users.id") == 2
    assert "hashed" not in plan
