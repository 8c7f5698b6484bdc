"""Lists of projects out of the cache: never other than without it, never another's, and told in the answer."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from itertools import product
from typing import Any

import orjson
import pytest

from domain.base.permissions import Permission, Role
from domain.base.settings import Settings
from domain.organizations import api_keys, memberships
from domain.projects import service as projects
from domain.projects.queries import ProjectRow
from graph.execution import Engine
from tests.client import GraphQL, engine
from tests.compiler.referee import careful, reference
from tests.factories import Tenant, make_member, make_project, make_task, statements
from tests.transport.servers import ask, asking

NAMES = "query ($id: ID!) { organization(id: $id) { projects { nodes { name } totalCount } } }"
EVERYTHING = """
query ($id: ID!, $first: Int, $after: String, $archived: Boolean, $orderBy: [ProjectOrder!]) {
  organization(id: $id) {
    list: projects(first: $first, after: $after, includeArchived: $archived, orderBy: $orderBy) {
      edges { cursor node { ...Row } }
      nodes { ...Row }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      totalCount
    }
  }
}
fragment Row on Project {
  __typename id key name description status startDate targetDate archivedAt version createdAt updatedAt
  organization { slug } lead { name } progress viewerPermissions
  states { name } taskCounts { count state { name } } tasks(first: 2) { nodes { title } totalCount }
}
"""
BARE = "query ($id: ID!) { organization(id: $id) { projects { nodes { version } } } }"
PATH = ["organization", "projects"]


async def told(
    client: GraphQL, document: str, by: Engine = engine, /, **variables: Any
) -> tuple[bytes, list[dict[str, Any]] | None]:
    """The data, and what the answer says of the cache."""
    answer, _ = await client.execute(by, document, variables)
    assert answer.errors == []
    return orjson.dumps(answer.data), (answer.extensions or {}).get("cache")


async def as_it_is(client: GraphQL, document: str, **variables: Any) -> bytes:
    """The data without the cache."""
    data, cache = await told(client, document, reference(), **variables)
    assert cache is None
    return data


def said(hits: int, misses: int, path: list[str] = PATH) -> list[dict[str, Any]]:
    """What an answer says of one list."""
    return [{"path": path, "hits": hits, "misses": misses}]


async def make_mixture(tenant: Tenant) -> list[ProjectRow]:
    """Projects with and without all that they may lack, one of them put away."""
    full = await make_project(
        tenant.member,
        tenant,
        name="Zoë's “garden”",
        description="# Plans\n\n\t☃",
        lead_id=tenant.guest.user_id,
        start_date=date(2026, 1, 1),
        target_date=date(2026, 12, 31),
    )
    await make_task(tenant.member, full)
    plain = await make_project(tenant.member, tenant, name="apple")
    away = await make_project(tenant.member, tenant, name="Away", target_date=date(2026, 3, 1))
    async with tenant.member.acting() as actor:
        await projects.archive(actor, away.id)
    return [full, plain, away]


async def test_the_second_who_asks_gets_the_same_out_of_the_cache(acme: Tenant) -> None:
    await make_mixture(acme)
    expected = await as_it_is(acme.member.client, NAMES, id=acme.id)

    with statements() as sent:
        first = await told(acme.member.client, NAMES, id=acme.id)
        loaded = [text for text in sent if " FROM project " in text]
        second = await told(acme.member.client, NAMES, id=acme.id)

    assert first == (expected, said(0, 2))
    assert second == (expected, said(2, 0))
    assert [text for text in sent if " FROM project " in text] == loaded
    assert len(loaded) == 2


async def test_every_page_is_the_same_with_the_cache_and_without(acme: Tenant) -> None:
    await make_mixture(acme)
    client = acme.member.client
    orders = [
        None,
        [{"field": "TARGET_DATE"}],
        [{"field": "TARGET_DATE", "direction": "DESC"}, {"field": "NAME"}],
        [{"field": "UPDATED_AT", "direction": "DESC"}],
        [{"field": "CREATED_AT"}],
    ]
    for first, archived, order in product((1, 2, 3), (False, True), orders):
        after = None
        for _ in range(3):
            asked = {"id": acme.id, "first": first, "after": after, "archived": archived, "orderBy": order}
            expected = await as_it_is(client, EVERYTHING, **asked)
            loaded, kept = [await told(client, EVERYTHING, **asked) for _ in range(2)]

            assert loaded[0] == kept[0] == expected
            assert kept[1] == said(2, 0, ["organization", "list"])
            info = orjson.loads(expected)["organization"]["list"]["pageInfo"]
            after = info["endCursor"]
            if not info["hasNextPage"]:
                break


async def test_both_ways_through_a_plan_find_what_the_other_has_kept(acme: Tenant) -> None:
    await make_mixture(acme)
    for first, second in ((engine, careful()), (careful(), engine)):
        await make_project(acme.member, acme)
        asked = {"id": acme.id, "first": 10, "archived": True}
        expected = await as_it_is(acme.member.client, EVERYTHING, **asked)

        path = ["organization", "list"]
        assert await told(acme.member.client, EVERYTHING, first, **asked) == (expected, said(0, 2, path))
        assert await told(acme.member.client, EVERYTHING, second, **asked) == (expected, said(2, 0, path))


async def test_other_columns_and_another_filter_are_other_pages(acme: Tenant) -> None:
    await make_mixture(acme)
    await told(acme.member.client, NAMES, id=acme.id)

    assert await told(acme.member.client, BARE, id=acme.id) == (
        await as_it_is(acme.member.client, BARE, id=acme.id),
        said(0, 1),
    )
    archived = BARE.replace("projects", "projects(includeArchived: true)")
    data, cache = await told(acme.member.client, archived, id=acme.id)
    assert len(orjson.loads(data)["organization"]["projects"]["nodes"]) == 3
    assert cache == said(0, 1)


CHANGES: dict[str, Callable[[Any, Tenant, list[ProjectRow]], Awaitable[Any]]] = {
    "renamed": lambda actor, _, made: projects.update(actor, made[1].id, name="banana"),
    "led": lambda actor, tenant, made: projects.update(actor, made[1].id, lead_id=tenant.admin.user_id),
    "archived": lambda actor, _, made: projects.archive(actor, made[0].id),
    "unarchived": lambda actor, _, made: projects.unarchive(actor, made[2].id),
    "created": lambda actor, tenant, _: projects.create(actor, tenant.org_id, name="New"),
    "deleted": lambda actor, _, made: projects.delete(actor, made[0].id),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_shows_at_once(acme: Tenant, change: str) -> None:
    made = await make_mixture(acme)
    asked = {"id": acme.id, "first": 10}
    before, _ = await told(acme.guest.client, EVERYTHING, **asked)
    async with acme.admin.acting() as actor:
        await CHANGES[change](actor, acme, made)

    expected = await as_it_is(acme.guest.client, EVERYTHING, **asked)
    assert expected != before
    assert await told(acme.guest.client, EVERYTHING, **asked) == (expected, said(0, 2, ["organization", "list"]))


async def test_what_a_mutation_shows_has_its_change(acme: Tenant) -> None:
    project = (await make_mixture(acme))[1]
    await told(acme.member.client, NAMES, id=acme.id)
    document = """
    mutation ($id: ID!, $key: String!) { projectUpdate(id: $id, input: {name: "banana"}) @idempotent(key: $key) {
      project { organization { projects { nodes { name } totalCount } } } errors { code } } }
    """

    data, _ = await told(acme.member.client, document, id=f"project_{project.id.hex}", key="rename-1")

    shown = orjson.loads(data)["projectUpdate"]["project"]["organization"]
    assert shown == orjson.loads(await as_it_is(acme.member.client, NAMES, id=acme.id))["organization"]
    assert "banana" in [node["name"] for node in shown["projects"]["nodes"]]


async def test_who_may_do_the_same_shares_and_who_may_not_does_not(acme: Tenant) -> None:
    await make_mixture(acme)
    async with acme.admin.acting() as actor:
        made = await api_keys.create(actor, acme.org_id, name="CI", permissions=[Permission.TASK_READ])
    expected = await as_it_is(acme.admin.client, NAMES, id=acme.id)
    other_admin = await make_member(acme.org_id, Role.ADMIN)

    assert await told(acme.admin.client, NAMES, id=acme.id) == (expected, said(0, 2))
    assert await told(other_admin.client, NAMES, id=acme.id) == (expected, said(2, 0))
    # They see the same by other permissions.
    for client in (acme.guest.client, GraphQL(made.secret)):
        assert await told(client, NAMES, id=acme.id) == (expected, said(0, 2))


async def test_a_strangers_list_stays_away(acme: Tenant, globex: Tenant) -> None:
    await make_mixture(acme)
    await make_project(globex.member, globex, name="Theirs")
    await told(acme.admin.client, NAMES, id=acme.id)

    assert await told(globex.admin.client, NAMES, id=acme.id) == (b'{"organization":null}', None)
    mine, _ = await told(globex.admin.client, NAMES, id=globex.id)
    assert orjson.loads(mine)["organization"]["projects"]["nodes"] == [{"name": "Theirs"}]


async def test_of_several_organizations_only_the_changed_ones_are_loaded(acme: Tenant, globex: Tenant) -> None:
    document = "{ viewer { organizations { nodes { list: projects { nodes { name } } } } } }"
    path = ["viewer", "organizations", "nodes", "list"]
    for tenant in (acme, globex):
        await make_mixture(tenant)
    async with globex.admin.acting() as actor:
        await memberships.join(actor, globex.org_id, acme.admin.user_id, role=Role.MEMBER)
    client = acme.admin.client
    expected = await as_it_is(client, document)

    assert await told(client, document) == (expected, said(0, 2, path))
    assert await told(client, document) == (expected, said(2, 0, path))
    await make_project(globex.member, globex, name="New")
    assert await told(client, document) == (await as_it_is(client, document), said(1, 1, path))
    assert await as_it_is(client, document) != expected


async def test_what_is_done_anew_with_care_is_counted_once(acme: Tenant) -> None:
    await make_mixture(acme)
    document = "query ($id: ID!) { organization(id: $id) { projects { nodes { name } } invitations { totalCount } } }"

    answer, _ = await acme.guest.client.execute(engine, document, {"id": acme.id})

    assert [error["extensions"]["code"] for error in answer.errors] == ["FORBIDDEN"]
    assert (answer.extensions or {})["cache"] == said(0, 1)


async def test_an_answer_without_a_cached_list_says_nothing_of_the_cache(acme: Tenant) -> None:
    await make_mixture(acme)

    with statements() as sent:
        _, cache = await told(acme.member.client, "query ($id: ID!) { organization(id: $id) { name } }", id=acme.id)

    assert cache is None
    assert not any("event_counter" in text for text in sent)


async def test_many_at_once_over_two_servers_take_one_load(settings: Settings, acme: Tenant) -> None:
    await make_mixture(acme)
    async with asking(settings) as one, asking(settings) as two:
        with statements() as sent:
            answers = await asyncio.gather(
                *(ask(http, BARE, acme.member, variables={"id": acme.id}) for _ in range(20) for http in (one, two))
            )

    told_of = [answer.json() for answer in answers]
    assert len({orjson.dumps(each["data"]) for each in told_of}) == 1
    assert sum(each["extensions"]["cache"][0]["misses"] for each in told_of) == 1
    assert sum(" FROM project " in text for text in sent) == 1


async def test_without_redis_lists_are_read_as_ever(settings: Settings, acme: Tenant) -> None:
    await make_mixture(acme)
    expected = orjson.loads(await as_it_is(acme.member.client, NAMES, id=acme.id))

    # Nothing listens there.
    async with asking(settings, redis_url="redis://127.0.0.1:1") as http:
        answers = [await ask(http, NAMES, acme.member, variables={"id": acme.id}) for _ in range(2)]

    for answer in answers:
        assert answer.json()["data"] == expected
        assert answer.json()["extensions"]["cache"] == said(0, 2)
