"""What of an inbox is mailed: the kinds that have a switch, while it is on, to who is still there."""

from uuid import UUID

import pytest

from domain.base.actor import Actor
from domain.base.database import acting_for
from domain.base.mailing import Mailing
from domain.comments import service as comments
from domain.events.queries import EventRow
from domain.notifications import mails
from domain.notifications import service as inboxes
from domain.notifications.models import NotificationKind
from domain.tasks import service as tasks
from tests.factories import Person, Tenant, execute
from tests.notifications.reading import assigned
from tests.notifications.telling import events_of, tell_all
from tests.notifications.test_inbox import enter, remove


async def mailed(tenant: Tenant, event: EventRow, person: Person) -> Mailing | None:
    """What the mail job gets to know."""
    with acting_for([tenant.org_id]):
        return await mails.of(Actor.system(tenant.org_id), event, person.user_id)


async def recipients(event: EventRow) -> list[UUID]:
    """Whose mail jobs are made when the event is told of."""
    actor = Actor.system(event.org_id)
    with acting_for([event.org_id]):
        return mails.mailed_to(await inboxes.notify_about(actor, event))


async def test_an_assignment_is_mailed_with_what_a_mail_says(acme: Tenant) -> None:
    (event,) = await assigned(acme, acme.member)

    found = await mailed(acme, event, acme.member)

    assert found == Mailing(
        kind="task_assigned",
        to=acme.member.email,
        key=str(event.id),
        values={
            "user_id": acme.member.user_id,
            "organization_name": "Acme",
            "organization_slug": acme.slug,
            "task_identifier": "DES-1",
            "task_title": "Sort the papers",
            "actor_name": "Admin Acme",
        },
    )
    assert await recipients(event) == [acme.member.user_id]


async def test_a_mention_is_mailed_and_a_comment_is_not(acme: Tenant) -> None:
    (event,) = await assigned(acme, acme.member)
    async with acme.admin.acting() as actor:
        await comments.create(actor, event.subject_id, body=f"@({acme.guest.id}) look " + "x" * 600)
    await tell_all(acme.org_id)
    (said,) = await events_of(acme.org_id, "COMMENT_CREATED")

    found = await mailed(acme, said, acme.guest)

    assert found is not None
    assert (found.kind, found.to) == ("mentioned", acme.guest.email)
    assert found.values["excerpt"] == "@Guest Acme look " + "x" * (mails.LONGEST_EXCERPT - 18) + "…"
    assert (found.values["task_identifier"], found.values["actor_name"]) == ("DES-1", "Admin Acme")
    assert await recipients(said) == [acme.guest.user_id]
    assert await mailed(acme, said, acme.member) is None
    assert await mailed(acme, said, acme.admin) is None


@pytest.mark.parametrize("kind", list(NotificationKind))
@pytest.mark.parametrize("off", [None, *mails.SWITCHES.values()])
async def test_the_switch_of_its_kind_alone_decides(acme: Tenant, kind: NotificationKind, off: str | None) -> None:
    (event,) = await assigned(acme, acme.member)
    async with acme.admin.acting() as actor:
        await comments.create(actor, event.subject_id, body=f"@({acme.member.id})")
    await tell_all(acme.org_id)
    (event,) = await events_of(acme.org_id, "COMMENT_CREATED")
    await execute("UPDATE notification SET kind = $1 WHERE event_id = $2", kind.value, event.id)
    if off is not None:
        await execute(f"UPDATE preferences SET {off} = false WHERE user_id = $1", acme.member.user_id)

    found = await mailed(acme, event, acme.member)

    switch = mails.SWITCHES.get(kind)
    assert (found is not None) == (switch is not None and switch != off)
    assert found is None or found.kind == kind.value.lower()


async def test_nothing_is_mailed_of_what_is_gone_or_to_who_has_left(acme: Tenant) -> None:
    (event,) = await assigned(acme, acme.member)
    (other,) = await assigned(acme, acme.member)

    await remove(acme, acme.member)
    assert await mailed(acme, event, acme.member) is None
    await enter(acme, acme.member)
    assert await mailed(acme, event, acme.member) is not None
    async with acme.admin.acting() as actor:
        await tasks.delete(actor, event.subject_id)

    assert await mailed(acme, event, acme.member) is None
    assert await mailed(acme, other, acme.member) is not None


async def test_nothing_is_mailed_to_an_address_that_nobody_has_verified(acme: Tenant) -> None:
    (event,) = await assigned(acme, acme.member)
    await execute("UPDATE users SET email_verified_at = NULL WHERE id = $1", acme.member.user_id)

    assert await mailed(acme, event, acme.member) is None


async def test_an_accepted_invitation_names_the_new_member(acme: Tenant) -> None:
    (event,) = await assigned(acme, acme.member)
    await execute("UPDATE notification SET kind = 'INVITATION_ACCEPTED', task_id = NULL WHERE event_id = $1", event.id)

    found = await mailed(acme, event, acme.member)

    assert found is not None
    assert found.values == {
        "user_id": acme.member.user_id,
        "organization_name": "Acme",
        "organization_slug": acme.slug,
        "member_name": "Admin Acme",
    }


async def test_nothing_is_mailed_by_another_organization(acme: Tenant, globex: Tenant) -> None:
    (event,) = await assigned(acme, acme.member)

    assert await mailed(globex, event, acme.member) is None
