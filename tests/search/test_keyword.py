"""Finding by words: which words find what, in which order, and what is never found."""

import pytest

from domain.base.database import acting_for
from domain.comments import service as comments
from domain.projects import service as projects
from domain.projects.queries import ProjectRow
from domain.search import keyword
from domain.search.models import Subject
from domain.search.scope import Scope
from domain.search.wanted import wanted
from domain.tasks import service as tasks
from domain.tasks import transfer
from tests.factories import Tenant, make_project, make_task
from tests.search.searching import names, searched


async def make_tasks(acme: Tenant, project: ProjectRow, *titles: str) -> None:
    for title in titles:
        await make_task(acme.member, project, title=title)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        # Words in another form, all of them, in the title before the text.
        ("reset password", ["WEB-1"]),
        ("passwords resetting", ["WEB-1"]),
        ("login", ["WEB-2", "WEB-1"]),
        # The last word may be unfinished, also where the dictionary leaves less of it than is written.
        ("pas", ["WEB-1"]),
        ("login pag", ["WEB-2", "WEB-1"]),
        ("organiza", ["WEB-3"]),
        ("notificati", ["WEB-3"]),
        # Phrases, exclusions, choices.
        ('"login page"', ["WEB-2"]),
        ('"page login"', []),
        ("login -page", ["WEB-1"]),
        ('login -"login page"', ["WEB-1"]),
        ("teal or notifications", ["WEB-2", "WEB-3"]),
        # Words in no dictionary's sense.
        ("E1042", ["WEB-3"]),
        ("größe", ["WEB-4"]),
        ("GRÖSSE", []),
        # What says nothing finds nothing.
        ("the", []),
        ("of the", []),
        ("-login", []),
        ("?!", []),
        ("or", []),
        ("o", []),
        # Each document has its organization's id in the index too.
        ("org", ["WEB-3"]),
    ],
)
async def test_words_find_what_has_them(acme: Tenant, project: ProjectRow, query: str, found: list[str]) -> None:
    await make_task(acme.member, project, title="Users cannot reset a password", description="The login refuses it.")
    await make_task(acme.member, project, title="Login page", description="It should be teal, says the customer.")
    await make_task(acme.member, project, title="Notifications of an organization", description="They say E1042.")
    await make_task(acme.member, project, title="Die Größe der Kacheln")

    assert sorted(await names(acme.member, acme, query)) == sorted(found)
    if query == "login":
        assert await names(acme.member, acme, query) == found


async def test_where_few_have_all_words_those_with_some_follow_rare_words_first(
    acme: Tenant, project: ProjectRow
) -> None:
    await make_tasks(acme, project, "Invoice page", "Invoice page", "Invoice page", "Zebra crossing", "Zebra invoice")

    assert await names(acme.member, acme, "invoice zebra") == ["WEB-5", "WEB-4", "WEB-1", "WEB-2", "WEB-3"]
    assert await names(acme.member, acme, "invoice zebra -page") == ["WEB-5", "WEB-4"]


async def test_where_enough_have_all_words_no_others_are_found(acme: Tenant, project: ProjectRow) -> None:
    await make_tasks(acme, project, *["Zebra invoice"] * 10, "Zebra crossing")

    found = await names(acme.member, acme, "invoice zebra", first=100)

    assert sorted(found) == sorted(f"WEB-{number}" for number in range(1, 11))


async def test_an_identifier_finds_its_task_first_and_exactly(acme: Tenant, project: ProjectRow) -> None:
    await make_tasks(acme, project, *["Something else"] * 12)
    await make_task(acme.member, project, title="Blocked by WEB-1", description="See WEB-1, WEB-1 and again WEB-1.")

    assert (await names(acme.member, acme, "web-1"))[:2] == ["WEB-1", "WEB-13"]
    assert (await names(acme.member, acme, "WEB-13"))[0] == "WEB-13"
    assert (await names(acme.member, acme, "blocked web-12"))[0] == "WEB-12"
    assert (await names(acme.member, acme, "web-1", mode="HYBRID"))[0] == "WEB-1"


async def test_a_former_identifier_still_finds_its_task(acme: Tenant, project: ProjectRow) -> None:
    other = await make_project(acme.member, acme, name="Other", key="OTH")
    task = await make_task(acme.member, project, title="Moved away")

    async with acme.member.acting() as actor:
        await transfer.transfer(actor, task.id, project_id=other.id)

    assert await names(acme.member, acme, "WEB-1") == ["OTH-1"]
    assert await names(acme.member, acme, "OTH-1") == ["OTH-1"]


async def test_kinds_and_projects_are_told_apart(acme: Tenant, project: ProjectRow) -> None:
    other = await make_project(acme.member, acme, name="Zebra park", key="ZOO")
    task = await make_task(acme.member, project, title="Zebra")
    await make_task(acme.member, other, title="Another zebra")
    async with acme.member.acting() as actor:
        await comments.create(actor, task.id, body="zebra!")

    everything = ["WEB-1", "ZOO", "ZOO-1", "zebra!"]
    assert sorted(await names(acme.member, acme, "zebra")) == everything
    assert await names(acme.member, acme, "zebra", subjects=["TASK"]) == ["WEB-1", "ZOO-1"]
    assert await names(acme.member, acme, "zebra", subjects=["COMMENT"]) == ["zebra!"]
    assert await names(acme.member, acme, "zebra", subjects=["PROJECT"]) == ["ZOO"]
    assert await names(acme.member, acme, "zebra", subjects=[]) == []
    in_web = await names(acme.member, acme, "zebra", project=f"project_{project.id.hex}")
    assert sorted(in_web) == ["WEB-1", "zebra!"]
    assert await names(acme.member, acme, "ZOO-1", project=f"project_{project.id.hex}") == []


async def test_what_is_archived_is_not_found(acme: Tenant, project: ProjectRow) -> None:
    other = await make_project(acme.member, acme, name="Zebra park", key="ZOO")
    task = await make_task(acme.member, project, title="Zebra")
    async with acme.member.acting() as actor:
        await comments.create(actor, task.id, body="zebra!")
        await tasks.archive(actor, task.id)
        await projects.archive(actor, other.id)

    assert await names(acme.member, acme, "zebra") == []
    assert await names(acme.member, acme, "WEB-1") == []

    async with acme.member.acting() as actor:
        await tasks.unarchive(actor, task.id)

    assert sorted(await names(acme.member, acme, "zebra")) == ["WEB-1", "zebra!"]


async def test_scores_fall_and_compare(acme: Tenant, project: ProjectRow) -> None:
    await make_tasks(acme, project, "Zebra invoice", "Zebra", "Invoice of a zebra", "Invoice")

    found = await searched(acme.member, acme, "zebra invoice")

    scores = [node["score"] for node in found["nodes"]]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)
    # What has all words is above one, what has some of them below.
    assert [score > 1 for score in scores] == [True, True, False, False]
    with acting_for([acme.org_id]):
        ranked = await keyword.by_words(Scope(acme.org_id, tuple(Subject)), wanted("zebra invoice"))
    # Beside what is found by meaning, the former count whole, and the latter for their part.
    assert [each.weight for each in ranked] == [1.0, 1.0, *scores[2:]]
