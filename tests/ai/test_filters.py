"""taskFilterSuggest: what a model says is a TaskFilter of things that the caller sees, or an error."""

import json
from typing import Any

import pytest

from domain.ai import budget, filters
from domain.base.permissions import Permission, Role
from domain.projects.queries import ProjectRow
from graph.base.ids import global_id
from graph.filter_suggestions import json_schema
from graph.schema import schema
from tests.ai.answering import Service, said, used
from tests.client import GraphQL
from tests.factories import Person, Tenant, events, execute, make_member, make_project, make_task, rows, states_of
from tests.openai.server import Reply
from tests.organizations.test_api_keys import make_key

SUGGEST = """mutation ($org: ID!, $prompt: String!) { taskFilterSuggest(organizationId: $org, prompt: $prompt) {
  filter errors { code message path ... on LimitError { feature } } } }"""
TASKS = "query ($org: ID!, $filter: TaskFilter) { tasks(organizationId: $org, filter: $filter) { nodes { title } } }"
NOT_MADE = "No filter could be made of this. Say it in other words."


async def suggested(person: Person, tenant: Tenant, prompt: str = "What is urgent") -> Any:
    """The filter."""
    return (await person.client.done(SUGGEST, org=tenant.id, prompt=prompt))["filter"]


async def refused(person: Person, tenant: Tenant, prompt: str = "What is urgent") -> dict[str, Any]:
    """The one error."""
    (error,) = await person.client.refused(SUGGEST, org=tenant.id, prompt=prompt)
    return error


@pytest.fixture
async def project(acme: Tenant) -> ProjectRow:
    """A project with two tasks."""
    made = await make_project(acme.admin, acme, name="Website", key="WEB")
    states = await states_of(made)
    await make_task(acme.admin, made, title="Mine", assignee_id=acme.member.user_id, state_id=states["Todo"])
    await make_task(acme.admin, made, title="Nobody's", state_id=states["In progress"])
    return made


async def test_what_the_model_names_comes_as_ids_that_tasks_takes(
    acme: Tenant, project: ProjectRow, service: Service
) -> None:
    words: dict[str, str] = {}

    def answered() -> str:
        lines = [line.split(": ", 1) for line in service.prompt.splitlines() if ": " in line]
        words.update({name: word for word, name in lines})
        me = next(line for line in service.prompt.splitlines() if line.startswith("Whoever asks is ")).split()[-1][:-1]
        mine = {"project": {"in": [words["Website (WEB)"]]}, "assignee": {"eq": me}}
        return said({"or": [mine, {"state": {"eq": words["Todo (TODO) of WEB"]}}], "not": {"title": {"eq": me}}})

    service.fake.model = lambda _body: Reply(answered())
    before = await events(acme.org_id)

    filter = await suggested(acme.member, acme, "mine in the website")

    states = await states_of(project)
    assert filter == {
        "or": [
            {
                "project": {"in": [global_id("project", project.id)]},
                "assignee": {"eq": acme.member.id},
            },
            {"state": {"eq": global_id("workflow_state", states["Todo"])}},
        ],
        # Only where a filter has ids is such a word one.
        "not": {"title": {"eq": filter["not"]["title"]["eq"]}},
    }
    assert filter["not"]["title"]["eq"].startswith("person-")
    found = await acme.member.client.ok(TASKS, org=acme.id, filter=filter)
    assert [each["title"] for each in found["tasks"]["nodes"]] == ["Mine"]
    assert await events(acme.org_id) == before


async def test_the_model_is_told_the_schema_the_day_and_names_alone(
    acme: Tenant, globex: Tenant, project: ProjectRow, service: Service
) -> None:
    await make_project(acme.admin, acme, name="Put\naway: project-1", key="OLD")
    hidden = await make_project(globex.admin, globex, name="Globex secret", key="GLX")
    service.fake.reply(said({}))

    assert await suggested(acme.member, acme) == {}

    (asked,) = service.asked
    told = service.prompt
    assert asked.body["response_format"]["json_schema"]["schema"] == json_schema(schema)
    assert "Today is " in told
    assert "project-1: Put away: project-1 (OLD)" in told
    assert hidden.name not in told
    assert project.id.hex not in told
    assert acme.member.email not in told
    assert await used(acme.org_id) == 25


def test_the_schema_that_the_model_is_told_holds_all_of_a_filter() -> None:
    told = json_schema(schema)
    filter = told["$defs"]["TaskFilter"]

    assert told["$ref"] == "#/$defs/TaskFilter"
    assert set(filter["properties"]) == set(schema.type_map["TaskFilter"].fields)  # type: ignore[attr-defined]
    assert filter["properties"]["and"] == {"type": "array", "items": {"$ref": "#/$defs/TaskFilter"}}
    assert told["$defs"]["PriorityFilter"]["properties"]["eq"]["enum"] == ["NONE", "LOW", "MEDIUM", "HIGH", "URGENT"]
    assert told["$defs"]["DateFilter"]["properties"]["lt"] == {"type": "string", "format": "date"}


@pytest.mark.parametrize(
    "text",
    [
        "As you wish.",
        "[]",
        "null",
        '"urgent"',
        '{"colour": {"eq": "red"}}',
        '{"priority": {"eq": "VERY"}}',
        '{"priority": {"eq": null}}',
        '{"dueDate": {"lt": "tomorrow"}}',
        '{"title": {"contains": "a\\u0000b"}}',
        '{"label": {"in": "bug"}}',
        '{"project": {"eq": "project-99"}}',
        '{"assignee": {"eq": "project-1"}}',
        said({"not": {"not": {"not": {"not": {"not": {"archived": True}}}}}}),
        said({"or": [{"archived": True}] * 101}),
        '{"not":' * 600 + "{}" + "}" * 600,
    ],
)
async def test_what_is_no_filter_is_an_error(acme: Tenant, project: ProjectRow, service: Service, text: str) -> None:
    service.fake.reply(text)

    assert await refused(acme.member, acme) == {"code": "INVALID", "message": NOT_MADE, "path": ["prompt"]}
    # It was used all the same.
    assert await used(acme.org_id) == 25


async def test_a_filter_names_nothing_that_the_model_was_not_told_of(
    acme: Tenant, globex: Tenant, project: ProjectRow, service: Service
) -> None:
    theirs = await make_project(globex.admin, globex, name="Theirs", key="GLX")
    (own,) = await rows("SELECT id FROM task WHERE title = 'Mine' AND org_id = $1", acme.org_id)
    things = [
        {"project": {"eq": global_id("project", theirs.id)}},
        {"and": [{"not": {"assignee": {"in": [acme.member.id, globex.member.id]}}}]},
        {"id": {"eq": global_id("task", own["id"])}},
    ]
    for thing in things:
        service.fake.reply(said(thing))
        assert (await refused(acme.member, acme))["message"] == NOT_MADE
    # What it was told of may be named by its id as well.
    service.fake.reply("```json\n" + said({"assignee": {"eq": acme.member.id}, "parent": {"isNull": True}}) + "\n```")

    assert await suggested(acme.member, acme) == {"assignee": {"eq": acme.member.id}, "parent": {"isNull": True}}


async def test_a_key_gets_a_filter_of_what_it_may_read(acme: Tenant, project: ProjectRow, service: Service) -> None:
    key = GraphQL((await make_key(acme, Permission.AI_USE)).secret)
    service.fake.reply(said({"priority": {"eq": "HIGH"}}))

    assert (await key.done(SUGGEST, org=acme.id, prompt="urgent"))["filter"] == {"priority": {"eq": "HIGH"}}


async def test_who_may_not_ask_is_not_told_and_nobody_is_asked(
    acme: Tenant, globex: Tenant, project: ProjectRow, service: Service
) -> None:
    answers = [await who.run(SUGGEST, org=acme.id, prompt="x") for who in (acme.guest.client, globex.admin.client)]

    assert [answer.codes for answer in answers] == [["FORBIDDEN"], ["NOT_FOUND"]]
    for prompt in (" ", "x" * (filters.LONGEST_PROMPT + 1)):
        assert (await refused(acme.member, acme, prompt))["path"] == ["prompt"]
    assert (service.asked, await used(acme.org_id)) == ([], 0)


async def test_spent_tokens_and_turns_are_told(acme: Tenant, service: Service) -> None:
    another = await make_member(acme.org_id, Role.MEMBER)
    async with acme.member.acting() as actor:
        for _ in range(budget.TURNS.tries):
            await budget.require_turn(actor, service.adapters.throttle)
    await execute(
        "INSERT INTO ai_usage (id, org_id, month, tokens) "
        "VALUES (gen_random_uuid(), $1, date_trunc('month', now() AT TIME ZONE 'UTC'), 50000)",
        acme.org_id,
    )

    assert (await acme.member.client.run(SUGGEST, org=acme.id, prompt="x")).codes == ["RATE_LIMITED"]
    error = await refused(another, acme)
    assert (error["code"], error["feature"]) == ("LIMIT_REACHED", "ai_tokens_month")
    assert service.asked == []


async def test_a_model_that_is_away_costs_nothing_and_one_that_is_late_its_prompt(
    acme: Tenant, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.fake.fault("fail", status=503, times=3, retry_after="0")
    away = await acme.member.client.run(SUGGEST, org=acme.id, prompt="What is urgent")
    used_by_none = await used(acme.org_id)

    monkeypatch.setattr(filters, "WITHIN_S", 1.0)
    stalled = service.fake.fault("stall")
    late = await acme.member.client.run(SUGGEST, org=acme.id, prompt="What is urgent")

    assert (away.codes, used_by_none) == (["UNAVAILABLE"], 0)
    assert late.codes == ["UNAVAILABLE"]
    assert stalled.struck.is_set()
    assert await used(acme.org_id) > 50


async def test_a_model_that_refuses_is_the_askers_to_mend(acme: Tenant, service: Service) -> None:
    service.fake.fault("fail", status=400, code="content_filter")

    error = await refused(acme.member, acme)

    assert (error["code"], error["path"]) == ("INVALID", ["prompt"])


@pytest.mark.usefixtures("adapters")
async def test_without_a_model_the_feature_is_off(acme: Tenant) -> None:
    assert (await refused(acme.member, acme))["code"] == "FEATURE_DISABLED"


async def test_nothing_of_it_is_in_the_log(acme: Tenant, service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    service.fake.reply(said({"title": {"contains": "aardvark"}}))
    await suggested(acme.member, acme, "the zebra")
    service.fake.reply("aardvark")
    await refused(acme.member, acme, "the zebra")

    lines = capsys.readouterr().out
    assert "operation" in lines
    assert json.dumps(lines).count("aardvark") + lines.count("zebra") == 0
