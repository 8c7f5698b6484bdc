"""Laws over the log: the shapes of events as snapshots/events.json pins them, and the chain that its rows make.

The log of an organization to which everything has happened is checked from its rows alone, as an auditor would.
"""

import asyncio
import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import domain
from domain.adapters.wiring import Adapters
from domain.attachments import service as attachments
from domain.base.actor import Actor
from domain.base.clock import now
from domain.base.errors import Taken
from domain.base.permissions import Permission, Role
from domain.billing import subscriptions
from domain.billing.plans import Plan
from domain.comments import service as comments
from domain.events.log import Event
from domain.invitations import service as invitations
from domain.labels import service as labels
from domain.organizations import api_keys, memberships
from domain.organizations import service as organizations
from domain.projects import service as projects
from domain.projects import workflow_states
from domain.projects.models import StateCategory
from domain.tasks import columns, due, relations
from domain.tasks import service as tasks
from domain.tasks.models import RelationKind
from domain.tasks.transfer import transfer
from domain.work import service as work
from domain.work.models import JobKind
from tests.client import served
from tests.events.chain import first_fault
from tests.factories import Tenant, execute, make_attachment, make_person, rows, states_of
from tests.links import token_of

SNAPSHOT = Path(__file__).parent / "snapshots" / "events.json"

# EventType of the API contract, parts 01, 02, 03 and 05; INVITATION_RESENT is our own.
TYPES = """
  ORGANIZATION_CREATED ORGANIZATION_UPDATED MEMBERSHIP_CREATED MEMBERSHIP_UPDATED MEMBERSHIP_DELETED
  PROJECT_CREATED PROJECT_UPDATED PROJECT_ARCHIVED PROJECT_UNARCHIVED PROJECT_DELETED
  API_KEY_CREATED API_KEY_REVOKED
  INVITATION_CREATED INVITATION_RESENT INVITATION_ACCEPTED INVITATION_DECLINED INVITATION_EXPIRED INVITATION_REVOKED
  WORKFLOW_STATE_CREATED WORKFLOW_STATE_UPDATED WORKFLOW_STATE_DELETED
  TASK_CREATED TASK_UPDATED TASK_ASSIGNED TASK_TRANSITIONED TASK_MOVED TASK_TRANSFERRED TASK_ARCHIVED TASK_UNARCHIVED
  TASK_DELETED TASK_RELATION_CREATED TASK_RELATION_DELETED
  TASK_DUE_SOON
  LABEL_CREATED LABEL_UPDATED LABEL_DELETED COMMENT_CREATED COMMENT_UPDATED COMMENT_DELETED
  ATTACHMENT_CREATED ATTACHMENT_UPDATED ATTACHMENT_DELETED
  SUBSCRIPTION_UPDATED JOB_FINISHED
""".split()

# Stands in every text that anybody writes in `live`.
WORD = "capybara"


def classes() -> Iterator[type[Event]]:
    """Every class of event that has a type."""
    for module in pkgutil.walk_packages(domain.__path__, "domain."):
        if module.name.endswith(".events"):
            importlib.import_module(module.name)
    pending = list(Event.__subclasses__())
    while pending:
        found = pending.pop()
        pending += found.__subclasses__()
        if "type" in vars(found):
            yield found


def shapes() -> dict[str, Any]:
    """Type -> its subject's kind and its own fields, and which of those may be erased."""
    return {
        each.type: {
            "subject": each.subject,
            "fields": {item.name: _described(item) for item in fields(each) if item.name != "subject_id"},
        }
        for each in sorted(classes(), key=lambda each: each.type)
    }


def _described(item: Any) -> str:
    name = item.type.__name__ if isinstance(item.type, type) and not hasattr(item.type, "__args__") else str(item.type)
    words = [re.sub(r"\b\w+\.", "", name)]
    words += ["erasable"] if item.metadata.get("private") else []
    words += ["always"] if item.default is MISSING else []
    return ", ".join(words)


def test_events_have_the_shapes_of_the_snapshot() -> None:
    """Fields are added and never changed: subscribers and webhooks read them. Add yours to the snapshot by hand."""
    assert shapes() == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_every_type_of_the_contract_has_just_one_class() -> None:
    assert sorted(each.type for each in classes()) == sorted(TYPES)


async def live() -> UUID:
    """An organization to which everything has happened; its id."""
    founder, other = await make_person(WORD), await make_person(WORD)
    async with founder.acting() as actor:
        org = await organizations.create(actor, name=WORD, slug=f"{WORD}-{founder.user_id.hex[-12:]}")
        await organizations.update(actor, org.id, name=f"{WORD} again")
        member = await memberships.join(actor, org.id, other.user_id, role=Role.GUEST)
        await memberships.update(actor, member.id, role=Role.MEMBER)
        made = await api_keys.create(actor, org.id, name=WORD, permissions=[Permission.TASK_READ])
        await api_keys.revoke(actor, made.key.id)
        label = await labels.create(actor, org.id, name=WORD, color="#123456")
        await labels.update(actor, label.id, description=WORD)
        project = await projects.create(actor, org.id, name=WORD, key="ONE", description=WORD)
        second = await projects.create(actor, org.id, name=f"{WORD} two", key="TWO")
        await projects.update(actor, project.id, name=f"{WORD} one")
        await projects.archive(actor, project.id)
        await projects.unarchive(actor, project.id)
        states = await states_of(project)
        extra = await workflow_states.create(actor, project.id, name=WORD, category=StateCategory.TODO)
        await workflow_states.update(actor, extra.id, name=f"{WORD}!", recategorize=columns.recategorize)
        task = await tasks.create(actor, project.id, title=WORD, description=WORD, assignee_id=other.user_id)
        child = await tasks.create(actor, project.id, title=WORD, parent_id=task.id)
        await tasks.update(actor, task.id, title=f"{WORD}!", description=None, added_label_ids=[label.id])
        await tasks.update(actor, task.id, assignee_id=founder.user_id, due_date=now().date())
        await due.remind(Actor.system(org.id), now())
        await tasks.move(actor, child.id, state_id=states["Done"])
        await tasks.move(actor, task.id, state_id=extra.id)
        await tasks.move(actor, child.id, state_id=extra.id)
        await tasks.move(actor, child.id, before_id=task.id)
        await workflow_states.delete(actor, extra.id, move_tasks_to_id=states["Todo"], move_tasks=columns.move_all)
        await tasks.archive(actor, task.id)
        await tasks.unarchive(actor, task.id)
        relation = await relations.create(actor, task.id, child.id, kind=RelationKind.RELATES_TO)
        await relations.delete(actor, relation.id)
        comment = await comments.create(actor, task.id, body=f"{WORD} @({other.id})")
        await comments.update(actor, comment.id, body=f"{WORD}!")
        await comments.delete(actor, comment.id)
        attachment = await make_attachment(founder, task, filename=f"{WORD}.txt")
        await attachments.delete(actor, attachment.id)
        await transfer(actor, task.id, project_id=second.id)
        await tasks.delete(actor, task.id)
        await labels.delete(actor, label.id)
        await projects.delete(actor, second.id)
        await memberships.delete(actor, member.id)
        await invite(actor, org.id)
        await subscriptions.change(Actor.system(org.id), org.id, at=now(), plan=Plan.PRO, seats=2)
        job = await work.ask(actor, org.id, JobKind.EXPORT, Permission.ORG_UPDATE, "test.nobody", {"name": WORD})
        await work.cancel(actor, job.id)
    return org.id


async def invite(actor: Actor, org_id: UUID) -> None:
    """All that can happen to invitations."""
    settings, adapters = served()
    guest = await make_person(WORD)
    await execute("UPDATE users SET email_verified_at = now() WHERE id = $1", guest.user_id)
    given: dict[str, Any] = {"role": Role.GUEST, "settings": settings, "throttle": adapters.throttle}
    holder: dict[str, Any] = {"client_address": "192.0.2.1", "throttle": adapters.throttle}
    accepted = await invitations.create(actor, org_id, email=guest.email, **given)
    declined, revoked, expired = [
        await invitations.create(actor, org_id, email=f"{WORD}-{n}@example.test", **given) for n in range(3)
    ]
    await invitations.resend(actor, declined.id, settings=settings, throttle=adapters.throttle)
    await invitations.decline(None, await token_of(declined.id), **holder)
    await invitations.revoke(actor, revoked.id)
    async with guest.acting() as invited:
        await invitations.accept(invited, await token_of(accepted.id), **holder)
    await invitations.expire(actor, expired.expires_at)


@pytest.fixture
async def lived(adapters: Adapters) -> UUID:
    """An organization with a whole log."""
    return await live()


async def test_everything_that_can_happen_is_in_the_log_once_it_has_happened(lived: UUID) -> None:
    found = await rows("SELECT DISTINCT type FROM event WHERE org_id = $1", lived)

    assert sorted(row["type"] for row in found) == sorted(TYPES)


async def test_the_log_holds_together_from_its_rows_alone(lived: UUID) -> None:
    found = await rows("SELECT seq FROM event WHERE org_id = $1 ORDER BY seq", lived)

    assert [row["seq"] for row in found] == list(range(1, len(found) + 1))
    assert len(found) > len(TYPES)
    assert await first_fault(lived) is None


async def test_what_people_wrote_stands_only_where_it_can_be_erased(lived: UUID) -> None:
    kept = await rows("SELECT type, data FROM event WHERE org_id = $1 AND data LIKE $2", lived, f"%{WORD}%")
    erasable = await rows("SELECT 1 FROM event_values WHERE org_id = $1 AND data LIKE $2", lived, f"%{WORD}%")

    assert kept == []
    assert len(erasable) > 10


async def test_the_log_holds_together_when_what_can_be_erased_is_gone(lived: UUID) -> None:
    await execute("DELETE FROM event_values WHERE org_id = $1", lived)

    assert await first_fault(lived) is None


TAMPERED = {
    "a type": "UPDATE event SET type = 'TASK_MOVED' WHERE org_id = $1 AND seq = 7",
    "an instant": "UPDATE event SET occurred_at = occurred_at + interval '1 microsecond' WHERE org_id = $1 AND seq = 7",
    "a doer": "UPDATE event SET actor_kind = 'SYSTEM', actor_id = NULL WHERE org_id = $1 AND seq = 7",
    "a project": "UPDATE event SET project_id = subject_id WHERE org_id = $1 AND seq = 7",
    "a subject": "UPDATE event SET subject_id = org_id WHERE org_id = $1 AND seq = 7",
    "a kind of subject": "UPDATE event SET subject_kind = 'task' WHERE org_id = $1 AND seq = 7",
    "data": "UPDATE event SET data = '{}' || data WHERE org_id = $1 AND seq = 7",
    "erasable values": (
        "UPDATE event_values SET data = '{}' WHERE event_id = (SELECT id FROM event WHERE org_id = $1 AND seq = 7)"
    ),
    "the digest of the erasable values": "UPDATE event SET values_digest = NULL WHERE org_id = $1 AND seq = 7",
    "a digest": "UPDATE event SET digest = sha256(digest) WHERE org_id = $1 AND seq = 7",
    "a row that is gone": "DELETE FROM event WHERE org_id = $1 AND seq = 7",
}


@pytest.mark.parametrize("what", TAMPERED)
async def test_a_changed_row_is_found(lived: UUID, what: str) -> None:
    await execute(TAMPERED[what], lived)

    assert await first_fault(lived) == 7


async def test_a_log_whose_end_was_cut_off_is_found(lived: UUID) -> None:
    (last,) = await rows("SELECT max(seq) AS seq FROM event WHERE org_id = $1", lived)

    await execute("DELETE FROM event WHERE org_id = $1 AND seq = $2", lived, last["seq"])

    assert await first_fault(lived) == last["seq"]


async def test_events_written_at_the_same_time_are_numbered_without_a_gap(acme: Tenant) -> None:
    async def label(number: int) -> None:
        async with acme.admin.acting() as actor:
            await labels.create(actor, acme.org_id, name=f"Label {number}", color="#123456")

    await asyncio.gather(*(label(number) for number in range(20)))

    found = await rows("SELECT seq FROM event WHERE org_id = $1 ORDER BY seq", acme.org_id)
    assert [row["seq"] for row in found] == list(range(1, 21))
    assert await first_fault(acme.org_id) is None


async def test_what_did_not_happen_takes_no_number(acme: Tenant) -> None:
    async with acme.admin.acting() as actor:
        await labels.create(actor, acme.org_id, name="Bug", color="#123456")
        with pytest.raises(Taken):
            await labels.create(actor, acme.org_id, name="bug", color="#123456")
        await labels.create(actor, acme.org_id, name="Chore", color="#123456")

    found = await rows("SELECT seq, type FROM event WHERE org_id = $1 ORDER BY seq", acme.org_id)
    assert [tuple(row.values()) for row in found] == [(1, "LABEL_CREATED"), (2, "LABEL_CREATED")]
    assert await first_fault(acme.org_id) is None
