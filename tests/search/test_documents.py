"""The text that is found by its words: current with the commit of the change, and nobody else's."""

from typing import Any
from uuid import UUID

import pytest

from domain.base.actor import Actor
from domain.base.database import acting_for, fetch
from domain.base.sql import Row, sql
from domain.comments import service as comments
from domain.projects import service as projects
from domain.search.models import Subject
from domain.tasks import service as tasks
from domain.tasks import transfer
from tests import factories
from tests.factories import Tenant, make_project, make_task
from tests.tasks.races import uncommitted, waiting

EVERY = [subject.value for subject in Subject]


async def words(org_id: UUID, query: str, *, kinds: list[str] = EVERY, project_id: UUID | None = None) -> list[UUID]:
    """What the caller's organization has for the words, the best first."""
    rows = await fetch(
        sql(
            "SELECT subject_id FROM search_words({}, websearch_to_tsquery(search_language(), {}), {}::text[], {}, 10)",
            org_id,
            query,
            kinds,
            project_id,
        ),
        Row,
    )
    return [row["subject_id"] for row in rows]


async def document(subject_id: UUID) -> dict[str, Any]:
    """The row, as the owner sees it."""
    (row,) = await factories.rows(
        "SELECT kind, project_id, task_id, archived, identifier, title, body, changed_at, ctid::text AS place "
        "FROM search_document WHERE subject_id = $1",
        subject_id,
    )
    return row


async def test_texts_are_found_with_the_commit_that_writes_them(acme: Tenant) -> None:
    async with acme.admin.acting() as actor:
        project = await projects.create(actor, acme.org_id, key="WEB", name="Website", description="Marketing pages")
        task = await make_task(acme.admin, project, title="Customers cannot sign in")
        comment = await comments.create(actor, task.id, body="The cookie has expired")

        assert await words(acme.org_id, "pages") == [project.id]
        assert await words(acme.org_id, "customer") == [task.id]
        assert await words(acme.org_id, "cookies") == [comment.id]
        assert await words(acme.org_id, "WEB-1") == [task.id]
        assert await words(acme.org_id, "web") == [project.id, task.id]

        await projects.update(actor, project.id, description="Pages nobody reads")
        await tasks.update(actor, task.id, title="Visitors stay outside", description="A session is missing")
        await comments.update(actor, comment.id, body="The certificate it was")

        assert await words(acme.org_id, "marketing") == []
        assert await words(acme.org_id, "customer") == []
        assert await words(acme.org_id, "cookies") == []
        assert await words(acme.org_id, "reading") == [project.id]
        assert await words(acme.org_id, "session") == [task.id]
        assert await words(acme.org_id, "certificates") == [comment.id]

        await comments.delete(actor, comment.id)

        assert await words(acme.org_id, "certificates") == []


async def test_a_search_can_be_narrowed_to_kinds_and_a_project(acme: Tenant) -> None:
    one, other = (
        await make_project(acme.admin, acme, name="Rocket"),
        await make_project(acme.admin, acme, name="Balloon"),
    )
    first, second = await make_task(acme.admin, one, title="Launch"), await make_task(acme.admin, other, title="Launch")

    async with acme.member.acting() as actor:
        comment = await comments.create(actor, first.id, body="Launch tomorrow")

        assert set(await words(acme.org_id, "launch")) == {first.id, second.id, comment.id}
        assert await words(acme.org_id, "launch", kinds=["COMMENT"]) == [comment.id]
        assert await words(acme.org_id, "launch", project_id=other.id) == [second.id]
        assert await words(acme.org_id, "rocket", project_id=one.id) == [one.id]
        assert await words(acme.org_id, "rocket", project_id=other.id) == []


async def test_words_of_another_organization_are_never_returned(acme: Tenant, globex: Tenant) -> None:
    project = await make_project(globex.admin, globex)
    theirs = await make_task(globex.admin, project, title="Merger with Initech")

    with acting_for([acme.org_id]):
        assert await words(acme.org_id, "merger") == []
        # Called directly, with the id of the organization that has it.
        assert await words(globex.org_id, "merger") == []
        assert await words(globex.org_id, "-nothing") == []
    with acting_for([]):
        assert await words(globex.org_id, "merger") == []
    with acting_for([acme.org_id, globex.org_id]):
        assert await words(acme.org_id, "merger") == []
        assert await words(globex.org_id, "merger") == [theirs.id]
        # The word that names an organization is none that a text can have.
        assert await words(acme.org_id, f"org:{globex.org_id}") == []


async def test_nobody_else_may_call_the_function_of_the_system_role(acme: Tenant) -> None:
    grants = await factories.rows(
        "SELECT pg_get_userbyid(grantee) AS role FROM pg_proc, aclexplode(proacl) "
        "WHERE proname = 'search_words' AND privilege_type = 'EXECUTE' ORDER BY 1"
    )
    owned = await factories.rows(
        "SELECT pg_get_userbyid(proowner) AS role, prosecdef, proconfig FROM pg_proc WHERE proname = 'search_words'"
    )

    assert [grant["role"] for grant in grants] == ["planwire_app", "planwire_system"]
    assert owned == [
        {"role": "planwire_system", "prosecdef": True, "proconfig": ["search_path=pg_catalog, public, pg_temp"]}
    ]


async def test_what_is_archived_is_not_found_until_it_is_taken_out_again(acme: Tenant) -> None:
    project = await make_project(acme.admin, acme, name="Rocket")
    task = await make_task(acme.admin, project, title="Launch")

    async with acme.admin.acting() as actor:
        comment = await comments.create(actor, task.id, body="Launch tomorrow")
        await tasks.archive(actor, task.id)
        later = await comments.create(actor, task.id, body="Launch is over")

        assert await words(acme.org_id, "launch") == []

        await tasks.unarchive(actor, task.id)

        assert set(await words(acme.org_id, "launch")) == {task.id, comment.id, later.id}

        await projects.archive(actor, project.id)

        assert await words(acme.org_id, "rocket") == []


@pytest.mark.parametrize("first", ["comment", "archive"])
async def test_a_comment_beside_the_archiving_of_its_task_is_archived_with_it(acme: Tenant, first: str) -> None:
    project = await make_project(acme.admin, acme)
    task = await make_task(acme.admin, project, title="Launch")

    async def comment(actor: Actor) -> None:
        await comments.create(actor, task.id, body="Launch tomorrow")

    async def archive(actor: Actor) -> None:
        await tasks.archive(actor, task.id)

    acts = [comment, archive] if first == "comment" else [archive, comment]

    async with acme.admin.acting() as actor:
        async with uncommitted(acme.member, acts[0]):
            later = await waiting(acts[1](actor))
            assert not later.done()
        await later

    found = await factories.rows("SELECT kind, archived FROM search_document WHERE project_id = $1", project.id)
    assert {(row["kind"], row["archived"]) for row in found} == {("PROJECT", False), ("TASK", True), ("COMMENT", True)}


async def test_a_transfer_takes_the_documents_along(acme: Tenant) -> None:
    old, new = await make_project(acme.admin, acme, key="OLD"), await make_project(acme.admin, acme, key="NEW")
    task = await make_task(acme.admin, old, title="Launch")

    async with acme.admin.acting() as actor:
        comment = await comments.create(actor, task.id, body="Tomorrow")
        before = await document(task.id)
        await transfer.transfer(actor, task.id, project_id=new.id)

    moved, of_comment = await document(task.id), await document(comment.id)
    assert (moved["project_id"], moved["identifier"]) == (new.id, "NEW-1")
    assert of_comment["project_id"] == new.id
    # The text is the same, so nothing is embedded again.
    assert moved["changed_at"] == before["changed_at"]


async def test_a_deleted_task_takes_its_documents_along(acme: Tenant) -> None:
    project = await make_project(acme.admin, acme)
    task = await make_task(acme.admin, project, title="Launch")
    below = await make_task(acme.admin, project, title="Fuel", parent_id=task.id)

    async with acme.admin.acting() as actor:
        comment = await comments.create(actor, below.id, body="Tomorrow")
        await tasks.delete(actor, task.id)

    left = await factories.rows(
        "SELECT subject_id FROM search_document WHERE subject_id = ANY($1)", [task.id, below.id, comment.id]
    )
    assert left == []
