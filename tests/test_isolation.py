"""Tenants are kept apart: swept from the schema, the declared reads and the tables, each layer on its own.

Every predicate and every policy is dropped once, and the sweep must notice.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from graphql import GraphQLInterfaceType, GraphQLNamedType, GraphQLObjectType, GraphQLUnionType, get_named_type

from domain.adapters.wiring import Adapters
from domain.base.clock import new_id
from domain.base.settings import Settings
from graph.base import documents
from tests.ai.answering import answering_always
from tests.billing.paying import selling
from tests.client import GraphQL
from tests.factories import execute, make_person
from tests.isolation.calls import SCHEMA, THINGS, Unknown, call, of_nothing, own
from tests.isolation.layers import (
    Predicate,
    declared_reads,
    every_right,
    predicates,
    replaced,
    with_policy,
    without_policies,
    without_predicates,
)
from tests.isolation.ledger import open_ledger
from tests.isolation.reads import read_probes
from tests.isolation.selections import Seen
from tests.isolation.sweep import (
    QUIET,
    Tenants,
    field_probes,
    id_probes,
    leaks,
    node_probes,
    refusals,
    schema_probes,
    text_probes,
)
from tests.isolation.tables import table_leaks
from tests.isolation.world import make_world, point_at

# People stand in global tables, which no policy guards: their predicates are the only layer, and always stay.
SOLE_LAYER = "domain.identity.queries"

# Predicates through which nothing can leak by the schema, whatever they say; the reads are still swept with them.
UNREACHABLE = {
    "domain.identity.queries.own_preferences": "the key of its one read is the caller's own id",
    "domain.billing.queries.visible": "the key of its one read is the id of an organization that the caller has read",
    "domain.billing.entitlements.visible": "its keys are the ids of organizations that the caller has read",
}

LAYERS = ("both layers", "predicates alone", "policies alone")


async def make_tenants(stack: AsyncExitStack, settings: Settings) -> Tenants:
    """Two worlds, the first of which points at the second wherever the database lets it."""
    mine, theirs = await make_world("wombat", "WOM"), await make_world("quokka", "QUO")
    await point_at(mine, theirs)
    ledger = open_ledger(settings, mine.tenant.org_id, theirs.tenant.org_id)
    return Tenants(mine, theirs, await stack.enter_async_context(ledger))


@pytest.fixture(scope="module")
async def tenants(settings: Settings, adapters: Adapters) -> AsyncIterator[Tenants]:
    """Who asks, and whose things must not show."""
    async with AsyncExitStack() as stack:
        # Each layer is asked the same long documents.
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(documents, "LONGEST_CACHED", 1_000_000)
        yield await make_tenants(stack, settings)


@pytest.fixture(autouse=True)
async def stripe(settings: Settings, adapters: Adapters) -> AsyncIterator[None]:
    """Somebody whom a plan can be bought from."""
    async with selling(settings, adapters):
        yield


@pytest.fixture(autouse=True)
async def model(adapters: Adapters, stripe: None) -> AsyncIterator[None]:
    """A language model that can be asked."""
    async with answering_always(adapters):
        yield


@pytest.fixture(params=LAYERS)
async def layered(request: pytest.FixtureRequest, tenants: Tenants) -> AsyncIterator[Tenants]:
    """The tenants, kept apart by the layers that are named."""
    if request.param == "predicates alone":
        async with without_policies(tenants.ledger):
            yield tenants
    elif request.param == "policies alone":
        with without_predicates(each for each in predicates() if each.module.__name__ != SOLE_LAYER):
            yield tenants
    else:
        yield tenants


async def test_an_id_of_another_tenant_is_nothing_wherever_it_is_given(layered: Tenants) -> None:
    assert await leaks(layered, id_probes()) == []


async def test_a_text_that_names_another_tenants_thing_names_nothing(layered: Tenants) -> None:
    assert await leaks(layered, text_probes(layered)) == []


async def test_node_and_nodes_give_null_for_things_of_another_tenant(layered: Tenants) -> None:
    assert await leaks(layered, node_probes(layered)) == []


async def test_no_field_shows_anything_of_another_tenant(layered: Tenants) -> None:
    assert await leaks(layered, field_probes(layered)) == []


async def test_no_read_gives_rows_by_keys_of_another_tenant(layered: Tenants) -> None:
    assert await leaks(layered, read_probes()) == []


async def test_no_table_shows_or_takes_rows_of_another_tenant(tenants: Tenants) -> None:
    assert await table_leaks(tenants, tenants.ledger.tables) == []


async def test_every_field_that_can_be_read_is_swept(tenants: Tenants) -> None:
    seen: Seen = set()

    for probe in field_probes(tenants):
        probe.asked(tenants.mine, seen)

    assert sorted(reachable() - seen) == []


def reachable() -> Seen:
    """Every field of every type that Query leads to."""
    assert SCHEMA.query_type is not None
    found: Seen = set()
    pending: list[GraphQLNamedType] = [get_named_type(field.type) for field in SCHEMA.query_type.fields.values()]
    visited: set[str] = set()
    while pending:
        type_ = pending.pop()
        if type_.name in visited:
            continue
        visited.add(type_.name)
        if isinstance(type_, GraphQLInterfaceType | GraphQLUnionType):
            pending += SCHEMA.get_possible_types(type_)
        elif isinstance(type_, GraphQLObjectType):
            found |= {(type_.name, name) for name in type_.fields}
            pending += [get_named_type(field.type) for field in type_.fields.values()]
    return found


async def test_api_keys_and_strangers_get_null_for_things_of_another_tenant(tenants: Tenants) -> None:
    callers = [GraphQL(tenants.mine.secret), (await make_person("Lone Ranger")).client]
    document = "query ($id: ID!) { node(id: $id) { __typename id } }"

    for client in callers:
        for thing in tenants.theirs.ids:
            for id in (tenants.theirs.id(thing), of_nothing(thing)):
                answer = await client.run(document, id=id)
                assert (answer.data, answer.errors) == ({"node": None}, []), (thing, id)


async def test_who_moved_to_another_tenant_keeps_their_name_here_and_their_address_there(layered: Tenants) -> None:
    person = await make_person("Moved Away")
    for world, ended in ((layered.mine, "now()"), (layered.theirs, "NULL")):
        await execute(
            "INSERT INTO membership (id, org_id, user_id, role, created_at, updated_at, ended_at) "
            f"VALUES ($1, $2, $3, 'MEMBER', now(), now(), {ended})",
            new_id(),
            world.tenant.org_id,
            person.user_id,
        )

    found = await layered.client.ok("query ($id: ID!) { node(id: $id) { ... on User { name email } } }", id=person.id)
    await layered.ledger.restore()

    assert found == {"node": {"name": "Moved Away", "email": None}}


async def test_somebody_in_two_organizations_cannot_mix_them(settings: Settings, adapters: Adapters) -> None:
    async with AsyncExitStack() as stack:
        mine, theirs = await make_world("numbat", "NUM"), await make_world("bilby", "BIL")
        await execute(
            "INSERT INTO membership (id, org_id, user_id, role, created_at, updated_at) "
            "VALUES ($1, $2, $3, 'ADMIN', now(), now())",
            new_id(),
            theirs.tenant.org_id,
            mine.admin.user_id,
        )
        ledger = await stack.enter_async_context(open_ledger(settings, mine.tenant.org_id, theirs.tenant.org_id))
        mixed = 0
        for probe in id_probes():
            given: list[str] = []

            def note(thing: str, _path: tuple[str, ...], given: list[str] = given) -> str:
                given.append(thing)
                return own(mine)(thing, _path)

            call(probe.field, note, probe.place)
            if not probe.field.is_mutation or len(given) < 2 or probe.name.startswith(QUIET):
                continue
            asked = probe.with_id(mine, theirs.id(probe.thing))
            answer = await mine.admin.client.run(asked.document, **asked.variables)
            assert refusals(answer), f"{probe.name} takes an id of another organization"
            assert "INTERNAL" not in answer.codes, f"{probe.name} is stopped by the database alone"
            assert await ledger.changed() == [], f"{probe.name} changed something"
            mixed += 1

    assert mixed > 20


@pytest.mark.parametrize("predicate", predicates(), ids=str)
async def test_the_sweep_notices_when_a_predicate_is_dropped(tenants: Tenants, predicate: Predicate) -> None:
    probes = read_probes() if str(predicate) in UNREACHABLE else schema_probes(tenants)

    async with without_policies(tenants.ledger):
        with without_predicates([predicate]):
            assert await leaks(tenants, probes, first=True) != []

    assert await tenants.ledger.changed(tenants.theirs.tenant.org_id) == []


async def test_the_sweep_notices_when_a_single_read_drops_its_predicate(tenants: Tenants) -> None:
    declared = declared_reads()
    unnoticed = []

    async with without_policies(tenants.ledger):
        for probe in read_probes():
            if probe.name in declared:
                with replaced(declared[probe.name], "visible"):
                    found = await probe.leaks(tenants)
            else:
                module = probe.name.rpartition(".")[0]
                with without_predicates(each for each in predicates() if each.module.__name__ == module):
                    found = await probe.leaks(tenants)
            if not found:
                unnoticed.append(probe.name)

    assert unnoticed == []


async def test_the_sweep_notices_when_a_policy_is_dropped(tenants: Tenants, settings: Settings) -> None:
    ledger, unnoticed = tenants.ledger, []
    policies = "SELECT tablename, policyname, qual, with_check FROM pg_policies ORDER BY 1, 2"
    before = await ledger.owner.fetch(policies)

    # Where a right is missing a policy has nothing to hold back.
    async with every_right(ledger, settings):
        assert await table_leaks(tenants, ledger.tables) == []
        for table in ledger.tables:
            for clause in ("USING", "WITH CHECK"):
                async with with_policy(ledger, table, clause):
                    if await table_leaks(tenants, [table]) == []:
                        unnoticed.append(f"{clause} of {table}")

    assert unnoticed == []
    assert await ledger.owner.fetch(policies) == before


async def test_a_new_id_in_the_schema_must_be_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(THINGS, "projectUpdate.id")

    with pytest.raises(Unknown, match=r"projectUpdate\.id .* say in THINGS what goes there"):
        id_probes()
