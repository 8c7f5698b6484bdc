"""Who sees a job and that it has ended: whoever asked for it, and nobody else, wherever it could show."""

from typing import Any

import pytest

from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.base.database import acting_for, tx
from domain.base.permissions import Permission, Role
from domain.base.settings import Settings
from domain.base.sql import sql
from domain.events import queries
from domain.events.types import OWN, EventType
from domain.labels import service as labels
from domain.organizations import api_keys
from domain.work import service
from domain.work.models import JobKind
from domain.work.queries import JobRow
from domain.work.states import JobStatus
from graph.base.ids import global_id
from jobs.notifications import fan_out
from jobs.reactions import Reactions
from tests.client import GraphQL
from tests.events.live import EVENTS, begun
from tests.events.log import changes, cursor, types
from tests.factories import Person, Tenant, execute, make_member, rows
from tests.jobs.crew import all_done, until
from tests.notifications.telling import events_of, tell
from tests.sockets import opened
from tests.work.doing import ask, ask_nobody, csv, do, id_of, performing, row_of
from tests.work.test_asking import ask_by_key

JOB = "query ($id: ID!) { node(id: $id) { ... on Job { id status resultUrl } } }"
EVENT = "query ($id: ID!) { node(id: $id) { ... on Event { type subject { ... on Job { id } } } } }"
INBOX = """
{ viewer { unreadNotificationCount notifications { nodes {
  kind title event { type } subject { ... on Job { id status resultUrl } }
} } } }
"""


async def cancel(person: Person, job: JobRow) -> None:
    async with person.acting() as actor:
        await service.cancel(actor, job.id)


@pytest.fixture
async def ended(acme: Tenant) -> JobRow:
    """A job of the member that has ended, between two changes that all see."""
    async with acme.admin.acting() as actor:
        await _label(actor, acme, "before")
    job = await ask_nobody(acme.member, acme)
    await cancel(acme.member, job)
    async with acme.admin.acting() as actor:
        await _label(actor, acme, "after")
    return job


async def _label(actor: Actor, tenant: Tenant, name: str) -> None:
    await labels.create(actor, tenant.org_id, name=name, color="#123456")


async def test_only_the_owner_reads_of_the_end_in_the_log(acme: Tenant, ended: JobRow) -> None:
    seen = {name: await types(getattr(acme, name).client, acme) for name in ("admin", "member", "billing", "guest")}

    others = ["LABEL_CREATED", "LABEL_CREATED"]
    assert seen == {
        "admin": others,
        "member": ["LABEL_CREATED", "JOB_FINISHED", "LABEL_CREATED"],
        "billing": others,
        "guest": others,
    }


async def test_pages_of_the_log_go_on_over_what_is_hidden(acme: Tenant, ended: JobRow) -> None:
    document = """query ($id: ID!, $after: String) { changes(organizationId: $id, first: 1, after: $after) {
      totalCount nodes { type } pageInfo { hasNextPage endCursor } } }"""
    pages, after = [], None
    while True:
        page = (await acme.admin.client.ok(document, id=acme.id, after=after))["changes"]
        pages.append((page["totalCount"], [node["type"] for node in page["nodes"]]))
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break

    assert pages == [(2, ["LABEL_CREATED"])] * 2
    # The cursor behind it is the log's last.
    assert await types(acme.admin.client, acme, after=await cursor(acme.admin.client, acme)) == []
    assert after == await cursor(acme.admin.client, acme)


async def test_a_filter_finds_it_for_the_owner_alone(acme: Tenant, ended: JobRow) -> None:
    for wanted in ({"types": ["JOB_FINISHED"]}, {"subjectId": id_of(ended)}):
        assert await types(acme.admin.client, acme, filter=wanted) == []
        assert await types(acme.member.client, acme, filter=wanted) == ["JOB_FINISHED"]


async def test_the_event_and_the_job_are_nothing_for_others(acme: Tenant, globex: Tenant, ended: JobRow) -> None:
    (event,) = await events_of(acme.org_id, "JOB_FINISHED")
    id = global_id("event", event.id)

    mine = await acme.member.client.ok(EVENT, id=id)
    for person in (acme.admin, globex.admin):
        for document, other in ((EVENT, id), (JOB, id_of(ended))):
            assert await person.client.ok(document, id=other) == {"node": None}

    assert mine == {"node": {"type": "JOB_FINISHED", "subject": {"id": id_of(ended)}}}
    assert (await acme.member.client.ok(JOB, id=id_of(ended)))["node"]["status"] == "CANCELED"


async def test_the_end_is_told_live_to_the_owner_alone(address: str, acme: Tenant) -> None:
    job = await ask_nobody(acme.member, acme)
    async with opened(address, acme.member.token) as owner, opened(address, acme.admin.token) as other:
        mine = await begun(owner, EVENTS, id=acme.id)
        theirs = await begun(other, EVENTS, id=acme.id)
        await cancel(acme.member, job)
        async with acme.admin.acting() as actor:
            await _label(actor, acme, "after")

        assert [(await mine.data())["type"] for _ in range(2)] == ["JOB_FINISHED", "LABEL_CREATED"]
        assert (await theirs.data())["type"] == "LABEL_CREATED"


async def test_the_end_is_replayed_to_the_owner_alone(address: str, acme: Tenant, ended: JobRow) -> None:
    first = (await changes(acme.admin.client, acme))["edges"][0]["cursor"]
    async with opened(address, acme.member.token) as owner, opened(address, acme.admin.token) as other:
        mine = await begun(owner, EVENTS, id=acme.id, after=first)
        theirs = await begun(other, EVENTS, id=acme.id, after=first)

        assert [(await mine.data())["type"] for _ in range(2)] == ["JOB_FINISHED", "LABEL_CREATED"]
        assert (await theirs.data())["type"] == "LABEL_CREATED"


async def test_what_a_key_asked_for_is_the_keys(acme: Tenant) -> None:
    job, secret = await ask_by_key(acme)
    async with acme.admin.acting() as actor:
        made = await api_keys.create(actor, acme.org_id, name="other", permissions=list(Permission))
    await GraphQL(secret).done("mutation ($id: ID!) { jobCancel(id: $id) { errors { message } } }", id=id_of(job))

    # Its maker, who has every permission, and another key do not see it.
    for client in (acme.admin.client, GraphQL(made.secret)):
        assert "JOB_FINISHED" not in await types(client, acme)
        assert await client.ok(JOB, id=id_of(job)) == {"node": None}
    assert "JOB_FINISHED" in await types(GraphQL(secret), acme)


async def test_what_is_read_and_what_is_said_of_a_row_that_is_read_agree(acme: Tenant, ended: JobRow) -> None:
    people = [acme.admin, acme.member, await make_member(acme.org_id, Role.ADMIN, "Second")]
    events = await events_of(acme.org_id, *EventType)

    for person in people:
        async with person.acting() as actor:
            read = await queries.by_ids(actor, [event.id for event in events], ("id",))
            assert set(read) == {event.id for event in events if queries.sees(actor, event)}
    assert {EventType.JOB_FINISHED} == OWN


NOTIFYING = Reactions(
    events={EventType.JOB_FINISHED: (fan_out,)}, accounts={}, listeners={}, rows=(do,), inbound=(), lines=()
)


@pytest.mark.usefixtures("quiet")
async def test_the_owner_of_a_report_is_notified_once_it_is_ready(
    settings: Settings, adapters: Adapters, acme: Tenant
) -> None:
    async def inbox(person: Person) -> dict[str, Any]:
        found: dict[str, Any] = (await person.client.ok(INBOX))["viewer"]
        return found

    async with performing(settings, adapters, acme, csv, NOTIFYING):
        report = await ask(acme.member, acme)
        await ask(acme.member, acme, kind=JobKind.EXPORT)
        canceled = await ask_nobody(acme.member, acme)
        await cancel(acme.member, canceled)

        async def are_told() -> bool:
            told = await rows("SELECT FROM delivery WHERE org_id = $1 AND handler = $2 AND state = 'DONE'",
                              acme.org_id, fan_out.name)  # fmt: skip
            return len(told) == 3

        await until(are_told)

    found = await inbox(acme.member)
    (entry,) = found["notifications"]["nodes"]
    assert found["unreadNotificationCount"] == 1
    assert entry.pop("subject").items() >= {"id": id_of(report), "status": "SUCCEEDED"}.items()
    assert entry == {"kind": "REPORT_READY", "title": "Your report is ready", "event": {"type": "JOB_FINISHED"}}
    assert await inbox(acme.admin) == {"unreadNotificationCount": 0, "notifications": {"nodes": []}}


async def test_nobody_is_notified_of_a_keys_report(acme: Tenant) -> None:
    job, _ = await ask_by_key(acme)
    with acting_for([acme.org_id]):
        async with tx():
            await service.end(sql("job.id = {}", job.id), JobStatus.FAILED, message="no")
    await execute("UPDATE event SET data = replace(data, 'FAILED', 'SUCCEEDED') WHERE org_id = $1", acme.org_id)
    (event,) = await events_of(acme.org_id, "JOB_FINISHED")

    await tell(event)

    assert await rows("SELECT FROM notification WHERE org_id = $1", acme.org_id) == []


@pytest.mark.usefixtures("quiet")
async def test_an_address_is_for_who_still_has_the_permission(
    settings: Settings, adapters: Adapters, acme: Tenant
) -> None:
    async with performing(settings, adapters, acme, csv):
        job = await ask(acme.member, acme, permission=Permission.REPORT_CREATE)
        await until(lambda: all_done(acme.org_id))

    async def url() -> str | None:
        found: str | None = (await acme.member.client.ok(JOB, id=id_of(job)))["node"]["resultUrl"]
        return found

    before = await url()
    await execute("UPDATE membership SET role = 'GUEST' WHERE user_id = $1", acme.member.user_id)
    lost = await url()
    await execute("UPDATE membership SET role = 'MEMBER' WHERE user_id = $1", acme.member.user_id)
    again = await url()
    await execute("UPDATE job SET expires_at = now() WHERE id = $1", job.id)
    over = await url()

    assert before is not None
    assert again is not None
    assert f"/org/{acme.org_id}/results/{(await row_of(job))['claim']}?" in before
    assert (lost, over) == (None, None)
