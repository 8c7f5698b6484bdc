"""Founding, reading and changing organizations."""

import asyncio
import secrets
from typing import Any
from uuid import UUID

import pytest

from domain.base.clock import new_id
from domain.base.database import acting_for
from domain.base.errors import Taken
from domain.base.permissions import GRANTS, Permission, Role, in_order
from domain.organizations import service as organizations
from tests.client import GraphQL
from tests.factories import Tenant, events, execute, make_person, rows, statements

CREATE = """
mutation ($input: OrganizationCreateInput!) {
  organizationCreate(input: $input) {
    organization {
      id name slug version viewerRole viewerPermissions
      members { nodes { role user { id } } totalCount } projects { totalCount } labels { totalCount } apiKeys { id }
    }
    errors { code path }
  }
}
"""
UPDATE = """
mutation ($id: ID!, $input: OrganizationUpdateInput!, $version: Int) {
  organizationUpdate(id: $id, input: $input, ifVersion: $version) {
    organization { name slug version }
    errors { code path ... on StaleVersionError { currentVersion current { ... on Organization { id name version } } } }
  }
}
"""
READ = "query ($id: ID, $slug: String) { organization(id: $id, slug: $slug) { id name slug viewerRole } }"

pytestmark = pytest.mark.usefixtures("adapters")


def some_slug() -> str:
    return f"analytical-{secrets.token_hex(6)}"


async def organizations_with(slug: str) -> int:
    return len(await rows("SELECT FROM organization WHERE slug = $1", slug))


async def test_founding_makes_the_organization_its_admin_and_the_free_plan_at_once() -> None:
    ada, slug = await make_person(), some_slug()

    payload = await ada.client.done(CREATE, input={"name": "Analytical Engines", "slug": slug})

    organization = payload["organization"]
    org_id = UUID(organization["id"].removeprefix("organization_"))
    assert organization == {
        "id": organization["id"],
        "name": "Analytical Engines",
        "slug": slug,
        "version": 1,
        "viewerRole": "ADMIN",
        "viewerPermissions": [permission.value for permission in Permission],
        "members": {"nodes": [{"role": "ADMIN", "user": {"id": ada.id}}], "totalCount": 1},
        "projects": {"totalCount": 0},
        "labels": {"totalCount": 0},
        "apiKeys": [],
    }
    assert await rows("SELECT plan FROM subscription WHERE org_id = $1", org_id) == [{"plan": "FREE"}]
    assert await events(org_id) == ["ORGANIZATION_CREATED", "MEMBERSHIP_CREATED"]
    assert (await ada.client.ok(READ, slug=slug))["organization"]["name"] == "Analytical Engines"


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "a" * 101}, "name"),
        ({"slug": "Acme-corp"}, "slug"),
        ({"slug": "acme--corp"}, "slug"),
        ({"slug": "-acme"}, "slug"),
        ({"slug": "acme-"}, "slug"),
        ({"slug": "acme_corp"}, "slug"),
        ({"slug": "acmé"}, "slug"),
        ({"slug": "acme\n"}, "slug"),
        ({"slug": "ac"}, "slug"),
        ({"slug": "a" * 41}, "slug"),
    ],
)
async def test_a_malformed_organization_is_refused(values: dict[str, str], path: str, acme: Tenant) -> None:
    ada, given = await make_person(), {"name": "Analytical", "slug": some_slug(), **values}

    created = await ada.client.refused(CREATE, input=given)
    updated = await acme.admin.client.refused(UPDATE, id=acme.id, input=values)

    assert created == updated == [{"code": "INVALID", "path": ["input", path]}]
    assert await organizations_with(given["slug"]) == 0
    assert await organizations_with(acme.slug) == 1


@pytest.mark.parametrize("slug", ["abc", "a-1", "a" * 40, "3-2-1"])
async def test_a_slug_may_have_three_to_forty_characters(slug: str) -> None:
    ada = await make_person()
    await execute("UPDATE organization SET slug = $1 WHERE slug = $2", some_slug(), slug)

    payload = await ada.client.done(CREATE, input={"name": "Analytical", "slug": slug})

    assert payload["organization"]["slug"] == slug


async def test_a_slug_belongs_to_one_organization(acme: Tenant) -> None:
    ada = await make_person()

    errors = await ada.client.refused(CREATE, input={"name": "Another", "slug": acme.slug})

    assert errors == [{"code": "TAKEN", "path": ["input", "slug"]}]
    assert await organizations_with(acme.slug) == 1
    assert await rows("SELECT FROM membership WHERE user_id = $1", ada.user_id) == []
    assert (await ada.client.ok("{ viewer { organizations { totalCount } } }"))["viewer"] == {
        "organizations": {"totalCount": 0}
    }


async def test_of_several_who_take_a_slug_at_once_one_gets_it() -> None:
    people, slug = [await make_person() for _ in range(4)], some_slug()

    async def found(person: Any) -> str:
        data = await person.client.ok(CREATE, input={"name": "Analytical", "slug": slug})
        errors = data["organizationCreate"]["errors"]
        return str(errors[0]["code"]) if errors else "CREATED"

    outcomes = await asyncio.gather(*(found(person) for person in people))

    assert sorted(outcomes) == ["CREATED", "TAKEN", "TAKEN", "TAKEN"]
    assert await organizations_with(slug) == 1


async def test_a_founding_that_fails_leaves_no_standing_and_no_row(acme: Tenant) -> None:
    ada = await make_person()
    actor = await ada.actor()

    with acting_for(actor.standings), pytest.raises(Taken):
        await organizations.create(actor, name="Another", slug=acme.slug)

    assert actor.standings == {}
    assert await rows("SELECT FROM membership WHERE user_id = $1", ada.user_id) == []


async def test_two_can_be_founded_in_one_operation_also_after_a_refused_one(acme: Tenant) -> None:
    ada, first, second = await make_person(), some_slug(), some_slug()
    document = """
    mutation ($first: String!, $taken: String!, $second: String!) {
      a: organizationCreate(input: {name: "A", slug: $first}) { organization { slug } errors { code } }
      b: organizationCreate(input: {name: "B", slug: $taken}) { organization { slug } errors { code } }
      c: organizationCreate(input: {name: "C", slug: $second}) { organization { slug } errors { code } }
      d: profileUpdate(input: {}) { viewer { organizations { nodes { slug } } } }
    }
    """

    data = await ada.client.ok(document, first=first, taken=acme.slug, second=second)

    assert data == {
        "a": {"organization": {"slug": first}, "errors": []},
        "b": {"organization": None, "errors": [{"code": "TAKEN"}]},
        "c": {"organization": {"slug": second}, "errors": []},
        "d": {"viewer": {"organizations": {"nodes": [{"slug": first}, {"slug": second}]}}},
    }


async def test_an_organization_is_read_by_id_or_by_slug(acme: Tenant) -> None:
    expected = {"id": acme.id, "name": "Acme", "slug": acme.slug, "viewerRole": "GUEST"}

    assert await acme.guest.client.ok(READ, id=acme.id) == {"organization": expected}
    assert await acme.guest.client.ok(READ, slug=acme.slug) == {"organization": expected}


async def test_exactly_one_of_id_and_slug_is_wanted(acme: Tenant) -> None:
    both = await acme.guest.client.run(READ, id=acme.id, slug=acme.slug)
    neither = await acme.guest.client.run(READ)

    assert both.codes == neither.codes == ["BAD_USER_INPUT"]


async def test_a_strangers_organization_looks_like_an_unknown_one(acme: Tenant, globex: Tenant) -> None:
    unknown = f"organization_{new_id().hex}"
    change = {"name": "Mine"}

    reads = [await acme.admin.client.run(READ, **which) for which in ({"id": globex.id}, {"id": unknown})]
    by_slug = [await acme.admin.client.run(READ, slug=slug) for slug in (globex.slug, some_slug())]
    updates = [await acme.admin.client.run(UPDATE, id=id, input=change) for id in (globex.id, unknown, acme.admin.id)]

    for answer in reads + by_slug:
        assert (answer.data, answer.errors) == ({"organization": None}, [])
    assert all((answer.data, answer.errors) == (updates[0].data, updates[0].errors) for answer in updates)
    assert updates[0].codes == ["NOT_FOUND"]
    assert await rows("SELECT name, version FROM organization WHERE id = $1", globex.org_id) == [
        {"name": "Globex", "version": 1}
    ]


async def test_a_signed_out_caller_reads_no_organization(acme: Tenant) -> None:
    assert (await GraphQL().run(READ, slug=acme.slug)).codes == ["UNAUTHENTICATED"]


async def test_an_update_changes_what_is_given_and_writes_one_event(acme: Tenant) -> None:
    slug = some_slug()

    renamed = await acme.admin.client.done(UPDATE, id=acme.id, input={"name": "Acme Ltd"})
    moved = await acme.admin.client.done(UPDATE, id=acme.id, input={"slug": slug}, version=2)
    same = await acme.admin.client.done(UPDATE, id=acme.id, input={"slug": slug, "name": "Acme Ltd"})

    assert renamed["organization"] == {"name": "Acme Ltd", "slug": acme.slug, "version": 2}
    assert moved["organization"] == same["organization"] == {"name": "Acme Ltd", "slug": slug, "version": 3}
    assert await events(acme.org_id) == ["ORGANIZATION_UPDATED", "ORGANIZATION_UPDATED"]


async def test_names_in_events_can_be_erased(acme: Tenant) -> None:
    await acme.admin.client.done(UPDATE, id=acme.id, input={"name": "Acme Ltd"})

    (row,) = await rows(
        "SELECT event.data, event_values.data AS apart FROM event JOIN event_values ON event_id = id "
        "WHERE event.org_id = $1",
        acme.org_id,
    )

    assert row == {"data": '{"name":null}', "apart": '{"name":{"was":"Acme","now":"Acme Ltd"}}'}


async def test_an_update_of_an_old_version_is_refused_with_the_present_row(acme: Tenant) -> None:
    await acme.admin.client.done(UPDATE, id=acme.id, input={"name": "Acme Ltd"})

    errors = await acme.admin.client.refused(UPDATE, id=acme.id, input={"name": "Acme Inc"}, version=1)

    assert errors == [
        {
            "code": "STALE_VERSION",
            "path": ["ifVersion"],
            "currentVersion": 2,
            "current": {"id": acme.id, "name": "Acme Ltd", "version": 2},
        }
    ]
    assert await events(acme.org_id) == ["ORGANIZATION_UPDATED"]


async def test_a_slug_cannot_be_taken_by_an_update(acme: Tenant, globex: Tenant) -> None:
    errors = await acme.admin.client.refused(UPDATE, id=acme.id, input={"slug": globex.slug})

    assert errors == [{"code": "TAKEN", "path": ["input", "slug"]}]
    assert await organizations_with(acme.slug) == 1


@pytest.mark.parametrize("role", [Role.MEMBER, Role.BILLING_MANAGER, Role.GUEST])
async def test_only_admins_change_the_organization(role: Role, acme: Tenant) -> None:
    person = {Role.MEMBER: acme.member, Role.BILLING_MANAGER: acme.billing, Role.GUEST: acme.guest}[role]

    answer = await person.client.run(UPDATE, id=acme.id, input={"name": "Mine"})

    assert answer.codes == ["FORBIDDEN"]
    assert answer.errors[0]["extensions"]["permission"] == "ORG_UPDATE"
    assert await rows("SELECT name FROM organization WHERE id = $1", acme.org_id) == [{"name": "Acme"}]
    assert await events(acme.org_id) == []


async def test_the_viewer_learns_what_their_role_allows(acme: Tenant) -> None:
    document = "query ($id: ID!) { organization(id: $id) { viewerRole viewerPermissions } }"
    people = zip(Role, (acme.admin, acme.member, acme.billing, acme.guest), strict=True)

    for role, person in people:
        data = await person.client.ok(document, id=acme.id)
        granted = [permission.value for permission in in_order(GRANTS[role])]
        assert data["organization"] == {"viewerRole": role.value, "viewerPermissions": granted}


async def test_the_viewers_organizations_come_in_pages_a_to_z() -> None:
    ada = await make_person()
    for name in ("delta", "Bravo", "alpha", "Charlie"):
        await ada.client.done(CREATE, input={"name": name, "slug": some_slug()})
    document = """
    query ($after: String) {
      viewer { organizations(first: 3, after: $after) { nodes { name } totalCount pageInfo { hasNextPage endCursor } } }
    }
    """

    first = (await ada.client.ok(document))["viewer"]["organizations"]
    second = (await ada.client.ok(document, after=first["pageInfo"]["endCursor"]))["viewer"]["organizations"]

    assert [node["name"] for node in first["nodes"]] == ["alpha", "Bravo", "Charlie"]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"]) == (4, True)
    assert [node["name"] for node in second["nodes"]] == ["delta"]
    assert second["pageInfo"]["hasNextPage"] is False


@pytest.mark.parametrize("count", [1, 10])
async def test_the_statements_do_not_grow_with_the_organizations(count: int) -> None:
    ada = await make_person()
    for _ in range(count):
        await ada.client.done(CREATE, input={"name": "One of many", "slug": some_slug()})
    document = """
    { viewer { organizations(first: 100) { totalCount nodes {
      name members { totalCount nodes { role user { name email } organization { name } } } apiKeys { name }
    } } } }
    """

    with statements() as sent:
        data = await ada.client.ok(document)

    assert len(data["viewer"]["organizations"]["nodes"]) == count
    reads = [text for text in sent if text.startswith("SELECT") and "FROM session" not in text]
    assert len(reads) == 8, reads
