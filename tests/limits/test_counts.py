"""What is counted of a document, and that each limit lets its own number through and nothing above it."""

from collections.abc import Callable

import pytest
from graphql import GraphQLSyntaxError, get_introspection_query, validate

from domain.base.errors import TooComplex
from graph.base.limits import LIMITS, measured, parsed
from graph.base.prices import INTROSPECTION
from tests.limits.documents import SCHEMA, only

Make = Callable[[int], str]


def repeated(piece: str) -> Make:
    """So many pieces in a task, below the task itself where fields are counted."""
    return lambda number: "{ task(id: 1) { " + f"{piece} " * number + "} }"


def halves(piece: str) -> Make:
    """The same, of which a fragment that is spread twice has the half, and one within it the half of that."""

    def make(number: int) -> str:
        quarter, rest = divmod(number, 4)
        own = f"{piece} " * quarter
        return (
            f"{{ task(id: 1) {{ ...Half ...Half {f'{piece} ' * rest} }} }} "
            f"fragment Quarter on Task {{ ...None {own} }} "
            "fragment Half on Task { ...Quarter ... { ...Quarter } }"
        )

    return make


def less(make: Make, number: int) -> Make:
    """What has so many more of it than it is told to."""
    return lambda wanted: make(wanted - number)


def nested(number: int) -> str:
    """Fields within each other."""
    return "{ task(id: 1) " + "{ parent " * (number - 2) + "{ id }" + " }" * (number - 1)


def nested_by_fragments(number: int) -> str:
    """The same, each in a fragment of its own but for the first."""
    chain = "".join(f"fragment F{n} on Task {{ parent {{ ...F{n + 1} }} }} " for n in range(number - 2))
    return f"{{ task(id: 1) {{ ...F0 }} }} {chain} fragment F{number - 2} on Task {{ id }}"


def roots(number: int) -> str:
    return "{" + " viewer { email }" * number + " }"


def roots_by_fragments(number: int) -> str:
    half, rest = divmod(number, 2)
    return f"{{ ...Half ... on Query {{ ...Half }}{' __typename' * rest} }} fragment Half on Query {roots(half)}"


def introspections(number: int) -> str:
    return (
        "{ " + " ".join(f'a{n}: __type(name: "T") {{ name }}' for n in range(number - 1)) + " __schema { __typename } }"
    )


def introspections_by_fragments(number: int) -> str:
    half, rest = divmod(number, 2)
    own = '__type(name: "T") { name } '
    return f"{{ ...Half ... on Query {{ ...Half }} {own * rest} }} fragment Half on Query {{ {own * half} }}"


def operations(number: int) -> str:
    return " ".join(f"query Q{n} {{ viewer {{ email }} }}" for n in range(number))


def fragments(number: int) -> str:
    spread = " ".join(f"...F{n}" for n in range(number - 1))
    return f"{{ {spread} }} " + " ".join(f"fragment F{n} on Query {{ __typename }}" for n in range(number - 1))


def variables(number: int) -> str:
    return "query (" + " ".join(f"$v{n}: Int" for n in range(number)) + ") { viewer { email } }"


def inlined(number: int) -> str:
    """Selections within each other, nearly all of fragments that have no name."""
    return "{ task(id: 1) { " + "... { " * (number - 2) + "id" + " }" * number


def inlined_in_fragments(number: int) -> str:
    """The same, in five fragments and what is left."""
    inner, rest = divmod(number - 2, 5)
    opened, closed = "... { " * (inner - 1), " }" * (inner - 1)
    chain = "".join(f"fragment F{n} on Task {{ {opened}...F{n + 1}{closed} }} " for n in range(4))
    chain += f"fragment F4 on Task {{ {opened}id{closed} }}"
    return f"{{ task(id: 1) {{ {'... { ' * rest}...F0{' }' * rest} }} }} {chain}"


def selected(number: int) -> str:
    """So many selections in three operations, each of which has its own fields and half of what may be spread."""
    first, rest = divmod(number - 4, 3)
    own = [
        f"query Q{n} {{ viewer {{ {'... { email } ' * (first // 2)} {'email ' * (first % 2)} }} }} " for n in range(3)
    ]
    return "".join(own) + "fragment F on Viewer { email " + "email " * rest + "}"


CASES = [
    ("depth", nested),
    ("depth", nested_by_fragments),
    ("fields", less(repeated("title"), 1)),
    ("fields", less(repeated("__typename"), 1)),
    ("fields", less(halves("title"), 1)),
    ("aliases", repeated("a: title")),
    ("aliases", halves("a: title")),
    ("directives", repeated("title @include(if: true)")),
    ("directives", halves("title @include(if: true)")),
    ("directives", halves("... @skip(if: true) { title }")),
    ("root_fields", roots),
    ("root_fields", roots_by_fragments),
    ("introspections", introspections),
    ("introspections", introspections_by_fragments),
    ("selections", selected),
    ("definitions", operations),
    ("definitions", fragments),
    ("variables", variables),
    ("nesting", inlined),
    ("nesting", inlined_in_fragments),
]


@pytest.mark.parametrize(("limit", "make"), CASES)
def test_a_limit_lets_its_own_number_through_and_not_one_more(limit: str, make: Make) -> None:
    allowed = getattr(LIMITS, limit)

    measured(SCHEMA, parsed(make(allowed)))
    with pytest.raises(TooComplex) as refused:
        measured(SCHEMA, parsed(make(allowed + 1)))

    assert refused.value.details == {"limit": limit, "allowed": allowed, "found": allowed + 1}
    assert refused.value.code == "TOO_COMPLEX"


def test_the_message_names_limit_found_and_allowed() -> None:
    with pytest.raises(TooComplex) as refused:
        measured(SCHEMA, parsed(roots(21)))

    assert refused.value.message == "The document is too complex: root fields 21, at most 20."


def test_tokens_and_bytes() -> None:
    tokens = "{" + " a" * 1_998 + " }"
    comment = "{ a } #" + "é" * 14_996 + "x"

    assert parsed(tokens).token_count == LIMITS.tokens
    assert len(comment.encode()) == LIMITS.source_bytes
    parsed(comment)
    for text, limit in (
        (f"{tokens} {{a}}", "tokens"),
        ("#\n" * 2_001 + "{ a }", "tokens"),
        (comment + "x", "source_bytes"),
    ):
        with pytest.raises(TooComplex) as refused:
            parsed(text)
        allowed = getattr(LIMITS, limit)
        assert refused.value.details == {"limit": limit, "allowed": allowed, "found": allowed + 1}


def test_half_a_surrogate_pair_is_a_syntax_error_and_no_more() -> None:
    with pytest.raises(GraphQLSyntaxError):
        parsed('{ a(b: "\ud800") }')


@pytest.mark.parametrize(
    ("text", "limit", "found"),
    [
        ("{ a" * 999, "depth", 999),
        ("{ a(b: " + "[" * 1_900, "nesting", 1_901),
        ("{ a(b: " + "{ c: " * 600, "nesting", 601),
        ("query ($a: " + "[" * 1_900, "nesting", 1_901),
        ("query ($a: Int = " + "[" * 1_900, "nesting", 1_901),
        ("{ a(b: " + "[" * 60 + "]" * 60 + ") }", "nesting", 61),
        ("type A @b(c: " + "[" * 100 + "]" * 100 + ") { a: Int }", "nesting", 101),
    ],
)
def test_what_nests_too_deep_is_refused_and_does_not_end_the_stack(text: str, limit: str, found: int) -> None:
    with pytest.raises(TooComplex) as refused:
        parsed(text)

    assert refused.value.details == {"limit": limit, "allowed": getattr(LIMITS, limit), "found": found}


@pytest.mark.parametrize(("make", "limit"), [(nested, "depth"), (inlined, "nesting")])
def test_as_deep_as_the_parser_goes_is_counted_within_the_stack(make: Make, limit: str) -> None:
    document = parsed(make(200))

    with pytest.raises(TooComplex) as refused:
        measured(SCHEMA, document)
    with pytest.raises(TooComplex) as given_up:
        parsed(make(201))

    assert refused.value.details == {"limit": limit, "allowed": getattr(LIMITS, limit), "found": 200}
    # What the parser did not finish is told by its brackets.
    assert given_up.value.details == {"limit": "depth", "allowed": LIMITS.depth, "found": 201}


def test_directives_are_counted_wherever_they_stand() -> None:
    document = """
    query A($a: Boolean! @one) @two {
      viewer @three { email @four ... @five { email } ...F @six ...F @seven }
    }
    fragment F on Viewer @eight { email @nine }
    """

    assert only(document).counts.directives == 7 + 2 * 2


def test_each_operation_is_counted_by_itself() -> None:
    document = f"query A {repeated('title')(299)} query B {repeated('title')(299)}"

    found = measured(SCHEMA, parsed(document))

    assert {name: each.counts.fields for name, each in found.items()} == {"A": 300, "B": 300}


def test_fragments_that_nothing_spreads_are_counted_together() -> None:
    one = "{ " + "title " * 200 + "}"

    measured(SCHEMA, parsed(f"{{ viewer {{ email }} }} fragment F on Task {one}"))
    with pytest.raises(TooComplex) as refused:
        measured(SCHEMA, parsed(f"{{ viewer {{ email }} }} fragment F on Task {one} fragment G on Task {one}"))

    assert refused.value.details == {"limit": "fields", "allowed": 300, "found": 400}


def test_the_standard_introspection_query_passes_with_all_its_options() -> None:
    document = parsed(
        get_introspection_query(
            specified_by_url=True,
            directive_is_repeatable=True,
            schema_description=True,
            input_value_deprecation=True,
            experimental_directive_deprecation=True,
            one_of=True,
            type_depth=9,
        )
    )

    found = measured(SCHEMA, document)["IntrospectionQuery"]

    counts = found.counts
    assert (counts.depth, counts.fields, counts.aliases, counts.root_fields) == (15, 232, 0, 1)
    assert found.check({}).points == INTROSPECTION


@pytest.mark.parametrize(
    "document",
    [
        "{ nothing { of { this } } }",
        "{ viewer { ...Undefined } }",
        "{ ...F } fragment F on Nothing { a { b } }",
        "{ ...F } fragment F on TaskFilter { and { or } }",
        "{ ...F } fragment F on Int { a }",
        "{ viewer { ... on Task { comments { nodes { author } } } } }",
        "mutation { nothing }",
        "subscription { viewer { email } }",
        "{ tasks(first: $undefined) { nodes { id } } }",
        '{ tasks(first: "ten") { nodes { id } } }',
        "{ tasks(first: [1, 2], first: {a: 1}, first: null) { nodes { id } } }",
        "{ nodes(ids: {a: 1}) { id } }",
        "query ($n: Nothing = 1.5) { tasks(first: $n) { nodes { id } } }",
        "query ($n: Int, $n: Int) { tasks(first: $n) { nodes { id } } } query { tasks(first: $n) { nodes { id } } }",
        "{ viewer { organizations { nodes edges pageInfo } } }",
        "{ viewer { email { email } } }",
        "type A { a: Int }",
        "fragment F on Task { ...F }",
    ],
)
def test_what_is_wrong_otherwise_is_left_to_validation(document: str) -> None:
    found = measured(SCHEMA, parsed(document))

    for each in found.values():
        assert each.check({}).points >= 1
    assert validate(SCHEMA, parsed(document))
