"""Who may search for what, what is refused, and pages of what was found."""

from collections.abc import Sequence
from typing import Any

import pytest

from domain.base.errors import BadInput
from domain.base.permissions import Permission
from domain.comments import service as comments
from domain.organizations import api_keys
from domain.projects.queries import ProjectRow
from domain.search.ranking import Mode
from domain.search.service import search
from tests import client
from tests.client import GraphQL
from tests.factories import Tenant, execute, make_person, make_task
from tests.search.searching import SEARCH, named, names, searched


async def key_with(acme: Tenant, *permissions: Permission) -> GraphQL:
    """A client with a key that has these permissions."""
    async with acme.admin.acting() as actor:
        made = await api_keys.create(actor, acme.org_id, name="Bot", permissions=list(permissions))
    return GraphQL(made.secret)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "`query` must have 1 to 500 characters."),
        (" \n\t ", "`query` must have 1 to 500 characters."),
        ("x" * 501, "`query` must have 1 to 500 characters."),
        ("a\x00b", "`query` holds a NUL or an unpaired surrogate."),
        ("a\ud800b", "`query` holds a NUL or an unpaired surrogate."),
    ],
)
async def test_a_query_is_a_text_of_up_to_500_characters(acme: Tenant, query: str, message: str) -> None:
    _, adapters = client.served()
    async with acme.member.acting() as actor:
        with pytest.raises(BadInput) as refused:
            await search(actor, acme.org_id, query, cache=adapters.cache, embedder=adapters.embeddings_for)

    assert (refused.value.message, refused.value.details) == (message, {"path": ["query"]})


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    "query", ["x" * 500, " 'a\\ & | ! : * <-> () \" %_ ", "a" + " b" * 249, "日本語 😀 ﷽", "\u200b", "-"]
)
async def test_any_such_text_is_an_answer(acme: Tenant, project: ProjectRow, query: str, mode: Mode) -> None:
    await make_task(acme.member, project, title="Something else")

    found = await searched(acme.member, acme, query, mode=mode.value)

    assert found["pageInfo"]["hasNextPage"] is False


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({"query": ""}, ["query"]),
        ({"first": 0}, ["first"]),
        ({"first": 101}, ["first"]),
        ({"first": None}, ["first"]),
        ({"after": "nothing"}, ["after"]),
        ({"organization": "acme"}, ["organizationId"]),
        ({"project": "web"}, ["projectId"]),
    ],
)
async def test_what_no_page_is_is_refused(acme: Tenant, asked: dict[str, Any], path: list[str]) -> None:
    answer = await acme.member.client.run(SEARCH, **{"organization": acme.id, "query": "zebra", **asked})

    assert answer.data is None
    assert [(error["extensions"]["code"], error["extensions"]["path"]) for error in answer.errors] == [
        ("BAD_USER_INPUT", path)
    ]


async def test_a_cursor_belongs_to_its_search(acme: Tenant, project: ProjectRow) -> None:
    for _ in range(3):
        await make_task(acme.member, project, title="Zebra")
    cursor = (await searched(acme.member, acme, "zebra", first=1))["pageInfo"]["endCursor"]

    answer = await acme.member.client.run(SEARCH, organization=acme.id, query="zebras", after=cursor)

    assert [error["extensions"].get("path") for error in answer.errors] == [["after"]]


async def test_pages_are_the_whole_in_its_order(acme: Tenant, project: ProjectRow) -> None:
    for number in range(7):
        await make_task(acme.member, project, title="Zebra " + "zebra " * number)
    whole = await searched(acme.member, acme, "zebra", first=100)

    pages: list[dict[str, Any]] = []
    after = None
    while not pages or pages[-1]["pageInfo"]["hasNextPage"]:
        pages.append(await searched(acme.member, acme, "zebra", first=3, after=after))
        after = pages[-1]["pageInfo"]["endCursor"]

    assert [edge for page in pages for edge in page["edges"]] == whole["edges"]
    assert [len(page["nodes"]) for page in pages] == [3, 3, 1]
    assert [page["pageInfo"]["hasPreviousPage"] for page in pages] == [False, True, True]
    assert whole["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": False,
        "startCursor": whole["edges"][0]["cursor"],
        "endCursor": whole["edges"][-1]["cursor"],
    }


async def test_nothing_found_is_an_empty_page(acme: Tenant) -> None:
    assert await searched(acme.member, acme, "zebra") == {
        "edges": [],
        "nodes": [],
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None},
        "servedBy": "KEYWORD",
    }


@pytest.mark.asked_once
async def test_what_vanished_since_it_was_ranked_is_left_out_before_pages_are_cut(
    acme: Tenant, project: ProjectRow
) -> None:
    made = [await make_task(acme.member, project, title="Zebra") for _ in range(4)]
    whole = await names(acme.member, acme, "zebra")
    gone = next(task for task in made if task.identifier == whole[1])

    # The ranking stays as it is, as for who ranked right before and shows right after.
    await execute("DELETE FROM task WHERE id = $1", gone.id)
    first = await searched(acme.member, acme, "zebra", first=2, told=True)
    second = await searched(acme.member, acme, "zebra", first=2, after=first["pageInfo"]["endCursor"], told=True)

    assert [first["fromCache"], second["fromCache"]] == [True, True]
    assert (named(first), first["pageInfo"]["hasNextPage"]) == ([whole[0], whole[2]], True)
    assert (named(second), second["pageInfo"]["hasNextPage"]) == ([whole[3]], False)


@pytest.mark.parametrize(
    ("permissions", "found"),
    [
        ([Permission.TASK_READ, Permission.SEARCH_READ], ["WEB", "WEB-1", "zebra!"]),
        # ORG_READ and PROJECT_READ come with every key.
        ([Permission.SEARCH_READ], ["WEB"]),
    ],
)
async def test_what_is_found_is_what_may_be_read(
    acme: Tenant, project: ProjectRow, permissions: Sequence[Permission], found: list[str]
) -> None:
    task = await make_task(acme.member, project, title="Zebra website")
    async with acme.member.acting() as actor:
        await comments.create(actor, task.id, body="zebra!")
    bot = await key_with(acme, *permissions)

    assert sorted(await names(bot, acme, "zebra or website")) == found
    # What others may see was ranked for them alone.
    assert sorted(await names(acme.guest, acme, "zebra or website")) == ["WEB", "WEB-1", "zebra!"]
    assert sorted(await names(bot, acme, "zebra or website")) == found
    assert (await names(bot, acme, "WEB-1")) == [name for name in found if name == "WEB-1"]


async def test_who_may_not_search_is_refused(acme: Tenant, globex: Tenant, project: ProjectRow) -> None:
    bot = await key_with(acme, Permission.TASK_READ)
    stranger = await make_person()

    for who, codes in (
        (bot, ["FORBIDDEN"]),
        (globex.admin.client, ["NOT_FOUND"]),
        (stranger.client, ["NOT_FOUND"]),
        (GraphQL(), ["UNAUTHENTICATED"]),
    ):
        answer = await who.run(SEARCH, organization=acme.id, query="website")
        assert (answer.data, answer.codes) == (None, codes)


async def test_another_organizations_words_are_found_by_nobody_else(
    acme: Tenant, globex: Tenant, project: ProjectRow
) -> None:
    await make_task(acme.member, project, title="Zebra")

    assert await names(globex.member, globex, "zebra") == []
    assert await names(globex.member, globex, "WEB-1") == []
    assert await names(globex.member, globex, "zebra", project=f"project_{project.id.hex}") == []
