"""Every mutation of the schema takes a key, but for those that give or end a credential."""

import json
import re
from collections.abc import AsyncIterator

import pytest
from graphql import GraphQLNonNull, GraphQLObjectType, get_named_type

from domain.adapters.wiring import Adapters
from domain.base.settings import Settings
from graph.base.nodes import nodes_by_kind
from tests.ai.answering import answering_where_asked
from tests.billing.paying import selling_where_asked
from tests.client import GraphQL
from tests.factories import rows
from tests.idempotency.keyed import kept, new_key, under
from tests.isolation.calls import SCHEMA, Field, call, mutations, own
from tests.isolation.ledger import Ledger, open_ledger
from tests.isolation.sweep import refusals
from tests.isolation.world import World, bought, make_world, prepared

CREDENTIALS = {
    "signUp",
    "signIn",
    "signOut",
    "passwordReset",
    "passwordChange",
    "emailChangeRequest",
    "invitationDecline",
}
# What a repeat does not show again.
SECRETS = {"apiKeyCreate": "secret"}
# Addresses of pages are shown again: they lead somewhere for a short while, and give nobody else an account's rights.
PAGES = {"billingCheckoutCreate", "billingPortalCreate"}
# Sign-ups are counted by where they come from; these do not count with those of other tests.
ADDRESS = "198.51.100.9"
REPEATABLE = [field for field in mutations() if field.name not in CREDENTIALS]
# One tells what was before the mutation, the others hold until an instant: they are something else each time.
MOMENTARY = re.compile(r" (eventCursor|downloadUrl|thumbnailUrl|resultUrl|(?<=prompt )url)\b")


@pytest.fixture(scope="module")
async def world(settings: Settings, adapters: Adapters) -> World:
    """An organization with one of everything."""
    return await make_world("potoroo", "POT")


@pytest.fixture(scope="module")
async def opened(settings: Settings, world: World) -> AsyncIterator[Ledger]:
    """The organization's rows."""
    async with open_ledger(settings, world.tenant.org_id) as found:
        yield found


@pytest.fixture(autouse=True)
async def stripe(request: pytest.FixtureRequest, settings: Settings, adapters: Adapters) -> AsyncIterator[None]:
    """Somebody whom a plan can be bought from."""
    async with selling_where_asked(request, settings, adapters):
        yield


@pytest.fixture(autouse=True)
async def model(request: pytest.FixtureRequest, adapters: Adapters) -> AsyncIterator[None]:
    """A language model that can be asked."""
    async with answering_where_asked(request, adapters):
        yield


@pytest.fixture
async def ledger(opened: Ledger) -> AsyncIterator[Ledger]:
    """The organization's rows; whatever a test changes is taken back."""
    yield opened
    await opened.restore()


async def elsewhere() -> list[dict[str, object]]:
    """How many rows there are that a mutation may add outside the world."""
    return await rows(
        "SELECT (SELECT count(*) FROM organization) AS organizations, (SELECT count(*) FROM membership) AS members, "
        "(SELECT count(*) FROM event) AS events, (SELECT count(*) FROM users) AS people, "
        "(SELECT count(*) FROM session) AS sessions, (SELECT count(*) FROM security_entry) AS entries"
    )


@pytest.mark.parametrize("field", REPEATABLE, ids=str)
async def test_a_repeat_has_no_effect_and_gets_the_same_answer(world: World, ledger: Ledger, field: Field) -> None:
    things = await prepared(field.name, world.admin)
    await bought(field.name, world)
    asked = call(field, lambda thing, _path: things.get(thing) or world.id(thing), depth=2)
    key = new_key()
    document = under(key, MOMENTARY.sub(" __typename", asked.document))

    first = await world.admin.client.run(document, **asked.variables)
    done, outside = await ledger.read(), await elsewhere()
    again = await world.admin.client.run(document, **asked.variables)

    assert refusals(first) == []
    assert (await ledger.read(), await elsewhere()) == (done, outside)
    assert first.data is not None
    expected = first.data[field.name]
    (row,) = await kept(key)
    if field.name in SECRETS:
        assert expected[SECRETS[field.name]] not in json.dumps(row, default=str)
        expected |= {SECRETS[field.name]: None}
    assert (again.data, again.errors) == ({field.name: expected}, [])


@pytest.mark.parametrize("field", [field for field in mutations() if field.name in CREDENTIALS], ids=str)
async def test_a_credential_is_not_given_under_a_key(world: World, ledger: Ledger, field: Field) -> None:
    asked, key = call(field, own(world)), new_key()
    before = await elsewhere()

    for token in (world.admin.token, None):
        answer = await GraphQL(token, ADDRESS).run(under(key, asked.document), **asked.variables)
        assert (answer.data, answer.codes) == ({field.name: None}, ["BAD_USER_INPUT"])

    assert (await ledger.changed(), await elsewhere(), await kept(key)) == ([], before, [])


@pytest.mark.parametrize("field", REPEATABLE, ids=str)
async def test_without_a_caller_there_is_no_key(world: World, ledger: Ledger, field: Field) -> None:
    asked, key = call(field, own(world)), new_key()

    signed_out = await GraphQL(None, ADDRESS).run(under(key, asked.document), **asked.variables)
    unknown = await GraphQL("pws_unknown", ADDRESS).run(under(key, asked.document), **asked.variables)

    assert (signed_out.data, signed_out.codes) == ({field.name: None}, ["BAD_USER_INPUT"])
    assert (unknown.data, unknown.codes) == ({field.name: None}, ["UNAUTHENTICATED"])
    assert (await ledger.changed(), await kept(key)) == ([], [])


def test_what_a_repeat_may_not_show_any_more_can_be_null() -> None:
    """A row that is gone is null in a payload: its field must allow that. Of a list it is left out."""
    names, pending, seen = {type_.__name__ for type_ in nodes_by_kind().values()}, [], set()
    for field in mutations():
        pending.append(get_named_type(field.definition.type))
    wrong = []
    while pending:
        type_ = pending.pop()
        if type_.name in seen or not isinstance(type_, GraphQLObjectType) or type_.name in (names | {"Viewer"}):
            continue
        seen.add(type_.name)
        for name, each in type_.fields.items():
            inner = get_named_type(each.type)
            pending.append(inner)
            if isinstance(each.type, GraphQLNonNull) and each.type.of_type is inner and inner.name in names:
                wrong.append(f"{type_.name}.{name}")

    assert "DeletePayload" in seen
    assert wrong == []


def test_the_secrets_are_those_of_the_schema() -> None:
    found = {
        field.name: name
        for field in mutations()
        for name in getattr(get_named_type(field.definition.type), "fields", {})
        if name in ("secret", "token", "url")
    }

    assert {name: secret for name, secret in found.items() if name not in CREDENTIALS | PAGES} == SECRETS
    assert SCHEMA.get_directive("idempotent") is not None
