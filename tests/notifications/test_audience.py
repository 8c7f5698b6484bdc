"""Who hears what: the whole table, by what people do; never whoever did it, and only who can see it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from domain.base.actor import Actor
from domain.base.permissions import Permission, Role
from domain.comments import service as comments
from domain.events.types import NEEDED, EventType
from domain.labels import service as labels
from domain.notifications import audience, subscriptions
from domain.organizations import api_keys, memberships
from domain.tasks import service as tasks
from graph.base.ids import global_id
from tests.client import GraphQL
from tests.factories import Person, Tenant, execute, make_member, make_project, make_task, rows
from tests.invitations.inviting import ACCEPT, invited, make_verified
from tests.notifications.reading import assigned
from tests.notifications.telling import inbox, kinds_by_person, tell_all


@dataclass(frozen=True)
class Desk:
    """A task of the member's that is assigned to the billing manager, and everybody there."""

    tenant: Tenant
    task_id: UUID

    @property
    def people(self) -> dict[str, Person]:
        """By their role."""
        acme = self.tenant
        return {"admin": acme.admin, "member": acme.member, "billing": acme.billing, "guest": acme.guest}

    async def told(self) -> dict[str, list[str]]:
        """Who is told what of all that happened here, by their role."""
        await tell_all(self.tenant.org_id)
        found = await kinds_by_person(self.tenant.org_id)
        names = {person.user_id: name for name, person in self.people.items()}
        return {names[user_id]: kinds for user_id, kinds in found.items()}


@pytest.fixture
async def desk(acme: Tenant) -> Desk:
    """Nobody is told of how it came to be."""
    project = await make_project(acme.member, acme)
    task = await make_task(acme.member, project, assignee_id=acme.billing.user_id)
    desk = Desk(acme, task.id)
    await desk.told()
    await execute("DELETE FROM notification WHERE org_id = $1", acme.org_id)
    await execute("DELETE FROM inbox WHERE user_id = $1", acme.billing.user_id)
    # What was told before is not told again, so it is taken out of what is looked at.
    await execute("UPDATE event SET type = 'TASK_MOVED' WHERE org_id = $1", acme.org_id)
    return desk


Deed = Callable[[Desk, Actor], Awaitable[Any]]


def at(*people: Person) -> str:
    """A text that mentions them."""
    return " ".join(f"@({person.id})" for person in people)


async def comment(desk: Desk, actor: Actor) -> None:
    await comments.create(actor, desk.task_id, body="Hello")


async def comment_with_mentions(desk: Desk, actor: Actor) -> None:
    body = at(desk.tenant.guest, desk.tenant.billing, desk.tenant.admin)
    await comments.create(actor, desk.task_id, body=body)


async def edit_mentions(desk: Desk, actor: Actor) -> None:
    made = await comments.create(actor, desk.task_id, body=at(desk.tenant.guest))
    await comments.update(actor, made.id, body=at(desk.tenant.guest, desk.tenant.member))
    await comments.update(actor, made.id, body=at(desk.tenant.member) + "!")
    await comments.update(actor, made.id, body="Nobody")


async def assign(desk: Desk, actor: Actor, person: Person | None) -> None:
    await tasks.update(actor, desk.task_id, assignee_id=None if person is None else person.user_id)


async def change_otherwise(desk: Desk, actor: Actor) -> None:
    await tasks.update(actor, desk.task_id, title="Another", description="More")
    await tasks.archive(actor, desk.task_id)
    await tasks.unarchive(actor, desk.task_id)
    await labels.create(actor, desk.tenant.org_id, name="Bug", color="#123456")


TABLE: dict[str, tuple[str, Deed, dict[str, list[str]]]] = {
    "a comment goes to assignee and creator": (
        "admin",
        comment,
        {"member": ["COMMENTED"], "billing": ["COMMENTED"]},
    ),
    "a comment of the creator's": ("member", comment, {"billing": ["COMMENTED"]}),
    "a guest's comment": ("guest", comment, {"member": ["COMMENTED"], "billing": ["COMMENTED"]}),
    "a mention goes before the comment, and not to oneself": (
        "admin",
        comment_with_mentions,
        {"member": ["COMMENTED"], "billing": ["MENTIONED"], "guest": ["MENTIONED"]},
    ),
    "an edit goes to whom it mentions newly": (
        "admin",
        edit_mentions,
        {"member": ["COMMENTED", "MENTIONED"], "billing": ["COMMENTED"], "guest": ["MENTIONED"]},
    ),
    "an assignment goes to the new assignee": (
        "member",
        lambda desk, actor: assign(desk, actor, desk.tenant.admin),
        {"admin": ["TASK_ASSIGNED"]},
    ),
    "an assignment to oneself": ("admin", lambda desk, actor: assign(desk, actor, desk.tenant.admin), {}),
    "an assignment to nobody": ("admin", lambda desk, actor: assign(desk, actor, None), {}),
    "what nobody hears of": ("member", change_otherwise, {}),
}


@pytest.mark.parametrize("case", TABLE)
async def test_who_is_told(desk: Desk, case: str) -> None:
    doer, deed, expected = TABLE[case]

    async with desk.people[doer].acting() as actor:
        await deed(desk, actor)

    assert await desk.told() == expected


def test_the_table_has_every_type_that_has_a_rule() -> None:
    assert set(audience.RULES) == {
        "TASK_ASSIGNED",
        "COMMENT_CREATED",
        "COMMENT_UPDATED",
        "INVITATION_ACCEPTED",
        "TASK_DUE_SOON",
        # Its cases stand in tests/work/test_seeing.py.
        "JOB_FINISHED",
    }


async def test_who_commented_is_subscribed_until_they_unsubscribe(desk: Desk) -> None:
    acme = desk.tenant
    for person in (acme.guest, acme.admin, acme.member):
        async with person.acting() as actor:
            await comments.create(actor, desk.task_id, body="Hello")
    async with acme.guest.acting() as actor:
        await subscriptions.unsubscribe(actor, desk.task_id)
    async with acme.member.acting() as actor:
        await comments.create(actor, desk.task_id, body="Bye")

    # Told when all had been said, as by a worker that comes late: who followed the task then hears of it all.
    assert await desk.told() == {
        "admin": ["COMMENTED"] * 3,
        "member": ["COMMENTED"] * 2,
        "billing": ["COMMENTED"] * 4,
    }


async def test_a_subscriber_hears_of_comments_and_an_unsubscribed_of_mentions_alone(desk: Desk) -> None:
    acme = desk.tenant
    other = await make_member(acme.org_id, Role.GUEST)
    async with other.acting() as actor:
        await subscriptions.subscribe(actor, desk.task_id)
    for person in (acme.member, acme.billing):
        async with person.acting() as actor:
            await subscriptions.unsubscribe(actor, desk.task_id)
    async with acme.admin.acting() as actor:
        await comments.create(actor, desk.task_id, body=f"{at(acme.billing)}?")

    await tell_all(acme.org_id)

    assert await kinds_by_person(acme.org_id) == {other.user_id: ["COMMENTED"], acme.billing.user_id: ["MENTIONED"]}


async def test_telling_once_more_changes_nothing(desk: Desk) -> None:
    async with desk.tenant.admin.acting() as actor:
        await comment(desk, actor)
    first = await desk.told()
    before = await rows("SELECT * FROM notification WHERE org_id = $1 ORDER BY id", desk.tenant.org_id)
    counters = await rows("SELECT * FROM inbox ORDER BY user_id")

    again = await desk.told()

    assert again == first == {"member": ["COMMENTED"], "billing": ["COMMENTED"]}
    assert await rows("SELECT * FROM notification WHERE org_id = $1 ORDER BY id", desk.tenant.org_id) == before
    assert await rows("SELECT * FROM inbox ORDER BY user_id") == counters


async def test_what_a_key_did_is_told_to_its_maker_too(desk: Desk) -> None:
    acme = desk.tenant
    async with acme.admin.acting() as actor:
        given = [Permission.TASK_READ, Permission.COMMENT_CREATE]
        made = await api_keys.create(actor, acme.org_id, name="Robot", permissions=given)
        await subscriptions.subscribe(actor, desk.task_id)

    await GraphQL(made.secret).done(
        'mutation ($id: ID!) { commentCreate(input: {taskId: $id, body: "Beep"}) { errors { message } } }',
        id=global_id("task", desk.task_id),
    )

    assert await desk.told() == {"member": ["COMMENTED"], "billing": ["COMMENTED"], "admin": ["COMMENTED"]}


async def test_nobody_is_told_of_what_is_gone(desk: Desk) -> None:
    async with desk.tenant.admin.acting() as actor:
        made = await comments.create(actor, desk.task_id, body=at(desk.tenant.guest))
        await comments.delete(actor, made.id)
        await assign(desk, actor, desk.tenant.guest)
        await tasks.delete(actor, desk.task_id)

    assert await desk.told() == {}


async def test_who_has_left_is_not_told(desk: Desk) -> None:
    acme = desk.tenant
    (membership,) = await rows("SELECT id FROM membership WHERE user_id = $1", acme.billing.user_id)
    async with acme.admin.acting() as actor:
        await comment(desk, actor)
        await memberships.delete(actor, membership["id"])

    assert await desk.told() == {"member": ["COMMENTED"]}


async def accepted(tenant: Tenant, meanwhile: Callable[[UUID], Awaitable[None]] | None = None) -> None:
    """Somebody new accepts an invitation of the admin's after what happens meanwhile; whoever hears of it is told."""
    person = await make_verified("Eve")
    invitation_id, token = await invited(tenant, person)
    if meanwhile is not None:
        await meanwhile(invitation_id)
    await person.client.done(ACCEPT, token=token)
    await tell_all(tenant.org_id)


async def test_an_accepted_invitation_goes_to_the_inviter(acme: Tenant) -> None:
    async def forget_who_invited(invitation_id: UUID) -> None:
        await execute("UPDATE invitation SET invited_by_id = NULL WHERE id = $1", invitation_id)

    await accepted(acme)
    await accepted(acme, forget_who_invited)

    assert await kinds_by_person(acme.org_id) == {acme.admin.user_id: ["INVITATION_ACCEPTED"]}
    found = await acme.admin.client.ok("{ viewer { notifications { nodes { title subject { __typename } } } } }")
    assert found["viewer"]["notifications"]["nodes"] == [
        {"title": "Eve accepted your invitation", "subject": {"__typename": "Invitation"}}
    ]


async def test_an_inviter_who_may_not_see_invitations_any_more_is_not_told(acme: Tenant) -> None:
    other = await make_member(acme.org_id, Role.ADMIN)
    (membership,) = await rows("SELECT id FROM membership WHERE user_id = $1", acme.admin.user_id)

    async def demote_the_inviter(_invitation_id: UUID) -> None:
        async with other.acting() as actor:
            await memberships.update(actor, membership["id"], role=Role.MEMBER)

    await accepted(acme, demote_the_inviter)

    assert await kinds_by_person(acme.org_id) == {}


async def test_nobody_is_told_of_a_type_that_nobody_may_see(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(NEEDED, EventType.TASK_ASSIGNED)

    await assigned(acme, acme.member)

    assert await inbox(acme.member.user_id) == []
