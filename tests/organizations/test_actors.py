"""Who did it: people, keys and the system, as a viewer may see them."""

from domain.base.actor import Actor, Standing
from domain.base.clock import new_id
from domain.base.database import acting_for
from domain.base.permissions import Permission, Role
from domain.organizations import actors, api_keys
from domain.organizations.actors import Ref
from graph.base.ids import global_id
from tests.client import GraphQL
from tests.factories import Tenant, execute, make_project, statements


async def names(viewer: Actor, refs: list[Ref]) -> dict[Ref, str]:
    with acting_for(viewer.standings):
        found = await actors.by_refs(viewer, refs, ("id", "name"))
    return {ref: row.name for ref, row in found.items()}


async def make_key(tenant: Tenant) -> Ref:
    async with tenant.admin.acting() as actor:
        made = await api_keys.create(actor, tenant.org_id, name="CI", permissions=[Permission.TASK_READ])
    return ("API_KEY", made.key.id)


async def test_each_kind_is_named_in_one_statement_each(acme: Tenant) -> None:
    key, person, system = await make_key(acme), ("USER", acme.member.user_id), ("SYSTEM", None)
    viewer = await acme.guest.actor()

    with statements() as sent:
        found = await names(viewer, [key, person, system, ("USER", acme.admin.user_id)])

    assert found == {
        key: "CI",
        person: "Member Acme",
        system: "Planwire",
        ("USER", acme.admin.user_id): "Admin Acme",
    }
    assert len(sent) == 2


async def test_who_is_gone_stays_named(acme: Tenant) -> None:
    key, person = await make_key(acme), ("USER", acme.member.user_id)
    await execute("UPDATE api_key SET revoked_at = now() WHERE id = $1", key[1])
    await execute("UPDATE membership SET ended_at = now() WHERE user_id = $1", acme.member.user_id)

    found = await names(await acme.guest.actor(), [key, person])

    assert found == {key: "CI", person: "Member Acme"}


async def test_strangers_and_unknown_ids_are_left_out(acme: Tenant, globex: Tenant) -> None:
    key = await make_key(acme)
    refs: list[Ref] = [key, ("USER", acme.member.user_id), ("USER", new_id()), ("API_KEY", acme.member.user_id)]

    assert await names(await globex.admin.actor(), refs) == {}


async def test_without_members_read_only_the_maker_is_named(acme: Tenant) -> None:
    key = await make_key(acme)
    standing = Standing(Role.ADMIN, frozenset({Permission.TASK_READ}))
    viewer = Actor.of_api_key(new_id(), acme.admin.user_id, {acme.org_id: standing})

    found = await names(viewer, [key, ("USER", acme.member.user_id), ("USER", acme.admin.user_id)])

    assert found == {("USER", acme.admin.user_id): "Admin Acme"}


async def test_a_task_names_who_made_it(acme: Tenant) -> None:
    async with acme.admin.acting() as actor:
        made = await api_keys.create(actor, acme.org_id, name="CI", permissions=list(Permission))
    project = await make_project(acme.member, acme)
    document = """
    mutation ($input: TaskCreateInput!) {
      taskCreate(input: $input) {
        task { creator { __typename ... on User { id email } ... on ApiKeyActor { id name } } } errors { code }
      }
    }
    """
    given = {"projectId": global_id("project", project.id), "title": "Name the maker"}

    by_key = await GraphQL(made.secret).done(document, input=given)
    by_person = await acme.member.client.done(document, input=given)

    key_id = global_id("api_key", made.key.id)
    assert by_key["task"]["creator"] == {"__typename": "ApiKeyActor", "id": key_id, "name": "CI"}
    person = {"__typename": "User", "id": acme.member.id, "email": acme.member.email}
    assert by_person["task"]["creator"] == person
