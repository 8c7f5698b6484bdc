"""What is nearest: as many as were asked for, whoever else has vectors, exactly or by the index."""

import math
import random
from array import array
from functools import partial
from uuid import UUID

import pytest

from domain.adapters.embeddings import Vector, unit
from domain.adapters.wiring import Adapters
from domain.base.database import acting_for, fetch, tx
from domain.base.database_address import owner_connected
from domain.base.settings import Settings
from domain.base.sql import Row, sql
from domain.comments import service as comments
from domain.search import indexing, serving, vectors
from domain.search.models import Subject
from domain.search.serving import Serving
from domain.search.vector_indexes import name_of
from domain.tasks import service as tasks
from tests import factories
from tests.factories import Tenant, make_project, make_task

pytestmark = pytest.mark.usefixtures("models")

EVERY = list(Subject)
DIMENSIONS = 8
# As if more than these were too many to compare.
FEW = 1_000


async def served() -> Serving:
    """The model that serves."""
    found = await serving.serving()
    assert found is not None
    return found


async def indexed(tenant: Tenant, adapters: Adapters, *subject_ids: UUID) -> None:
    """Let the documents have their vectors."""
    with acting_for([tenant.org_id]):
        await indexing.bring(subject_ids, adapters)


async def test_the_nearest_documents_come_first_and_each_once(acme: Tenant, adapters: Adapters) -> None:
    project = await make_project(acme.admin, acme, name="Website")
    login = await make_task(acme.admin, project, title="Customers cannot sign in", description="The login fails.")
    other = await make_task(acme.admin, project, title="Choose the color of the roof")
    async with acme.admin.acting() as actor:
        comment = await comments.create(actor, other.id, body="A dark red one, says the carpenter.")
        await indexed(acme, adapters, project.id, login.id, other.id, comment.id)
        (wanted,) = await adapters.embeddings.embed(["people can't log in"])
        model = await served()

        found = await vectors.nearest(actor, acme.org_id, wanted, serving=model, kinds=EVERY, count=10)
        alone = await vectors.nearest(
            actor, acme.org_id, wanted, serving=model, kinds=[Subject.COMMENT], project_id=project.id, count=10
        )
        elsewhere = await vectors.nearest(
            actor, acme.org_id, wanted, serving=model, kinds=EVERY, project_id=login.id, count=10
        )
        await tasks.archive(actor, other.id)
        left = await vectors.nearest(actor, acme.org_id, wanted, serving=model, kinds=EVERY, count=10)

    assert found[0].subject_id == login.id
    assert {(near.subject_id, near.kind) for near in found} == {
        (login.id, Subject.TASK),
        (other.id, Subject.TASK),
        (comment.id, Subject.COMMENT),
        (project.id, Subject.PROJECT),
    }
    assert [near.distance for near in found] == sorted(near.distance for near in found)
    assert all(0 <= near.distance <= 2 for near in found)
    assert [near.subject_id for near in alone] == [comment.id]
    assert elsewhere == []
    assert {near.subject_id for near in left} == {login.id, project.id}


async def test_another_organizations_vectors_are_not_found(acme: Tenant, globex: Tenant, adapters: Adapters) -> None:
    project = await make_project(globex.admin, globex, name="Merger")
    await indexed(globex, adapters, project.id)
    (wanted,) = await adapters.embeddings.embed(["Merger"])

    async with globex.admin.acting() as theirs:
        model = await served()
        assert len(await vectors.nearest(theirs, globex.org_id, wanted, serving=model, kinds=EVERY, count=1)) == 1
    async with acme.admin.acting() as actor:
        assert await vectors.nearest(actor, globex.org_id, wanted, serving=model, kinds=EVERY, count=1) == []
        assert await vectors.of_documents(globex.org_id, [project.id], serving=model) == {}
    # The policies alone.
    async with globex.admin.acting() as theirs:
        with acting_for([acme.org_id]):
            assert await vectors.nearest(theirs, globex.org_id, wanted, serving=model, kinds=EVERY, count=1) == []


async def test_a_documents_vector_is_that_of_its_title(acme: Tenant, adapters: Adapters) -> None:
    project = await make_project(acme.admin, acme)
    task = await make_task(acme.admin, project, title="Sign-in fails", description="The cookie has expired.")
    await indexed(acme, adapters, task.id)
    (title,) = await adapters.embeddings.embed(["Sign-in fails"])

    with acting_for([acme.org_id]):
        found = await vectors.of_documents(acme.org_id, [task.id, project.id], serving=await served())

    assert list(found) == [task.id]
    assert sum(map(math.prod, zip(found[task.id], title, strict=True))) == pytest.approx(1, abs=1e-3)


async def test_ten_asked_are_ten_found_by_the_index_too(acme: Tenant, globex: Tenant) -> None:
    model = await serving.register("of-a-test", DIMENSIONS)
    await make_vectors(acme, model, 12_000, "TASK")
    await make_vectors(acme, model, 30, "PROJECT")
    await make_vectors(globex, model, 4_000, "TASK")

    # Who lacks an index is found everything all the same.
    assert await found_of_ten(acme, model) == 1
    await make_index(model, acme.org_id)
    assert await found_of_ten(acme, model) >= 0.95
    assert await walks(acme, model)


async def found_of_ten(tenant: Tenant, model: Serving) -> float:
    """Of the ten nearest, how many are found; ten are in any case."""
    generator = random.Random(1)  # noqa: S311  # no secret
    right = 0
    async with tenant.admin.acting() as actor:
        asked = partial(vectors.nearest, actor, tenant.org_id, serving=model, count=10)
        for _ in range(10):
            wanted = unit([generator.gauss(0, 1) for _ in range(DIMENSIONS)])
            found = await asked(wanted, kinds=EVERY, compared=FEW)
            assert len({near.subject_id for near in found}) == 10
            right += len({near.subject_id for near in found} & set(await nearest_ten(tenant, model, wanted, EVERY)))
            # Few of many, which the walk hardly meets; and which are looked up one by one.
            for most in (FEW, 6_000):
                few = await asked(wanted, kinds=[Subject.PROJECT], compared=most)
                assert [near.kind for near in few] == [Subject.PROJECT] * 10
                assert [near.subject_id for near in few] == await nearest_ten(tenant, model, wanted, [Subject.PROJECT])
    return right / 100


async def make_index(model: Serving, org_id: UUID) -> None:
    """The organization's index."""
    (row,) = await factories.rows(
        "SELECT search_vector_index($1::smallint, $2, $3, '') AS text", model.model_id, model.dimensions, org_id
    )
    await factories.execute(f"SELECT setseed(0.5); {row['text']}; ANALYZE search_vector")


async def walks(tenant: Tenant, model: Serving) -> bool:
    """Whether a search of the tenant reads its index."""
    async with tenant.admin.acting() as actor, tx():
        wanted = unit([1.0] * DIMENSIONS)
        await vectors.nearest(actor, tenant.org_id, wanted, serving=model, kinds=EVERY, count=10, compared=FEW)
        index = name_of(model.model_id, tenant.org_id)
        (row,) = await fetch(sql("SELECT pg_stat_get_xact_numscans({}::text::regclass) AS scans", index), Row)
        return bool(row["scans"])


async def test_a_model_has_nothing_to_do_with_the_vectors_of_one_that_is_gone(acme: Tenant, settings: Settings) -> None:
    gone = await serving.register("of-a-test", DIMENSIONS)
    await make_vectors(acme, gone, 3, "TASK")

    async with owner_connected(settings) as other, other.transaction(isolation="repeatable_read"):
        # Its vectors are there for who began before.
        await other.execute("SELECT")
        await factories.execute("DELETE FROM search_model")
        model = await serving.register("of-another-test", 2 * DIMENSIONS)
        await make_vectors(acme, model, 1, "TASK", dimensions=2 * DIMENSIONS)

    async with acme.admin.acting() as actor:
        wanted = unit([1.0] * model.dimensions)
        assert len(await vectors.nearest(actor, acme.org_id, wanted, serving=model, kinds=EVERY, count=10)) == 1


async def test_what_is_put_away_crowds_nothing_out(acme: Tenant) -> None:
    model = await serving.register("of-a-test", DIMENSIONS)
    # More than are looked up at first.
    await make_vectors(acme, model, 2_000, "TASK")
    await factories.execute(
        "UPDATE search_document SET archived = true WHERE org_id = $1 AND subject_id <> ALL(ARRAY("
        "SELECT subject_id FROM search_document WHERE org_id = $1 ORDER BY subject_id LIMIT 10))",
        acme.org_id,
    )
    kept = {
        row["subject_id"]
        for row in await factories.rows(
            "SELECT subject_id FROM search_document WHERE org_id = $1 AND NOT archived", acme.org_id
        )
    }

    async with acme.admin.acting() as actor:
        wanted = unit([1.0] * DIMENSIONS)
        ten, all_ = [
            await vectors.nearest(actor, acme.org_id, wanted, serving=model, kinds=EVERY, count=count)
            for count in (10, 200)
        ]

    assert {near.subject_id for near in ten} == {near.subject_id for near in all_} == kept
    assert len(kept) == 10


async def make_vectors(tenant: Tenant, model: Serving, count: int, kind: str, *, dimensions: int = DIMENSIONS) -> None:
    """Passages anywhere, each a document of its own, as if they had been indexed."""
    await factories.execute(
        f"""
        BEGIN; SET LOCAL session_replication_role = replica;
        CREATE TEMPORARY TABLE new ON COMMIT DROP AS SELECT gen_random_uuid() AS id, ARRAY(
            SELECT random_normal() FROM generate_series(1, {dimensions}) WHERE number > 0) AS direction
            FROM generate_series(1, {count}) AS number;
        INSERT INTO search_document (subject_id, org_id, kind, project_id, identifier, title, body)
            SELECT id, '{tenant.org_id}', '{kind}', id, '', 'T', '' FROM new;
        INSERT INTO search_passage SELECT id, '{tenant.org_id}', id, 0, 'T', uuid_send(id) FROM new;
        INSERT INTO search_vector SELECT id, {model.model_id}, '{tenant.org_id}', id,
            l2_normalize(direction::float8[]::real[]::vector)::halfvec FROM new;
        COMMIT
        """
    )


async def nearest_ten(tenant: Tenant, model: Serving, wanted: Vector, kinds: list[Subject]) -> list[UUID]:
    """The ten nearest of these kinds, in order, all compared."""
    rows = await factories.rows(
        "SELECT subject_id FROM search_vector JOIN search_document USING (org_id, subject_id) "
        "WHERE org_id = $1 AND model_id = $2 AND kind = ANY($4::text[]) "
        "ORDER BY (embedding <#> $3::text::halfvec) + 0 LIMIT 10",
        tenant.org_id,
        model.model_id,
        indexing.written(array("f", wanted)),
        [kind.value for kind in kinds],
    )
    return [row["subject_id"] for row in rows]
