"""Finding by meaning, and what serves where there is no meaning to go by."""

import json
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from domain.adapters.embeddings_openai import OpenAiEmbeddings
from domain.adapters.openai_service import OpenAiService
from domain.comments import service as comments
from domain.projects.queries import ProjectRow
from domain.search import hits, semantic
from domain.search.ranking import Mode
from domain.search.service import Found, search
from domain.search.snippets import snippet
from domain.tasks import service as tasks
from tests.client import served
from tests.factories import Tenant, execute, make_project, make_task, rows
from tests.openai.server import DIMENSIONS, FakeOpenAi, How
from tests.search.searching import index, named, names, searched

TITLES = ("Users cannot sign in", "New color for the invoice", "The warehouse roof leaks")


@pytest.fixture
async def shop(acme: Tenant, project: ProjectRow) -> Tenant:
    """acme with three tasks, which are indexed."""
    for title in TITLES:
        await make_task(acme.member, project, title=title)
    await index(acme)
    return acme


@pytest.fixture
async def embedder(openai: FakeOpenAi, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenAiEmbeddings]:
    """The service as an embedder that nobody waits for as long as for a real one; once it is away, it stays so."""
    monkeypatch.setattr(semantic, "VECTOR_S", 0.3)
    monkeypatch.setattr(semantic, "PAUSE_S", 600.0)
    made = OpenAiEmbeddings(
        OpenAiService(api_key=openai.key, base_url=f"{openai.origin}/v1"), model="fake-embedding", dimensions=DIMENSIONS
    )
    yield made
    semantic._again_at.clear()
    await made.close()


async def by(shop: Tenant, embedder: OpenAiEmbeddings, query: str, mode: Mode = Mode.HYBRID) -> Found:
    """What is found when only this embedder is there."""
    _, adapters = served()
    async with shop.member.acting() as actor:
        return await search(actor, shop.org_id, query, mode=mode, cache=adapters.cache, embedder=lambda _name: embedder)


async def test_what_is_meant_is_found_without_its_words(shop: Tenant) -> None:
    semantic_found = await searched(shop.member, shop, "people are locked out of their account", mode="SEMANTIC")
    hybrid_found = await searched(shop.member, shop, "people are locked out of their account", mode="HYBRID")

    assert (named(semantic_found)[0], semantic_found["servedBy"]) == ("WEB-1", "SEMANTIC")
    assert (named(hybrid_found)[0], hybrid_found["servedBy"]) == ("WEB-1", "HYBRID")
    # All that there is has a meaning, however far it is.
    assert sorted(named(semantic_found)) == ["WEB", "WEB-1", "WEB-2", "WEB-3"]
    assert semantic_found["nodes"][0]["score"] > semantic_found["nodes"][1]["score"]


async def test_words_and_meaning_together_find_what_either_does(shop: Tenant, project: ProjectRow) -> None:
    # Its text is found by words at once, by meaning once it is indexed.
    await make_task(shop.member, project, title="Sign in with a badge")

    found = await names(shop.member, shop, "sign in", mode="HYBRID")

    assert found[0] == "WEB-1"
    assert "WEB-4" in found
    assert "WEB-4" not in await names(shop.member, shop, "sign in", mode="SEMANTIC")


async def test_an_identifier_goes_before_what_it_may_mean(shop: Tenant) -> None:
    assert (await names(shop.member, shop, "WEB-3", mode="HYBRID"))[0] == "WEB-3"
    assert (await names(shop.member, shop, "sign in web-2", mode="HYBRID"))[0] == "WEB-2"


async def test_kinds_projects_and_what_is_archived_are_told_apart(shop: Tenant, project: ProjectRow) -> None:
    other = await make_project(shop.member, shop, name="Other", key="OTH")
    task = await make_task(shop.member, other, title="Log in with a badge")
    async with shop.member.acting() as actor:
        await comments.create(actor, task.id, body="Nobody can log in.")
    await index(shop)

    asked = {"query": "sign in", "mode": "SEMANTIC"}
    assert sorted(await names(shop.member, shop, **asked, subjects=["TASK"])) == ["OTH-1", "WEB-1", "WEB-2", "WEB-3"]
    assert await names(shop.member, shop, **asked, subjects=["COMMENT"]) == ["Nobody can log in."]
    in_other = {"project": f"project_{other.id.hex}"}
    assert sorted(await names(shop.member, shop, **asked, **in_other)) == ["Nobody can log in.", "OTH", "OTH-1"]

    async with shop.member.acting() as actor:
        await tasks.archive(actor, task.id)

    assert await names(shop.member, shop, **asked, **in_other) == ["OTH"]


async def test_another_organizations_meanings_are_found_by_nobody_else(shop: Tenant, globex: Tenant) -> None:
    project = await make_project(globex.member, globex, name="Theirs", key="GLO")
    await make_task(globex.member, project, title=TITLES[0])
    await index(globex)

    assert sorted(await names(globex.member, globex, "sign in", mode="SEMANTIC")) == ["GLO", "GLO-1"]
    assert sorted(await names(shop.member, shop, "sign in", mode="SEMANTIC")) == ["WEB", "WEB-1", "WEB-2", "WEB-3"]


@pytest.mark.parametrize("mode", ["SEMANTIC", "HYBRID"])
async def test_without_vectors_words_serve(acme: Tenant, project: ProjectRow, mode: str) -> None:
    await make_task(acme.member, project, title="Users cannot sign in")

    found = await searched(acme.member, acme, "sign", mode=mode)

    assert (named(found), found["servedBy"]) == (["WEB-1"], "KEYWORD")


@pytest.mark.parametrize("mode", [Mode.SEMANTIC, Mode.HYBRID])
@pytest.mark.parametrize("how", ["fail", "stall", "cut", "answer"])
async def test_without_the_service_words_serve_and_say_so(
    shop: Tenant, openai: FakeOpenAi, embedder: OpenAiEmbeddings, how: How, mode: Mode
) -> None:
    openai.fault(how, path="/embeddings", times=100)

    found = await by(shop, embedder, "sign", mode)

    assert [hit.row.identifier for hit in found.hits] == ["WEB-1"]
    assert found.served_by is Mode.KEYWORD


async def test_a_service_that_refuses_the_query_is_no_outage(
    shop: Tenant, openai: FakeOpenAi, embedder: OpenAiEmbeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However busy the machine is.
    monkeypatch.setattr(semantic, "VECTOR_S", 60.0)
    openai.fault("fail", path="/embeddings", status=400)

    found = await by(shop, embedder, "sign")

    assert (len(found.hits), found.served_by) == (1, Mode.KEYWORD)
    assert semantic._again_at == {}


async def test_nobody_waits_for_a_service_that_was_just_away_nor_keeps_what_was_found_without_it(
    shop: Tenant, openai: FakeOpenAi, embedder: OpenAiEmbeddings
) -> None:
    _, adapters = served()
    openai.fault("fail", path="/embeddings", times=100)
    await by(shop, embedder, "sign")
    asked = len(openai.asked)

    again = await by(shop, embedder, "sign")

    assert (again.served_by, len(openai.asked)) == (Mode.KEYWORD, asked)

    semantic._again_at.clear()
    async with shop.member.acting() as actor:
        back = await search(actor, shop.org_id, "sign", cache=adapters.cache, embedder=adapters.embeddings_for)

    assert (back.served_by, back.from_cache) == (Mode.HYBRID, False)


async def test_a_model_that_nobody_has_is_done_without(shop: Tenant) -> None:
    _, adapters = served()
    async with shop.member.acting() as actor:
        found = await search(actor, shop.org_id, "sign", cache=adapters.cache, embedder=lambda _name: None)

    assert (len(found.hits), found.served_by) == (1, Mode.KEYWORD)


@pytest.mark.asked_once
async def test_new_vectors_are_seen_at_once(shop: Tenant, project: ProjectRow) -> None:
    task = await make_task(shop.member, project, title="Something else")
    await index(shop)
    for told in (False, True):
        found = await searched(shop.member, shop, "locked out", mode="SEMANTIC", told=True)
        assert found["fromCache"] is told

    async with shop.member.acting() as actor:
        await tasks.update(actor, task.id, title="Locked out of the account")
    await index(shop)

    found = await searched(shop.member, shop, "locked out", mode="SEMANTIC", told=True)
    assert (named(found)[0], found["fromCache"]) == ("WEB-4", False)


async def test_the_snippet_is_of_the_passage_that_is_meant(acme: Tenant, project: ProjectRow) -> None:
    filler = "The invoice shows the address of the customer and the date of the order. " * 11
    meant = "People are locked out. Users cannot sign in with a password. Logging in is refused. " * 9
    await make_task(acme.member, project, title="Invoices", description=f"{filler}\n\n{meant}\n\n{filler}")
    await index(acme)

    found = await searched(acme.member, acme, "account access", mode="SEMANTIC", subjects=["TASK"])

    (node,) = found["edges"]
    # Not a word of it is in the query, so around words it would be the beginning of the whole.
    assert node["node"]["snippet"].startswith("Invoices People are locked out.")
    assert len(node["node"]["snippet"]) <= 240


async def test_long_texts_are_read_beside_the_loop(shop: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def told(text: str, words: Sequence[str], **asked: Any) -> str:
        threads.append(threading.get_ident())
        return snippet(text, words, **asked)

    monkeypatch.setattr(hits, "snippet", told)
    _, adapters = served()
    async with shop.member.acting() as actor:
        await search(actor, shop.org_id, "sign", cache=adapters.cache, embedder=adapters.embeddings_for)

    assert threads != []
    assert threading.get_ident() not in threads


async def test_what_is_kept_of_a_hit_shows_again_while_it_is_seen(shop: Tenant, globex: Tenant) -> None:
    _, adapters = served()
    async with shop.member.acting() as actor:
        found = await search(
            actor, shop.org_id, "sign in", cache=adapters.cache, embedder=adapters.embeddings_for, mode=Mode.SEMANTIC
        )
        kept = json.dumps([hits.kept(hit) for hit in found.hits])
        again = await hits.shown(actor, [kept, "[]"])

    assert again["[]"] == []
    assert [(hit.subject, hit.id, hit.score, hit.snippet, hit.row) for hit in again[kept]] == [
        (hit.subject, hit.id, hit.score, hit.snippet, hit.row) for hit in found.hits
    ]

    await execute("DELETE FROM task WHERE id = $1", found.hits[0].id)
    async with shop.member.acting() as actor:
        assert [hit.id for hit in (await hits.shown(actor, [kept]))[kept]] == [hit.id for hit in found.hits[1:]]
    async with globex.member.acting() as actor:
        assert await hits.shown(actor, [kept]) == {kept: []}
    assert await rows("SELECT FROM search_passage WHERE subject_id = $1", found.hits[0].id) == []
