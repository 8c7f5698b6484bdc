"""Variables that are huge, deep, of the wrong type, or named like what a program has of its own."""

import json
from typing import Any

import pytest

from graph.base.operations import LONGEST_TOLD
from tests.attacks.target import Target
from tests.factories import Tenant, rows

pytestmark = pytest.mark.usefixtures("lines")

BAD = "BAD_USER_INPUT"
MEBIBYTE = 1024 * 1024
IDS = "query ($v: [ID!]!) { nodes(ids: $v) { id } }"
JSON = """mutation ($v: JSON!) {
  preferencesUpdate(input: {settings: $v}) { viewer { preferences { settings } } errors { code } }
}"""
FILTER = "query ($o: ID!, $v: TaskFilter) { tasks(organizationId: $o, filter: $v) { totalCount } }"
ITEMS = "mutation ($v: [TaskBulkUpdateItem!]!) { taskBulkUpdate(items: $v) { errors { code } } }"
NUMBER = "query ($v: Int!) { viewer { organizations(first: $v) { totalCount } } }"


def body(document: str, variables: str) -> bytes:
    """A request whose variables are just this text."""
    return b'{"query": %s, "variables": %s}' % (json.dumps(document).encode(), variables.encode())


def filled(document: str, piece: str, before: str = '{"v": [', after: str = "]}") -> bytes:
    """A request of a mebibyte, of the piece again and again."""
    room = MEBIBYTE - len(body(document, before + after)) - len(piece)
    return body(document, before + ",".join([piece] * (room // (len(piece) + 1))) + after)


HUGE = {
    "300,000 empty lists": filled(IDS, "[]"),
    "lists of JSON": filled(JSON, "[]", '{"v": {"k": [', "]}}"),
    "objects": filled(IDS, "{}"),
    "empty texts": filled(IDS, '""'),
    "zeros": filled(IDS, "0"),
    "zeros of JSON": filled(JSON, "0", '{"v": {"k": [', "]}}"),
    "nulls": filled(IDS, "null"),
    "items that lack everything": filled(ITEMS, "{}"),
    "items with what there is not": filled(ITEMS, '{"a":1}'),
    "variables that nothing declares": body("{ __typename }", json.dumps({f"v{n}": n for n in range(60_000)})),
    "fields that there are not": body(FILTER, json.dumps({"o": "x", "v": {f"v{n}": n for n in range(60_000)}})),
    "one text": body(IDS, json.dumps({"v": "x" * 1_000_000})),
    "one name": body(IDS, json.dumps({"v" * 1_000_000: 1})),
    "a long name above many": body(IDS, json.dumps({"v" * 500_000: [0] * 120_000 + ["\0"]})),
    "a long name above many texts": body(IDS, json.dumps({"v" * 400_000: ["a"] * 120_000 + ["\0"]})),
    "letters that are escaped": body(IDS, '{"v": "' + "\\u00e9" * 150_000 + '"}'),
    "half letters": body(IDS, '{"v": "' + "\\ud800" * 150_000 + '"}'),
    "numbers of 400 digits": filled(JSON, "9" * 400, '{"v": {"k": [', "]}}"),
    "numbers of 401 digits": filled(JSON, "9" * 401, '{"v": {"k": [', "]}}"),
    "numbers of 19 digits": filled(JSON, "9" * 19, '{"v": {"k": [', "]}}"),
    "numbers with exponents": filled(JSON, "1e-400", '{"v": {"k": [', "]}}"),
    "one number": body(NUMBER, '{"v": ' + "9" * 1_000_000 + "}"),
    "one fraction": body(NUMBER, '{"v": 0.' + "9" * 1_000_000 + "}"),
    "many that nest": filled(JSON, "[" * 90 + "]" * 90, '{"v": {"k": [', "]}}"),
    "nothing but brackets": b"[" * MEBIBYTE,
    "a name again and again": filled(IDS, '"v":1', "{", "}"),
}


@pytest.mark.parametrize("name", HUGE)
async def test_what_is_huge_is_refused_or_taken_in_time(target: Target, acme: Tenant, name: str) -> None:
    assert len(HUGE[name]) <= MEBIBYTE

    struck = await target.strike(HUGE[name], acme.member)

    assert struck.status in (200, 400)
    assert set(struck.codes) <= {BAD, "TOO_COMPLEX"}
    assert len(struck.body) < 100_000
    assert await rows("SELECT FROM preferences WHERE user_id = $1 AND settings <> '{}'", acme.member.user_id) == []


async def test_the_place_of_a_faulty_text_is_told_shortly(target: Target) -> None:
    struck = await target.strike(body(IDS, json.dumps({"v" * 100_000: [{"k": "\0"}]})))

    (error,) = struck.json()["errors"]
    assert error["extensions"]["path"] == ["variables", "v" * LONGEST_TOLD, "0", "k"]


WRONG: list[tuple[str, Any]] = [
    (IDS, {}),
    (IDS, {"v": None}),
    (IDS, {"v": [None]}),
    (IDS, {"v": {"a": 1}}),
    (IDS, {"v": [True, 1.5, {}]}),
    (NUMBER, {"v": "1"}),
    (NUMBER, {"v": 1.5}),
    (NUMBER, {"v": True}),
    (NUMBER, {"v": 2**31}),
    (NUMBER, {"v": -(2**63)}),
    (NUMBER, {"v": 10**30}),
    (NUMBER, {"v": [1]}),
    (FILTER, {"o": "x", "v": 5}),
    (FILTER, {"o": "x", "v": {"__proto__": {"a": 1}}}),
    (FILTER, {"o": "x", "v": {"constructor": 1}}),
    (FILTER, {"o": "x", "v": {"__class__": 1, "__init__": 2, "": 3}}),
    (ITEMS, {"v": [{"id": "x", "input": {"__dict__": {}}}]}),
    (ITEMS, {"v": "x"}),
]


@pytest.mark.parametrize(("document", "variables"), WRONG, ids=lambda value: str(value)[:60])
async def test_a_value_of_another_type_is_refused(
    target: Target, acme: Tenant, document: str, variables: dict[str, Any]
) -> None:
    struck = await target.ask(document, acme.member, variables=variables)

    assert (struck.status, set(struck.codes)) == (400, {BAD})


@pytest.mark.parametrize("text", ['{"v": NaN}', '{"v": Infinity}', '{"v": -Infinity}', '{"v": 1e400}', '{"v": 01}'])
async def test_what_is_no_number_of_json_is_no_request(target: Target, text: str) -> None:
    struck = await target.strike(body(NUMBER, text))

    assert (struck.status, struck.codes) == (400, [BAD])


async def test_names_that_a_program_has_of_its_own_are_names_like_others(target: Target, acme: Tenant) -> None:
    settings = {"__proto__": {"polluted": True}, "constructor": 1, "__class__": "x", "toString": None}

    struck = await target.ask(JSON, acme.member, variables={"v": settings})
    unknown = await target.ask("{ __typename }", acme.member, variables={"__proto__": 1, "__class__": 2})

    assert struck.json()["data"]["preferencesUpdate"]["viewer"]["preferences"]["settings"] == settings
    assert unknown.json()["data"] == {"__typename": "Query"}


async def test_of_a_name_that_is_there_twice_the_last_counts_everywhere(target: Target, acme: Tenant) -> None:
    # Both readers of JSON do it so; a number that only the slower one reads must make no difference.
    for number in ("1", "1" * 30):
        text = f'{{"o": "{acme.id}", "v": {{"text": "a"}}, "v": {{"text": "b"}}, "v": null, "unused": {number}}}'
        struck = await target.strike(body(FILTER, text), acme.member)
        assert struck.json()["data"] == {"tasks": {"totalCount": 0}}
