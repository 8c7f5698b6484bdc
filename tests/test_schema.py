"""Laws over the schema: what it says about itself, what can be null, and whom every mutation refuses."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    get_named_type,
    is_introspection_type,
    is_leaf_type,
    is_non_null_type,
    is_specified_scalar_type,
)

from domain.adapters.wiring import Adapters
from domain.base.settings import Settings
from graph.base.selection import declaration
from graph.schema import printed
from tests.client import GraphQL
from tests.isolation.calls import SCHEMA, Field, call, mutations, of_nothing, own, subscriptions
from tests.isolation.ledger import Ledger, open_ledger
from tests.isolation.world import World, make_world

PRINTED = Path(__file__).resolve().parent.parent / "schema.graphql"

# How many a list gives when nothing is said; every other one gives 20.
FIRST_BY_DEFAULT = {"Organization.labels": 50, "Query.changes": 100, "AiThread.messages": 50, "Query.search": 10}

# Sign-ups and sign-ins are counted by where they come from; these do not count with those of other tests.
ADDRESS = "198.51.100.7"

SIGNED_OUT = {"signUp", "signIn", "passwordResetRequest", "passwordReset", "invitationDecline"}

# Account, session and key mutations and organizationCreate are for people; so is leaving, which ends one's own
# membership.
PEOPLE_ONLY = {
    "signOut",
    "sessionRevoke",
    "sessionsRevokeOthers",
    "profileUpdate",
    "preferencesUpdate",
    "emailVerify",
    "emailVerificationResend",
    "passwordChange",
    "emailChangeRequest",
    "invitationAccept",
    "apiKeyCreate",
    "apiKeyRevoke",
    "organizationCreate",
    "organizationLeave",
    "taskSubscribe",
    "taskUnsubscribe",
    "notificationsMarkRead",
    "notificationsMarkUnread",
    "notificationsMarkAllRead",
    "aiThreadCreate",
    "aiThreadDelete",
    "aiMessageSend",
    "aiMessageCancel",
    "aiMessageRetry",
    "aiImageCreate",
    "searchSummarize",
    "searchQueriesClear",
}


def composites() -> list[GraphQLObjectType | GraphQLInterfaceType]:
    """Every type with fields."""
    return [
        type_
        for type_ in SCHEMA.type_map.values()
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType) and not is_introspection_type(type_)
    ]


def test_the_printed_schema_is_current() -> None:
    assert printed() == PRINTED.read_text(encoding="utf-8")


def test_everything_but_the_values_of_enums_is_described() -> None:
    found = [
        name
        for name, type_ in SCHEMA.type_map.items()
        if not type_.description and not is_introspection_type(type_) and not is_specified_scalar_type(type_)
    ]
    for type_ in composites():
        for name, field in type_.fields.items():
            found += [f"{type_.name}.{name}"] if not field.description else []
            found += [
                f"{type_.name}.{name}({argument})" for argument, each in field.args.items() if not each.description
            ]
    for input_ in SCHEMA.type_map.values():
        if isinstance(input_, GraphQLInputObjectType):
            found += [f"{input_.name}.{name}" for name, field in input_.fields.items() if not field.description]

    assert found == []


def test_every_connection_says_how_many_it_gives_when_not_asked() -> None:
    connections = {
        f"{type_.name}.{name}": field.args
        for type_ in composites()
        for name, field in type_.fields.items()
        if str(field.type).rstrip("!").endswith("Connection")
    }

    assert {name: args["first"].default_value for name, args in connections.items()} == {
        name: FIRST_BY_DEFAULT.get(name, 20) for name in connections
    }
    assert [
        name for name, args in connections.items() if "after" not in args or ("last" in args) != ("before" in args)
    ] == []


def test_what_may_be_refused_on_its_own_can_be_null() -> None:
    needing = [
        field
        for type_ in composites()
        for field in type_.fields.values()
        if (found := field.extensions.get("strawberry-definition")) and declaration(found).permission is not None
    ]
    refusable = [*(each.definition for each in mutations()), *needing]

    assert needing != []
    assert [field for field in refusable if is_non_null_type(field.type)] == []


def test_a_subscription_is_never_null_and_can_be_gone_on_with() -> None:
    # Whoever may not follow gets an error in place of it, so no frame has null for its root field.
    for field in subscriptions():
        assert is_non_null_type(field.definition.type), str(field)
        # A count begins with what it is now, and so does a job: nothing of them can be missed. An answer goes on at a
        # place of its text.
        own = ("jobUpdated", "aiMessageStream")
        if not is_leaf_type(get_named_type(field.definition.type)) and field.name not in own:
            assert str(field.definition.args["after"].type) == "String", str(field)


@pytest.fixture(scope="module")
async def world(settings: Settings, adapters: Adapters) -> World:
    """An organization with one of everything."""
    return await make_world("dingo", "DIN")


@pytest.fixture(scope="module")
async def ledger(settings: Settings, world: World) -> AsyncIterator[Ledger]:
    """The organization's rows."""
    async with open_ledger(settings, world.tenant.org_id) as opened:
        yield opened


@pytest.mark.parametrize("field", mutations(), ids=str)
async def test_a_mutation_refuses_who_is_not_signed_in(world: World, ledger: Ledger, field: Field) -> None:
    # Whoever has a right token need not be signed in.
    asked = call(field, lambda thing, _path: of_nothing(thing) if thing.endswith("token") else world.id(thing))

    for token in (None, "", "pws_unknown", "pwk_unknown"):
        answer = await GraphQL(token, ADDRESS).run(asked.document, **asked.variables)
        if field.name in SIGNED_OUT:
            assert "UNAUTHENTICATED" not in answer.codes
        else:
            assert (answer.data, answer.codes) == ({field.name: None}, ["UNAUTHENTICATED"])

    assert await ledger.changed() == []


@pytest.mark.parametrize("field", [field for field in mutations() if field.name not in SIGNED_OUT], ids=str)
async def test_an_api_key_is_refused_what_only_people_do(world: World, ledger: Ledger, field: Field) -> None:
    asked = call(field, own(world))

    answer = await GraphQL(world.secret).run(asked.document, **asked.variables)

    if field.name in PEOPLE_ONLY:
        assert (answer.data, answer.codes) == ({field.name: None}, ["UNAUTHENTICATED"])
        assert await ledger.changed() == []
    else:
        # The comment and the upload are their maker's, and nobody else may go on with them; nobody else sees the job.
        makers = {"commentUpdate": ["FORBIDDEN"], "attachmentUploadComplete": ["FORBIDDEN"], "jobCancel": ["NOT_FOUND"]}
        assert answer.codes == makers.get(field.name, [])
    await ledger.restore()
