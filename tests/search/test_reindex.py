"""`planwire reindex`: everything found again while all goes on, and one model after another without a mix."""

import asyncio
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from domain.adapters.wiring import Adapters
from domain.base.database import acting_for
from domain.base.database_address import owner_connected
from domain.base.errors import Unavailable
from domain.base.settings import Settings
from domain.projects import queries as projects
from domain.search import indexing, reindex, serving, vector_indexes
from domain.search.vector_indexes import name_of
from tests import factories
from tests.factories import Tenant, make_task, make_tenant
from tests.openai.server import DIMENSIONS, FakeOpenAi
from tests.search.test_documents import words
from tests.search.test_indexing import change, let_rest, make, pending, version


@pytest.fixture(autouse=True)
async def only(models: None) -> None:
    """Texts that other tests left in this database are none to be indexed: there may be thousands."""
    await factories.execute("TRUNCATE search_document CASCADE")


async def run(adapters: Adapters, **options: Any) -> list[str]:
    """What it says."""
    said: list[str] = []
    await reindex.reindex(adapters.settings, adapters, say=said.append, search_ends_s=0, **options)
    return said


async def vectors(tenant: Tenant) -> dict[str, int]:
    """Model -> how many vectors of the organization there are."""
    rows = await factories.rows(
        "SELECT name, count(*) FROM search_vector JOIN search_model ON search_model.id = model_id "
        "WHERE org_id = $1 GROUP BY name",
        tenant.org_id,
    )
    return {row["name"]: row["count"] for row in rows}


async def states() -> dict[str, str]:
    """Model -> its state."""
    return {row["name"]: row["state"] for row in await factories.rows("SELECT name, state FROM search_model")}


async def test_what_was_never_indexed_is(acme: Tenant, globex: Tenant, adapters: Adapters) -> None:
    mine, theirs = await make(acme, title="Sign-in fails"), await make(globex, title="Merger")
    # As after a restore, which brings no vectors and no notes that they are lacking.
    await factories.execute("DELETE FROM search_pending")

    said = await run(adapters)

    assert (await vectors(acme), await vectors(globex)) == (
        {adapters.embeddings.model: 2},
        {adapters.embeddings.model: 2},
    )
    assert await states() == {adapters.embeddings.model: "SERVING"}
    assert "vectors made" in said[-1]
    assert (await factories.rows("SELECT 1 FROM search_passage WHERE subject_id = ANY($1)", [mine.id, theirs.id])) != []
    # What is right is left as it is.
    assert ", 0 vectors made" in (await run(adapters))[-1]


async def test_another_model_serves_once_it_has_everything(acme: Tenant, adapters: Adapters, remote: Adapters) -> None:
    task = await make(acme, title="Sign-in fails")
    await run(adapters)
    raised = await version(acme)
    old, new = adapters.embeddings.model, remote.embeddings.model
    # Deliveries of processes with the new settings, and no reindex yet.
    await change(acme, task, title="Sign-in fails at times")
    await let_rest(acme)
    with acting_for([acme.org_id]):
        assert await indexing.index(task.id, remote)
        before = await serving.serving()
    assert before is not None
    assert (before.name, await vectors(acme)) == (old, {old: 2})

    said = await run(remote)

    with acting_for([acme.org_id]):
        after = await serving.serving()
    assert after is not None
    assert (after.name, after.dimensions) == (new, DIMENSIONS)
    assert await vectors(acme) == {new: 2}
    assert await states() == {new: "SERVING"}
    assert await version(acme) > raised + 1
    assert f"{new} serves from now on" in said
    assert any(line.endswith(f" vectors of {old} removed") for line in said)


async def test_one_that_was_interrupted_goes_on_where_it_was(
    acme: Tenant, adapters: Adapters, remote: Adapters, openai: FakeOpenAi
) -> None:
    await make(acme, title="Sign-in fails")
    await run(adapters)
    old, new = adapters.embeddings.model, remote.embeddings.model
    openai.fault("fail", status=503, times=99)

    with pytest.raises(Unavailable):
        await run(remote)

    assert await states() == {old: "SERVING", new: "BUILDING"}
    # A text that is written now has vectors of both.
    openai.faults.clear()
    added = await make(acme, title="Merger")
    await let_rest(acme)
    with acting_for([acme.org_id]):
        assert await indexing.index(added.id, remote)
    both = await factories.rows("SELECT count(*) FROM search_vector WHERE subject_id = $1", added.id)
    assert both == [{"count": 2}]

    await run(remote)

    assert await states() == {new: "SERVING"}
    made = await vectors(acme)
    # The old model again, though what was left of it had been given up.
    await factories.execute("INSERT INTO search_model VALUES (99, $1, 256, 'RETIRED')", old)
    await run(adapters)
    assert await states() == {old: "SERVING"}
    assert await vectors(acme) == {old: made[new]}


async def test_a_writer_in_the_midst_of_the_switch_leaves_no_text_without_the_new_vectors(
    acme: Tenant, adapters: Adapters, remote: Adapters, openai: FakeOpenAi
) -> None:
    await make(acme, title="Sign-in fails")
    await run(adapters)
    task = await make(acme, title="Merger")
    await let_rest(acme)
    # A worker that still has the old settings has embedded, and has not written yet.
    stall = openai.fault("stall")
    done = asyncio.create_task(run(remote))
    await stall.struck.wait()
    with acting_for([acme.org_id]):
        assert await indexing.index(task.id, adapters)

    stall.let_go.set()
    await done

    (row,) = await factories.rows(
        "SELECT count(*) AS passages, count(passage_id) AS vectors FROM search_passage "
        "LEFT JOIN search_vector ON passage_id = search_passage.id WHERE search_passage.org_id = $1",
        acme.org_id,
    )
    assert row["passages"] == row["vectors"]
    assert await pending(acme) == set()


async def test_an_organization_that_comes_before_the_model_is_known_has_its_vectors_too(
    acme: Tenant, globex: Tenant, adapters: Adapters, remote: Adapters, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(acme, title="Sign-in fails")
    await run(adapters)
    register = serving.register

    async def later(name: str, dimensions: int) -> serving.Serving:
        # Made and indexed while words were put in another language, say.
        newcomer = await make_tenant("Initech")
        newcomers.append(newcomer)
        task = await make(newcomer, title="Merger")
        await let_rest(newcomer)
        with acting_for([newcomer.org_id]):
            assert await indexing.index(task.id, adapters)
        return await register(name, dimensions)

    newcomers: list[Tenant] = []
    monkeypatch.setattr(serving, "register", later)
    await run(remote)

    assert (await vectors(newcomers[0])).keys() == {remote.embeddings.model}


async def test_what_a_worker_with_the_old_settings_wrote_last_is_noted_by_the_switch(
    acme: Tenant, adapters: Adapters, remote: Adapters, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await make(acme, title="Sign-in fails")
    await run(adapters)
    switch = reindex._switch

    async def after_a_change(name: str) -> bool:
        await change(acme, task, title="Sign-in fails at times")
        await let_rest(acme)
        with acting_for([acme.org_id]):
            assert await indexing.index(task.id, adapters)
        assert await pending(acme) == set()
        return await switch(name)

    monkeypatch.setattr(reindex, "_switch", after_a_change)
    await run(remote)

    assert await pending(acme) == {task.id}
    with acting_for([acme.org_id]):
        assert await indexing.index_overdue([acme.org_id], remote, most=10) == 1
    assert await pending(acme) == set()
    assert set(await vectors(acme)) == {remote.embeddings.model}
    assert await factories.rows("SELECT FROM search_vector WHERE subject_id = $1", task.id) == [{}]


async def test_one_organization_alone_is_brought_up_to_date(
    acme: Tenant, globex: Tenant, adapters: Adapters, remote: Adapters
) -> None:
    await make(acme, title="Sign-in fails")
    await make(globex, title="Merger")
    await run(adapters)

    assert not any("serves" in line for line in await run(adapters, slug=acme.slug))
    said = await run(remote, slug=acme.slug)

    old, new = adapters.embeddings.model, remote.embeddings.model
    assert said[-1] == f"{new} serves nobody until planwire reindex has run for all organizations"
    assert set(await vectors(acme)) == {old, new}
    assert set(await vectors(globex)) == {old}
    assert await states() == {old: "SERVING", new: "BUILDING"}
    with pytest.raises(reindex.CannotReindex, match="there is no organization nobody"):
        await run(adapters, slug="nobody")


async def test_who_has_many_has_an_index_of_its_own_as_long_as_that_is_so(
    acme: Tenant, globex: Tenant, adapters: Adapters, remote: Adapters
) -> None:
    tasks = [await make(acme, title=f"Sign-in fails for {number}") for number in range(3)]
    await make(globex, title="Merger")

    async def own() -> dict[str, bool]:
        rows = await factories.rows(
            "SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
            "WHERE relname LIKE 'search_vector_hnsw_%\\_%' ORDER BY 1"
        )
        return {row["relname"]: row["indisvalid"] for row in rows}

    model = await serving.register(adapters.embeddings.model, adapters.embeddings.dimensions)
    # Each task has a project.
    assert await vector_indexes.lacking(own_from=5) == []
    await run(adapters, own_from=6)
    assert await vector_indexes.lacking(own_from=5) == [acme.org_id]
    assert await vector_indexes.lacking(own_from=6) == []
    said = await run(adapters, own_from=5)
    name = name_of(model.model_id, acme.org_id)
    assert await own() == {name: True}
    assert await vector_indexes.lacking(own_from=5) == []
    assert any(
        line.startswith(f"the index of {adapters.embeddings.model} of organization {acme.org_id}") for line in said
    )
    # Not enough for one to be made, and enough for it to stay.
    await run(adapters, own_from=6)
    assert await own() == {name: True}
    # As it is when it was interrupted.
    await factories.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = $1::text::regclass", name)
    assert await vector_indexes.lacking(own_from=5) == [acme.org_id]
    await run(adapters, own_from=6)
    assert await own() == {}
    await run(adapters, own_from=5)
    assert await own() == {name: True}

    await run(remote, own_from=5)
    other = await serving.register(remote.embeddings.model, remote.embeddings.dimensions)
    assert list(await own()) == [name_of(other.model_id, acme.org_id)]
    for task in tasks:
        await factories.execute("DELETE FROM search_document WHERE subject_id = $1", task.id)
    await run(remote, own_from=6)
    assert await own() == {}


async def test_two_at_once_are_one(acme: Tenant, settings: Settings, adapters: Adapters) -> None:
    async with owner_connected(settings) as other:
        await other.execute("SELECT pg_advisory_lock(5021998018)")

        with pytest.raises(reindex.CannotReindex, match="another planwire reindex is running"):
            await run(adapters)

    assert await states() == {}


async def test_words_are_put_in_another_language(acme: Tenant, settings: Settings, adapters: Adapters) -> None:
    task = await make(acme, title="Die Häuser brennen")
    german = replace(adapters, settings=replace(settings, search_language="german"))
    await run(adapters)
    # A session that has planned a statement with the old language.
    user = await asyncpg.connect(settings.database_url)
    prepared = await user.prepare("SELECT to_tsquery(search_language(), $1)::text")
    await user.execute("SET plan_cache_mode = force_generic_plan")
    assert await prepared.fetchval("Häuser") == "'häuser'"
    with acting_for([acme.org_id]):
        assert await words(acme.org_id, "Haus") == []
    raised = await version(acme)

    try:
        await run(german)

        assert await prepared.fetchval("Häuser") == "'haus'"
        with acting_for([acme.org_id]):
            assert await words(acme.org_id, "Haus") == [task.id]
        assert await version(acme) == raised + 1
        later = await make_task(acme.admin, await project_of(acme), title="Ein Haus am See")
        with acting_for([acme.org_id]):
            assert set(await words(acme.org_id, "Hauses")) == {task.id, later.id}
    finally:
        await run(adapters)
        await user.close()

    with acting_for([acme.org_id]):
        assert await words(acme.org_id, "Haus") == [later.id]


async def project_of(tenant: Tenant) -> Any:
    """The organization's project."""
    async with tenant.admin.acting() as actor:
        (row,) = await factories.rows("SELECT id FROM project WHERE org_id = $1", tenant.org_id)
        return await projects.by_ids.get(actor, row["id"])
