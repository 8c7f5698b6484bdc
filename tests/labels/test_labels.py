"""Labels: made, changed and deleted by who may change projects."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from domain.base.actor import Actor
from domain.base.clock import new_id
from domain.base.errors import Forbidden, Invalid, NotFound, Taken, UserErrors
from domain.labels import queries
from domain.labels import service as labels
from domain.labels.queries import LabelRow
from graph.base.ids import global_id
from tests.client import GraphQL
from tests.factories import Person, Tenant, events, make_project, make_task, rows, statements
from tests.projects.facts import Logged, change, logged

CREATE = """
mutation ($input: LabelCreateInput!) {
  labelCreate(input: $input) { label { id name color description } errors { __typename code path message } }
}
"""
UPDATE = """
mutation ($id: ID!, $input: LabelUpdateInput!) {
  labelUpdate(id: $id, input: $input) { label { id name color description } errors { code path } }
}
"""
DELETE = "mutation ($id: ID!) { labelDelete(id: $id) { deletedId errors { code } } }"
PAGE = """
query ($id: ID!, $first: Int, $after: String) {
  organization(id: $id) {
    labels(first: $first, after: $after) { nodes { name } totalCount pageInfo { hasNextPage endCursor } }
  }
}
"""


async def make_label(person: Person, tenant: Tenant, name: str = "Bug", **values: Any) -> LabelRow:
    async with person.acting() as actor:
        return await labels.create(actor, tenant.org_id, **{"name": name, "color": "#ff0000", **values})


async def label_rows(tenant: Tenant) -> list[dict[str, Any]]:
    return await rows("SELECT * FROM label WHERE org_id = $1 ORDER BY id", tenant.org_id)


def label_id(label: LabelRow) -> str:
    return global_id("label", label.id)


async def test_a_label_is_made(acme: Tenant) -> None:
    label = await make_label(acme.member, acme, description="Something is wrong")

    (row,) = await label_rows(acme)
    assert row == {name: label[name] for name in row}
    assert (label.org_id, label.name, label.color, label.description) == (
        acme.org_id,
        "Bug",
        "#ff0000",
        "Something is wrong",
    )
    assert await logged(acme.org_id) == [Logged("LABEL_CREATED", label.id, None, {"color": "#ff0000"}, {"name": "Bug"})]


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"name": ""}, "name"),
        ({"name": "\t "}, "name"),
        ({"name": "a" * 51}, "name"),
        ({"color": "red"}, "color"),
        ({"color": "#ff000"}, "color"),
        ({"color": "#ff0000\n"}, "color"),
        ({"color": "#gg0000"}, "color"),
        ({"description": "a" * 501}, "description"),
    ],
)
async def test_a_malformed_label_is_refused(acme: Tenant, values: dict[str, Any], path: str) -> None:
    with pytest.raises(UserErrors) as refusal:
        await make_label(acme.member, acme, **values)

    assert [(type(error), error.path) for error in refusal.value.errors] == [(Invalid, (path,))]
    assert await label_rows(acme) == []
    assert await events(acme.org_id) == []


async def test_the_longest_label_is_accepted(acme: Tenant) -> None:
    label = await make_label(acme.member, acme, name="ü" * 50, color="#AbCdEf", description="a" * 500)

    assert (label.name, label.color, label.description) == ("ü" * 50, "#AbCdEf", "a" * 500)


async def test_a_name_is_taken_whatever_its_case_in_its_own_organization_only(acme: Tenant, globex: Tenant) -> None:
    await make_label(acme.member, acme, "Bug")
    other = await make_label(acme.member, acme, "Idea")
    await make_label(globex.member, globex, "Bug")
    before = await label_rows(acme)

    async with acme.member.acting() as actor:
        for attempt in (
            labels.create(actor, acme.org_id, name="bUG", color="#00ff00"),
            labels.update(actor, other.id, name="BUG"),
        ):
            with pytest.raises(Taken) as refusal:
                await attempt
            assert refusal.value.path == ("name",)

    assert await label_rows(acme) == before
    assert await events(acme.org_id) == ["LABEL_CREATED"] * 2


async def test_a_label_may_change_the_case_of_its_own_name(acme: Tenant) -> None:
    label = await make_label(acme.member, acme, "bug")

    async with acme.member.acting() as actor:
        after = await labels.update(actor, label.id, name="BUG")

    assert after.name == "BUG"


async def test_of_labels_made_at_once_with_one_name_one_is_kept(acme: Tenant) -> None:
    outcomes = await asyncio.gather(
        *(make_label(acme.member, acme, name) for name in ("Bug", "bug", "BUG", "buG")), return_exceptions=True
    )

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["LabelRow", "Taken", "Taken", "Taken"]
    assert len(await label_rows(acme)) == 1
    assert await events(acme.org_id) == ["LABEL_CREATED"]


async def test_an_update_changes_what_is_given_and_nothing_else(acme: Tenant) -> None:
    label = await make_label(acme.member, acme, description="Old")
    other = await make_label(acme.member, acme, "Idea")
    before = await label_rows(acme)

    async with acme.member.acting() as actor:
        after = await labels.update(actor, label.id, name="Defect", color="#ff0000", description=None)

    assert await label_rows(acme) == [
        before[0] | {"name": "Defect", "description": None, "updated_at": after.updated_at},
        before[1],
    ]
    assert other.id == before[1]["id"]
    assert await logged(acme.org_id, after=2) == [
        Logged(
            "LABEL_UPDATED",
            label.id,
            None,
            {},
            {"name": change("Bug", "Defect"), "description": change("Old", None)},
        )
    ]


async def test_an_update_that_changes_nothing_leaves_row_and_log_alone(acme: Tenant) -> None:
    label = await make_label(acme.member, acme)
    before = await label_rows(acme)

    async with acme.member.acting() as actor:
        await labels.update(actor, label.id)
        await labels.update(actor, label.id, name="Bug", color="#ff0000", description=None)

    assert await label_rows(acme) == before
    assert await events(acme.org_id) == ["LABEL_CREATED"]


@pytest.mark.parametrize(
    ("values", "path"),
    [({"name": None}, "name"), ({"color": None}, "color"), ({"name": " "}, "name"), ({"color": "#12"}, "color")],
)
async def test_a_malformed_update_is_refused(acme: Tenant, values: dict[str, Any], path: str) -> None:
    label = await make_label(acme.member, acme)
    before = await label_rows(acme)

    async with acme.member.acting() as actor:
        with pytest.raises(UserErrors) as refusal:
            await labels.update(actor, label.id, **values)

    assert [error.path for error in refusal.value.errors] == [(path,)]
    assert await label_rows(acme) == before
    assert await events(acme.org_id) == ["LABEL_CREATED"]


async def test_a_deleted_label_leaves_its_tasks(acme: Tenant) -> None:
    bug, idea = await make_label(acme.member, acme, "Bug"), await make_label(acme.member, acme, "Idea")
    project = await make_project(acme.member, acme)
    task = await make_task(acme.member, project, label_ids=[bug.id, idea.id])
    began = len(await events(acme.org_id))

    async with acme.member.acting() as actor:
        await labels.delete(actor, bug.id)
        left = await queries.of_tasks(actor, [task.id], ("id", "name"))

    assert [label.name for label in left[task.id]] == ["Idea"]
    assert [row["name"] for row in await label_rows(acme)] == ["Idea"]
    assert await logged(acme.org_id, after=began) == [Logged("LABEL_DELETED", bug.id, None, {}, {"name": "Bug"})]


async def _create(actor: Actor, org_id: UUID, _id: UUID) -> Any:
    return await labels.create(actor, org_id, name="Idea", color="#00ff00")


async def _update(actor: Actor, _org_id: UUID, id: UUID) -> Any:
    return await labels.update(actor, id, name="Idea")


async def _delete(actor: Actor, _org_id: UUID, id: UUID) -> None:
    await labels.delete(actor, id)


@pytest.mark.parametrize("role", ["guest", "billing"])
@pytest.mark.parametrize("act", [_create, _update, _delete])
async def test_who_only_reads_changes_no_label(acme: Tenant, act: Any, role: str) -> None:
    label = await make_label(acme.member, acme)
    before = await label_rows(acme)

    async with getattr(acme, role).acting() as actor:
        with pytest.raises(Forbidden, match="PROJECT_UPDATE"):
            await act(actor, acme.org_id, label.id)

    assert await label_rows(acme) == before
    assert await events(acme.org_id) == ["LABEL_CREATED"]


@pytest.mark.parametrize("act", [_create, _update, _delete])
async def test_a_strangers_label_looks_like_none(acme: Tenant, globex: Tenant, act: Any) -> None:
    label = await make_label(acme.member, acme)
    before = await label_rows(acme)
    answers = []

    async with globex.admin.acting() as actor:
        for org_id, id in ((acme.org_id, label.id), (new_id(), new_id())):
            with pytest.raises(NotFound) as refusal:
                await act(actor, org_id, id)
            answers.append(str(refusal.value))

    assert answers == [f"There is no such {'organization' if act is _create else 'label'}."] * 2
    assert await label_rows(acme) == before
    assert await events(acme.org_id) == ["LABEL_CREATED"]


async def test_labels_are_listed_a_to_z_whatever_their_case(acme: Tenant, globex: Tenant) -> None:
    for name in ("zeta", "Alpha", "beta", "Gamma"):
        await make_label(acme.member, acme, name)
    await make_label(globex.member, globex, "Foreign")
    client = acme.guest.client

    first = (await client.ok(PAGE, id=acme.id, first=3))["organization"]["labels"]
    end = first["pageInfo"].pop("endCursor")
    second = (await client.ok(PAGE, id=acme.id, first=3, after=end))["organization"]["labels"]

    assert first == {
        "nodes": [{"name": "Alpha"}, {"name": "beta"}, {"name": "Gamma"}],
        "totalCount": 4,
        "pageInfo": {"hasNextPage": True},
    }
    assert second["nodes"] == [{"name": "zeta"}]
    assert second["pageInfo"]["hasNextPage"] is False


async def test_labels_of_any_number_of_tasks_take_the_same_statements(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    bug, idea = await make_label(acme.member, acme, "Bug"), await make_label(acme.member, acme, "Idea")
    document = """
    query ($id: ID!) { project(id: $id) { tasks(first: 100) { nodes { labels { name color } } } } }
    """
    counts, made = [], 0

    for number in (1, 10):
        for _ in range(number - made):
            await make_task(acme.member, project, label_ids=[idea.id, bug.id])
        made = number
        with statements() as sent:
            data = await acme.guest.client.ok(document, id=global_id("project", project.id))
        counts.append(len(sent))
        assert (
            data["project"]["tasks"]["nodes"]
            == [{"labels": [{"name": "Bug", "color": "#ff0000"}, {"name": "Idea", "color": "#ff0000"}]}] * number
        )

    assert counts[0] == counts[1]


async def test_a_label_over_the_api(acme: Tenant) -> None:
    client = acme.member.client

    made = (await client.done(CREATE, input={"organizationId": acme.id, "name": "Bug", "color": "#ff0000"}))["label"]
    changed = (await client.done(UPDATE, id=made["id"], input={"description": "Something is wrong"}))["label"]
    cleared = (await client.done(UPDATE, id=made["id"], input={"description": None, "color": "#0000ff"}))["label"]
    deleted = await client.done(DELETE, id=made["id"])

    assert made == {"id": made["id"], "name": "Bug", "color": "#ff0000", "description": None}
    assert changed == {**made, "description": "Something is wrong"}
    assert cleared == {**made, "color": "#0000ff"}
    assert deleted["deletedId"] == made["id"]
    assert await label_rows(acme) == []


async def test_all_faults_of_a_label_are_told_at_once_with_their_paths(acme: Tenant) -> None:
    errors = await acme.member.client.refused(
        CREATE, input={"organizationId": acme.id, "name": "", "color": "red", "description": "a" * 501}
    )

    assert [(error["__typename"], error["code"], error["path"]) for error in errors] == [
        ("InputError", "INVALID", ["input", "name"]),
        ("InputError", "INVALID", ["input", "description"]),
        ("InputError", "INVALID", ["input", "color"]),
    ]
    assert await label_rows(acme) == []


async def test_a_taken_name_names_the_argument(acme: Tenant) -> None:
    await make_label(acme.member, acme, "Bug")

    (error,) = await acme.member.client.refused(
        CREATE, input={"organizationId": acme.id, "name": "bug", "color": "#ff0000"}
    )

    assert error == {
        "__typename": "InputError",
        "code": "TAKEN",
        "path": ["input", "name"],
        "message": "There is a label 'bug' already.",
    }


@pytest.mark.parametrize(("document", "variables"), [(UPDATE, {"input": {"name": "Idea"}}), (DELETE, {})])
async def test_unknown_and_foreign_labels_get_one_answer(
    acme: Tenant, globex: Tenant, document: str, variables: dict[str, Any]
) -> None:
    label = await make_label(acme.member, acme)
    others = (global_id("label", new_id()), label_id(label).replace("label_", "task_"))

    answers = []
    for id in (label_id(label), *others):
        answer = await globex.admin.client.run(document, id=id, **variables)
        answers.append((answer.data, answer.errors))

    assert answers[0] == answers[1] == answers[2]
    assert answers[0][1][0]["extensions"]["code"] == "NOT_FOUND"
    assert await events(acme.org_id) == ["LABEL_CREATED"]


async def test_nobody_signed_in_changes_no_label(acme: Tenant) -> None:
    label = await make_label(acme.member, acme)

    answer = await GraphQL().run(DELETE, id=label_id(label))

    assert answer.codes == ["UNAUTHENTICATED"]
    assert len(await label_rows(acme)) == 1


async def test_a_label_is_a_node(acme: Tenant, globex: Tenant) -> None:
    label = await make_label(acme.member, acme)
    document = "query ($id: ID!) { node(id: $id) { id ... on Label { name } } }"

    mine = await acme.guest.client.ok(document, id=label_id(label))
    foreign = await globex.guest.client.ok(document, id=label_id(label))

    assert mine == {"node": {"id": label_id(label), "name": "Bug"}}
    assert foreign == {"node": None}
