"""Who may do what, by role and by API key: an operation is done exactly when its permission is granted."""

from collections.abc import AsyncIterator

import pytest
from graphql import GraphQLObjectType, is_introspection_type

from domain.adapters.wiring import Adapters
from domain.base.actor import ActorKind, ActorRef
from domain.base.permissions import GRANTS, Permission, Role, in_order
from domain.base.settings import Settings
from domain.organizations import api_keys
from graph.base.ids import global_id
from graph.base.selection import declaration
from tests.ai.answering import answering_where_asked
from tests.billing.paying import selling_where_asked
from tests.client import Answer, GraphQL
from tests.factories import Person, execute, rows
from tests.isolation.calls import SCHEMA, Call, Field, call, mutations
from tests.isolation.ledger import Ledger, open_ledger
from tests.isolation.sweep import refusals
from tests.isolation.world import World, bought, make_notification, make_session, make_world, own_threads, prepared
from tests.test_schema import PEOPLE_ONLY

P = Permission

# What each mutation needs; None for what a signed-in person may always do, with things of their own.
NEEDED: dict[str, Permission | None] = {
    "signUp": None,
    "signIn": None,
    "signOut": None,
    "sessionRevoke": None,
    "sessionsRevokeOthers": None,
    "emailVerify": None,
    "emailVerificationResend": None,
    "passwordResetRequest": None,
    "passwordReset": None,
    "passwordChange": None,
    "emailChangeRequest": None,
    "profileUpdate": None,
    "preferencesUpdate": None,
    "apiKeyCreate": P.API_KEYS_MANAGE,
    "apiKeyRevoke": P.API_KEYS_MANAGE,
    "organizationCreate": None,
    "organizationUpdate": P.ORG_UPDATE,
    "organizationExport": P.ORG_UPDATE,
    "invitationCreate": P.INVITATIONS_MANAGE,
    "invitationResend": P.INVITATIONS_MANAGE,
    "invitationRevoke": P.INVITATIONS_MANAGE,
    "invitationAccept": None,
    "invitationDecline": None,
    "membershipUpdate": P.MEMBERS_MANAGE,
    "membershipDelete": P.MEMBERS_MANAGE,
    "organizationLeave": None,
    "projectCreate": P.PROJECT_CREATE,
    "projectUpdate": P.PROJECT_UPDATE,
    "projectArchive": P.PROJECT_UPDATE,
    "projectUnarchive": P.PROJECT_UPDATE,
    "projectDelete": P.PROJECT_DELETE,
    "workflowStateCreate": P.PROJECT_UPDATE,
    "workflowStateUpdate": P.PROJECT_UPDATE,
    "workflowStateDelete": P.PROJECT_UPDATE,
    "workflowTransitionsSet": P.PROJECT_UPDATE,
    "taskCreate": P.TASK_CREATE,
    "taskUpdate": P.TASK_UPDATE,
    "taskBulkUpdate": P.TASK_UPDATE,
    "taskMove": P.TASK_UPDATE,
    "taskTransfer": P.TASK_UPDATE,
    "taskArchive": P.TASK_UPDATE,
    "taskUnarchive": P.TASK_UPDATE,
    "taskDelete": P.TASK_DELETE,
    "taskRelationCreate": P.TASK_UPDATE,
    "taskRelationDelete": P.TASK_UPDATE,
    "labelCreate": P.PROJECT_UPDATE,
    "labelUpdate": P.PROJECT_UPDATE,
    "labelDelete": P.PROJECT_UPDATE,
    "commentCreate": P.COMMENT_CREATE,
    "commentUpdate": P.COMMENT_CREATE,
    "commentDelete": P.TASK_DELETE,
    "attachmentUploadCreate": P.ATTACHMENT_CREATE,
    "attachmentUploadComplete": P.ATTACHMENT_CREATE,
    "attachmentDelete": P.TASK_DELETE,
    "taskSubscribe": None,
    "taskUnsubscribe": None,
    "notificationsMarkRead": None,
    "notificationsMarkUnread": None,
    "notificationsMarkAllRead": None,
    "billingCheckoutCreate": P.BILLING_MANAGE,
    "billingPortalCreate": P.BILLING_MANAGE,
    "subscriptionCancel": P.BILLING_MANAGE,
    "subscriptionResume": P.BILLING_MANAGE,
    "jobCancel": None,
    "reportCreate": P.REPORT_CREATE,
    "aiThreadCreate": P.AI_USE,
    "aiThreadDelete": None,
    "aiMessageSend": P.AI_USE,
    "aiMessageCancel": None,
    "aiMessageRetry": P.AI_USE,
    "aiImageCreate": P.AI_USE,
    "taskFilterSuggest": P.AI_USE,
    "searchSummarize": P.AI_USE,
    "searchQueriesClear": None,
}

# Who may not manage keys does not see those of others, so there is nothing to forbid; nor who may not invite.
HIDDEN = {"apiKeyRevoke", "invitationResend", "invitationRevoke"}

# Reads that need more than membership: the query, with $id the organization's, and where the answer stands.
READS = {
    "tasks": (P.TASK_READ, "query ($id: ID!) { tasks(organizationId: $id) { totalCount } }"),
    "subscription": (P.BILLING_READ, "query ($id: ID!) { organization(id: $id) { subscription { status } } }"),
    "apiKeys": (P.API_KEYS_MANAGE, "query ($id: ID!) { organization(id: $id) { apiKeys { id } } }"),
    "invitations": (
        P.INVITATIONS_MANAGE,
        "query ($id: ID!) { organization(id: $id) { invitations { nodes { id } } } }",
    ),
}

# What must be granted for a thing to be there at all. What every key has shows to every key.
SHOWN_BY = {
    "organization": P.ORG_READ,
    "membership": P.MEMBERS_READ,
    "user": P.MEMBERS_READ,
    "project": P.PROJECT_READ,
    "workflow_state": P.PROJECT_READ,
    "label": P.PROJECT_READ,
    "task": P.TASK_READ,
    "task_relation": P.TASK_READ,
    "comment": P.TASK_READ,
    "attachment": P.ATTACHMENT_READ,
    "invitation": P.INVITATIONS_MANAGE,
    "event": P.TASK_READ,
}

MUTATIONS = [field for field in mutations() if field.name not in ("signUp", "signIn")]
GUARDED = [field for field in MUTATIONS if NEEDED.get(field.name)]


@pytest.fixture(scope="module")
async def world(settings: Settings, adapters: Adapters) -> World:
    """An organization with one of everything."""
    return await make_world("dingo", "DIN")


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


@pytest.fixture(scope="module")
async def keys(world: World) -> dict[Permission | None, str]:
    """Permission -> the secret of a key that may do all but this; None -> of one that may do all."""
    secrets: dict[Permission | None, str] = {None: world.secret}
    async with world.admin.acting() as actor:
        for permission in Permission:
            others = [each for each in Permission if each is not permission]
            made = await api_keys.create(actor, world.tenant.org_id, name=f"not {permission}", permissions=others)
            secrets[permission] = made.secret
    return secrets


@pytest.fixture(scope="module")
async def opened(settings: Settings, world: World, keys: object) -> AsyncIterator[Ledger]:
    """The organization's rows, keys included."""
    async with open_ledger(settings, world.tenant.org_id) as found:
        yield found


@pytest.fixture
async def ledger(opened: Ledger) -> AsyncIterator[Ledger]:
    """The organization's rows; whatever a test changes is taken back."""
    yield opened
    await opened.restore()


def person_of(world: World, role: Role) -> Person:
    """Who has the role."""
    return {
        Role.ADMIN: world.tenant.admin,
        Role.MEMBER: world.tenant.member,
        Role.BILLING_MANAGER: world.tenant.billing,
        Role.GUEST: world.tenant.guest,
    }[role]


async def call_as(world: World, field: Field, author: ActorRef, person: Person | None = None) -> Call:
    """A call of the mutation that is valid for this caller: with a session, a comment, an upload, a job of theirs."""
    things = {} if person is None else await prepared(field.name, person)
    await bought(field.name, world)
    if person is not None and field.name == "sessionRevoke":
        things["other session"] = global_id("session", await make_session(person))
    if person is not None and field.name in ("notificationsMarkRead", "notificationsMarkUnread"):
        things["notification"] = global_id("notification", await make_notification(world, person))
    if person is not None and field.name.startswith("ai"):
        await own_threads(world, person)
    if field.name == "commentUpdate":
        await execute(
            "UPDATE comment SET author_kind = $1, author_id = $2 WHERE id = $3",
            author.kind.value,
            author.id,
            world.ids["comment"],
        )
    if field.name == "attachmentUploadComplete":
        await execute(
            "UPDATE attachment SET uploaded_by_kind = $1, uploaded_by_id = $2 WHERE id = $3",
            author.kind.value,
            author.id,
            world.ids["sent attachment"],
        )
    if field.name == "jobCancel":
        await execute(
            "UPDATE job SET asked_by_kind = $1, asked_by_id = $2 WHERE id = $3",
            author.kind.value,
            author.id,
            world.ids["job"],
        )
    return call(field, lambda thing, _path: things.get(thing) or world.id(thing))


async def run(ledger: Ledger, client: GraphQL, asked: Call) -> tuple[Answer, list[str]]:
    """The answer, and the tables that the call changed."""
    before = await ledger.read()
    answer = await client.run(asked.document, **asked.variables)
    after = await ledger.read()
    return answer, sorted({table for place, table in ledger.places if after[place, table] != before[place, table]})


def denied(answer: Answer, field: Field, permission: Permission) -> bool:
    """Whether it was forbidden for want of the permission alone, or what it is about is hidden without it."""
    return answer.codes == ["NOT_FOUND"] if field.name in HIDDEN else forbidden(answer, permission)


def forbidden(answer: Answer, permission: Permission) -> bool:
    """Whether the permission, and nothing else, was missing."""
    return [error["extensions"] for error in answer.errors] == [{"code": "FORBIDDEN", "permission": permission.value}]


def test_every_mutation_says_what_it_needs() -> None:
    assert {field.name for field in mutations()} == set(NEEDED)


def test_every_declared_permission_of_a_read_is_swept() -> None:
    declared = {
        name: permission
        for type_ in SCHEMA.type_map.values()
        if isinstance(type_, GraphQLObjectType) and not is_introspection_type(type_)
        for name, field in type_.fields.items()
        if (found := field.extensions.get("strawberry-definition")) and (permission := declaration(found).permission)
    }

    assert declared == {"apiKeys": P.API_KEYS_MANAGE, "invitations": P.INVITATIONS_MANAGE}
    assert set(declared) <= set(READS)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("field", MUTATIONS, ids=str)
async def test_a_role_does_what_it_is_granted_and_nothing_else(
    world: World, ledger: Ledger, field: Field, role: Role
) -> None:
    person, needed = person_of(world, role), NEEDED[field.name]
    asked = await call_as(world, field, ActorRef(ActorKind.USER, person.user_id), person)

    answer, changed = await run(ledger, person.client, asked)

    if needed is None or needed in GRANTS[role]:
        assert refusals(answer) == []
    else:
        assert denied(answer, field, needed)
        assert (answer.data, changed) == ({field.name: None}, [])


@pytest.mark.parametrize("field", [field for field in GUARDED if field.name not in PEOPLE_ONLY], ids=str)
async def test_a_key_does_what_it_is_given_and_nothing_else(
    world: World, keys: dict[Permission | None, str], ledger: Ledger, field: Field
) -> None:
    needed = NEEDED[field.name]
    assert needed is not None

    for missing in (needed, None):
        secret = keys[missing]
        asked = await call_as(world, field, await key_ref(secret))
        answer, changed = await run(ledger, GraphQL(secret), asked)

        if missing is None:
            assert refusals(answer) == []
        else:
            assert denied(answer, field, needed)
            assert (answer.data, changed) == ({field.name: None}, [])


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("field", [field for field in GUARDED if field.name not in PEOPLE_ONLY], ids=str)
async def test_a_key_does_no_more_than_its_maker_may_today(
    world: World, ledger: Ledger, field: Field, role: Role
) -> None:
    needed = NEEDED[field.name]
    assert needed is not None
    asked = await call_as(world, field, await key_ref(world.secret))
    await execute("UPDATE membership SET role = $1 WHERE id = $2", role.value, world.ids["own membership"])

    answer, changed = await run(ledger, GraphQL(world.secret), asked)

    if needed in GRANTS[role]:
        assert refusals(answer) == []
    else:
        assert denied(answer, field, needed)
        assert (answer.data, changed) == ({field.name: None}, [])


@pytest.mark.parametrize("missing", [P.MEMBERS_READ, P.TASK_READ])
@pytest.mark.parametrize("field", [field for field in MUTATIONS if field.name not in PEOPLE_ONLY], ids=str)
async def test_a_key_that_may_not_read_changes_all_or_nothing(
    world: World, keys: dict[Permission | None, str], ledger: Ledger, field: Field, missing: Permission
) -> None:
    asked = await call_as(world, field, await key_ref(keys[missing]))

    answer, changed = await run(ledger, GraphQL(keys[missing]), asked)

    assert "INTERNAL" not in answer.codes
    if refusals(answer):
        assert changed == []


async def key_ref(secret: str) -> ActorRef:
    """The key as the doer of something."""
    (found,) = await rows("SELECT id FROM api_key WHERE prefix = $1", secret[:12])
    return ActorRef(ActorKind.API_KEY, found["id"])


async def test_a_key_ends_with_its_makers_membership(world: World, ledger: Ledger) -> None:
    await execute("UPDATE membership SET ended_at = now() WHERE id = $1", world.ids["own membership"])

    answer = await GraphQL(world.secret).run("query ($id: ID!) { node(id: $id) { id } }", id=world.id("task"))

    assert (answer.data, answer.codes) == ({"node": None}, ["UNAUTHENTICATED"])


async def test_a_key_gains_nothing_when_its_maker_does(world: World, ledger: Ledger) -> None:
    async with world.admin.acting() as actor:
        made = await api_keys.create(actor, world.tenant.org_id, name="Reader", permissions=[P.TASK_READ])

    found = await GraphQL(made.secret).ok(
        "query ($id: ID!) { organization(id: $id) { viewerRole viewerPermissions } }", id=world.id("organization")
    )

    granted = in_order(api_keys.STRUCTURE | {P.TASK_READ})
    assert found == {"organization": {"viewerRole": "ADMIN", "viewerPermissions": granted}}


async def test_authors_delete_their_own_comments_whatever_else_they_may(world: World, ledger: Ledger) -> None:
    guest, document = world.tenant.guest, "mutation ($id: ID!) { commentDelete(id: $id) { deletedId errors { code } } }"
    await execute("UPDATE comment SET author_id = $1 WHERE id = $2", guest.user_id, world.ids["comment"])

    refused = await guest.client.run(document, id=world.id("reply comment"))
    deleted = await guest.client.done(document, id=world.id("comment"))

    assert forbidden(refused, P.TASK_DELETE)
    assert deleted["deletedId"] == world.id("comment")


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("name", READS)
async def test_a_role_reads_what_it_is_granted(world: World, name: str, role: Role) -> None:
    needed, document = READS[name]

    answer = await person_of(world, role).client.run(document, id=world.id("organization"))

    assert answer.errors == [] if needed in GRANTS[role] else forbidden(answer, needed)


@pytest.mark.parametrize("name", READS)
async def test_a_key_reads_what_it_is_given(world: World, keys: dict[Permission | None, str], name: str) -> None:
    needed, document = READS[name]

    answer = await GraphQL(keys[None]).run(document, id=world.id("organization"))
    refused = await GraphQL(keys[needed]).run(document, id=world.id("organization"))

    assert answer.errors == []
    assert forbidden(refused, needed)


@pytest.mark.parametrize("thing", SHOWN_BY)
async def test_a_thing_is_there_only_for_who_may_read_it(
    world: World, keys: dict[Permission | None, str], thing: str
) -> None:
    document = "query ($id: ID!) { node(id: $id) { id } }"

    shown = {
        permission: (await GraphQL(secret).ok(document, id=world.id(thing)))["node"] is not None
        for permission, secret in keys.items()
    }

    hiding = {permission for permission, there in shown.items() if not there}
    assert hiding == {SHOWN_BY[thing]} - api_keys.STRUCTURE
