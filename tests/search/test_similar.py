"""Tasks that are like a task."""

from typing import Any

import pytest

from domain.base.permissions import Permission
from domain.organizations import api_keys
from domain.projects.queries import ProjectRow
from domain.search.similar import similar
from domain.tasks import service as tasks
from domain.tasks.queries import TaskRow
from tests.client import GraphQL
from tests.factories import Person, Tenant, make_project, make_task, statements
from tests.search.searching import index

SIMILAR = """
query ($id: ID!, $first: Int = 5) { task(id: $id) { similar(first: $first) {
  score snippet node { __typename ... on Task { identifier } } } } }
"""
TITLES = ("Users cannot sign in", "People cannot log in", "Nobody gets into the account", "The warehouse roof leaks")


@pytest.fixture
async def four(acme: Tenant, project: ProjectRow) -> list[TaskRow]:
    """Three tasks that mean nearly the same, and another one; all indexed."""
    made = [await make_task(acme.member, project, title=title) for title in TITLES]
    await index(acme)
    return made


def id_of(task: TaskRow) -> str:
    """The global id."""
    return f"task_{task.id.hex}"


async def like(client: GraphQL, task: TaskRow, **asked: Any) -> list[str]:
    """The identifiers of the tasks that are like it, in order."""
    found = (await client.ok(SIMILAR, id=id_of(task), **asked))["task"]["similar"]
    scores = [hit["score"] for hit in found]
    assert scores == sorted(scores, reverse=True)
    return [hit["node"]["identifier"] for hit in found]


async def test_they_are_nearest_first_and_not_the_task_itself(acme: Tenant, four: list[TaskRow]) -> None:
    assert sorted((await like(acme.guest.client, four[0]))[:2]) == ["WEB-2", "WEB-3"]
    assert (await like(acme.guest.client, four[0]))[2:] == ["WEB-4"]
    assert len(await like(acme.guest.client, four[0], first=1)) == 1


async def test_only_tasks_of_the_organization_that_are_not_archived(
    acme: Tenant, globex: Tenant, four: list[TaskRow]
) -> None:
    theirs = await make_project(globex.member, globex, name="Theirs", key="GLO")
    await make_task(globex.member, theirs, title=TITLES[0])
    await index(globex)
    async with acme.member.acting() as actor:
        await tasks.archive(actor, four[1].id)

    assert await like(acme.member.client, four[0]) == ["WEB-3", "WEB-4"]
    # What is archived itself is like others still.
    assert sorted(await like(acme.member.client, four[1])) == ["WEB-1", "WEB-3", "WEB-4"]


async def test_a_task_that_is_not_indexed_is_like_none(acme: Tenant, project: ProjectRow, four: list[TaskRow]) -> None:
    new = await make_task(acme.member, project, title=TITLES[0])

    assert await like(acme.member.client, new) == []


async def test_who_may_not_search_gets_none(acme: Tenant, four: list[TaskRow]) -> None:
    async with acme.admin.acting() as actor:
        made = await api_keys.create(actor, acme.org_id, name="Bot", permissions=[Permission.TASK_READ])

    assert await like(GraphQL(made.secret), four[0]) == []


@pytest.mark.parametrize("first", [0, 101, None])
async def test_as_many_as_a_page_may_have(acme: Tenant, four: list[TaskRow], first: int | None) -> None:
    answer = await acme.member.client.run(SIMILAR, id=id_of(four[0]), first=first)

    assert [(error["extensions"]["code"], error["extensions"]["path"]) for error in answer.errors] == [
        ("BAD_USER_INPUT", ["first"])
    ]


async def test_those_of_many_tasks_are_shown_in_as_many_statements_as_of_one(
    acme: Tenant, globex: Tenant, four: list[TaskRow]
) -> None:
    async def sent(by: Person, *of: TaskRow) -> list[str]:
        async with by.acting() as actor:
            with statements() as noted:
                found = await similar(actor, [task.id for task in of])
            assert set(found) == ({task.id for task in of} if by is acme.member else set())
            return noted

    one, many = await sent(acme.member, four[0]), await sent(acme.member, *four)

    # But for the nearest of each.
    assert len(many) == len(one) + 3
    await sent(globex.member, *four)
