"""What answers and the log tell: no names that were not asked for, no insides, no documents."""

import json
from dataclasses import replace
from typing import Any

import pytest

from domain.base.settings import Settings
from tests.attacks.target import Target, attacked
from tests.factories import Tenant, execute
from tests.ports import http_client
from tests.sockets import opened
from tests.transport.servers import ask, asking, codes

SECRET = "hunter2-hunter2"  # noqa: S105
BAD = "BAD_USER_INPUT"

# Each is a letter away from a name of the schema.
NEAR = [
    "{ viewr { email } }",
    "{ viewer { emial } }",
    "{ viewer @inclde(if: true) { email } }",
    "{ viewer { organizations(frist: 1) { totalCount } } }",
    "query ($v: TaskFiltr) { __typename }",
    "{ node(id: 1) { ... on Taks { id } } }",
    "{ viewer { ...Frament } } fragment Fragment on Viewer { email }",
    "{ tasks(organizationId: 1, filter: {prioritiy: HIGH}) { totalCount } }",
    "mutation { taskUpdate(id: 1, input: {priority: HIHG}) { task { id } } }",
    "mutation { taskUpdate(id: 1, input: {titel: 1}) { task { id } } }",
    "{ viewer { email: organizations } }",
    "{ __schema { tpyes { name } } }",
    '{ __type(nam: "Task") { name } }',
]
NEAR_VARIABLES: list[tuple[str, dict[str, Any]]] = [
    ("query ($v: TaskFilter) { tasks(organizationId: 1, filter: $v) { totalCount } }", {"v": {"assigne": 1}}),
    ("mutation ($v: TaskUpdateInput!) { taskUpdate(id: 1, input: $v) { task { id } } }", {"v": {"priority": "HIHG"}}),
    ("mutation ($v: TaskUpdateInput!) { taskUpdate(id: 1, input: $v) { task { id } } }", {"v": {"titel": "x"}}),
]


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize(("document", "variables"), [*((each, {}) for each in NEAR), *NEAR_VARIABLES])
async def test_no_name_is_suggested(target: Target, document: str, variables: dict[str, Any]) -> None:
    struck = await target.ask(document, variables=variables)

    assert (struck.status, set(struck.codes)) == (400, {BAD})
    assert b"mean" not in struck.body
    async with opened(target.address) as socket:
        stream = await socket.run(document, **variables)
        assert set(await stream.codes()) == {BAD}


@pytest.mark.usefixtures("lines")
async def test_of_the_faults_of_a_text_five_are_told_and_of_failed_fields_all(target: Target, acme: Tenant) -> None:
    faults = await target.ask("{ " + " ".join(f"nothing{n}" for n in range(20)) + " }")
    values = await target.ask("query ($v: [Int!]) { __typename @include(if: $v) }", variables={"v": ["x"] * 50})
    ids = await target.ask("query ($v: [ID!]!) { nodes(ids: $v) { id } }", variables={"v": [{}] * 50})
    fields = await target.ask("{ " + " ".join(f'a{n}: node(id: "x") {{ id }}' for n in range(20)) + " }", acme.member)

    assert [len(each.codes) for each in (faults, ids)] == [5, 5]
    assert 1 <= len(values.codes) <= 5
    assert (fields.status, fields.codes) == (200, [BAD] * 20)


async def test_a_bug_is_masked_over_both_transports(target: Target, acme: Tenant) -> None:
    read = "{ viewer { preferences { locale } } }"
    await execute("ALTER TABLE preferences RENAME COLUMN locale TO broken")
    try:
        async with (
            http_client(base_url=f"http://{target.address}") as http,
            opened(target.address, acme.member.token) as socket,
        ):
            posted = (await ask(http, read, acme.member)).json()
            told = await (await socket.run(read)).next()
    finally:
        await execute("ALTER TABLE preferences RENAME COLUMN broken TO locale")

    for answer in (posted, told):
        (error,) = answer["errors"]
        assert error["message"] == "Something went wrong on our side."
        assert error["extensions"].keys() == {"code", "requestId"}
        assert error["extensions"]["code"] == "INTERNAL"
        for word in ("preferences.locale", "does not exist", "asyncpg", "Traceback", "SELECT", ".py"):
            assert word not in json.dumps(answer)


@pytest.mark.parametrize(
    "document",
    [
        f'mutation {{ signIn(input: {{email: "a@leaks.test", password: "{SECRET}"}}) {{ token ',
        f'mutation {{ signIn(input: {{email: "a@leaks.test", password: "{SECRET}"}}) {{ nothing }} }}',
        f'mutation {{ signIn(input: {{email: "a@leaks.test", password: "{SECRET}", x: 1}}) {{ token }} }}',
        f'mutation {{ signIn(input: {{email: "a@leaks.test", password: "{SECRET}"}}) {{ token errors {{ code }} }} }}',
        f'{{ node(id: "{SECRET}") {{ id }} }} # {SECRET}',
    ],
)
async def test_no_document_and_no_variable_is_in_the_log(
    target: Target, lines: list[Any], caplog: pytest.LogCaptureFixture, document: str
) -> None:
    with caplog.at_level("DEBUG"):
        await target.ask(document)
        await target.ask(
            document.replace(f'"{SECRET}"', "$v").replace("mutation", "mutation ($v: String!)"), variables={"v": SECRET}
        )
        await target.ask("{ __typename }", variables={"v": SECRET}, operationName=SECRET)

    assert lines
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "asyncio"))]
    assert SECRET not in json.dumps(lines, default=str) + "".join(ours)


async def test_introspection_off_hides_the_schema_and_leaves_typename(settings: Settings) -> None:
    hidden = [
        "{ __schema { types { name } } }",
        '{ __type(name: "Task") { name } }',
        "{ viewer { user { id } } __schema { __typename } }",
    ]

    async with attacked(replace(settings, introspection=False)) as target:
        refused = [await target.ask(each) for each in hidden]
        typename = await target.ask("{ __typename viewer { __typename } }")
        async with opened(target.address) as socket:
            over_socket = [await (await socket.run(each)).codes() for each in hidden]
    async with asking(settings, introspection=True) as http:
        shown = [await ask(http, each) for each in hidden]

    assert [(each.status, set(each.codes)) for each in refused] == [(400, {BAD})] * 3
    assert [set(each) for each in over_socket] == [{BAD}] * 3
    assert typename.json()["data"] == {"__typename": "Query", "viewer": None}
    assert [(each.status_code, codes(each)) for each in shown] == [(200, [])] * 3
