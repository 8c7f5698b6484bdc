"""Documents that mean much more than they say, that nest, meet and repeat, or that hold what no text holds."""

import json
from typing import Any

import pytest

from tests.attacks.target import Target
from tests.factories import Tenant

pytestmark = pytest.mark.usefixtures("lines")

BAD, COMPLEX = "BAD_USER_INPUT", "TOO_COMPLEX"
TYPE = "type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }"
INTROSPECTION = (
    f"{{ __schema {{ types {{ name fields {{ name args {{ name {TYPE} }} {TYPE} }} enumValues {{ name }} }} }} }}"
)


def repeated(text: str, times: int) -> str:
    """The text so often, with %d for each number."""
    return " ".join(text.replace("%d", str(n)) for n in range(times))


def doubling(levels: int) -> str:
    """Each fragment spreads the next one twice."""
    chain = repeated("fragment F%d on Organization { ...N%d ...N%d }", levels)
    for n in range(levels):
        chain = chain.replace(f"...N{n} ", f"...F{n + 1} ")
    return f'{{ organization(slug: "none") {{ ...F0 }} }} {chain} fragment F{levels} on Organization {{ name }}'


REFUSED = {
    # Bombs of one kind each.
    "aliases": ("{ " + repeated("a%d: __typename", 500) + " }", COMPLEX),
    "aliases of a mutation": (
        "mutation { " + repeated('a%d: signIn(input: {email: "a@b.test", password: "x"}) { token }', 60) + " }",
        COMPLEX,
    ),
    "directives": ("{ viewer " + "@skip(if: false) " * 400 + "{ email } }", COMPLEX),
    "unknown directives": ("{ viewer " + "@a " * 900 + "{ email } }", COMPLEX),
    "directives on variables": ("query (" + repeated("$v%d: Int @a", 40) + ") { __typename }", COMPLEX),
    "equal fields": ("{ viewer { " + "email " * 900 + "} }", COMPLEX),
    "equal fields in all operations": (repeated("query Q%d { viewer { " + "user { name } " * 149 + "} }", 3), COMPLEX),
    "equal root fields": ("{ " + "viewer { email } " * 300 + "}", COMPLEX),
    "unknown fields": ("{ viewer { " + repeated("x%d", 250) + " } }", BAD),
    "unknown types": (repeated("fragment F%d on Nowhere { a }", 19) + " { __typename }", BAD),
    "fragments that double": (doubling(18), COMPLEX),
    "definitions": (repeated("query Q%d { __typename }", 200), COMPLEX),
    "variables": ("query (" + repeated("$v%d: Int", 400) + ") { __typename }", COMPLEX),
    "variables of a deep type": ("query ($v: " + "[" * 150 + "Int" + "]" * 150 + ") { __typename }", COMPLEX),
    "tokens": ("{ " + "a " * 2_000 + "}", COMPLEX),
    "comments": ("#\n" * 5_000 + "{ __typename }", COMPLEX),
    "source": ("{ __typename } #" + "x" * 30_000, COMPLEX),
    "source of letters that are four bytes": ("{ __typename } #" + "\U0001f4a3" * 8_000, COMPLEX),
    # Nesting.
    "deep fields": ("{ viewer " * 300 + "}" * 300, COMPLEX),
    "deep fields that are right": (
        '{ node(id: "x") { ... on Task { ' + "parent { " * 30 + "id" + " }" * 30 + " } } }",
        COMPLEX,
    ),
    "deep inline fragments": ("{ " + "... { " * 180 + "__typename" + " }" * 180 + " }", COMPLEX),
    "never closed": ("{ a " * 5_000, COMPLEX),
    "never closed lists": ("{ a(b: " + "[" * 5_000, COMPLEX),
    "deep list": ("{ nodes(ids: " + "[" * 190 + "]" * 190 + ") { id } }", COMPLEX),
    "deep object": ("{ a(b: " + "{c: " * 190 + "1" + "}" * 190 + ") }", COMPLEX),
    # What leads in a circle.
    "circular fragment": ("{ ...F } fragment F on Query { ...F }", BAD),
    "circular fragments": (
        "{ ...F0 } " + repeated("fragment F%d on Query { " + repeated("...F%d", 19).replace("%d", "x") + " }", 19),
        BAD,
    ),
    "circle through fields": (
        "{ viewer { ...F } } fragment F on Viewer { user { ... on User { id } } ...G } fragment G on Viewer { ...F }",
        BAD,
    ),
    # What meets.
    "conflicting fields": ("{ viewer { " + "a: email a: user { name } " * 14 + "} }", BAD),
    "conflicting arguments": ("{ viewer { " + repeated("organizations(first: %d) { totalCount }", 120) + " } }", BAD),
    "conflicts far below": (
        "{ "
        + "viewer { organizations { nodes { projects { nodes { a: id } } } } } " * 9
        + "viewer { organizations { nodes { projects { nodes { a: name } } } } } }",
        BAD,
    ),
    # Values.
    "objects where there are none": ("{ nodes(ids: [" + "{a: 1} " * 380 + "]) { id } }", BAD),
    "object of 480 fields": ("mutation { taskCreate(input: {" + repeated("a%d: 1", 480) + "}) { task { id } } }", BAD),
    "arguments that are not there": ("{ viewer(" + repeated("a%d: 1", 480) + ") { email } }", BAD),
    "items that lack everything": (
        "mutation { taskBulkUpdate(items: [" + "{} " * 600 + "]) { errors { code } } }",
        BAD,
    ),
    "an integer of 20,000 digits": ("{ viewer { organizations(first: " + "9" * 20_000 + ") { totalCount } } }", BAD),
    "a float of 20,000 digits": ("{ viewer { organizations(first: 1." + "9" * 20_000 + ") { totalCount } } }", BAD),
    "an exponent without end": ("{ viewer { organizations(first: 1e999999999) { totalCount } } }", BAD),
    "a name of 29 kB": ("{ " + "a" * 29_000 + " }", BAD),
    "an alias of 29 kB": ("{ " + "a" * 29_000 + ": nothing }", BAD),
    "an operation's name of 29 kB": ("query " + "a" * 29_000 + " { nothing }", BAD),
    "a type of 29 kB": ("query ($v: " + "A" * 29_000 + ") { __typename }", BAD),
    # Introspection.
    "introspection in a circle": (
        "{ __schema { types { " + "fields { type { " * 5 + "name" + " } }" * 5 + " } } }",
        BAD,
    ),
    "introspection by aliases": ("{ " + repeated("a%d: __schema { types { name } }", 6) + " }", COMPLEX),
    # Texts that are none.
    "nothing": ("", BAD),
    "a comment alone": ("# nothing", BAD),
    "NUL": ("{ __typename \x00 }", BAD),
    "half a character": ("{ __typename } # \ud800", BAD),
    "half a character in a name": ("{ \udc00 }", BAD),
    "half a character in a string": ('{ node(id: "\ud800") { id } }', BAD),
    "half a character escaped": ('{ node(id: "\\ud800") { id } }', BAD),
    "NUL escaped": ('{ node(id: "\\u0000") { id } }', BAD),
    "letters that look alike": ("{ \u0443\u0456\u0435wer { email } }", BAD),
    "a string without end": ('{ node(id: "' + "a" * 20_000, BAD),
    "a block without end": ('{ node(id: """' + "\n a" * 9_000, BAD),
    "types and no operation": ("type A { a: Int }", BAD),
}
TAKEN = {
    "300 equal fields": "{ viewer { " + "email " * 299 + "} }",
    "150 equal objects": "{ viewer { " + "user { name } " * 149 + "} }",
    "equal fields in inline fragments": "{ viewer { " + "... { email } " * 298 + "} }",
    "fragments in pairs": "{ viewer { "
    + repeated("...F%d", 18)
    + " } } "
    + repeated("fragment F%d on Viewer { " + "user { name } " * 7 + "}", 18),
    "a name that is long": "{ " + "a" * 29_000 + ": __typename }",
    "a comment that is long": "{ __typename } #" + "x" * 29_900,
    "a block that is long": '{ node(id: """' + "\n  a" * 7_000 + '""") { id } }',
    "20 root fields": "{ " + repeated("a%d: viewer { user { name } }", 20) + " }",
    "introspection": INTROSPECTION,
    "introspection 5 times": "{ "
    + repeated("a%d: __schema { types { name fields { name type { name } } } }", 5)
    + " }",
    "list of 1,900": "{ nodes(ids: [" + '"x" ' * 1_900 + "]) { id } }",
    "ids without end": "{ nodes(ids: [" + '"task_x" ' * 100 + "]) { id } }",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_document_that_is_too_much_or_none_is_refused(target: Target, acme: Tenant, name: str) -> None:
    document, code = REFUSED[name]

    struck = await target.ask(document, acme.member)

    assert (struck.status, set(struck.codes)) == (400, {code})
    assert "data" not in struck.json()


@pytest.mark.parametrize("name", TAKEN)
async def test_the_dearest_that_are_taken_stay_below_the_bound(target: Target, acme: Tenant, name: str) -> None:
    struck = await target.ask(TAKEN[name], acme.member)

    assert struck.status == 200
    assert set(struck.codes) <= {BAD}


ODD = [
    "\x00",
    "a\x00b",
    "\ud800",
    "a\udfff",
    "\u202e",
    "\uffff",
    "\U0010ffff",
    "' OR 1=1 --",
    "%' _ \\",
    "a" * 20_000,
    "\n" * 100,
]
PLACES = {
    "id": ("query ($x: ID!) { node(id: $x) { id } }", False),
    "slug": ("query ($x: String!) { organization(slug: $x) { id } }", False),
    "search": ("query ($x: String!, $o: ID!) { tasks(organizationId: $o, filter: {text: $x}) { totalCount } }", True),
    "cursor": ("query ($x: String!, $o: ID!) { tasks(organizationId: $o, after: $x) { totalCount } }", True),
    "name": (
        "mutation ($x: String!, $o: ID!) {"
        " labelCreate(input: {organizationId: $o, name: $x, color: $x}) { errors { code } } }",
        True,
    ),
    "json": ("mutation ($x: JSON!) { preferencesUpdate(input: {settings: $x}) { errors { code } } }", False),
}


@pytest.mark.parametrize("text", ODD, ids=ascii)
@pytest.mark.parametrize("place", PLACES)
async def test_an_odd_text_is_looked_for_or_refused(target: Target, acme: Tenant, place: str, text: str) -> None:
    document, in_org = PLACES[place]
    variables: dict[str, Any] = {"x": {"k": text, text[:50]: [text]} if place == "json" else text}
    if in_org:
        variables["o"] = acme.id

    struck = await target.ask(document, acme.admin, variables=variables)

    assert set(struck.codes) <= {BAD}
    if any(each in text for each in ("\x00", "\ud800", "\udfff")):
        assert (struck.status, struck.codes) == (400, [BAD])


@pytest.mark.parametrize("name", ["\x00", "\ud800", "a\nb", "n" * 101, 5, [], {}], ids=ascii)
async def test_an_odd_operation_name_is_refused(target: Target, name: Any) -> None:
    struck = await target.strike(json.dumps({"query": "{ __typename }", "operationName": name}).encode())

    assert (struck.status, struck.codes) == (400, [BAD])
