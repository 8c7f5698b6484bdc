"""Where the directive may stand, and what a key may be."""

from typing import Any
from unittest.mock import patch

import pytest
from graphql import DirectiveLocation

from graph.base.documents import LONGEST_CACHED
from graph.base.idempotency import OnlyOnMutations
from tests.factories import Tenant, statements
from tests.idempotency.keyed import CREATE_LABEL, kept, labels, new_key
from tests.isolation.calls import SCHEMA
from tests.sockets import opened
from tests.tasks.board import unchanged

LABEL = 'labelCreate(input: {organizationId: $org, name: "%s", color: "#123456"})'
PICKED = "{ label { name } errors { code path } }"

MISPLACED = {
    "a query": 'query ($org: ID!) { organization(id: $org) @idempotent(key: "k") { id } }',
    "a short query": '{ viewer @idempotent(key: "k") { user { id } } }',
    "below a query": 'query ($org: ID!) { organization(id: $org) { id @idempotent(key: "k") } }',
    "below a mutation": f'mutation ($org: ID!) {{ {LABEL} {{ label {{ id @idempotent(key: "k") }} }} }}',
    "below a keyed mutation": f'mutation ($org: ID!) {{ {LABEL} @idempotent(key: "k") '
    '{ label @idempotent(key: "k") { id } } }',
    "a fragment of a query": "query ($org: ID!) { ...Q } "
    'fragment Q on Query { organization(id: $org) @idempotent(key: "k") { id } }',
    "a fragment below": f"mutation ($org: ID!) {{ {LABEL} {{ ...P }} }} "
    'fragment P on LabelPayload { label @idempotent(key: "k") { id } }',
    "an inline fragment below": f"mutation ($org: ID!) {{ {LABEL} "
    '{ ... on LabelPayload { label @idempotent(key: "k") { id } } } }',
    "an inline fragment of a query": 'query { ... { viewer @idempotent(key: "k") { user { id } } } }',
    "another operation": f"mutation M($org: ID!) {{ {LABEL} {PICKED} }} query Q {{ viewer "
    '@idempotent(key: "k") { user { id } } }',
    "the operation": f'mutation ($org: ID!) @idempotent(key: "k") {{ {LABEL} {PICKED} }}',
    "a spread": f'mutation ($org: ID!) {{ ...M @idempotent(key: "k") }} fragment M on Mutation {{ {LABEL} {PICKED} }}',
    "an inline spread": f'mutation ($org: ID!) {{ ... @idempotent(key: "k") {{ {LABEL} {PICKED} }} }}',
    "twice": f'mutation ($org: ID!) {{ {LABEL} @idempotent(key: "k") @idempotent(key: "k") {PICKED} }}',
    "without a key": f"mutation ($org: ID!) {{ {LABEL} @idempotent {PICKED} }}",
    "a key that is null": f"mutation ($org: ID!) {{ {LABEL} @idempotent(key: null) {PICKED} }}",
    "a key that is a number": f"mutation ($org: ID!) {{ {LABEL} @idempotent(key: 1) {PICKED} }}",
    "a key that may be null": f"mutation ($org: ID!, $key: String) {{ {LABEL} @idempotent(key: $key) {PICKED} }}",
}


def named(document: str) -> str:
    """The document with the label's name in its place."""
    return document.replace("%s", "bug")


@pytest.mark.parametrize("place", MISPLACED)
async def test_a_misplaced_directive_refuses_the_operation_before_anything_runs(acme: Tenant, place: str) -> None:
    document = named(MISPLACED[place])
    variables = {"org": acme.id} if "$org" in document else {}

    for _ in range(2):  # The second time validation comes from the cache.
        async with unchanged(acme):
            with statements() as sent:
                answer = await acme.admin.client.run(document, **variables)

        assert (answer.data, set(answer.codes)) == (None, {"BAD_USER_INPUT"})
        assert [each for each in sent if "label" in each or "organization." in each] == []
    assert await labels(acme.org_id) == []


@pytest.mark.parametrize(
    "document",
    [
        'subscription ($org: ID!) { events(organizationId: $org) @idempotent(key: "k") { id } }',
        'subscription ($org: ID!) { events(organizationId: $org) { id @idempotent(key: "k") } }',
        "subscription ($org: ID!) { ...S } fragment S on Subscription { events(organizationId: $org) "
        '@idempotent(key: "k") { id } }',
    ],
)
async def test_a_subscription_takes_no_key(acme: Tenant, address: str, document: str) -> None:
    async with opened(address, acme.admin.token) as socket:
        codes = await (await socket.run(document, org=acme.id)).codes()

    assert codes == ["BAD_USER_INPUT"]


async def test_a_document_too_long_for_the_cache_is_looked_at_too(acme: Tenant) -> None:
    document = f"{MISPLACED['a short query']} # {'x' * LONGEST_CACHED}"

    answer = await acme.admin.client.run(document)

    assert (answer.data, answer.codes) == (None, ["BAD_USER_INPUT"])


async def test_a_key_that_may_be_null_by_its_default_must_not_be(acme: Tenant) -> None:
    document = named(f'mutation ($org: ID!, $key: String = "k") {{ {LABEL} @idempotent(key: $key) {PICKED} }}')

    refused = await acme.admin.client.run(document, org=acme.id, key=None)
    assert (refused.data, refused.codes) == ({"labelCreate": None}, ["BAD_USER_INPUT"])
    assert await labels(acme.org_id) == []
    await acme.admin.client.done(document, org=acme.id)


PLACED = {
    "the root": f"mutation ($org: ID!, $key: String!) {{ {LABEL} @idempotent(key: $key) {PICKED} }}",
    "an inline fragment": "mutation ($org: ID!, $key: String!) { ... "
    f"{{ {LABEL} @idempotent(key: $key) {PICKED} }} }}",
    "a typed inline fragment": "mutation ($org: ID!, $key: String!) { ... on Mutation "
    f"{{ ... {{ {LABEL} @idempotent(key: $key) {PICKED} }} }} }}",
    "a fragment": "mutation ($org: ID!, $key: String!) { ...M } "
    f"fragment M on Mutation {{ {LABEL} @idempotent(key: $key) {PICKED} }}",
    "merged fields with one key": f"mutation ($org: ID!, $key: String!) {{ {LABEL} @idempotent(key: $key) {PICKED} "
    f"...M }} fragment M on Mutation {{ {LABEL} @idempotent(key: $key) {{ label {{ name }} }} }}",
    "the second of merged fields": f"mutation ($org: ID!, $key: String!) {{ {LABEL} {PICKED} "
    f"{LABEL} @idempotent(key: $key) {PICKED} }}",
    "a default": 'mutation ($org: ID!, $key: String! = "%s") { %s @idempotent(key: $key) %s }',
}


@pytest.mark.parametrize("place", PLACED)
async def test_it_stands_on_a_root_field_of_a_mutation(acme: Tenant, place: str) -> None:
    key, document, variables = new_key(), PLACED[place], {"org": acme.id}
    if place == "a default":
        document = document % (key, LABEL, PICKED)
    else:
        variables["key"] = key

    first = await acme.admin.client.done(named(document), **variables)
    again = await acme.admin.client.done(named(document), **variables)

    assert first == again == {"label": {"name": "bug"}, "errors": []}
    assert await labels(acme.org_id) == ["bug"]
    assert len(await kept(key)) == 1


@pytest.mark.parametrize("fragments", [False, True])
async def test_merged_fields_with_different_keys_are_refused(acme: Tenant, fragments: bool) -> None:
    first, second = f"{LABEL} @idempotent(key: $a) {PICKED}", f"{LABEL} @idempotent(key: $b) {PICKED}"
    document = named(
        f"mutation ($org: ID!, $a: String!, $b: String!) {{ {first} ...M }} fragment M on Mutation {{ {second} }}"
        if fragments
        else f"mutation ($org: ID!, $a: String!, $b: String!) {{ {first} {second} }}"
    )
    keys = {"a": new_key(), "b": new_key()}

    async with unchanged(acme):
        refused = await acme.admin.client.run(document, org=acme.id, **keys)
    same = await acme.admin.client.done(document, org=acme.id, a=keys["a"], b=keys["a"])

    assert (refused.data, refused.codes) == ({"labelCreate": None}, ["BAD_USER_INPUT"])
    assert same["label"] == {"name": "bug"}
    assert await kept(keys["b"]) == []


async def test_a_skipped_field_carries_no_key(acme: Tenant) -> None:
    document = named(
        f"mutation ($org: ID!, $a: String!, $b: String!) {{ {LABEL} @idempotent(key: $a) {PICKED} "
        f"{LABEL} @skip(if: true) @idempotent(key: $b) {PICKED} }}"
    )

    payload = await acme.admin.client.done(document, org=acme.id, a=new_key(), b=new_key())

    assert payload["label"] == {"name": "bug"}


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_a_key_of_a_wrong_length_is_refused(acme: Tenant, key: str) -> None:
    async with unchanged(acme):
        answer = await acme.admin.client.run(CREATE_LABEL, org=acme.id, name="bug", key=key)

    assert (answer.data, answer.codes) == ({"labelCreate": None}, ["BAD_USER_INPUT"])
    assert answer.errors[0]["extensions"]["path"] == ["@idempotent", "key"]


@pytest.mark.parametrize("key", ["k", "k" * 255, "ключ 🔑", " ", "'; DROP TABLE label; --"])
async def test_a_key_is_any_text(acme: Tenant, key: str) -> None:
    for _ in range(2):
        await acme.admin.client.done(CREATE_LABEL, org=acme.id, name="bug", key=key)

    assert await labels(acme.org_id) == ["bug"]


@pytest.mark.parametrize("key", ["a\x00b", "a\ud800"])
async def test_a_key_that_cannot_be_stored_is_refused(acme: Tenant, key: str) -> None:
    answer = await acme.admin.client.run(CREATE_LABEL, org=acme.id, name="bug", key=key)

    assert (answer.data, answer.codes) == (None, ["BAD_USER_INPUT"])
    assert await labels(acme.org_id) == []


async def test_deep_arguments_are_an_answer_and_no_fault_of_ours(acme: Tenant) -> None:
    deep: Any = None
    for _ in range(5000):
        deep = [deep]
    document = (
        "mutation ($settings: JSON, $key: String!) { preferencesUpdate(input: {settings: $settings}) "
        "@idempotent(key: $key) { errors { code } } }"
    )

    answer = await acme.admin.client.run(document, settings=deep, key=new_key())

    assert (answer.data, answer.codes) == ({"preferencesUpdate": None}, ["BAD_USER_INPUT"])


async def test_only_documents_with_the_word_pay_for_the_rule(acme: Tenant) -> None:
    with patch.object(OnlyOnMutations, "__init__", side_effect=AssertionError("looked")):
        await acme.admin.client.ok("{ viewer { user { id name } } }")


async def test_a_mutation_without_a_key_sends_no_statement_more(acme: Tenant) -> None:
    with statements() as sent:
        await acme.admin.client.done(named(f"mutation ($org: ID!) {{ {LABEL} {PICKED} }}"), org=acme.id)

    assert [each for each in sent if "idempotency" in each or "advisory" in each or "SAVEPOINT" in each] == []


def test_the_schema_says_what_it_does() -> None:
    (directive,) = [each for each in SCHEMA.directives if each.name == "idempotent"]

    assert directive.locations == (DirectiveLocation.FIELD,)
    assert str(directive.args["key"].type) == "String!"
    assert directive.description is not None
    assert directive.args["key"].description is not None
