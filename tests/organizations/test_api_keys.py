"""API keys: what they may, how they end."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.base.actor import Standing
from domain.base.clock import frozen
from domain.base.database import acting_for
from domain.base.errors import NotFound, UserErrors
from domain.base.permissions import Permission, Role
from domain.billing.plans import Plan
from domain.identity import tokens
from domain.organizations import api_keys
from graph.base.ids import global_id
from tests.client import GraphQL
from tests.factories import Person, Tenant, events, execute, make_member, make_project, make_task, rows, set_plan

CREATE = """
mutation ($input: ApiKeyCreateInput!) {
  apiKeyCreate(input: $input) {
    apiKey { id name prefix organization { id } permissions lastUsedAt expiresAt } secret
    errors { code message path ... on LimitError { feature limit used } }
  }
}
"""
REVOKE = "mutation ($id: ID!) { apiKeyRevoke(id: $id) { deletedId errors { code } } }"
KEYS = "query ($id: ID!) { organization(id: $id) { name apiKeys { id name } } }"
OWN = "{ viewer { apiKeys { name } } }"
WHO = """
{ viewer {
    user { id } email apiKey { id name } sessions { id } apiKeys { name }
    organizations { nodes { id viewerRole viewerPermissions } }
} }
"""
LEAVE = "mutation ($id: ID!) { organizationLeave(id: $id) { deletedId errors { code } } }"

pytestmark = pytest.mark.usefixtures("adapters")


async def make_key(tenant: Tenant, *permissions: Permission, maker: Person | None = None, name: str = "CI") -> Any:
    """A key of the tenant; with every permission when none is named."""
    async with (maker or tenant.admin).acting() as actor:
        return await api_keys.create(actor, tenant.org_id, name=name, permissions=permissions or tuple(Permission))


async def key_count(tenant: Tenant) -> int:
    return len(await rows("SELECT FROM api_key WHERE org_id = $1", tenant.org_id))


async def test_a_key_is_made_and_its_secret_shown_once(acme: Tenant) -> None:
    expires_at = "2126-01-01T00:00:00Z"
    given = {"organizationId": acme.id, "name": "CI", "permissions": ["TASK_READ", "ORG_READ"], "expiresAt": expires_at}

    payload = await acme.admin.client.done(CREATE, input=given)

    secret, key = payload["secret"], payload["apiKey"]
    assert key == {
        "id": key["id"],
        "name": "CI",
        "prefix": secret[:12],
        "organization": {"id": acme.id},
        "permissions": ["ORG_READ", "TASK_READ"],
        "lastUsedAt": None,
        "expiresAt": expires_at,
    }
    assert secret.startswith("pwk_")
    (stored,) = await rows("SELECT api_key::text AS all, secret_digest FROM api_key WHERE org_id = $1", acme.org_id)
    assert stored["secret_digest"] == tokens.digest(secret)
    assert secret not in stored["all"]
    assert await events(acme.org_id) == ["API_KEY_CREATED"]
    logged = await rows("SELECT data FROM event UNION ALL SELECT data FROM event_values")
    assert not any(secret[:12] in row["data"] for row in logged)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "a" * 101}, "name"),
        ({"permissions": []}, "permissions"),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, "expiresAt"),
    ],
)
async def test_a_malformed_key_is_refused(values: dict[str, Any], path: str, acme: Tenant) -> None:
    given = {"organizationId": acme.id, "name": "CI", "permissions": ["TASK_READ"], **values}

    errors = await acme.admin.client.refused(CREATE, input=given)

    assert [(error["code"], error["path"]) for error in errors] == [("INVALID", ["input", path])]
    assert await key_count(acme) == 0
    assert await events(acme.org_id) == []


async def test_only_who_manages_keys_makes_them(acme: Tenant, globex: Tenant) -> None:
    given = {"organizationId": acme.id, "name": "CI", "permissions": ["TASK_READ"]}

    refused = [await person.client.run(CREATE, input=given) for person in (acme.member, acme.billing, acme.guest)]
    stranger = await globex.admin.client.run(CREATE, input=given)

    assert [answer.codes for answer in refused] == [["FORBIDDEN"]] * 3
    assert stranger.codes == ["NOT_FOUND"]
    assert await key_count(acme) == 0


async def test_a_key_has_no_permission_that_its_maker_lacks(acme: Tenant) -> None:
    """Roles hold either all or none of it today, so the actor is given less by hand."""
    less = frozenset({Permission.ORG_READ, Permission.API_KEYS_MANAGE, Permission.TASK_READ})
    asked = [Permission.TASK_READ, Permission.TASK_DELETE, Permission.BILLING_READ]

    async with acme.admin.acting() as actor:
        actor.join(acme.org_id, Standing(Role.ADMIN, less))
        with pytest.raises(UserErrors, match="You do not have BILLING_READ, TASK_DELETE yourself"):
            await api_keys.create(actor, acme.org_id, name="CI", permissions=asked)

    assert await key_count(acme) == 0


async def test_who_is_removed_at_the_same_moment_leaves_no_key_behind(acme: Tenant) -> None:
    second = await make_member(acme.org_id, Role.ADMIN, "Second Admin")

    async with second.acting() as actor:
        await second.client.done(LEAVE, id=acme.id)
        with acting_for(actor.standings), pytest.raises(NotFound):
            await api_keys.create(actor, acme.org_id, name="CI", permissions=[Permission.TASK_READ])

    assert await key_count(acme) == 0


async def test_an_organization_has_at_most_a_hundred_keys_also_at_once(acme: Tenant) -> None:
    await set_plan(acme.org_id, Plan.BUSINESS)
    for n in range(98):
        await execute(
            "INSERT INTO api_key (id, org_id, user_id, name, prefix, secret_digest, permissions, created_at, "
            "updated_at) VALUES (gen_random_uuid(), $1, $2, 'old', 'pwk_', $3, '{TASK_READ}', now(), now())",
            acme.org_id, acme.admin.user_id, tokens.digest(f"{acme.slug} {n}"),
        )  # fmt: skip
    given = {"organizationId": acme.id, "name": "CI", "permissions": ["TASK_READ"]}

    data = await asyncio.gather(*(acme.admin.client.ok(CREATE, input=given) for _ in range(4)))

    errors = [error for answer in data for error in answer["apiKeyCreate"]["errors"]]
    assert [(error["code"], error["feature"], error["limit"], error["used"]) for error in errors] == [
        ("LIMIT_REACHED", "api_keys", 100, 100)
    ] * 2
    assert await key_count(acme) == 100


async def test_a_key_acts_in_its_organization_alone(acme: Tenant, globex: Tenant) -> None:
    await execute(
        "INSERT INTO membership (id, org_id, user_id, role, created_at, updated_at) "
        "VALUES (gen_random_uuid(), $1, $2, 'ADMIN', now(), now())",
        globex.org_id,
        acme.admin.user_id,
    )
    await make_key(acme, name="Another")
    made = await make_key(acme, Permission.TASK_READ, Permission.MEMBERS_READ)
    permissions = ["ORG_READ", "MEMBERS_READ", "PROJECT_READ", "TASK_READ"]

    data = await GraphQL(made.secret).ok(WHO)

    assert data["viewer"] == {
        "user": {"id": acme.admin.id},
        "email": acme.admin.email,
        "apiKey": {"id": global_id("api_key", made.key.id), "name": "CI"},
        "sessions": [],
        "apiKeys": [{"name": "CI"}],
        "organizations": {"nodes": [{"id": acme.id, "viewerRole": "ADMIN", "viewerPermissions": permissions}]},
    }
    assert await GraphQL(made.secret).ok(KEYS.replace("apiKeys { id name }", ""), id=globex.id) == {
        "organization": None
    }


async def test_a_key_of_one_permission_names_what_lies_around_the_rows(acme: Tenant) -> None:
    made = await make_key(acme, Permission.TASK_READ)
    task = await make_task(acme.member, await make_project(acme.member, acme))
    document = """
    query ($id: ID!, $organization: ID!) {
      task(id: $id) { title state { name } project { name organization { name } } organization { name } }
      organization(id: $organization) { viewerPermissions projects { nodes { name } } members { totalCount } }
    }
    """

    data = await GraphQL(made.secret).ok(document, id=global_id("task", task.id), organization=acme.id)

    assert data == {
        "task": {
            "title": "Write the page",
            "state": {"name": "Todo"},
            "project": {"name": "Website", "organization": {"name": "Acme"}},
            "organization": {"name": "Acme"},
        },
        "organization": {
            "viewerPermissions": ["ORG_READ", "PROJECT_READ", "TASK_READ"],
            "projects": {"nodes": [{"name": "Website"}]},
            "members": {"totalCount": 0},
        },
    }
    assert made.key.permissions == ["TASK_READ"]


async def test_a_person_has_no_api_key(acme: Tenant) -> None:
    assert (await acme.admin.client.ok("{ viewer { apiKey { id } } }"))["viewer"] == {"apiKey": None}


async def test_a_key_is_held_to_its_own_permissions(acme: Tenant) -> None:
    made = await make_key(acme, Permission.ORG_READ)
    document = """
    mutation ($id: ID!) { organizationUpdate(id: $id, input: {name: "Mine"}) { errors { code } } }
    """

    answer = await GraphQL(made.secret).run(document, id=acme.id)

    assert answer.codes == ["FORBIDDEN"]
    assert await rows("SELECT name FROM organization WHERE id = $1", acme.org_id) == [{"name": "Acme"}]


async def test_what_a_key_does_is_logged_as_its_doing(acme: Tenant) -> None:
    made = await make_key(acme)
    document = 'mutation ($id: ID!) { organizationUpdate(id: $id, input: {name: "By key"}) { errors { code } } }'

    await GraphQL(made.secret).done(document, id=acme.id)

    assert await rows("SELECT type, actor_kind, actor_id FROM event WHERE org_id = $1 ORDER BY seq", acme.org_id) == [
        {"type": "API_KEY_CREATED", "actor_kind": "USER", "actor_id": acme.admin.user_id},
        {"type": "ORGANIZATION_UPDATED", "actor_kind": "API_KEY", "actor_id": made.key.id},
    ]


async def test_a_key_never_may_more_than_its_maker_may_today(acme: Tenant) -> None:
    second = await make_member(acme.org_id, Role.ADMIN, "Second Admin")
    made = await make_key(acme, maker=second)
    demote = """
    mutation ($id: ID!) { membershipUpdate(id: $id, role: GUEST) { errors { code } } }
    """
    (row,) = await rows("SELECT id FROM membership WHERE user_id = $1", second.user_id)

    await acme.admin.client.done(demote, id=global_id("membership", row["id"]))

    actor = await api_keys.authenticate(made.secret)
    assert actor is not None
    assert Permission.COMMENT_CREATE in actor.permissions(acme.org_id)
    assert Permission.ORG_UPDATE not in actor.permissions(acme.org_id)
    data = await GraphQL(made.secret).ok("query ($id: ID!) { organization(id: $id) { viewerRole } }", id=acme.id)
    assert data == {"organization": {"viewerRole": "GUEST"}}


async def test_the_keys_of_who_leaves_are_revoked_for_good(acme: Tenant) -> None:
    second = await make_member(acme.org_id, Role.ADMIN, "Second Admin")
    made, kept = await make_key(acme, maker=second), await make_key(acme)

    await second.client.done(LEAVE, id=acme.id)

    assert await api_keys.authenticate(made.secret) is None
    assert await api_keys.authenticate(kept.secret) is not None
    assert await events(acme.org_id) == ["API_KEY_CREATED"] * 2 + ["API_KEY_REVOKED", "MEMBERSHIP_DELETED"]
    await execute("UPDATE membership SET ended_at = NULL WHERE user_id = $1", second.user_id)
    assert await api_keys.authenticate(made.secret) is None


async def test_a_key_of_somebody_who_is_no_member_any_more_does_not_count(acme: Tenant) -> None:
    made = await make_key(acme)

    await execute("UPDATE membership SET ended_at = now() WHERE user_id = $1", acme.admin.user_id)

    assert (await GraphQL(made.secret).run(WHO)).codes == ["UNAUTHENTICATED"]


async def test_a_revoked_key_does_not_count_and_is_not_listed(acme: Tenant) -> None:
    made, other = await make_key(acme), await make_key(acme, name="Other")
    key_id = global_id("api_key", made.key.id)

    payload = await acme.admin.client.done(REVOKE, id=key_id)
    again = await acme.admin.client.run(REVOKE, id=key_id)

    assert payload["deletedId"] == key_id
    assert again.codes == ["NOT_FOUND"]
    assert (await GraphQL(made.secret).run(WHO)).codes == ["UNAUTHENTICATED"]
    assert await acme.admin.client.ok(OWN) == {"viewer": {"apiKeys": [{"name": "Other"}]}}
    listed = (await acme.admin.client.ok(KEYS, id=acme.id))["organization"]["apiKeys"]
    assert listed == [{"id": global_id("api_key", other.key.id), "name": "Other"}]
    assert await events(acme.org_id) == ["API_KEY_CREATED"] * 2 + ["API_KEY_REVOKED"]


async def test_a_key_that_is_revoked_twice_at_once_is_revoked_once(acme: Tenant) -> None:
    made = await make_key(acme)
    key_id = global_id("api_key", made.key.id)

    await asyncio.gather(*(acme.admin.client.run(REVOKE, id=key_id) for _ in range(4)))

    assert Counter(await events(acme.org_id)) == {"API_KEY_CREATED": 1, "API_KEY_REVOKED": 1}


async def test_a_key_is_revoked_by_its_maker_also_without_managing_keys(acme: Tenant) -> None:
    second = await make_member(acme.org_id, Role.ADMIN, "Second Admin")
    mine, foreign = await make_key(acme, maker=second), await make_key(acme)
    await execute("UPDATE membership SET role = 'MEMBER' WHERE user_id = $1", second.user_id)

    await second.client.done(REVOKE, id=global_id("api_key", mine.key.id))
    answer = await second.client.run(REVOKE, id=global_id("api_key", foreign.key.id))

    assert answer.codes == ["NOT_FOUND"]
    assert await api_keys.authenticate(foreign.secret) is not None


async def test_a_stranger_cannot_revoke_a_key_nor_tell_that_it_is_there(acme: Tenant, globex: Tenant) -> None:
    made = await make_key(acme)

    stranger = await globex.admin.client.run(REVOKE, id=global_id("api_key", made.key.id))
    unknown = await globex.admin.client.run(REVOKE, id=global_id("api_key", UUID(int=7)))

    assert stranger.codes == ["NOT_FOUND"]
    assert (stranger.data, stranger.errors) == (unknown.data, unknown.errors)
    assert await api_keys.authenticate(made.secret) is not None


async def test_the_keys_of_an_organization_are_for_who_manages_them(acme: Tenant) -> None:
    await make_key(acme)

    answer = await acme.member.client.run(KEYS, id=acme.id)

    assert answer.data == {"organization": {"name": "Acme", "apiKeys": None}}
    assert answer.codes == ["FORBIDDEN"]
    assert answer.errors[0]["extensions"]["permission"] == "API_KEYS_MANAGE"


async def test_a_key_ends_when_it_expires(acme: Tenant) -> None:
    ends = datetime.now(UTC) + timedelta(hours=1)
    async with acme.admin.acting() as actor:
        made = await api_keys.create(actor, acme.org_id, name="CI", permissions=[Permission.ORG_READ], expires_at=ends)

    with frozen(ends - timedelta(seconds=1)):
        assert await api_keys.authenticate(made.secret) is not None
    with frozen(ends):
        assert await api_keys.authenticate(made.secret) is None


async def test_the_use_of_a_key_is_written_once_a_minute(acme: Tenant) -> None:
    made = await make_key(acme)
    used = []

    for seconds in (0, 59, 61):
        with frozen(made.key.created_at + timedelta(seconds=seconds)):
            await GraphQL(made.secret).ok(OWN)
        (row,) = await rows("SELECT last_used_at FROM api_key WHERE id = $1", made.key.id)
        used.append((row["last_used_at"] - made.key.created_at).total_seconds())

    assert used == [0, 0, 61]


@pytest.mark.parametrize("token", ["pwk_", "pwk_unknown", "pws_unknown", "pwk_\ud800", ""])
async def test_an_unknown_secret_is_nobodys(token: str, acme: Tenant) -> None:
    assert await api_keys.authenticate(token) is None


async def test_account_and_key_matters_refuse_a_key(acme: Tenant) -> None:
    made = await make_key(acme)
    key_id, slug = global_id("api_key", made.key.id), f"by-key-{acme.org_id.hex[-12:]}"
    given = {"organizationId": acme.id, "name": "More", "permissions": ["TASK_READ"]}
    create = 'mutation ($slug: String!) { organizationCreate(input: {name: "X", slug: $slug}) { errors { code } } }'

    client = GraphQL(made.secret)
    answers = [
        await client.run(CREATE, input=given),
        await client.run(REVOKE, id=key_id),
        await client.run(LEAVE, id=acme.id),
        await client.run(create, slug=slug),
    ]

    assert [answer.codes for answer in answers] == [["UNAUTHENTICATED"]] * 4
    assert await key_count(acme) == 1
    assert await events(acme.org_id) == ["API_KEY_CREATED"]
    assert await rows("SELECT FROM organization WHERE slug = $1", slug) == []
