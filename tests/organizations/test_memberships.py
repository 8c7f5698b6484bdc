"""Who belongs to an organization: roles, leaving, and the last admin."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from domain.base.actor import Actor
from domain.base.clock import new_id
from domain.base.database import acting_for, tx
from domain.base.errors import Conflict, Forbidden, NotFound
from domain.base.permissions import Role
from domain.organizations import memberships
from graph.base.ids import global_id
from tests.factories import Person, Tenant, events, make_member, make_person, rows

UPDATE = """
mutation ($id: ID!, $role: Role!) {
  membershipUpdate(id: $id, role: $role) {
    membership { id role user { id } organization { id viewerRole viewerPermissions } } errors { code path message }
  }
}
"""
DELETE = "mutation ($id: ID!) { membershipDelete(id: $id) { deletedId errors { code path } } }"
LEAVE = "mutation ($id: ID!) { organizationLeave(id: $id) { deletedId errors { code path } } }"
MEMBERS = """
query ($id: ID!, $first: Int, $after: String, $query: String, $roles: [Role!]) {
  organization(id: $id) {
    members(first: $first, after: $after, query: $query, roles: $roles) {
      nodes { role user { name email } } totalCount pageInfo { hasNextPage endCursor }
    }
  }
}
"""

pytestmark = pytest.mark.usefixtures("adapters")


async def membership_of(org_id: UUID, person: Person) -> dict[str, Any]:
    """Id, role and whether it has ended."""
    (row,) = await rows(
        "SELECT id, role, ended_at IS NOT NULL AS ended FROM membership WHERE org_id = $1 AND user_id = $2",
        org_id,
        person.user_id,
    )
    return row


async def id_of(tenant: Tenant, person: Person) -> str:
    """The global id of the person's membership."""
    return global_id("membership", (await membership_of(tenant.org_id, person))["id"])


async def role_of(tenant: Tenant, person: Person) -> str:
    """The person's role, or ENDED."""
    row = await membership_of(tenant.org_id, person)
    return "ENDED" if row["ended"] else str(row["role"])


async def admins_of(tenant: Tenant) -> int:
    return len(
        await rows("SELECT FROM membership WHERE org_id = $1 AND role = 'ADMIN' AND ended_at IS NULL", tenant.org_id)
    )


async def names_found(tenant: Tenant, **arguments: Any) -> list[str]:
    data = await tenant.guest.client.ok(MEMBERS, id=tenant.id, **arguments)
    return [node["user"]["name"] for node in data["organization"]["members"]["nodes"]]


async def test_members_are_listed_a_to_z_in_pages(acme: Tenant) -> None:
    first = (await acme.guest.client.ok(MEMBERS, id=acme.id, first=3))["organization"]["members"]
    rest = (await acme.guest.client.ok(MEMBERS, id=acme.id, first=3, after=first["pageInfo"]["endCursor"]))[
        "organization"
    ]["members"]

    assert [node["user"]["name"] for node in first["nodes"]] == ["Admin Acme", "Billing_Manager Acme", "Guest Acme"]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"]) == (4, True)
    assert rest["nodes"] == [{"role": "MEMBER", "user": {"name": "Member Acme", "email": acme.member.email}}]


async def test_members_are_found_by_the_start_of_any_word_of_name_or_address(acme: Tenant) -> None:
    for name in ("Jean-Luc Picard", "Émile O'Brien", "100% Real_Person", "Ada Lovelace", "adamant Eve"):
        await make_member(acme.org_id, Role.MEMBER, name)

    assert await names_found(acme, query="luc") == ["Jean-Luc Picard"]
    assert await names_found(acme, query="PIC") == ["Jean-Luc Picard"]
    assert await names_found(acme, query="jean-luc p") == ["Jean-Luc Picard"]
    assert await names_found(acme, query="brien") == ["Émile O'Brien"]
    assert await names_found(acme, query="émile") == ["Émile O'Brien"]
    assert await names_found(acme, query=" ada ") == ["Ada Lovelace", "adamant Eve"]
    assert await names_found(acme, query="adamant-") == ["adamant Eve"]
    assert await names_found(acme, query="icard") == []


async def test_no_character_of_a_query_is_a_wildcard(acme: Tenant) -> None:
    await make_member(acme.org_id, Role.MEMBER, "100% Real_Person \\o/")

    assert await names_found(acme, query="100%") == ["100% Real_Person \\o/"]
    assert await names_found(acme, query="real_p") == ["100% Real_Person \\o/"]
    assert await names_found(acme, query="\\o") == ["100% Real_Person \\o/"]
    for query in ("%", "_", "r%n", "r__l", "\\", "' OR true --", "[a-z]", "^a"):
        found = await names_found(acme, query=query)
        assert found in ([], ["100% Real_Person \\o/"]), query
        assert found == [] or query == "\\", query


async def test_an_empty_query_finds_all_and_a_long_one_is_refused(acme: Tenant) -> None:
    assert len(await names_found(acme, query="  ")) == 4

    answer = await acme.guest.client.run(MEMBERS, id=acme.id, query="a" * 201)

    assert answer.codes == ["BAD_USER_INPUT"]


async def test_members_are_filtered_by_role_and_a_cursor_keeps_to_its_filter(acme: Tenant) -> None:
    assert await names_found(acme, roles=["ADMIN", "GUEST", "ADMIN"]) == ["Admin Acme", "Guest Acme"]
    assert await names_found(acme, roles=["MEMBER"], query="admin") == []
    assert await names_found(acme, roles=[]) == []

    page = (await acme.guest.client.ok(MEMBERS, id=acme.id, first=1, roles=["ADMIN", "GUEST"]))["organization"][
        "members"
    ]
    answer = await acme.guest.client.run(MEMBERS, id=acme.id, after=page["pageInfo"]["endCursor"])

    assert page["totalCount"] == 2
    assert answer.codes == ["BAD_USER_INPUT"]


async def test_who_left_is_not_listed(acme: Tenant) -> None:
    await acme.member.client.done(LEAVE, id=acme.id)

    assert await names_found(acme) == ["Admin Acme", "Billing_Manager Acme", "Guest Acme"]


async def test_an_admin_gives_a_member_another_role(acme: Tenant) -> None:
    membership_id = await id_of(acme, acme.guest)

    payload = await acme.admin.client.done(UPDATE, id=membership_id, role="MEMBER")
    await acme.admin.client.done(UPDATE, id=membership_id, role="MEMBER")

    assert payload["membership"]["role"] == "MEMBER"
    assert payload["membership"]["user"] == {"id": acme.guest.id}
    assert await role_of(acme, acme.guest) == "MEMBER"
    assert await events(acme.org_id) == ["MEMBERSHIP_UPDATED"]


@pytest.mark.parametrize(
    ("document", "arguments"), [(UPDATE, {"role": "ADMIN"}), (DELETE, {})], ids=["update", "delete"]
)
async def test_only_admins_manage_members(
    document: str, arguments: dict[str, str], acme: Tenant, globex: Tenant
) -> None:
    membership_id = await id_of(acme, acme.guest)

    for person in (acme.member, acme.billing, acme.guest):
        answer = await person.client.run(document, id=membership_id, **arguments)
        assert answer.codes == ["FORBIDDEN"]
    strangers = await globex.admin.client.run(document, id=membership_id, **arguments)
    unknown = await globex.admin.client.run(document, id=global_id("membership", new_id()), **arguments)

    assert strangers.codes == ["NOT_FOUND"]
    assert (strangers.data, strangers.errors) == (unknown.data, unknown.errors)
    assert await role_of(acme, acme.guest) == "GUEST"
    assert await events(acme.org_id) == []


async def test_a_removed_member_has_no_access_and_stays_as_a_row(acme: Tenant) -> None:
    membership_id = await id_of(acme, acme.member)

    payload = await acme.admin.client.done(DELETE, id=membership_id)
    again = await acme.admin.client.run(DELETE, id=membership_id)

    assert payload["deletedId"] == membership_id
    assert again.codes == ["NOT_FOUND"]
    assert await role_of(acme, acme.member) == "ENDED"
    assert await acme.member.client.ok(MEMBERS, id=acme.id) == {"organization": None}
    assert await events(acme.org_id) == ["MEMBERSHIP_DELETED"]


async def test_a_member_leaves(acme: Tenant) -> None:
    payload = await acme.guest.client.done(LEAVE, id=acme.id)

    assert payload["deletedId"] == acme.id
    assert await role_of(acme, acme.guest) == "ENDED"
    assert await events(acme.org_id) == ["MEMBERSHIP_DELETED"]
    assert (await acme.guest.client.run(LEAVE, id=acme.id)).codes == ["NOT_FOUND"]


async def test_who_left_is_a_stranger_for_the_rest_of_the_operation(acme: Tenant) -> None:
    document = """
    mutation ($id: ID!) {
      organizationLeave(id: $id) { deletedId errors { code } }
      labelCreate(input: {organizationId: $id, name: "Bug", color: "#ff0000"}) { errors { code } }
      profileUpdate(input: {}) { viewer { organizations { totalCount } } }
    }
    """

    answer = await acme.member.client.run(document, id=acme.id)

    assert answer.data == {
        "organizationLeave": {"deletedId": acme.id, "errors": []},
        "labelCreate": None,
        "profileUpdate": {"viewer": {"organizations": {"totalCount": 0}}},
    }
    assert await events(acme.org_id) == ["MEMBERSHIP_DELETED"]


async def test_an_admin_who_steps_down_is_no_admin_for_the_rest_of_the_operation(acme: Tenant) -> None:
    await make_member(acme.org_id, Role.ADMIN, "Second Admin")
    document = """
    mutation ($id: ID!, $organization: ID!) {
      membershipUpdate(id: $id, role: GUEST) { membership { organization { viewerRole } } errors { code } }
      organizationUpdate(id: $organization, input: {name: "Mine"}) { errors { code } }
    }
    """

    answer = await acme.admin.client.run(document, id=await id_of(acme, acme.admin), organization=acme.id)

    assert answer.data == {
        "membershipUpdate": {"membership": {"organization": {"viewerRole": "GUEST"}}, "errors": []},
        "organizationUpdate": None,
    }
    assert answer.codes == ["FORBIDDEN"]
    assert await events(acme.org_id) == ["MEMBERSHIP_UPDATED"]


async def test_the_last_admin_cannot_be_demoted_removed_or_leave(acme: Tenant) -> None:
    membership_id, client = await id_of(acme, acme.admin), acme.admin.client

    demoted = await client.refused(UPDATE, id=membership_id, role="MEMBER")
    removed = await client.refused(DELETE, id=membership_id)
    left = await client.refused(LEAVE, id=acme.id)

    assert [(error["code"], error["path"]) for error in [*demoted, *removed, *left]] == [("CONFLICT", ["id"])] * 3
    assert await role_of(acme, acme.admin) == "ADMIN"
    assert await events(acme.org_id) == []
    data = await client.ok("query ($id: ID!) { organization(id: $id) { viewerRole } }", id=acme.id)
    assert data == {"organization": {"viewerRole": "ADMIN"}}


async def test_an_ended_admin_does_not_count_as_another(acme: Tenant) -> None:
    second = await make_member(acme.org_id, Role.ADMIN, "Second Admin")
    await second.client.done(LEAVE, id=acme.id)

    errors = await acme.admin.client.refused(LEAVE, id=acme.id)

    assert [error["code"] for error in errors] == ["CONFLICT"]
    assert await admins_of(acme) == 1


async def demote(actor: Actor, _org_id: UUID, membership_id: UUID) -> None:
    await memberships.update(actor, membership_id, role=Role.GUEST)


async def remove(actor: Actor, _org_id: UUID, membership_id: UUID) -> None:
    await memberships.delete(actor, membership_id)


async def leave(actor: Actor, org_id: UUID, _membership_id: UUID) -> None:
    await memberships.leave(actor, org_id)


@pytest.mark.parametrize(
    ("act", "crosswise", "refusal"),
    [
        (demote, False, Conflict),
        (demote, True, Forbidden),
        (remove, False, Conflict),
        (remove, True, NotFound),
        (leave, False, Conflict),
    ],
)
async def test_of_two_admins_who_go_at_once_one_stays(
    act: Any, crosswise: bool, refusal: type[Exception], acme: Tenant
) -> None:
    """Each makes themselves go or, crosswise, the other."""
    people = (acme.admin, await make_member(acme.org_id, Role.ADMIN, "Second Admin"))
    actors = [await person.actor() for person in people]
    targets = [(await membership_of(acme.org_id, person))["id"] for person in people]

    async def succeeds(actor: Actor, membership_id: UUID) -> bool:
        with acting_for(actor.standings):
            try:
                await act(actor, acme.org_id, membership_id)
            except refusal:
                return False
        return True

    outcomes = await asyncio.gather(*map(succeeds, actors, reversed(targets) if crosswise else targets))

    assert Counter(outcomes) == {True: 1, False: 1}
    assert await admins_of(acme) == 1
    assert len(await events(acme.org_id)) == 1


async def test_of_many_admins_who_leave_at_once_one_stays(acme: Tenant) -> None:
    people = [acme.admin, *[await make_member(acme.org_id, Role.ADMIN) for _ in range(7)]]

    data = await asyncio.gather(*(person.client.ok(LEAVE, id=acme.id) for person in people))

    codes = Counter(error["code"] for answer in data for error in answer["organizationLeave"]["errors"])
    assert codes == {"CONFLICT": 1}
    assert await admins_of(acme) == 1


async def test_a_person_joins_with_a_role_and_stands_there_at_once(acme: Tenant) -> None:
    ada = await make_person()
    actor = await ada.actor()

    with acting_for(actor.standings):
        membership = await memberships.join(actor, acme.org_id, ada.user_id, role=Role.MEMBER)

    assert (membership.user_id, membership.role) == (ada.user_id, "MEMBER")
    assert actor.standings == await memberships.standings_of(ada.user_id)
    assert await events(acme.org_id) == ["MEMBERSHIP_CREATED"]


async def test_the_system_lets_a_person_join(acme: Tenant) -> None:
    ada, actor = await make_person(), Actor.system(acme.org_id)

    with acting_for(actor.standings):
        await memberships.join(actor, acme.org_id, ada.user_id, role=Role.GUEST)

    assert await role_of(acme, ada) == "GUEST"


async def test_nobody_joins_twice_not_even_at_once(acme: Tenant) -> None:
    ada = await make_person()

    async def join(actor: Actor) -> bool:
        with acting_for(actor.standings):
            try:
                await memberships.join(actor, acme.org_id, ada.user_id, role=Role.MEMBER)
            except Conflict:
                assert actor.standings == {}
                return False
        return True

    # All are known before one joins: who is known later stands in the organization already.
    actors = [await ada.actor() for _ in range(4)]
    joined = await asyncio.gather(*(join(actor) for actor in actors))

    assert Counter(joined) == {True: 1, False: 3}
    assert await events(acme.org_id) == ["MEMBERSHIP_CREATED"]


async def test_who_left_can_join_again(acme: Tenant) -> None:
    await acme.member.client.done(LEAVE, id=acme.id)
    actor = await acme.member.actor()

    with acting_for(actor.standings):
        await memberships.join(actor, acme.org_id, acme.member.user_id, role=Role.GUEST)

    standing = (await memberships.standings_of(acme.member.user_id))[acme.org_id]
    assert standing.role is Role.GUEST
    assert len(await rows("SELECT FROM membership WHERE user_id = $1", acme.member.user_id)) == 2


async def test_a_held_membership_cannot_end_before_the_transaction(acme: Tenant) -> None:
    free = "SELECT id FROM membership WHERE org_id = $1 AND user_id = $2 FOR NO KEY UPDATE SKIP LOCKED"

    async with acme.admin.acting(), tx():
        held = await memberships.hold(acme.org_id, acme.member.user_id)
        free_while_held = await rows(free, acme.org_id, acme.member.user_id)

    assert held
    assert free_while_held == []
    assert len(await rows(free, acme.org_id, acme.member.user_id)) == 1


async def test_only_a_membership_of_today_can_be_held(acme: Tenant) -> None:
    await acme.member.client.done(LEAVE, id=acme.id)

    async with acme.admin.acting(), tx():
        assert not await memberships.hold(acme.org_id, acme.member.user_id)
        assert not await memberships.hold(acme.org_id, new_id())
