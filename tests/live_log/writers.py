"""Writers of several organizations: over the API, and in this process in transactions that take their time."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

import httpx

from domain.base.actor import Actor
from domain.base.database import tx
from domain.base.errors import Timeout, Unavailable
from domain.base.permissions import Role
from domain.comments import service as comments
from domain.labels import service as labels
from domain.organizations import memberships
from domain.projects.queries import ProjectRow
from domain.tasks import service as tasks
from graph.base.ids import global_id
from tests.factories import Person, Tenant, make_member, make_project, make_task, rows
from tests.live_log.fleet import BusyError, Fleet

MOST_CHANGES = 6
LONGEST_WAIT_S = 0.03
ROLLED_BACK = 0.2
CREATE = """mutation ($id: ID!, $text: String!) {
  taskCreate(input: {projectId: $id, title: $text}) { errors { code message path } }
}"""
UPDATE = """mutation ($id: ID!, $text: String!) {
  taskUpdate(id: $id, input: {title: $text, priority: HIGH}) { errors { code message path } }
}"""
COMMENT = """mutation ($id: ID!, $text: String!) {
  commentCreate(input: {taskId: $id, body: $text}) { errors { code message path } }
}"""
PROMOTE = "mutation ($id: ID!, $role: Role!) { membershipUpdate(id: $id, role: $role) { errors { code message } } }"


class _RolledBackError(Exception):
    """The transaction is not to be kept."""


@dataclass
class Tally:
    """What writers have done, and who waits for them to have done so much."""

    committed: int = 0
    rolled_back: int = 0
    refused: int = 0
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def done(self) -> int:
        """All that came to an end."""
        return self.committed + self.rolled_back + self.refused

    async def tell(self) -> None:
        """Wake who waits."""
        async with self._more:
            self._more.notify_all()

    async def reach(self, count: int) -> None:
        """Wait until so many came to an end."""
        async with self._more:
            await self._more.wait_for(lambda: self.done >= count)


@dataclass(frozen=True)
class Place:
    """Where a writer writes: a project, and a task of its own in it, so that writers do not wait for each other."""

    tenant: Tenant
    project: ProjectRow
    task_id: UUID
    membership_id: UUID


async def make_place(tenant: Tenant, project: ProjectRow) -> Place:
    """A task and a member for one writer alone."""
    task = await make_task(tenant.member, project)
    member = await make_member(tenant.org_id, Role.MEMBER)
    (row,) = await rows("SELECT id FROM membership WHERE user_id = $1", member.user_id)
    return Place(tenant, project, task.id, row["id"])


async def make_projects(tenant: Tenant) -> list[ProjectRow]:
    """Two, so that a filter leaves something out."""
    return [await make_project(tenant.admin, tenant, name=name) for name in ("Website", "Backend")]


@dataclass(frozen=True)
class Writer:
    """Somebody who changes one thing after the other. In several places, transactions go over all of them."""

    person: Person
    places: list[Place]
    chance: random.Random
    tally: Tally

    async def over_the_api(self, fleet: Fleet, count: int) -> None:
        """So many operations, at whichever process answers."""
        for number in range(count):
            place = self.chance.choice(self.places)
            document, id = self.chance.choice(
                [
                    (CREATE, global_id("project", place.project.id)),
                    (UPDATE, global_id("task", place.task_id)),
                    (COMMENT, global_id("task", place.task_id)),
                    (PROMOTE, global_id("membership", place.membership_id)),
                ]
            )
            told = {"role": self.chance.choice(list(Role))} if document == PROMOTE else {"text": f"number {number}"}
            try:
                await fleet.change(document, place.tenant.admin.token, id=id, **told)
                self.tally.committed += 1
            except (httpx.TransportError, BusyError):
                # Nobody knows whether it was done; the log does.
                self.tally.refused += 1
            await self.tally.tell()

    async def directly(self, _fleet: Fleet, count: int) -> None:
        """So many transactions of several changes each, some of which come to nothing."""
        for _ in range(count):
            try:
                async with self.person.acting() as actor, tx():
                    places = self.chance.choices(self.places, k=self.chance.randint(1, MOST_CHANGES))
                    # Whoever goes through several projects locks them in one order.
                    for place in sorted(places, key=lambda place: place.project.id):
                        await self.chance.choice(CHANGES)(actor, place, self.chance)
                        await asyncio.sleep(self.chance.uniform(0, LONGEST_WAIT_S))
                    if self.chance.random() < ROLLED_BACK:
                        raise _RolledBackError
                self.tally.committed += 1
            except _RolledBackError:
                self.tally.rolled_back += 1
            except (Timeout, Unavailable):
                self.tally.refused += 1
            await self.tally.tell()


def _text(chance: random.Random) -> str:
    return f"{chance.getrandbits(64):016x}"


async def _create(actor: Actor, place: Place, chance: random.Random) -> None:
    await tasks.create(actor, place.project.id, title=_text(chance))


async def _update(actor: Actor, place: Place, chance: random.Random) -> None:
    await tasks.update(actor, place.task_id, title=_text(chance), assignee_id=chance.choice([None, actor.user_id]))


async def _comment(actor: Actor, place: Place, chance: random.Random) -> None:
    await comments.create(actor, place.task_id, body=_text(chance))


async def _label(actor: Actor, place: Place, chance: random.Random) -> None:
    await labels.create(actor, place.tenant.org_id, name=_text(chance), color="#336699")


CHANGES: list[Callable[[Actor, Place, random.Random], Awaitable[None]]] = [_create, _update, _comment, _label]


async def close_the_log(place: Place) -> None:
    """One change that every interest in the place hears of, after which there is no more."""
    async with place.tenant.admin.acting() as actor, tx():
        (row,) = await rows("SELECT role FROM membership WHERE id = $1", place.membership_id)
        role = Role.GUEST if row["role"] != Role.GUEST else Role.MEMBER
        await memberships.update(actor, place.membership_id, role=role)
        await tasks.create(actor, place.project.id, title="the last one")
