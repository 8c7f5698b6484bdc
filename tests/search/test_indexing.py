"""Vectors are there for what a text says now, made once, whoever else is at it."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.adapters.model_errors import ModelRefused
from domain.adapters.wiring import Adapters
from domain.base.database import acting_for, tx
from domain.base.errors import Unavailable
from domain.comments import service as comments
from domain.search import indexing, serving
from domain.search.passages import cut
from domain.tasks import service as tasks
from domain.tasks.queries import TaskRow
from tests import factories
from tests.events.live import until
from tests.factories import Tenant, make_project, make_task
from tests.openai.server import FakeOpenAi

pytestmark = pytest.mark.usefixtures("models")


async def passages(subject_id: UUID) -> list[str]:
    """The document's, in order, each with exactly one vector."""
    rows = await factories.rows(
        "SELECT text, (SELECT count(*) FROM search_vector WHERE passage_id = search_passage.id) AS vectors "
        "FROM search_passage WHERE subject_id = $1 ORDER BY ordinal",
        subject_id,
    )
    assert all(row["vectors"] == 1 for row in rows), rows
    return [row["text"] for row in rows]


async def pending(tenant: Tenant) -> set[UUID]:
    """The organization's documents whose passages lack something."""
    rows = await factories.rows("SELECT subject_id FROM search_pending WHERE org_id = $1", tenant.org_id)
    return {row["subject_id"] for row in rows}


async def version(tenant: Tenant) -> int:
    """How often the organization's index was written to."""
    rows = await factories.rows("SELECT version FROM search_version WHERE org_id = $1", tenant.org_id)
    return int(rows[0]["version"]) if rows else 0


async def let_rest(tenant: Tenant, for_s: float = 2.0) -> None:
    """As if the organization's texts had been changed so long ago."""
    age = timedelta(seconds=for_s)
    await factories.execute(
        "UPDATE search_document SET changed_at = changed_at - $2::interval WHERE org_id = $1", tenant.org_id, age
    )
    await factories.execute(
        "UPDATE search_pending SET since = since - $2::interval WHERE org_id = $1", tenant.org_id, age
    )


async def make(tenant: Tenant, **values: Any) -> TaskRow:
    """A task of a project that is not pending."""
    project = await make_project(tenant.admin, tenant)
    await factories.execute("DELETE FROM search_pending WHERE subject_id = $1", project.id)
    return await make_task(tenant.admin, project, **values)


async def change(tenant: Tenant, task: TaskRow, **values: Any) -> None:
    """Update the task as its organization's admin."""
    async with tenant.admin.acting() as actor:
        await tasks.update(actor, task.id, **values)


async def index(tenant: Tenant, subject_id: UUID, adapters: Adapters) -> bool:
    """What the delivery of an event does."""
    with acting_for([tenant.org_id]):
        return await indexing.index(subject_id, adapters)


async def test_a_text_is_embedded_by_the_configured_model_which_serves_from_then_on(
    acme: Tenant, adapters: Adapters
) -> None:
    task = await make(acme, title="Sign-in fails", description="The cookie has expired.")
    await let_rest(acme)
    before = await version(acme)

    assert await index(acme, task.id, adapters)

    assert await passages(task.id) == cut("Sign-in fails", "The cookie has expired.")
    assert await pending(acme) == set()
    assert await version(acme) == before + 1
    with acting_for([acme.org_id]):
        served = await serving.serving()
    assert served is not None
    assert (served.name, served.dimensions) == (adapters.embeddings.model, adapters.embeddings.dimensions)
    # Once more changes nothing.
    assert not await index(acme, task.id, adapters)
    assert await version(acme) == before + 1


async def test_a_text_that_is_being_edited_is_left_to_the_last_edit(
    acme: Tenant, remote: Adapters, openai: FakeOpenAi
) -> None:
    task = await make(acme, title="Sign-in fails")

    assert not await index(acme, task.id, remote)
    await change(acme, task, title="Sign-in fails at times")
    assert not await index(acme, task.id, remote)
    await let_rest(acme)
    assert await index(acme, task.id, remote)

    assert await passages(task.id) == ["Sign-in fails at times"]
    assert [asked.body["input"] for asked in openai.asked] == [["Sign-in fails at times"]]


async def test_who_edits_on_and_on_is_indexed_all_the_same(acme: Tenant, remote: Adapters) -> None:
    task = await make(acme, title="Sign-in fails")
    await let_rest(acme, for_s=31.0)

    await change(acme, task, title="Sign-in fails at times")

    assert await index(acme, task.id, remote)
    assert await passages(task.id) == ["Sign-in fails at times"]


async def test_a_passage_that_stays_as_it_was_keeps_its_vector(
    acme: Tenant, remote: Adapters, openai: FakeOpenAi
) -> None:
    paragraphs = [f"Paragraph {number}. " + "It says something. " * 25 for number in range(4)]
    task = await make(acme, title="Sign-in fails", description="\n\n".join(paragraphs))
    await let_rest(acme)
    await index(acme, task.id, remote)
    ids = await factories.rows("SELECT id, text FROM search_passage WHERE subject_id = $1", task.id)
    openai.asked.clear()

    await change(acme, task, description="\n\n".join([*paragraphs[:3], "Another end."]))
    await let_rest(acme)
    await index(acme, task.id, remote)

    now = cut("Sign-in fails", "\n\n".join([*paragraphs[:3], "Another end."]))
    assert await passages(task.id) == now
    assert [asked.body["input"] for asked in openai.asked] == [now[-1:]]
    kept = await factories.rows("SELECT id, text FROM search_passage WHERE subject_id = $1", task.id)
    assert {row["id"] for row in kept if row["text"] != now[-1]} < {row["id"] for row in ids}


async def test_a_change_of_anything_but_the_text_asks_for_nothing(acme: Tenant, adapters: Adapters) -> None:
    task = await make(acme, title="Sign-in fails")
    await let_rest(acme)
    await index(acme, task.id, adapters)
    (before,) = await factories.rows("SELECT ctid, xmin::text FROM search_document WHERE subject_id = $1", task.id)
    raised = await version(acme)

    states = await factories.rows(
        "SELECT id FROM workflow_state WHERE project_id = $1 AND id <> $2", task.project_id, task.state_id
    )
    async with acme.admin.acting() as actor:
        await tasks.move(actor, task.id, state_id=states[0]["id"])
        await tasks.update(actor, task.id, priority=3, assignee_id=acme.member.user_id, title="Sign-in fails")

    (after,) = await factories.rows("SELECT ctid, xmin::text FROM search_document WHERE subject_id = $1", task.id)
    assert (after, await version(acme), await pending(acme)) == (before, raised, set())


async def test_two_deliveries_of_a_text_write_it_once(acme: Tenant, remote: Adapters, openai: FakeOpenAi) -> None:
    task = await make(acme, title="Sign-in fails")
    await let_rest(acme)
    stall = openai.fault("stall", times=2)

    both = [asyncio.create_task(index(acme, task.id, remote)) for _ in range(2)]
    await until(lambda: len(openai.asked) == 2)
    stall.let_go.set()
    await asyncio.gather(*both)

    assert await passages(task.id) == ["Sign-in fails"]
    assert await pending(acme) == set()


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "about to be committed"])
async def test_an_edit_between_embedding_and_writing_leaves_the_text_to_its_own_delivery(
    acme: Tenant, remote: Adapters, openai: FakeOpenAi, committed: bool
) -> None:
    task = await make(acme, title="Sign-in fails")
    await let_rest(acme)
    stall = openai.fault("stall")
    indexed = asyncio.create_task(index(acme, task.id, remote))
    await stall.struck.wait()

    if committed:
        await change(acme, task, title="Sign-in is mended")
        stall.let_go.set()
        assert not await indexed
    else:
        async with acme.admin.acting() as actor, tx():
            await tasks.update(actor, task.id, title="Sign-in is mended")
            stall.let_go.set()
            await until(somebody_waits_for_a_row)
        assert not await indexed

    assert await passages(task.id) == []
    assert await pending(acme) == {task.id}
    await let_rest(acme)
    assert await index(acme, task.id, remote)
    assert await passages(task.id) == ["Sign-in is mended"]


async def test_a_text_that_is_deleted_while_it_is_embedded_leaves_nothing(
    acme: Tenant, remote: Adapters, openai: FakeOpenAi
) -> None:
    task = await make(acme, title="Sign-in fails")
    async with acme.admin.acting() as actor:
        comment = await comments.create(actor, task.id, body="The cookie has expired.")
    await let_rest(acme)
    stall = openai.fault("stall")
    indexed = asyncio.create_task(index(acme, comment.id, remote))
    await stall.struck.wait()

    async with acme.admin.acting() as actor:
        await comments.delete(actor, comment.id)
    stall.let_go.set()

    assert not await indexed
    assert await passages(comment.id) == []
    assert await pending(acme) == {task.id}


async def test_a_model_that_comes_while_a_text_is_embedded_gets_its_vectors_too(
    acme: Tenant, remote: Adapters, adapters: Adapters, openai: FakeOpenAi
) -> None:
    task = await make(acme, title="Sign-in fails")
    await let_rest(acme)
    stall = openai.fault("stall")
    indexed = asyncio.create_task(index(acme, task.id, remote))
    await stall.struck.wait()

    await serving.register(adapters.embeddings.model, adapters.embeddings.dimensions)
    stall.let_go.set()

    assert await indexed
    found = await factories.rows(
        "SELECT name, state, vector_dims(embedding) AS dimensions FROM search_vector "
        "JOIN search_model ON search_model.id = model_id WHERE subject_id = $1 ORDER BY model_id",
        task.id,
    )
    assert [tuple(row.values()) for row in found] == [
        (remote.embeddings.model, "SERVING", remote.embeddings.dimensions),
        (adapters.embeddings.model, "BUILDING", adapters.embeddings.dimensions),
    ]


async def test_while_nobody_embeds_the_text_waits(acme: Tenant, remote: Adapters, openai: FakeOpenAi) -> None:
    task = await make(acme, title="Sign-in fails")
    await let_rest(acme)
    openai.fault("fail", status=503, times=9)

    with pytest.raises(Unavailable):
        await index(acme, task.id, remote)

    assert await passages(task.id) == []
    assert await pending(acme) == {task.id}
    openai.faults.clear()
    assert await index(acme, task.id, remote)


async def test_what_the_model_refuses_is_told_and_waits_apart_from_the_others(
    acme: Tenant, remote: Adapters, openai: FakeOpenAi
) -> None:
    refused = await make(acme, title="Refused")
    async with acme.admin.acting() as actor:
        taken = await comments.create(actor, refused.id, body="Taken")
    await let_rest(acme, for_s=120.0)
    # All together, and the first of them by itself.
    openai.fault("fail", status=400, times=3)

    with pytest.raises(ModelRefused):
        await index(acme, refused.id, remote)
    with acting_for([acme.org_id]):
        assert await indexing.index_overdue([acme.org_id], remote, most=10) == 2
        assert await indexing.index_overdue([acme.org_id], remote, most=10) == 0

    assert await pending(acme) == {refused.id}
    assert await passages(taken.id) == ["Taken"]


async def test_a_text_at_which_the_service_fails_keeps_no_other_waiting(
    acme: Tenant, remote: Adapters, openai: FakeOpenAi
) -> None:
    failed = await make(acme, title="x" * 200)
    async with acme.admin.acting() as actor:
        taken = [await comments.create(actor, failed.id, body=f"Taken {number}") for number in range(5)]
    await let_rest(acme, for_s=120.0)
    openai.fault("fail", status=500, times=1_000, about="x" * 200)

    with acting_for([acme.org_id]):
        assert await indexing.index_overdue([acme.org_id], remote, most=10) == 6
        assert await indexing.index_overdue([acme.org_id], remote, most=10) == 0

    assert await pending(acme) == {failed.id}
    assert [await passages(each.id) for each in taken] == [[each.body] for each in taken]


async def test_a_service_that_goes_down_in_the_midst_is_asked_for_few_more(
    acme: Tenant, remote: Adapters, openai: FakeOpenAi
) -> None:
    first = await make(acme, title="Sign-in fails")
    async with acme.admin.acting() as actor:
        others = [await comments.create(actor, first.id, body=f"x{'x' * 200} {number}") for number in range(6)]
    await let_rest(acme, for_s=120.0)
    openai.fault("fail", status=503, times=1_000, about="x" * 200)

    with acting_for([acme.org_id]), pytest.raises(Unavailable):
        await indexing.index_overdue([acme.org_id], remote, most=10)

    assert await pending(acme) == {each.id for each in others}
    # None of them waits for an hour.
    openai.faults.clear()
    await let_rest(acme, for_s=120.0)
    with acting_for([acme.org_id]):
        assert await indexing.index_overdue([acme.org_id], remote, most=10) == 6
    assert await pending(acme) == set()


async def test_a_service_that_is_down_is_left_alone_and_the_next_tick_begins_with_other_texts(
    acme: Tenant, remote: Adapters, openai: FakeOpenAi
) -> None:
    task = await make(acme, title="Sign-in fails")
    async with acme.admin.acting() as actor:
        for number in range(5):
            await comments.create(actor, task.id, body=f"Comment {number}")
    await let_rest(acme, for_s=120.0)
    waiting = await pending(acme)
    openai.fault("fail", status=503, times=100)

    with acting_for([acme.org_id]), pytest.raises(Unavailable):
        await indexing.index_overdue([acme.org_id], remote, most=10)

    assert await pending(acme) == waiting
    openai.faults.clear()
    with acting_for([acme.org_id]):
        assert await indexing.index_overdue([acme.org_id], remote, most=10) == 3
    await let_rest(acme, for_s=120.0)
    with acting_for([acme.org_id]):
        assert await indexing.index_overdue([acme.org_id], remote, most=10) == 3
    assert await pending(acme) == set()


async def test_another_organizations_text_is_not_there(acme: Tenant, globex: Tenant, adapters: Adapters) -> None:
    task = await make(globex, title="Merger")
    await let_rest(globex)

    assert not await index(acme, task.id, adapters)

    assert await passages(task.id) == []
    assert await pending(globex) == {task.id}


async def somebody_waits_for_a_row() -> bool:
    """Whether a statement of indexing waits for another's row."""
    return bool(
        await factories.rows(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%search_document%'"
        )
    )
