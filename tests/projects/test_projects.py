"""Projects: made, changed, put away and deleted."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.base.clock import frozen, new_id
from domain.base.database import tx
from domain.base.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, StaleVersion, Taken, UserErrors
from domain.base.permissions import Permission
from domain.organizations import memberships
from domain.projects import queries
from domain.projects import service as projects
from domain.projects import workflow_states as states
from domain.projects.models import ProjectStatus, StateCategory
from domain.tasks import service as tasks
from tests.factories import Tenant, events, make_project, make_task, rows, states_of
from tests.projects.facts import Logged, change, logged

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


async def project_rows(tenant: Tenant) -> list[dict[str, Any]]:
    return await rows("SELECT * FROM project WHERE org_id = $1 ORDER BY id", tenant.org_id)


async def test_a_project_begins_with_five_states_and_no_number(acme: Tenant) -> None:
    async with acme.member.acting() as actor:
        with frozen(NOON):
            project = await projects.create(
                actor,
                acme.org_id,
                name="Website",
                description="All of it",
                lead_id=acme.admin.user_id,
                start_date=date(2026, 1, 1),
                target_date=date(2026, 1, 1),
            )

    assert dict(project) == {
        "id": project.id,
        "org_id": acme.org_id,
        "key": "WEB",
        "name": "Website",
        "description": "All of it",
        "status": "PLANNED",
        "lead_id": acme.admin.user_id,
        "start_date": date(2026, 1, 1),
        "target_date": date(2026, 1, 1),
        "archived_at": None,
        "version": 1,
        "created_at": NOON,
        "updated_at": NOON,
    }
    found = await rows(
        "SELECT name, category, position, restricted FROM workflow_state WHERE project_id = $1 ORDER BY position",
        project.id,
    )
    assert [tuple(row.values()) for row in found] == [
        ("Backlog", "BACKLOG", 0, False),
        ("Todo", "TODO", 1, False),
        ("In progress", "IN_PROGRESS", 2, False),
        ("Done", "DONE", 3, False),
        ("Canceled", "CANCELED", 4, False),
    ]
    counters = await rows("SELECT org_id, last_number FROM project_counter WHERE project_id = $1", project.id)
    assert counters == [{"org_id": acme.org_id, "last_number": 0}]
    assert await logged(acme.org_id) == [
        Logged(
            "PROJECT_CREATED",
            project.id,
            project.id,
            {"key": "WEB", "lead_id": str(acme.admin.user_id)},
            {"name": "Website"},
        )
    ]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Website", "WEB"),
        ("mobile app", "MOB"),
        ("Q3", "Q3"),
        ("3 Gänge", "3GA"),
        ("Überblick", "UBE"),
        ("ßig neu", "SSI"),
        ("日本語", "PRJ"),
        ("--a--", "PRJ"),
    ],
)
def test_a_key_is_made_of_the_first_letters_and_digits(name: str, key: str) -> None:
    assert next(projects.keys_for(name)) == key


@given(st.text(max_size=20))
def test_made_keys_are_valid_and_the_first_999_all_different(name: str) -> None:
    made = list(islice(projects.keys_for(name), 1200))

    assert len(set(made[:999])) == 999
    assert all(2 <= len(key) <= 6 and key.isascii() and key.isalnum() and key.upper() == key for key in made)


async def test_a_made_key_that_is_taken_gets_a_number(acme: Tenant, globex: Tenant) -> None:
    made = [(await make_project(acme.member, acme, name=name)).key for name in ("Website", "Web shop", "WEBINARS")]

    elsewhere = await make_project(globex.member, globex, name="Website")

    assert made == ["WEB", "WEB2", "WEB3"]
    assert elsewhere.key == "WEB"


async def test_projects_made_at_once_with_one_name_all_get_a_key(acme: Tenant) -> None:
    made = await asyncio.gather(*(make_project(acme.member, acme, name="Website") for _ in range(6)))

    assert sorted(project.key for project in made) == ["WEB", "WEB2", "WEB3", "WEB4", "WEB5", "WEB6"]
    assert await events(acme.org_id) == ["PROJECT_CREATED"] * 6
    assert await rows("SELECT count(*) FROM workflow_state WHERE org_id = $1", acme.org_id) == [{"count": 30}]


async def test_of_two_projects_made_at_once_with_one_given_key_one_is_refused(acme: Tenant) -> None:
    outcomes = await asyncio.gather(
        *(make_project(acme.member, acme, key="OPS") for _ in range(2)), return_exceptions=True
    )

    (refusal,) = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert isinstance(refusal, Taken)
    assert [row["key"] for row in await project_rows(acme)] == ["OPS"]
    assert await events(acme.org_id) == ["PROJECT_CREATED"]


async def test_a_given_key_that_is_taken_is_refused(acme: Tenant) -> None:
    await make_project(acme.member, acme, key="OPS")
    before = await project_rows(acme)

    with pytest.raises(Taken) as refusal:
        await make_project(acme.admin, acme, name="Operations", key="OPS")

    assert refusal.value.path == ("key",)
    assert await project_rows(acme) == before
    assert await events(acme.org_id) == ["PROJECT_CREATED"]


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"name": "ab"}, "name"),
        ({"name": "a" * 121}, "name"),
        ({"name": "   "}, "name"),
        ({"key": "W"}, "key"),
        ({"key": "WEBSITE"}, "key"),
        ({"key": "web"}, "key"),
        ({"key": "WEB\n"}, "key"),
        ({"key": "WÉB"}, "key"),
        ({"description": "a" * 10_001}, "description"),
        ({"start_date": date(2026, 5, 2), "target_date": date(2026, 5, 1)}, "target_date"),
    ],
)
async def test_a_malformed_project_is_refused(acme: Tenant, values: dict[str, Any], path: str) -> None:
    with pytest.raises(UserErrors) as refusal:
        await make_project(acme.member, acme, **values)

    assert [(type(error), error.path) for error in refusal.value.errors] == [(Invalid, (path,))]
    assert await project_rows(acme) == []
    assert await events(acme.org_id) == []


async def test_all_faults_of_a_project_are_told_at_once(acme: Tenant) -> None:
    with pytest.raises(UserErrors) as refusal:
        await make_project(acme.member, acme, name="", key="!", description="a" * 10_001)

    assert [error.path for error in refusal.value.errors] == [("name",), ("description",), ("key",)]


async def test_the_lead_must_be_a_member_of_today(acme: Tenant, globex: Tenant) -> None:
    project = await make_project(acme.member, acme)
    async with acme.admin.acting() as admin:
        (left,) = await rows("SELECT id FROM membership WHERE user_id = $1", acme.guest.user_id)
        await memberships.delete(admin, left["id"])
    before = await project_rows(acme)
    refusals = []

    for stranger in (acme.guest.user_id, globex.member.user_id, new_id()):
        with pytest.raises(Invalid) as refusal:
            await make_project(acme.member, acme, lead_id=stranger)
        refusals.append((str(refusal.value), refusal.value.path))
        async with acme.member.acting() as actor:
            with pytest.raises(Invalid) as refusal:
                await projects.update(actor, project.id, lead_id=stranger)
        refusals.append((str(refusal.value), refusal.value.path))

    assert set(refusals) == {("Must be a member of the organization.", ("lead_id",))}
    assert await project_rows(acme) == before
    assert "PROJECT_UPDATED" not in await events(acme.org_id)


async def test_a_lead_who_left_stays_named_and_does_not_hinder_other_changes(acme: Tenant) -> None:
    project = await make_project(acme.member, acme, lead_id=acme.guest.user_id)
    async with acme.admin.acting() as admin:
        (left,) = await rows("SELECT id FROM membership WHERE user_id = $1", acme.guest.user_id)
        await memberships.delete(admin, left["id"])

    async with acme.member.acting() as actor:
        after = await projects.update(actor, project.id, name="Web shop", lead_id=acme.guest.user_id)

    assert (after.name, after.lead_id) == ("Web shop", acme.guest.user_id)


async def test_an_update_changes_what_is_given_and_nothing_else(acme: Tenant) -> None:
    project = await make_project(acme.member, acme, description="Old", start_date=date(2026, 1, 1))
    other = await make_project(acme.member, acme)

    async with acme.member.acting() as actor:
        with frozen(NOON):
            after = await projects.update(
                actor,
                project.id,
                if_version=1,
                name="Web shop",
                description=None,
                status=ProjectStatus.ACTIVE,
                lead_id=acme.member.user_id,
                start_date=date(2026, 1, 1),
                target_date=date(2026, 2, 1),
            )

    assert dict(after) == {
        **dict(project),
        "name": "Web shop",
        "description": None,
        "status": "ACTIVE",
        "lead_id": acme.member.user_id,
        "target_date": date(2026, 2, 1),
        "version": 2,
        "updated_at": NOON,
    }
    assert await rows("SELECT version, name FROM project WHERE id = $1", other.id) == [
        {"version": 1, "name": "Website"}
    ]
    assert (await logged(acme.org_id, after=2)) == [
        Logged(
            "PROJECT_UPDATED",
            project.id,
            project.id,
            {
                "status": change("PLANNED", "ACTIVE"),
                "lead_id": change(None, str(acme.member.user_id)),
                "target_date": change(None, "2026-02-01"),
            },
            {"name": change("Website", "Web shop"), "description": change("Old", None)},
        )
    ]


async def test_an_update_that_changes_nothing_leaves_version_and_log_alone(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    before = await project_rows(acme)

    async with acme.member.acting() as actor:
        await projects.update(actor, project.id)
        await projects.update(actor, project.id, name="Website", status=ProjectStatus.PLANNED, description=None)

    assert await project_rows(acme) == before
    assert await events(acme.org_id) == ["PROJECT_CREATED"]


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"name": None}, "name"),
        ({"status": None}, "status"),
        ({"name": "ab"}, "name"),
        ({"description": "a" * 10_001}, "description"),
        ({"target_date": date(2026, 5, 1)}, "target_date"),
        ({"start_date": date(2026, 5, 21)}, "start_date"),
        ({"start_date": date(2026, 5, 21), "target_date": date(2026, 5, 20)}, "target_date"),
    ],
)
async def test_a_malformed_update_is_refused(acme: Tenant, values: dict[str, Any], path: str) -> None:
    project = await make_project(acme.member, acme, start_date=date(2026, 5, 10), target_date=date(2026, 5, 20))
    before = await project_rows(acme)

    async with acme.member.acting() as actor:
        with pytest.raises(UserErrors) as refusal:
            await projects.update(actor, project.id, **values)

    assert [(type(error), error.path) for error in refusal.value.errors] == [(Invalid, (path,))]
    assert await project_rows(acme) == before
    assert await events(acme.org_id) == ["PROJECT_CREATED"]


async def test_of_two_updates_of_one_version_one_is_stale(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)

    async def rename(name: str) -> None:
        async with acme.member.acting() as actor:
            await projects.update(actor, project.id, if_version=1, name=name)

    outcomes = await asyncio.gather(rename("First"), rename("Second"), return_exceptions=True)

    (refusal,) = [outcome for outcome in outcomes if outcome is not None]
    assert isinstance(refusal, StaleVersion)
    (row,) = await project_rows(acme)
    assert (row["version"], row["name"]) == (2, refusal.current.name)
    assert await events(acme.org_id) == ["PROJECT_CREATED", "PROJECT_UPDATED"]


async def test_archiving_and_taking_out_again_each_count_once(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)

    async with acme.member.acting() as actor:
        with frozen(NOON):
            archived = [await projects.archive(actor, project.id) for _ in range(2)]
        unarchived = [await projects.unarchive(actor, project.id) for _ in range(2)]

    assert [(row.archived_at, row.version) for row in archived] == [(NOON, 2)] * 2
    assert [(row.archived_at, row.version) for row in unarchived] == [(None, 3)] * 2
    assert await logged(acme.org_id, after=1) == [
        Logged("PROJECT_ARCHIVED", project.id, project.id, {}, {}),
        Logged("PROJECT_UNARCHIVED", project.id, project.id, {}, {}),
    ]


async def test_an_archived_project_refuses_changes_but_can_be_deleted(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    async with acme.admin.acting() as actor:
        await projects.archive(actor, project.id)
        before = await project_rows(acme)

        with pytest.raises(Conflict) as refusal:
            await projects.update(actor, project.id, name="Web shop")

        assert (str(refusal.value), refusal.value.path) == ("The project is archived.", ("id",))
        assert await project_rows(acme) == before
        await projects.delete(actor, project.id)
    assert await events(acme.org_id) == ["PROJECT_CREATED", "PROJECT_ARCHIVED", "PROJECT_DELETED"]


async def test_deleting_takes_everything_in_the_project_along_and_nothing_else(acme: Tenant) -> None:
    project, other = await make_project(acme.member, acme), await make_project(acme.member, acme)
    task = await make_task(acme.member, project)
    await make_task(acme.member, project, parent_id=task.id, title="Below")
    kept = await make_task(acme.member, other)
    ids = await states_of(project)
    async with acme.admin.acting() as actor:
        await states.transitions_set(actor, ids["Todo"], allowed_ids=[ids["Done"]])

        await projects.delete(actor, project.id)

    left = await rows(
        "SELECT (SELECT array_agg(id) FROM project WHERE org_id = $1) AS projects, "
        "(SELECT array_agg(DISTINCT project_id) FROM workflow_state WHERE org_id = $1) AS states, "
        "(SELECT count(*) FROM workflow_transition WHERE org_id = $1) AS transitions, "
        "(SELECT array_agg(project_id) FROM project_counter WHERE org_id = $1) AS counters, "
        "(SELECT array_agg(id) FROM task WHERE org_id = $1) AS tasks",
        acme.org_id,
    )
    assert left == [
        {"projects": [other.id], "states": [other.id], "transitions": 0, "counters": [other.id], "tasks": [kept.id]}
    ]
    assert (await logged(acme.org_id))[-1] == Logged(
        "PROJECT_DELETED", project.id, project.id, {"key": "WEB"}, {"name": "Website"}
    )


@pytest.mark.parametrize("role", ["guest", "billing"])
async def test_who_only_reads_cannot_make_a_project(acme: Tenant, role: str) -> None:
    with pytest.raises(Forbidden, match="PROJECT_CREATE"):
        await make_project(getattr(acme, role), acme)

    assert await project_rows(acme) == []
    assert await events(acme.org_id) == []


async def test_a_stranger_cannot_make_a_project(acme: Tenant, globex: Tenant) -> None:
    with pytest.raises(NotFound, match="organization"):
        await make_project(globex.admin, acme)

    assert await project_rows(acme) == []


CHANGES: dict[str, Any] = {
    "update": lambda actor, id: projects.update(actor, id, name="Other"),
    "archive": projects.archive,
    "unarchive": projects.unarchive,
    "delete": projects.delete,
}


@pytest.mark.parametrize("verb", CHANGES)
async def test_a_change_needs_its_permission(acme: Tenant, verb: str) -> None:
    project = await make_project(acme.member, acme)
    before = await project_rows(acme)
    person, permission = (acme.member, "PROJECT_DELETE") if verb == "delete" else (acme.guest, "PROJECT_UPDATE")

    async with person.acting() as actor:
        with pytest.raises(Forbidden, match=permission):
            await CHANGES[verb](actor, project.id)

    assert await project_rows(acme) == before
    assert await events(acme.org_id) == ["PROJECT_CREATED"]


@pytest.mark.parametrize("verb", CHANGES)
async def test_a_strangers_project_looks_like_none(acme: Tenant, globex: Tenant, verb: str) -> None:
    project = await make_project(acme.member, acme)
    before = await project_rows(acme)
    answers = []

    async with globex.admin.acting() as actor:
        for project_id in (project.id, new_id()):
            with pytest.raises(NotFound) as refusal:
                await CHANGES[verb](actor, project_id)
            answers.append(str(refusal.value))

    assert answers == ["There is no such project."] * 2
    assert await project_rows(acme) == before
    assert await events(acme.org_id) == ["PROJECT_CREATED"]


async def test_numbers_given_out_at_once_are_all_different(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)

    async def take(count: int) -> range:
        async with acme.member.acting(), tx():
            return await projects.next_numbers(project.id, count)

    given_out = await asyncio.gather(*(take(count) for count in (1, 3, 1, 5, 2)))

    assert sorted(number for numbers in given_out for number in numbers) == list(range(1, 13))
    assert sorted(map(len, given_out)) == [1, 1, 2, 3, 5]


async def until_somebody_waits() -> None:
    """Return once a connection waits for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(10):
        while (await rows(waiting))[0]["count"] == 0:
            pass


class Later:
    """Something that begins when it is told to, outside the transaction of whoever tells it."""

    def __init__(self, act: Callable[[], Awaitable[Any]]) -> None:
        self._begun = asyncio.Event()
        self.task = asyncio.create_task(self._run(act))

    async def _run(self, act: Callable[[], Awaitable[Any]]) -> Any:
        await self._begun.wait()
        return await act()

    def begin(self) -> None:
        """Let it run."""
        self._begun.set()


async def test_archiving_waits_for_a_change_that_holds_the_project(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)

    async def archive() -> None:
        async with acme.admin.acting() as actor:
            await projects.archive(actor, project.id)

    archiving = Later(archive)
    async with acme.member.acting() as actor:
        async with tx():
            await projects.open_for_tasks(actor, project.id, Permission.TASK_CREATE)
            archiving.begin()
            await until_somebody_waits()
            await tasks.create(actor, project.id, title="Just in time")
        await archiving.task
        with pytest.raises(Conflict, match="archived"):
            await tasks.create(actor, project.id, title="Too late")

    assert await events(acme.org_id) == ["PROJECT_CREATED", "TASK_CREATED", "PROJECT_ARCHIVED"]
    assert await rows("SELECT title FROM task WHERE project_id = $1", project.id) == [{"title": "Just in time"}]


async def test_a_change_waits_for_archiving_and_is_refused_then(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)

    async def add_state() -> None:
        async with acme.member.acting() as actor:
            await states.create(actor, project.id, name="Review", category=StateCategory.IN_PROGRESS)

    adding = Later(add_state)
    async with acme.admin.acting() as actor, tx():
        await projects.archive(actor, project.id)
        adding.begin()
        await until_somebody_waits()
    with pytest.raises(Conflict) as refusal:
        await adding.task

    assert refusal.value.path == ("project_id",)
    assert list(await states_of(project)) == ["Backlog", "Todo", "In progress", "Done", "Canceled"]
    assert await events(acme.org_id) == ["PROJECT_CREATED", "PROJECT_ARCHIVED"]


async def test_changes_of_tasks_hold_the_project_together(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)

    async def hold() -> str:
        async with acme.guest.acting() as actor, tx():
            return (await projects.open_for_tasks(actor, project.id, Permission.TASK_READ)).key

    holding = Later(hold)
    async with acme.member.acting() as actor, tx(), asyncio.timeout(10):
        await projects.open_for_tasks(actor, project.id, Permission.TASK_UPDATE)
        holding.begin()

        assert await holding.task == "WEB"


async def test_archiving_and_state_changes_at_once_never_leave_a_late_change(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)

    async def add_state(name: str) -> str | None:
        async with acme.member.acting() as actor:
            try:
                return str((await states.create(actor, project.id, name=name, category=StateCategory.TODO)).name)
            except DomainError:
                return None

    async def archive() -> None:
        async with acme.admin.acting() as actor:
            await projects.archive(actor, project.id)

    *added, _ = await asyncio.gather(*(add_state(f"State {n}") for n in range(5)), archive())

    kept = {name for name in added if name is not None}
    assert set(await states_of(project)) - {"Backlog", "Todo", "In progress", "Done", "Canceled"} == kept
    types = await events(acme.org_id)
    assert types == ["PROJECT_CREATED", *["WORKFLOW_STATE_CREATED"] * len(kept), "PROJECT_ARCHIVED"]


async def test_who_may_not_read_projects_sees_none(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    async with acme.member.acting() as actor:
        standing = actor.standings[acme.org_id]
        narrowed = type(standing)(standing.role, standing.permissions - {Permission.PROJECT_READ})
        actor.join(acme.org_id, narrowed)

        found = await queries.by_ids(actor, [project.id], ("id",))
        found_states = await queries.states_of_projects(actor, [project.id], ("id",))
        with pytest.raises(NotFound):
            await projects.create(actor, acme.org_id, name="Unseen")

    assert (found, found_states) == ({}, {})
    assert [row["name"] for row in await project_rows(acme)] == ["Website"]
    assert await events(acme.org_id) == ["PROJECT_CREATED"]
