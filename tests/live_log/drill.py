"""The drill: subscribers of several logs, what goes wrong for them while writers write, and what each should have seen.

What goes wrong is planned ahead as a list of troubles, each with the number of changes at which it comes.
"""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from domain.base.settings import Settings
from domain.events import cursors
from graph.base.ids import global_id
from tests.events.log import CURSOR
from tests.factories import Tenant, execute, make_tenant
from tests.live_log.fleet import BusyError, Fleet
from tests.live_log.lossy_redis import LossyRedis
from tests.live_log.sizes import Size
from tests.live_log.subscribers import (
    EVENTS,
    MEMBERSHIPS,
    TASKS,
    Cut,
    Interest,
    Logged,
    Subscriber,
    listening,
    log_of,
)
from tests.live_log.writers import Place, Tally, Writer, close_the_log, make_place, make_projects
from tests.sockets import opened

BUSY_TENANTS = 3
CHOSEN_TYPES = ["TASK_CREATED", "COMMENT_CREATED", "MEMBERSHIP_UPDATED"]
Trouble = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class World:
    """Organizations in which much happens and one in which nothing does, each with its projects."""

    busy: list[Tenant]
    silent: Tenant
    places: dict[str, list[Place]]


async def make_world() -> World:
    """Several organizations with two projects each; the admin of the first is one in all that are busy."""
    *busy, silent = tenants = [await make_tenant(name) for name in ("acme", "initech", "umbrella", "silent")]
    for tenant in busy[1:]:
        await execute(
            "INSERT INTO membership (id, org_id, user_id, role, created_at, updated_at) "
            "VALUES (gen_random_uuid(), $1, $2, 'ADMIN', now(), now())",
            tenant.org_id,
            busy[0].admin.user_id,
        )
    places = {
        tenant.slug: [await make_place(tenant, project) for project in await make_projects(tenant)]
        for tenant in tenants
    }
    return World(busy, silent, places)


def interests(tenant: Tenant, place: Place) -> list[Interest]:
    """What can be asked for in the organization, and in one project of it."""
    project_id = place.project.id
    project = global_id("project", project_id)
    return [
        Interest(EVENTS, {"id": tenant.id}, lambda _event: True),
        Interest(TASKS, {"id": project}, lambda event: event.subject_kind == "task" and event.project_id == project_id),
        Interest(
            EVENTS, {"id": tenant.id, "filter": {"types": CHOSEN_TYPES}}, lambda event: event.type in CHOSEN_TYPES
        ),
        Interest(
            EVENTS, {"id": tenant.id, "filter": {"projectId": project}}, lambda event: event.project_id == project_id
        ),
        Interest(MEMBERSHIPS, {"id": tenant.id}, lambda event: event.subject_kind == "membership"),
    ]


@dataclass
class Drill:
    """One run. What it leaves is held against the log."""

    world: World
    fleet: Fleet
    redis: LossyRedis
    settings: Settings
    size: Size
    chance: random.Random
    tally: Tally = field(default_factory=Tally)
    listeners: list[Subscriber] = field(default_factory=list)
    bystanders: list[Subscriber] = field(default_factory=list)
    cuts: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """Let everything happen, and wait until everybody has seen all of it. Raises TimeoutError."""
        async with asyncio.timeout(self.size.deadline_s), listening(self.fleet, self.chance) as begin:
            for interest in interests(self.world.silent, self.world.places[self.world.silent.slug][0]):
                after = await self._cursor(self.world.silent)
                self.bystanders.append(self._begin(begin, self.world.silent, interest, after))
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write())
                group.create_task(self._trouble(begin))
            await self._caught_up()
            assert [each.seen for each in self.bystanders] == [[]] * len(self.bystanders)
            # Whoever is told something twice would be told before this.
            for places in self.world.places.values():
                for place in places:
                    await close_the_log(place)
            await self._caught_up()

    async def expected(self, subscriber: Subscriber) -> list[Logged]:
        """The events of the log that the subscriber had to see."""
        start = cursors.read(self.settings, subscriber.org_id, subscriber.after)
        return [
            event for event in await log_of(subscriber.org_id) if event.seq > start and subscriber.interest.keeps(event)
        ]

    async def _caught_up(self) -> None:
        for subscriber in self.listeners + self.bystanders:
            await subscriber.has_seen(len(await self.expected(subscriber)))

    def _begin(self, begin: Callable[[Subscriber], None], tenant: Tenant, interest: Interest, after: str) -> Subscriber:
        subscriber = Subscriber(tenant.member, tenant.org_id, interest, after)
        begin(subscriber)
        return subscriber

    def _offers(self, count: int) -> list[tuple[Tenant, Interest]]:
        """So many interests, all kinds in turn, half of them in the first organization."""
        found = []
        for number in range(count):
            tenant = self.world.busy[number // 2 % BUSY_TENANTS if number % 2 else 0]
            kinds = interests(tenant, self.chance.choice(self.world.places[tenant.slug]))
            found.append((tenant, kinds[number % len(kinds)]))
        return found

    async def _cursor(self, tenant: Tenant) -> str:
        """Where a snapshot that is read now ends."""
        while True:
            with contextlib.suppress(BusyError):
                found = await self.fleet.answer(CURSOR, tenant.member.token, id=tenant.id)
                return str(found["organization"]["eventCursor"])

    async def _write(self) -> None:
        """All writers: half of them over the API; every fourth of the others in several organizations at once."""
        async with asyncio.TaskGroup() as group:
            for number in range(self.size.writers):
                tenant = self.world.busy[number % BUSY_TENANTS]
                is_everywhere = number % 8 == 1
                places = [
                    await make_place(place.tenant, place.project)
                    for each in (self.world.busy if is_everywhere else [tenant])
                    for place in self.world.places[each.slug]
                ]
                person = self.world.busy[0].admin if is_everywhere else tenant.member
                chance = random.Random(self.chance.getrandbits(64))  # noqa: S311
                writer = Writer(person, places, chance, self.tally)
                work = writer.directly if number % 2 else writer.over_the_api
                group.create_task(work(self.fleet, self.size.changes_each))

    async def _trouble(self, begin: Callable[[Subscriber], None]) -> None:
        """Let go wrong what goes wrong, each at its number of changes."""

        async def cut() -> None:
            how = self.chance.choice(list(Cut))
            await self.chance.choice(self.listeners).cut(how)
            self.cuts[how] += 1

        def comes(tenant: Tenant, interest: Interest, *, with_snapshot: bool) -> Trouble:
            async def come() -> None:
                beginning = cursors.write(self.settings, tenant.org_id, 0)
                after = await self._cursor(tenant) if with_snapshot else beginning
                self.listeners.append(self._begin(begin, tenant, interest, after))

            return come

        async def lose_a_process() -> None:
            await self.fleet.lose_one(self.chance.randrange(self.size.processes))

        async def intrude() -> None:
            foreign = self.world.busy[0]
            streams = [(EVENTS, foreign.id), (MEMBERSHIPS, foreign.id)]
            streams += [(TASKS, global_id("project", place.project.id)) for place in self.world.places[foreign.slug]]
            async with opened(self.chance.choice(self.fleet.addresses), self.world.silent.member.token) as client:
                for document, id in streams:
                    assert await (await client.run(document, id=id)).codes() == ["NOT_FOUND"]

        changes = self.size.writers * self.size.changes_each
        plan: list[tuple[int, Trouble]] = [(self.chance.randrange(1, changes), cut) for _ in range(self.size.cuts)]
        for number, offer in enumerate(self._offers(self.size.subscribers)):
            # A fourth is there when it begins, and half want all that was before they came.
            at = 0 if number % 4 == 0 else self.chance.randrange(changes * 3 // 4)
            plan.append((at, comes(*offer, with_snapshot=number // 2 % 2 == 1)))
        plan += [(changes * 2 // 5, self.redis.restart), (changes // 2, intrude)]
        plan += [(changes * 3 // 5, lose_a_process) for _ in range(self.size.kills)]
        for at, trouble in sorted(plan, key=lambda each: each[0]):
            await self.tally.reach(at)
            await trouble()
