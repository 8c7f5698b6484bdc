"""The demo data are complete, written once and all at once, the same in every database, and can be signed in to."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import RFC_4122, UUID

import pytest

from domain.adapters.wiring import Adapters
from domain.base.clock import new_id, now
from domain.base.errors import Taken
from domain.base.settings import Settings
from domain.demo import seed
from domain.demo.ids import numbered
from domain.demo.people import EVERYBODY, PASSWORD
from domain.demo.shapes import Person
from domain.demo.tenants import ACME, GLOBEX, TENANTS
from tests.client import GraphQL
from tests.factories import execute, rows

SIGN_IN = "mutation($input: SignInInput!) { signIn(input: $input) { token errors { code message path } } }"
LOOK = "{ viewer { user { name } emailVerified organizations(first: 10) { nodes { slug } } } }"


@dataclass(frozen=True)
class Seedings:
    """What a try with a taken slug left behind, and what two at the same moment answered after it."""

    left: list[dict[str, Any]]
    answers: list[bool]


@pytest.fixture(scope="module")
async def seedings(settings: Settings) -> Seedings:
    squatter = new_id()
    await execute(
        "INSERT INTO organization (id, name, slug, version, created_at, updated_at) VALUES ($1, $2, $3, 1, $4, $4)",
        squatter, "Squatter", GLOBEX.slug, now(),
    )  # fmt: skip
    with pytest.raises(Taken):
        await seed.seed()
    left = await rows("SELECT id FROM organization WHERE id = ANY($1)", [tenant.id for tenant in TENANTS])
    await execute("DELETE FROM organization WHERE id = $1", squatter)
    return Seedings(left, list(await asyncio.gather(seed.seed(), seed.seed())))


async def _counts(org_id: UUID) -> dict[str, int]:
    tables = ("project", "task", "label", "task_label", "task_relation", "comment", "comment_mention", "membership")
    counted = ", ".join(f"(SELECT count(*) FROM {table} WHERE org_id = $1) AS {table}" for table in tables)
    (found,) = await rows(f"SELECT {counted}", org_id)
    return found


async def _everything() -> dict[str, tuple[int, str | None]]:
    """Table -> its number of rows and a digest of them all."""
    tables = await rows("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
    found = {}
    for name in [table["tablename"] for table in tables]:
        (state,) = await rows(
            f"SELECT count(*) AS count, md5(string_agg(t::text, ' ' ORDER BY t::text)) AS digest FROM {name} AS t"
        )
        found[name] = (state["count"], state["digest"])
    return found


def test_a_failure_leaves_no_organization(seedings: Seedings) -> None:
    assert seedings.left == []


def test_two_at_the_same_moment_write_one_copy(seedings: Seedings) -> None:
    assert sorted(seedings.answers) == [False, True]


async def test_repeating_it_changes_nothing(seedings: Seedings, settings: Settings) -> None:
    before = await _everything()

    written = await seed.seed()

    assert not written
    assert await _everything() == before
    assert before["event"][0] > 500


async def test_a_seeded_database_is_not_empty(seedings: Seedings) -> None:
    assert not await seed.is_empty()


async def test_acme_has_three_projects_with_120_tasks_and_globex_one_small_one(seedings: Seedings) -> None:
    per_project = await rows(
        "SELECT project.key, count(*) FROM task JOIN project ON project.id = task.project_id "
        "WHERE task.org_id = ANY($1) GROUP BY 1",
        [tenant.id for tenant in TENANTS],
    )

    assert {row["key"]: row["count"] for row in per_project} == {"WEB": 42, "APP": 42, "OPS": 36, "GATE": 6}
    assert await _counts(ACME.id) == {
        "project": 3,
        "task": 120,
        "label": 10,
        "task_label": 135,
        "task_relation": 32,
        "comment": 64,
        "comment_mention": 12,
        "membership": 4,
    }
    assert await _counts(GLOBEX.id) == {
        "project": 1,
        "task": 6,
        "label": 3,
        "task_label": 5,
        "task_relation": 0,
        "comment": 1,
        "comment_mention": 0,
        "membership": 1,
    }


async def test_acme_shows_every_kind_of_thing(seedings: Seedings) -> None:
    states = await rows(
        "SELECT DISTINCT workflow_state.category FROM task JOIN workflow_state ON workflow_state.id = task.state_id "
        "WHERE task.org_id = $1",
        ACME.id,
    )
    kinds = await rows("SELECT DISTINCT kind FROM task_relation WHERE org_id = $1", ACME.id)
    priorities = await rows("SELECT DISTINCT priority FROM task WHERE org_id = $1 ORDER BY 1", ACME.id)
    (levels,) = await rows(
        "WITH RECURSIVE tree AS (SELECT id, 1 AS level FROM task WHERE org_id = $1 AND parent_id IS NULL UNION ALL "
        "SELECT child.id, tree.level + 1 FROM task AS child JOIN tree ON child.parent_id = tree.id) "
        "SELECT max(level) AS deepest FROM tree",
        ACME.id,
    )
    (some,) = await rows(
        "SELECT (SELECT count(*) > 0 FROM comment WHERE org_id = $1 AND reply_to_id IS NOT NULL) AS replies, "
        "count(archived_at) > 0 AS archived, count(DISTINCT assignee_id) AS assignees, "
        "count(*) > count(assignee_id) AS nobodys FROM task WHERE org_id = $1",
        ACME.id,
    )

    assert {row["category"] for row in states} == {"BACKLOG", "TODO", "IN_PROGRESS", "DONE", "CANCELED"}
    assert {row["kind"] for row in kinds} == {"BLOCKS", "RELATES_TO", "DUPLICATES"}
    assert [row["priority"] for row in priorities] == [0, 1, 2, 3, 4]
    assert levels == {"deepest": 3}
    assert some == {"replies": True, "archived": True, "assignees": 4, "nobodys": True}


async def test_each_task_has_the_identifier_by_which_the_content_names_it(seedings: Seedings) -> None:
    found = await rows("SELECT identifier, title FROM task WHERE org_id = ANY($1)", [t.id for t in TENANTS])

    assert {row["identifier"]: row["title"] for row in found} == {
        f"{project.key}-{task.number}": task.title
        for tenant in TENANTS
        for project in tenant.projects
        for task in project.tasks
    }


@pytest.mark.parametrize("org_id", [ACME.id, GLOBEX.id], ids=["acme", "globex"])
async def test_the_log_tells_two_months_in_order(seedings: Seedings, org_id: UUID) -> None:
    found = await rows("SELECT seq, occurred_at, id FROM event WHERE org_id = $1 ORDER BY seq", org_id)
    (ages,) = await rows(
        "SELECT min(created_at) > '2026-09-18' AS none_older, max(updated_at) < '2026-11-20' AS none_younger, "
        "bool_and(completed_at BETWEEN created_at AND updated_at) AS completed_between FROM task WHERE org_id = $1",
        org_id,
    )

    assert [row["seq"] for row in found] == list(range(1, len(found) + 1))
    assert [row["occurred_at"] for row in found] == sorted(row["occurred_at"] for row in found)
    assert [row["id"] for row in found] == sorted(row["id"] for row in found)
    assert ages == {"none_older": True, "none_younger": True, "completed_between": True}


async def test_ids_are_the_same_in_every_database(seedings: Seedings) -> None:
    people = await rows("SELECT id FROM users WHERE email = 'member@acme.test'")
    organizations = await rows("SELECT id FROM organization WHERE slug = 'acme'")
    tasks = await rows("SELECT id FROM task WHERE org_id = $1 AND identifier = 'WEB-1'", ACME.id)

    assert people == [{"id": UUID("01a0b387-8c00-7000-8000-000000000002")}]
    assert organizations == [{"id": UUID("01a0b387-8c00-7000-8000-00000000000b")}]
    assert tasks == [{"id": UUID("01a0c387-dc40-7000-8000-000000000079")}]


async def test_every_id_is_one_of_version_7(seedings: Seedings) -> None:
    org_ids = [tenant.id for tenant in TENANTS]
    found = []
    for table in ("project", "workflow_state", "task", "label", "task_label", "task_relation", "comment", "event"):
        found += await rows(f"SELECT id FROM {table} WHERE org_id = ANY($1)", org_ids)
    ids = [UUID(str(row["id"])) for row in found] + [person.id for person in EVERYBODY]

    assert {(id.version, id.variant) for id in ids} == {(7, RFC_4122)}
    assert len(ids) == len(set(ids))


def test_an_id_holds_its_millisecond_and_count() -> None:
    id = numbered(5)

    # 2026-09-18T08:00:00Z in milliseconds.
    assert id.int >> 80 == 1_789_718_400_000
    assert id.int & 0xFFFF_FFFF == 5


@pytest.mark.parametrize("person", EVERYBODY, ids=[person.email for person in EVERYBODY])
async def test_everybody_signs_in_with_the_demo_password(
    seedings: Seedings, adapters: Adapters, person: Person
) -> None:
    payload = await GraphQL().done(SIGN_IN, input={"email": person.email, "password": PASSWORD})

    seen = await GraphQL(payload["token"]).ok(LOOK)

    (slug,) = [tenant.slug for tenant in TENANTS if person in tenant.people]
    assert seen["viewer"] == {
        "user": {"name": person.name},
        "emailVerified": True,
        "organizations": {"nodes": [{"slug": slug}]},
    }


def test_the_sign_in_line_names_an_account() -> None:
    assert seed.SIGN_IN == "sign in: member@acme.test / planwire-demo"
