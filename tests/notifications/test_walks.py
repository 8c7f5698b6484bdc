"""Counts equal lists, and both equal what a few lines of Python remember, after each step of a random walk."""

import random
from dataclasses import dataclass, field

import pytest

from tests.factories import Person, Tenant, make_person
from tests.notifications.reading import ALL_READ, READ, UNREAD, assigned, ids_of, unread_ids
from tests.notifications.test_inbox import enter, remove

STEPS = 30


@dataclass
class Remembered:
    """What the inbox must be: every entry with its organization, the oldest first."""

    entries: list[tuple[str, str]] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    inside: set[str] = field(default_factory=set)

    @property
    def shown(self) -> list[str]:
        """The newest first."""
        return [id for id, slug in reversed(self.entries) if slug in self.inside]

    @property
    def unread(self) -> list[str]:
        """The newest first."""
        return [id for id in self.shown if id not in self.read]


async def step(chance: random.Random, tenant: Tenant, person: Person, state: Remembered) -> None:
    """Do one thing, here and in what is remembered."""
    client = person.client
    chosen = chance.sample(state.shown, chance.randint(0, len(state.shown)))
    match chance.choice(("come", "come", "come", "door", "read", "unread", "all")):
        case "come":
            # Who is not there is not told.
            await assigned(tenant, person, 2)
            if tenant.slug in state.inside:
                new = [id for id in await ids_of(client) if id not in dict(state.entries)]
                assert len(new) == 2
                state.entries += [(id, tenant.slug) for id in reversed(new)]
        case "door" if tenant.slug in state.inside:
            await remove(tenant, person)
            state.inside.remove(tenant.slug)
        case "door":
            await enter(tenant, person)
            state.inside.add(tenant.slug)
        case "read":
            state.read |= set(chosen)
            assert (await client.done(READ, ids=chosen))["unreadCount"] == len(state.unread)
        case "unread":
            state.read -= set(chosen)
            assert (await client.done(UNREAD, ids=chosen))["unreadCount"] == len(state.unread)
        case "all":
            state.read |= set(state.shown)
            assert (await client.done(ALL_READ))["unreadCount"] == 0


@pytest.mark.parametrize("seed", range(3))
async def test_counts_equal_lists_whatever_happens(acme: Tenant, globex: Tenant, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # nothing secret
    person, state = await make_person("Walker"), Remembered()
    for tenant in (acme, globex):
        await enter(tenant, person)
        state.inside.add(tenant.slug)

    for _ in range(STEPS):
        await step(chance, chance.choice((acme, globex)), person, state)

        assert await ids_of(person.client) == state.shown
        assert await unread_ids(person.client) == state.unread
