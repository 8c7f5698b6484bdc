"""Delta reads: the log after a cursor, for who may see it, for the price of one look-up."""

from typing import Any
from unittest.mock import patch

import pytest

from domain.base import database
from domain.base.clock import new_id
from domain.base.sql import Row
from domain.labels import service as labels
from domain.tasks import service as tasks
from graph.base.ids import global_id
from tests.client import GraphQL
from tests.events.log import CHANGES, changes, cursor, ids, types
from tests.factories import Tenant, execute, make_person, make_project, make_task, statements


async def make_labels(tenant: Tenant, *names: str) -> None:
    async with tenant.member.acting() as actor:
        for name in names:
            await labels.create(actor, tenant.org_id, name=name, color="#ff0000")


async def test_the_log_is_read_from_the_oldest_page_by_page(acme: Tenant, globex: Tenant) -> None:
    await make_labels(acme, *"abcde")
    await make_labels(globex, "foreign")
    client, seen, after = acme.guest.client, [], None

    for size, more in ((2, True), (2, True), (2, False)):
        page = await changes(client, acme, first=size, after=after)
        seen += [node["id"] for node in page["nodes"]]
        assert [edge["cursor"] for edge in page["edges"]] == [node["cursor"] for node in page["nodes"]]
        assert page["pageInfo"] == {
            "hasNextPage": more,
            "hasPreviousPage": after is not None,
            "startCursor": page["nodes"][0]["cursor"],
            "endCursor": page["nodes"][-1]["cursor"],
        }
        assert page["totalCount"] == 5
        after = page["pageInfo"]["endCursor"]

    assert seen == await ids(acme.org_id)
    assert (await changes(client, acme, after=after))["nodes"] == []


async def test_the_cursor_of_the_organization_gives_what_happens_after_it(acme: Tenant) -> None:
    client = acme.guest.client
    empty = await cursor(client, acme)
    await make_labels(acme, "a", "b")
    after = await cursor(client, acme)
    await make_labels(acme, "c")

    assert len((await changes(client, acme, after=empty))["nodes"]) == 3
    found = (await changes(client, acme, after=after))["nodes"]
    assert [node["id"] for node in found] == (await ids(acme.org_id))[2:]
    assert (await changes(client, acme, after=found[0]["cursor"]))["nodes"] == []
    assert found[0]["cursor"] == await cursor(client, acme)


async def test_a_page_has_a_hundred_events_when_not_asked_and_no_more_when_asked(acme: Tenant) -> None:
    await many(acme, 130)
    client = acme.guest.client

    found = await client.ok("query ($id: ID!) { changes(organizationId: $id) { nodes { id } } }", id=acme.id)
    refused = await client.run(CHANGES, id=acme.id, first=101)

    assert len(found["changes"]["nodes"]) == 100
    assert refused.codes == ["BAD_USER_INPUT"]


async def test_the_filter_keeps_types_a_project_and_a_subject(acme: Tenant) -> None:
    web, app = await make_project(acme.member, acme), await make_project(acme.member, acme, name="App")
    task = await make_task(acme.member, web, assignee_id=acme.guest.user_id)
    await make_task(acme.member, app)
    client = acme.guest.client
    web_id, task_id = global_id("project", web.id), global_id("task", task.id)

    def kept(**filter: Any) -> Any:
        return types(client, acme, filter=filter)

    assert await kept(projectId=web_id) == ["PROJECT_CREATED", "TASK_CREATED", "TASK_ASSIGNED"]
    assert await kept(projectId=web_id, types=["TASK_CREATED", "LABEL_CREATED"]) == ["TASK_CREATED"]
    assert await kept(subjectId=task_id) == ["TASK_CREATED", "TASK_ASSIGNED"]
    assert await kept(types=["TASK_CREATED"]) == ["TASK_CREATED"] * 2
    assert await kept(types=[]) == []
    assert await kept(projectId=task_id) == []
    assert await kept(subjectId=global_id("comment", task.id)) == []
    assert len(await kept(types=None, projectId=None, subjectId=None)) == 5
    assert (await client.run(CHANGES, id=acme.id, filter={"subjectId": "x"})).codes == ["BAD_USER_INPUT"]


async def test_a_cursor_goes_with_any_filter(acme: Tenant) -> None:
    await make_labels(acme, "a")
    after = await cursor(acme.guest.client, acme)
    await make_project(acme.member, acme)
    await make_labels(acme, "b")

    assert await types(acme.guest.client, acme, after=after, filter={"types": ["LABEL_CREATED"]}) == ["LABEL_CREATED"]


async def test_the_logs_of_two_organizations_in_one_operation_have_cursors_of_their_own(acme: Tenant) -> None:
    async with acme.admin.acting() as actor:
        from_the_api = await acme.admin.client.done(
            'mutation ($slug: String!) { organizationCreate(input: {name: "Second", slug: $slug}) '
            "{ organization { id } errors { code } } }",
            slug=f"second-{actor.user_id.hex[-12:]}" if actor.user_id else "",
        )
    second = from_the_api["organization"]["id"]
    await make_labels(acme, "a")

    found = await acme.admin.client.ok(
        "query ($a: ID!, $b: ID!) { a: changes(organizationId: $a, first: 1) { pageInfo { endCursor } } "
        "b: changes(organizationId: $b, first: 1) { pageInfo { endCursor } } }",
        a=acme.id,
        b=second,
    )

    for name, id in (("a", acme.id), ("b", second)):
        after = found[name]["pageInfo"]["endCursor"]
        assert (await acme.admin.client.run(CHANGES, id=id, first=5, after=after)).codes == []


@pytest.mark.parametrize("stranger", ["another tenant", "nobody's", "nothing"])
async def test_a_strangers_log_looks_like_none(acme: Tenant, globex: Tenant, stranger: str) -> None:
    await make_labels(acme, "a")
    client = (await make_person()).client if stranger == "nobody's" else globex.admin.client
    id = global_id("organization", new_id()) if stranger == "nothing" else acme.id

    answer = await client.run(CHANGES, id=id, first=5)

    assert (answer.data, answer.codes) == (None, ["NOT_FOUND"])
    assert answer.errors[0]["message"] == "There is no such organization."


async def test_who_is_not_signed_in_reads_no_log(acme: Tenant) -> None:
    assert (await GraphQL().run(CHANGES, id=acme.id, first=5)).codes == ["UNAUTHENTICATED"]


async def test_an_event_is_a_node_for_who_may_see_it(acme: Tenant, globex: Tenant) -> None:
    await make_labels(acme, "a")
    async with acme.admin.acting() as actor:
        await labels.create(actor, acme.org_id, name="b", color="#ff0000")
    await execute("UPDATE event SET type = 'API_KEY_CREATED' WHERE org_id = $1 AND seq = 2", acme.org_id)
    shown, hidden = await ids(acme.org_id)
    document = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on Event { type cursor } } }"

    found = (await acme.guest.client.ok(document, ids=[shown, hidden]))["nodes"]
    foreign = (await globex.admin.client.ok(document, ids=[shown, hidden]))["nodes"]

    (node,) = (await changes(acme.guest.client, acme))["nodes"]
    assert found == [{"__typename": "Event", "id": shown, "type": "LABEL_CREATED", "cursor": node["cursor"]}, None]
    assert foreign == [None, None]


async def many(tenant: Tenant, count: int) -> None:
    """A long log, of events that nobody wrote."""
    await execute("INSERT INTO event_counter (org_id, seq, digest) VALUES ($1, $2, '')", tenant.org_id, count)
    await execute(
        "INSERT INTO event (org_id, id, seq, type, occurred_at, actor_kind, subject_kind, subject_id, project_id, "
        "data, digest) SELECT $1, gen_random_uuid(), n, CASE n % 10 WHEN 0 THEN 'LABEL_DELETED' ELSE 'LABEL_CREATED' "
        "END, now(), 'SYSTEM', 'label', gen_random_uuid(), gen_random_uuid(), '{\"color\":\"#ffffff\"}', '' "
        "FROM generate_series(1, $2) n",
        tenant.org_id,
        count,
    )
    await execute("ANALYZE event")


async def plan_of(tenant: Tenant, **variables: Any) -> tuple[str, int]:
    """How the database reads the page that `changes` gives, and how many statements read the log for it."""
    asked: list[tuple[str, Any]] = []
    run = database.run

    async def note(text: str, values: Any, row: Any) -> Any:
        asked.append((text, values))
        return await run(text, values, row)

    with patch("domain.base.reads.run", note), statements() as sent:
        await tenant.guest.client.ok(CHANGES.replace("totalCount", ""), id=tenant.id, first=100, **variables)
    text, values = asked[0]
    with database.acting_for([tenant.org_id]):
        plan = "\n".join(row[0] for row in await database.run(f"EXPLAIN (COSTS OFF) {text}", values, Row))
    return plan, len([each for each in sent if "FROM event" in each])


async def test_an_empty_delta_costs_one_index_look_up(acme: Tenant) -> None:
    await many(acme, 5000)

    plan, count = await plan_of(acme, after=await cursor(acme.guest.client, acme))

    assert count == 1
    assert "Index Scan using event_number on event" in plan
    assert "Seq Scan" not in plan
    assert "Sort" not in plan


@pytest.mark.parametrize(
    ("filter", "index"),
    [
        ({"projectId": global_id("project", new_id())}, "event_project"),
        ({"subjectId": global_id("label", new_id())}, "event_subject"),
        ({"types": ["TASK_MOVED"]}, "event_type"),
    ],
)
async def test_a_filtered_delta_uses_an_index(acme: Tenant, filter: dict[str, Any], index: str) -> None:
    await many(acme, 5000)

    plan, count = await plan_of(acme, filter=filter)

    assert count == 1
    assert f"{index} on event" in plan
    assert "Seq Scan" not in plan


async def test_any_number_of_events_takes_the_same_statements(acme: Tenant) -> None:
    project = await make_project(acme.member, acme)
    counts = []

    for number in (2, 20):
        for _ in range(number):
            task = await make_task(acme.member, project, assignee_id=acme.guest.user_id)
            async with acme.member.acting() as actor:
                await tasks.update(actor, task.id, assignee_id=acme.member.user_id, title="Another title")
        # A member of a union that is met for the first time has the query done once more.
        await changes(acme.guest.client, acme)
        with statements() as sent:
            found = await changes(acme.guest.client, acme)
        counts.append(len(sent))
        assert len(found["nodes"]) == found["totalCount"] > number * 4

    assert counts[0] == counts[1]
