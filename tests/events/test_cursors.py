"""Cursors of the log: signed for one organization, good for a stated time, and older than what they come with."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.base.clock import frozen, new_id
from domain.base.errors import BadInput, ResyncRequired
from domain.base.reads import One
from domain.base.settings import Settings
from domain.events import cursors
from domain.labels import service as labels
from graph.base.ids import global_id
from tests.client import GraphQL
from tests.events.log import CHANGES, CURSOR, changes, cursor, history, ids
from tests.factories import Tenant, execute, make_project, make_task, statements

MORNING = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
UPDATE = """
mutation ($id: ID!, $input: OrganizationUpdateInput!) {
  organizationUpdate(id: $id, input: $input) { organization { name eventCursor } errors { code } }
}
"""


async def test_a_cursor_tells_its_place_to_its_organization_alone(settings: Settings) -> None:
    org_id = new_id()

    @given(st.integers(0, 2**63))
    def proof(seq: int) -> None:
        assert cursors.read(settings, org_id, cursors.write(settings, org_id, seq)) == seq
        with pytest.raises(BadInput):
            cursors.read(settings, new_id(), cursors.write(settings, org_id, seq))

    proof()


def forgeries(settings: Settings, org_id: UUID) -> Iterator[str]:
    """What no log gave out."""
    true = cursors.write(settings, org_id, 7)
    data = base64.urlsafe_b64decode(true + "=" * (-len(true) % 4))
    yield from ("", "x", "=", "ü", "0", "-1", "null", "\n", "A" * 10_000, true[:-1], true + "A", true[1:], true * 2)
    for place in range(len(data)):
        yield base64.urlsafe_b64encode(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]).decode()
    yield base64.urlsafe_b64encode(data[:12]).decode()
    yield cursors.write(replace(settings, secret_key="x" * 40), org_id, 7)
    yield cursors.write(settings, new_id(), 7)


async def test_a_forged_cursor_is_refused(settings: Settings) -> None:
    org_id = new_id()

    for forged in forgeries(settings, org_id):
        with pytest.raises(BadInput) as refusal:
            cursors.read(settings, org_id, forged)
        assert refusal.value.details == {"path": ["after"]}


async def test_a_forged_cursor_is_bad_user_input_over_the_api(acme: Tenant, globex: Tenant) -> None:
    project = await make_project(acme.member, acme)
    foreign = await cursor(globex.admin.client, globex)
    of_a_list = await acme.admin.client.ok(
        "query ($id: ID!) { organization(id: $id) { projects { pageInfo { endCursor } } } }", id=acme.id
    )
    of_history = await history(acme.admin.client, global_id("task", (await make_task(acme.member, project)).id))

    for after in (
        "garbage",
        foreign,
        of_a_list["organization"]["projects"]["pageInfo"]["endCursor"],
        of_history["pageInfo"]["endCursor"],
    ):
        answer = await acme.admin.client.run(CHANGES, id=acme.id, first=5, after=after)
        assert (answer.data, answer.codes) == (None, ["BAD_USER_INPUT"])
        assert answer.errors[0]["extensions"]["path"] == ["after"]


async def test_an_event_has_one_cursor_all_day_long(settings: Settings) -> None:
    org_id, found = new_id(), set()

    for hour in range(24):
        with frozen(MORNING.replace(hour=hour)):
            found.add(cursors.write(settings, org_id, 7))

    assert len(found) == 1


@pytest.mark.parametrize("days", [1, 90])
async def test_a_cursor_ends_after_as_many_days_as_the_setting_says(settings: Settings, days: int) -> None:
    lasting, org_id = replace(settings, event_cursor_days=days), new_id()
    with frozen(MORNING):
        given_out = cursors.write(lasting, org_id, 7)

    with frozen(MORNING + timedelta(days=days)):
        assert cursors.read(lasting, org_id, given_out) == 7
    with frozen(MORNING + timedelta(days=days + 1)), pytest.raises(ResyncRequired):
        cursors.read(lasting, org_id, given_out)


async def test_who_comes_back_too_late_reads_anew_and_goes_on(acme: Tenant) -> None:
    task_id = global_id("task", (await make_task(acme.member, await make_project(acme.member, acme))).id)
    await execute("UPDATE session SET expires_at = $1", datetime(2030, 1, 1, tzinfo=UTC))
    client = acme.guest.client
    with frozen(MORNING):
        late = await cursor(client, acme)
        seen = (await history(client, task_id))["pageInfo"]["endCursor"]

    with frozen(MORNING + timedelta(days=91)):
        answer = await client.run(CHANGES, id=acme.id, first=5, after=late)
        anew = await cursor(client, acme)
        from_the_oldest = await changes(client, acme, first=1)
        further = await changes(client, acme, after=from_the_oldest["pageInfo"]["endCursor"])

        assert (answer.data, answer.codes) == (None, ["RESYNC_REQUIRED"])
        assert (await changes(client, acme, after=anew))["nodes"] == []
        assert [node["id"] for node in from_the_oldest["nodes"] + further["nodes"]] == await ids(acme.org_id)
        # History is no delta: it goes on from a place of any age.
        assert len((await history(client, task_id))["nodes"]) == 1
        assert (await history(client, task_id, after=seen))["nodes"] == []


DOCUMENTS = {
    "plain": "query ($id: ID!) { organization(id: $id) { name members { totalCount } eventCursor } }",
    "aliased": "query ($id: ID!) { organization(id: $id) { name members { totalCount } mine: eventCursor } }",
    "a fragment": (
        "query ($id: ID!) { organization(id: $id) { name members { totalCount } ...Place } } "
        "fragment Place on Organization { ...Deeper } fragment Deeper on Organization { eventCursor }"
    ),
    "an inline fragment": (
        "query ($id: ID!) { organization(id: $id) { name members { totalCount } ... on Organization { eventCursor } } }"
    ),
    "through a node": "query ($id: ID!) { node(id: $id) { ... on Organization { name eventCursor } } }",
    "through the viewer": "query { viewer { user { name } organizations { nodes { name eventCursor } } } }",
}


@pytest.mark.parametrize("spelled", DOCUMENTS)
async def test_the_position_is_read_before_all_that_the_answer_shows(acme: Tenant, spelled: str) -> None:
    document = DOCUMENTS[spelled]
    variables = {"id": acme.id} if "$id" in document else {}

    with statements() as sent:
        await acme.admin.client.ok(document, **variables)

    first = next(number for number, each in enumerate(sent) if "event_counter" in each)
    shown = [number for number, each in enumerate(sent) if "FROM organization" in each or "FROM users" in each]
    rights = [number for number, each in enumerate(sent) if "standing.roles" in each]
    assert shown
    assert first < min(shown)
    # Roles and permissions are read once to know whose log it is, and once more to be shown.
    assert first < max(rights)
    assert len([each for each in sent if "event_counter" in each]) == 1


async def test_an_operation_that_asks_for_no_position_reads_none(acme: Tenant) -> None:
    with statements() as sent:
        await acme.admin.client.ok("query ($id: ID!) { organization(id: $id) { name } }", id=acme.id)

    assert not any("event_counter" in each for each in sent)


@pytest.mark.asked_once
async def test_what_happens_while_an_answer_is_made_comes_after_its_position(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = One.__call__

    async def slowly(self: Any, actor: Any, keys: Any, columns: Any) -> Any:
        if self.table.name == "organization":
            async with acme.member.acting() as other:
                await labels.create(other, acme.org_id, name="Meanwhile", color="#ff0000")
        return await read(self, actor, keys, columns)

    monkeypatch.setattr(One, "__call__", slowly)
    found = await acme.guest.client.ok(
        "query ($id: ID!) { organization(id: $id) { labels { nodes { name } } eventCursor } }", id=acme.id
    )
    monkeypatch.undo()

    assert found["organization"]["labels"]["nodes"] == [{"name": "Meanwhile"}]
    after = found["organization"]["eventCursor"]
    assert [node["type"] for node in (await changes(acme.guest.client, acme, after=after))["nodes"]] == [
        "LABEL_CREATED"
    ]


async def test_a_mutation_gives_the_position_before_itself(acme: Tenant) -> None:
    done = await acme.admin.client.done(UPDATE, id=acme.id, input={"name": "Acme Ltd"})

    assert done["organization"]["name"] == "Acme Ltd"
    found = await changes(acme.admin.client, acme, after=done["organization"]["eventCursor"])
    assert [node["type"] for node in found["nodes"]] == ["ORGANIZATION_UPDATED"]


async def test_an_organization_founded_in_the_same_operation_is_followed_from_its_beginning(acme: Tenant) -> None:
    done = await acme.admin.client.done(
        'mutation ($slug: String!) { organizationCreate(input: {name: "New", slug: $slug}) '
        "{ organization { id eventCursor } errors { code } } }",
        slug=f"new-{acme.org_id.hex[-12:]}",
    )

    organization = done["organization"]
    answer = await acme.admin.client.ok(CHANGES, id=organization["id"], first=5, after=organization["eventCursor"])
    assert [node["type"] for node in answer["changes"]["nodes"]] == ["ORGANIZATION_CREATED", "MEMBERSHIP_CREATED"]


async def test_a_stranger_gets_no_position(acme: Tenant, globex: Tenant) -> None:
    assert await globex.admin.client.ok(CURSOR, id=acme.id) == {"organization": None}
    assert (await GraphQL().run(CURSOR, id=acme.id)).codes == ["UNAUTHENTICATED"]
