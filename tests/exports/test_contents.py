"""What is in an archive: all of the organization as of one moment, as the API shows it, and nothing else."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest

from domain.adapters.wiring import Adapters
from domain.base.permissions import Permission
from domain.base.row_security import GLOBAL_TABLES, tenant_column
from domain.base.settings import Settings
from domain.exports.entities import ENTITIES
from domain.organizations import api_keys, memberships
from domain.work import service as work
from tests.billing.paying import selling
from tests.exports.archives import export, export_as, make_file
from tests.factories import Tenant, execute, make_project, make_task, rows
from tests.isolation.layers import without_policies
from tests.isolation.ledger import open_ledger
from tests.isolation.world import World, make_world, point_at
from tests.work.doing import ask_nobody, id_of

SECRET = "do-not-tell"  # noqa: S105


@pytest.fixture(autouse=True)
async def stripe(settings: Settings, adapters: Adapters) -> AsyncIterator[None]:
    """Somebody whom a plan can be bought from."""
    async with selling(settings, adapters):
        yield


@pytest.fixture
async def world(adapters: Adapters) -> World:
    """A tenant with one of everything."""
    made = await make_world("wombat", "WOM")
    await make_file(made.tenant, made.ids["task"], adapters, name="a.png", data=b"a")
    return made


async def test_every_row_of_every_exported_table_is_a_line(world: World, adapters: Adapters) -> None:
    counts: dict[str, int] = {}
    for entity in ENTITIES:
        owner = tenant_column(entity.table.name)
        (row,) = await rows(f"SELECT count(*) FROM {entity.table.name} WHERE {owner} = $1", world.tenant.org_id)
        counts[entity.path] = row["count"]

    read = await export(world.admin, world.tenant, adapters)

    told = {each["path"]: each["rows"] for each in read.manifest["entries"] if "rows" in each}
    assert told == counts
    assert {path for path, count in counts.items() if not count} == set()
    assert read.manifest["eventSeq"] == counts["events.jsonl"] == read.lines("events")[-1]["seq"]
    assert read.manifest["organization"] == {
        "id": world.tenant.id,
        "name": "Wombat",
        "slug": world.tenant.slug,
    }
    assert (read.manifest["formatVersion"], read.missing) == (1, {})


DOCUMENTS = {
    "tasks": "... on Task { id number identifier title description priority dueDate estimate rank completedAt "
    "archivedAt version createdAt updatedAt project { id } state { id } assignee { id } parent { id } "
    "creator { ... on User { id } ... on ApiKeyActor { id } } }",
    "projects": "... on Project { id key name description status startDate targetDate archivedAt version createdAt "
    "updatedAt lead { id } }",
    "comments": "... on Comment { id body editedAt version createdAt updatedAt task { id } replyTo { id } "
    "author { ... on User { id } ... on ApiKeyActor { id } } }",
    "events": "... on Event { id type occurredAt project { id } subjectId changes { field before after } "
    "actor { ... on User { id } ... on ApiKeyActor { id } } }",
    "invitations": "... on Invitation { id email role status expiresAt respondedAt createdAt invitedBy { id } }",
    "memberships": "... on Membership { id role createdAt user { id name email avatarUrl } }",
    "labels": "... on Label { id name color description }",
    "attachments": "... on Attachment { id filename contentType sizeBytes sha256 status rejectionReason createdAt "
    "task { id } uploadedBy { ... on User { id } ... on ApiKeyActor { id } } }",
}


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_lines_say_what_the_api_says(world: World, adapters: Adapters, name: str) -> None:
    read = await export(world.admin, world.tenant, adapters)
    document = f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ {DOCUMENTS[name]} }} }}"
    found = read.lines(name)[:100]

    shown = await world.admin.client.ok(document, ids=[line["id"] for line in found])

    assert len(found) > 0
    for line, node in zip(found, shown["nodes"], strict=True):
        for field, value in _flat(node).items():
            assert (field, line[field]) == (field, value)


def _flat(node: dict[str, Any]) -> dict[str, Any]:
    """What the API has in objects, as an archive has it: by their ids."""
    flat: dict[str, Any] = {}
    for name, value in node.items():
        if name == "user":
            flat |= {"userId": value["id"], "userName": value["name"], "userEmail": value["email"]}
            flat["userAvatarUrl"] = value["avatarUrl"]
        elif isinstance(value, dict):
            flat[f"{name}Id"] = value.get("id")
        elif name in ("project", "assignee", "parent", "lead", "replyTo", "invitedBy"):
            flat[f"{name}Id"] = None
        else:
            flat[name] = value
    return flat


async def test_who_has_left_keeps_their_name_and_not_their_address(acme: Tenant, adapters: Adapters) -> None:
    async with acme.admin.acting() as actor:
        (row,) = await rows("SELECT id FROM membership WHERE user_id = $1", acme.guest.user_id)
        await memberships.delete(actor, row["id"])

    read = await export(acme.admin, acme, adapters)

    (left,) = [line for line in read.lines("memberships") if line["userId"] == acme.guest.id]
    assert (left["userName"], left["userEmail"]) == ("Guest Acme", None)
    assert left["endedAt"] is not None
    assert acme.guest.email.encode() not in b"".join(read.entries.values())


async def test_what_others_have_asked_for_is_in_no_archive(acme: Tenant, adapters: Adapters) -> None:
    ended = {}
    for person in (acme.member, acme.admin):
        job = ended[person] = await ask_nobody(person, acme)
        async with person.acting() as actor:
            await work.cancel(actor, job.id)

    read = await export(acme.admin, acme, adapters)

    assert [(line["seq"], line["subjectId"]) for line in read.lines("events")] == [(2, id_of(ended[acme.admin]))]
    everything = b"".join(read.entries.values())
    assert id_of(ended[acme.member]).encode() not in everything


async def test_no_secret_is_in_an_archive(world: World, adapters: Adapters) -> None:
    planted = await _plant(world.tenant)

    read = await export(world.admin, world.tenant, adapters)

    # The ones that are known to be secret are among those that were found.
    assert planted >= {
        *{"api_key.secret_digest", "api_key.prefix", "invitation.token_digest", "subscription.stripe_customer_id"},
        *{"subscription.stripe_subscription_id", "credential.password_digest", "session.token_digest"},
        *{"account_token.token_digest", "event.digest", "event_values.salt"},
    }
    everything = b"".join(read.entries.values()).lower()
    for form in (SECRET.encode(), SECRET.encode().hex().encode(), world.secret.encode()):
        assert form not in everything


async def _plant(tenant: Tenant) -> set[str]:
    """Put the secret into every text and digest that is no field of an archive; which columns that was."""
    shown = {(entity.table.name, column) for entity in ENTITIES for field in entity.fields for column in field.columns}
    exported = {entity.table.name for entity in ENTITIES}
    found = await rows(
        "SELECT table_name AS table, column_name AS column, data_type AS type FROM information_schema.columns "
        "WHERE table_schema = 'public' AND data_type IN ('text', 'bytea')"
    )
    planted = set()
    for each in found:
        table, column = each["table"], each["column"]
        is_digest = each["type"] == "bytea" or column.endswith("_digest")
        if (table, column) in shown or not (is_digest or table in exported):
            continue
        if table == "users" or (table in GLOBAL_TABLES and table not in ("credential", "session", "account_token")):
            continue
        people = "user_id IN (SELECT user_id FROM membership WHERE org_id = $1)"
        whose = people if table in GLOBAL_TABLES else f"{tenant_column(table)} = $1"
        value = f"'{SECRET}' || md5(random()::text)"
        if each["type"] == "bytea":
            value = f"convert_to({value}, 'UTF8')"
        try:
            await execute(f"UPDATE {table} SET {column} = {value} WHERE {whose}", tenant.org_id)
        except asyncpg.CheckViolationError:
            continue
        planted.add(f"{table}.{column}")
    return planted


@pytest.mark.parametrize("has_policies", [True, False])
async def test_nothing_of_another_tenant_is_in_an_archive(
    world: World, adapters: Adapters, settings: Settings, has_policies: bool
) -> None:
    other = await make_world("quokka", "QUO")
    await point_at(world, other)
    await make_file(world.tenant, world.ids["task"], adapters, name="mine.txt", data=b"mine", type_="text/plain")
    theirs = await make_file(other.tenant, other.ids["task"], adapters, name="theirs.txt", data=b"theirs of quokka")

    async with AsyncExitStack() as stack:
        if not has_policies:
            ledger = open_ledger(settings, world.tenant.org_id, other.tenant.org_id)
            await stack.enter_async_context(without_policies(await stack.enter_async_context(ledger)))
        read = await export(world.admin, world.tenant, adapters)

    everything = b"".join(read.entries.values()) + "".join(read.entries).encode()
    # The rows of the first name these two, who are nobody there.
    named = {"second user", "api_key"}
    ids = [id for thing, id in other.ids.items() if thing not in named]
    assert b"quokka" not in everything.lower()
    assert [id for id in [*ids, theirs] if id.hex.encode() in everything] == []
    assert {name for name in read.entries if name.startswith("files/")} == {
        f"files/{line['id']}/{line['filename']}" for line in read.lines("attachments") if line["status"] == "READY"
    }


async def test_a_key_gets_what_it_may_see_and_is_told_what_it_may_not(acme: Tenant, adapters: Adapters) -> None:
    task = await make_task(acme.admin, await make_project(acme.admin, acme))
    await make_file(acme, task.id, adapters, name="a.png", data=b"a")
    async with acme.admin.acting() as actor:
        made = await api_keys.create(actor, acme.org_id, name="Backup", permissions=[Permission.ORG_UPDATE])
    key = await api_keys.authenticate(made.secret)
    assert key is not None

    read = await export_as(key, acme, adapters)

    assert set(read.entries) == {
        *{"README.txt", "manifest.json", "organization.jsonl", "projects.jsonl", "workflow_states.jsonl"},
        *{"workflow_transitions.jsonl", "labels.jsonl", "events.jsonl"},
    }
    assert {line["type"] for line in read.lines("events")} == {"PROJECT_CREATED"}
    needs = "It needs the permission {}, which whoever asked does not have."
    assert read.missing["tasks.jsonl"] == needs.format("TASK_READ")
    assert read.missing["invitations.jsonl"] == needs.format("INVITATIONS_MANAGE")
    assert len(read.missing) == len(ENTITIES) - 6
