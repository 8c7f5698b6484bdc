"""The table of what each type of event needs, held against the classes, and against what a reader then sees."""

from domain.base.clock import new_id
from domain.base.permissions import GRANTS, Permission, Role
from domain.events.log import CLASSES, fields_of
from domain.events.types import NEEDED, OWN, EventType
from domain.organizations import api_keys
from graph.base.nodes import nodes_by_kind
from tests.client import GraphQL
from tests.events.log import changes, types
from tests.factories import Tenant, execute

_INSERT = (
    "INSERT INTO event (org_id, id, seq, type, occurred_at, actor_kind, subject_kind, subject_id, data, digest) "
    "SELECT $1, gen_random_uuid(), n, type, now(), 'SYSTEM', 'task', $2, '{}', '' "
    "FROM unnest($3::text[]) WITH ORDINALITY AS given(type, n)"
)


# What somebody else than its doer may see.
SHARED = [type_ for type_ in EventType if type_ not in OWN]


async def log_of(tenant: Tenant, *given: str) -> None:
    """A log with one event of each of these types."""
    await execute("INSERT INTO event_counter (org_id, seq, digest) VALUES ($1, $2, '')", tenant.org_id, len(given))
    await execute(_INSERT, tenant.org_id, new_id(), list(given))


def test_every_class_of_event_has_a_type_and_every_type_a_class() -> None:
    assert sorted(CLASSES) == sorted(EventType)


def test_every_type_says_what_it_needs() -> None:
    assert set(NEEDED) == set(EventType)


def test_subjects_and_references_are_kinds_of_nodes() -> None:
    named = {cls.subject for cls in CLASSES.values()}
    for cls in CLASSES.values():
        named |= {item.metadata["reference"] for item in fields_of(cls) if "reference" in item.metadata}

    assert named <= set(nodes_by_kind())


async def test_a_role_sees_the_types_that_it_is_granted(acme: Tenant) -> None:
    await log_of(acme, *EventType)
    people = {
        Role.ADMIN: acme.admin,
        Role.MEMBER: acme.member,
        Role.BILLING_MANAGER: acme.billing,
        Role.GUEST: acme.guest,
    }

    seen = {role: await types(person.client, acme) for role, person in people.items()}

    assert seen == {role: [type_ for type_ in SHARED if NEEDED[type_] in GRANTS[role]] for role in Role}
    assert seen[Role.ADMIN] == SHARED
    assert not any(type_.startswith("API_KEY_") for type_ in seen[Role.GUEST])


async def test_a_key_sees_the_types_that_it_is_given(acme: Tenant) -> None:
    await log_of(acme, *EventType)
    async with acme.admin.acting() as actor:
        given = [Permission.ORG_READ, Permission.PROJECT_READ, Permission.TASK_READ]
        made = await api_keys.create(actor, acme.org_id, name="Reader", permissions=given)

    seen = await types(GraphQL(made.secret), acme)

    assert seen == [type_ for type_ in SHARED if NEEDED[type_] in given]


async def test_a_type_that_is_not_in_the_table_is_seen_by_nobody(acme: Tenant) -> None:
    await log_of(acme, "TASK_CREATED", "SOMETHING_SECRET")

    found = await changes(acme.admin.client, acme)

    assert [node["type"] for node in found["nodes"]] == ["TASK_CREATED"]
    assert found["totalCount"] == 1
