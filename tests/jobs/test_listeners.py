"""A channel and the lines that are counted: listeners of the log that no service knows of."""

import json
from dataclasses import replace

import pytest
import structlog

from domain.adapters.http import Http
from domain.adapters.slack import Slack
from domain.adapters.wiring import Adapters
from domain.base.settings import Settings
from domain.comments import service as comments
from domain.events.types import EventType
from domain.notifications.announcing import SENTENCES
from domain.tasks import service as tasks
from jobs.handlers import GivenUp
from jobs.listeners import LISTENERS, note, slack
from jobs.reactions import Reactions
from tests.adapters.http_server import Server, serving
from tests.adapters.test_http import names, only
from tests.factories import Tenant, make_project, make_task, rows, states_of
from tests.jobs.crew import deliveries, hurried, until
from tests.jobs.working import working
from tests.notifications.telling import events_of

pytestmark = pytest.mark.usefixtures("quiet")

ALONE = Reactions(events={}, accounts={}, lines=())
OFF = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
GONE = b"HTTP/1.1 404 Gone\r\ncontent-length: 0\r\n\r\n"


def to(server: Server, settings: Settings, adapters: Adapters) -> tuple[Settings, Adapters]:
    """Settings and adapters with a channel that the server is."""
    http = Http(resolve=names("127.0.0.1"), is_allowed=only("127.0.0.1"), schemes=("http",))
    url = f"http://hooks.example:{server.port}/x"
    return replace(settings, slack_webhook_url=url), replace(adapters, slack=Slack(http, url=url))


async def changes(tenant: Tenant) -> None:
    """A project, a task that moves, and a comment."""
    project = await make_project(tenant.admin, tenant, name="Desk & <chair>")
    task = await make_task(tenant.admin, project, title="Sort the papers")
    async with tenant.admin.acting() as actor:
        await tasks.update(actor, task.id, state_id=(await states_of(project))["Done"])
        await comments.create(actor, task.id, body="secret words")


async def test_a_channel_hears_the_few_things_that_are_for_all(
    settings: Settings, adapters: Adapters, acme: Tenant
) -> None:
    await changes(acme)
    async with serving() as server:
        server.answers = [OFF, OK]
        async with working(*to(server, settings, adapters), ALONE):
            await until(lambda: hurried(acme.org_id))

    said = [json.loads(asked.body)["text"] for asked in server.asked]
    assert {*said} >= {
        "Acme: Admin Acme created the project Desk &amp; &lt;chair&gt;",
        "Acme: Admin Acme created DES-1 Sort the papers",
        "Acme: Admin Acme moved DES-1 Sort the papers to Done",
        "Acme: Admin Acme commented on DES-1 Sort the papers",
    }
    assert not any("secret words" in text for text in said)
    posted = await deliveries(acme.org_id, slack.name)
    assert len(posted) == 4
    assert {row["state"] for row in posted} == {"DONE"}


async def test_without_a_channel_nothing_is_queued_for_it(settings: Settings, adapters: Adapters, acme: Tenant) -> None:
    await changes(acme)
    async with working(settings, adapters, ALONE):
        await until(lambda: hurried(acme.org_id))

    assert await deliveries(acme.org_id, slack.name) == []
    assert len(await deliveries(acme.org_id, note.name)) == len(await events_of(acme.org_id))


@pytest.mark.parametrize("is_set", [False, True])
async def test_a_channel_that_is_gone_is_given_up(
    settings: Settings, adapters: Adapters, acme: Tenant, *, is_set: bool
) -> None:
    await changes(acme)
    async with serving() as server:
        server.answers = [GONE]
        there, reached = to(server, settings, adapters)
        async with working(there, reached if is_set else adapters, ALONE):
            await until(lambda: hurried(acme.org_id))

    posted = await deliveries(acme.org_id, slack.name)
    assert {(row["state"], row["attempts"]) for row in posted} == {("DEAD", 1)}
    told = "the webhook answers 404" if is_set else "SLACK_WEBHOOK_URL is not set any more"
    assert {row["last_error"] for row in posted} == {f"{GivenUp.__name__}: {told}"}
    await rows("DELETE FROM delivery WHERE state = 'DEAD' AND org_id = $1 RETURNING id", acme.org_id)


async def test_each_event_leaves_one_line_that_names_nobody(
    settings: Settings, adapters: Adapters, acme: Tenant
) -> None:
    await changes(acme)
    with structlog.testing.capture_logs() as logs:
        async with working(settings, adapters, ALONE):
            await until(lambda: hurried(acme.org_id))

    lines = [line for line in logs if line["event"] == "event happened" and line["org_id"] == str(acme.org_id)]
    events = await events_of(acme.org_id)
    assert sorted((line["seq"], line["event_type"]) for line in lines) == [(each.seq, each.type) for each in events]
    assert str(acme.admin.user_id) not in str(lines)
    assert "papers" not in str(lines)


def test_a_handler_is_listed_once_for_a_type() -> None:
    with pytest.raises(ValueError, match=r"listed twice for LABEL_CREATED: analytics\.note, analytics\.note"):
        Reactions(events={EventType.LABEL_CREATED: (note,)}, accounts={}, lines=())


def test_listeners_hear_of_what_there_is() -> None:
    assert {handler.name for handler in LISTENERS} == {"analytics.note", "slack.post"}
    assert set(SENTENCES) <= set(EventType)
