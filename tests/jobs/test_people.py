"""A job for each person: one whose mail is refused for now is mailed later, and nobody else again."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from domain.adapters.wiring import Adapters
from domain.base.database import acting_for, tx
from domain.base.settings import Settings
from domain.comments import service as comments
from domain.deliveries import following
from domain.events.types import EventType
from jobs.notifications import fan_out, mail
from jobs.reactions import Reactions
from tests.adapters.mail_server import TAKE_AND_HANG_UP, MailServer, serving
from tests.adapters.test_mail_smtp import mail_to
from tests.factories import Tenant, make_project, make_task, rows
from tests.jobs.crew import deliveries, hurried, until
from tests.jobs.working import working
from tests.notifications.telling import events_of

pytestmark = pytest.mark.usefixtures("quiet")

MENTIONS = Reactions(events={EventType.COMMENT_CREATED: (fan_out,)}, accounts={}, listeners={}, lines=())


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    """Takes the mail."""
    async with serving() as running:
        yield running


@pytest.fixture
async def mailing(adapters: Adapters, server: MailServer) -> AsyncIterator[Adapters]:
    """Adapters that mail to the server."""
    smtp = mail_to(server.port)
    yield replace(adapters, mail=smtp)
    await smtp.close()


async def test_a_retry_mails_nobody_else_again(
    settings: Settings, mailing: Adapters, server: MailServer, acme: Tenant
) -> None:
    told = (acme.member, acme.guest, acme.billing)
    project = await make_project(acme.admin, acme)
    task = await make_task(acme.admin, project)
    # Who comes first is put off, and who comes second.
    server.script["RCPT"] = ["451 Later", "451 Later"]
    async with acme.admin.acting() as actor:
        await comments.create(actor, task.id, body=" ".join(f"@({each.id})" for each in told))

    async with working(settings, mailing, MENTIONS):
        await until(lambda: hurried(acme.org_id))

    made = await deliveries(acme.org_id, mail.name)
    assert sorted(mail["To"] for mail in server.mails()) == sorted(each.email for each in told)
    assert len({mail["Message-ID"] for mail in server.mails()}) == 3
    assert sum(row["attempts"] for row in made) == 5
    assert {row["state"] for row in made} == {"DONE"}
    assert {row["user_id"] for row in made} == {each.user_id for each in told}


async def test_a_lost_answer_is_the_one_case_of_a_second_mail(
    settings: Settings, mailing: Adapters, server: MailServer, acme: Tenant
) -> None:
    task = await make_task(acme.admin, await make_project(acme.admin, acme))
    server.script["DATA"] = [TAKE_AND_HANG_UP]
    async with acme.admin.acting() as actor:
        await comments.create(actor, task.id, body=f"@({acme.member.id})")

    async with working(settings, mailing, MENTIONS):
        await until(lambda: hurried(acme.org_id))

    (made,) = await deliveries(acme.org_id, mail.name)
    first, second = server.mails()
    assert first["Message-ID"] == second["Message-ID"]
    assert (first["To"], second["To"]) == (acme.member.email, acme.member.email)
    assert (made["state"], made["attempts"]) == ("DONE", 2)


async def test_a_delivery_for_a_person_is_made_once_and_only_where_one_acts(acme: Tenant, globex: Tenant) -> None:
    await make_project(acme.admin, acme)
    event, *_ = await events_of(acme.org_id)
    with acting_for([acme.org_id]):
        for _ in range(2):
            async with tx():
                await following.for_people(event, "people.once", [acme.member.user_id, acme.guest.user_id])
    with acting_for([globex.org_id]):
        with pytest.raises(Exception, match="row-level security"):
            async with tx():
                await following.for_people(event, "people.never", [globex.member.user_id])
    with pytest.raises(RuntimeError, match="transaction"):
        await following.for_people(event, "people.never", [acme.member.user_id])

    assert len(await deliveries(acme.org_id, "people.once")) == 2
    assert await rows("SELECT id FROM delivery WHERE handler = 'people.never'") == []
    # Nobody does these.
    await rows("DELETE FROM delivery WHERE handler = 'people.once' RETURNING id")
