"""The cache of rankings: a second search takes from it, and no change stays hidden behind it."""

from typing import Any

import pytest

from domain.base.permissions import Role
from domain.comments import service as comments
from domain.organizations import memberships
from domain.projects.queries import ProjectRow
from domain.tasks import service as tasks
from tests import client
from tests.factories import Tenant, execute, make_member, make_task
from tests.search.searching import SEARCH, named, names, searched

pytestmark = pytest.mark.asked_once


async def twice(tenant: Tenant, query: str, **asked: Any) -> list[str]:
    """What two searches find, the second of which takes it from the cache."""
    first, second = [await searched(tenant.member, tenant, query, told=True, **asked) for _ in range(2)]
    assert second == {**first, "fromCache": True}
    return named(first)


async def test_the_second_search_takes_the_ranking_of_the_first(acme: Tenant, project: ProjectRow) -> None:
    await make_task(acme.member, project, title="Zebra")

    answers = [
        await acme.member.client.execute(client.engine, SEARCH, {"organization": acme.id, "query": query, "told": True})
        for query in ("zebra", "  zebra ", "zebras")
    ]

    told = [answer for answer, _ in answers]
    assert [answer.data["search"]["fromCache"] for answer in told if answer.data] == [False, True, False]
    assert [answer.extensions["cache"] for answer in told if answer.extensions] == [
        [{"path": ["search"], "hits": hits, "misses": 1 - hits}] for hits in (0, 1, 0)
    ]


async def test_an_edit_is_found_at_once(acme: Tenant, project: ProjectRow) -> None:
    task = await make_task(acme.member, project, title="Zebra")
    assert await twice(acme, "zebra") == ["WEB-1"]
    assert await twice(acme, "giraffe") == []

    async with acme.member.acting() as actor:
        await tasks.update(actor, task.id, title="Giraffe")

    assert await names(acme.member, acme, "zebra") == []
    assert await names(acme.member, acme, "giraffe") == ["WEB-1"]


async def test_what_is_shown_is_never_older_than_the_search(acme: Tenant, project: ProjectRow) -> None:
    task = await make_task(acme.member, project, title="Zebra", description="Stripes.")
    await twice(acme, "zebra")

    async with acme.member.acting() as actor:
        await tasks.update(actor, task.id, description="Spots.")

    (node,) = (await searched(acme.member, acme, "zebra"))["edges"]
    assert node["node"]["snippet"] == "Zebra Spots."


async def test_a_comment_that_is_deleted_is_gone(acme: Tenant, project: ProjectRow) -> None:
    task = await make_task(acme.member, project)
    async with acme.member.acting() as actor:
        comment = await comments.create(actor, task.id, body="zebra!")
    assert await twice(acme, "zebra") == ["zebra!"]

    async with acme.member.acting() as actor:
        await comments.delete(actor, comment.id)

    assert await names(acme.member, acme, "zebra") == []


async def test_a_task_that_is_archived_is_gone_and_back_when_it_is_taken_out(acme: Tenant, project: ProjectRow) -> None:
    task = await make_task(acme.member, project, title="Zebra")
    assert await twice(acme, "zebra") == ["WEB-1"]

    async with acme.member.acting() as actor:
        await tasks.archive(actor, task.id)
    assert await names(acme.member, acme, "zebra") == []

    async with acme.member.acting() as actor:
        await tasks.unarchive(actor, task.id)
    assert await names(acme.member, acme, "zebra") == ["WEB-1"]


async def test_who_has_left_finds_nothing(acme: Tenant, project: ProjectRow) -> None:
    await make_task(acme.member, project, title="Zebra")
    leaver = await make_member(acme.org_id, Role.MEMBER)
    assert await names(leaver, acme, "zebra") == ["WEB-1"]

    async with leaver.acting() as actor:
        await memberships.leave(actor, acme.org_id)

    answer = await leaver.client.run(SEARCH, organization=acme.id, query="zebra")
    assert (answer.data, answer.codes) == (None, ["NOT_FOUND"])


async def test_what_reached_the_index_alone_is_seen_too(acme: Tenant, project: ProjectRow) -> None:
    await make_task(acme.member, project, title="Zebra")
    await twice(acme, "zebra")

    await execute("SELECT raise_search_version($1)", acme.org_id)

    assert (await searched(acme.member, acme, "zebra", told=True))["fromCache"] is False


async def test_modes_kinds_and_projects_are_kept_apart(acme: Tenant, project: ProjectRow) -> None:
    await make_task(acme.member, project, title="Zebra website")

    assert await twice(acme, "website") == ["WEB", "WEB-1"]
    assert await twice(acme, "website", subjects=["TASK"]) == ["WEB-1"]
    assert await twice(acme, "website", subjects=["PROJECT"]) == ["WEB"]
    assert await twice(acme, "website", project=f"project_{'0' * 32}") == []
