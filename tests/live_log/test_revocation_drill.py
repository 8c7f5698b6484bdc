"""Whoever loses a membership, a session or a role while a hundred events a second flow sees nothing that came after."""

import asyncio
import contextlib
import random
import sys
import time
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from domain.base.permissions import Permission, Role
from domain.base.settings import Settings
from domain.events.types import types_seen_with
from domain.organizations import api_keys
from graph.base.ids import global_id
from graph.socket import FORBIDDEN
from tests.factories import Person, Tenant, make_member, rows
from tests.live_log.fleet import Fleet
from tests.live_log.sizes import Size
from tests.live_log.subscribers import log_of
from tests.live_log.witnesses import Flow, Witness, flowing, watching

DEADLINE_S = 2.0
MOST_FRAMES_BEFORE = 60
FRAMES_AFTER = 20
KEY_EVERY_S = 0.2
REMOVE = "mutation ($id: ID!) { membershipDelete(id: $id) { errors { code } } }"
LOWER = "mutation ($id: ID!) { membershipUpdate(id: $id, role: GUEST) { errors { code } } }"
REVOKE = "mutation ($id: ID!) { sessionRevoke(id: $id) { errors { code } } }"


@pytest.fixture
async def flow(fleet: Fleet, acme: Tenant) -> AsyncIterator[Flow]:
    """A hundred events a second in acme."""
    async with flowing(acme) as running:
        yield running


@contextlib.asynccontextmanager
async def keys_come_and_go(tenant: Tenant) -> AsyncIterator[None]:
    """Events inside the block that only an admin may see."""

    ending = asyncio.Event()

    async def write() -> None:
        async with tenant.admin.acting() as actor:
            # To the end of a round: a key that nobody revokes would be one of the few that the plan allows.
            while not ending.is_set():
                made = await api_keys.create(actor, tenant.org_id, name="key", permissions=[Permission.ORG_READ])
                await api_keys.revoke(actor, made.key.id)
                await asyncio.sleep(KEY_EVERY_S)

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        try:
            yield
        finally:
            ending.set()


@contextlib.asynccontextmanager
async def witnesses_of(
    person: Person, flow: Flow, fleet: Fleet, settings: Settings, size: Size, chance: random.Random
) -> AsyncIterator[list[Witness]]:
    """Witnesses that have all seen something."""
    async with asyncio.timeout(size.deadline_s), watching(person, flow, fleet, settings) as witnesses:
        for witness in witnesses:
            await witness.has_seen(chance.randint(1, MOST_FRAMES_BEFORE))
        yield witnesses


async def membership_of(person: Person) -> UUID:
    """The id of the person's only membership."""
    (row,) = await rows("SELECT id FROM membership WHERE user_id = $1", person.user_id)
    found: UUID = row["id"]
    return found


async def number_of(type: str, org_id: UUID, subject_id: UUID) -> int:
    """The number of the only event of this type about the subject."""
    (seq,) = [event.seq for event in await log_of(org_id) if (event.type, event.subject_id) == (type, subject_id)]
    return seq


async def test_a_removed_member_is_told_nothing_that_came_after(
    settings: Settings, fleet: Fleet, size: Size, chance: random.Random, acme: Tenant, flow: Flow
) -> None:
    frames, longest_s = 0, 0.0
    for _ in range(size.revocations):
        member = await make_member(acme.org_id, Role.MEMBER)
        membership_id = await membership_of(member)
        async with witnesses_of(member, flow, fleet, settings, size, chance) as witnesses:
            asked_at = time.monotonic()
            await fleet.change(REMOVE, acme.admin.token, id=global_id("membership", membership_id))
            await asyncio.gather(*(witness.ended.wait() for witness in witnesses))

        gone = await number_of("MEMBERSHIP_DELETED", acme.org_id, membership_id)
        written = await flow.titles()
        for witness in witnesses:
            assert witness.codes == ["NOT_FOUND"]
            assert witness.ended_at - asked_at < DEADLINE_S
            # What a frame shows of a row is as old as the membership too, not only the event that it tells of.
            seen = [max(frame.seq, written.get(frame.title or "", 0)) for frame in witness.frames]
            assert [seq for seq in seen if seq >= gone] == []
            frames += len(seen)
            longest_s = max(longest_s, witness.ended_at - asked_at)
    sys.stdout.write(f"{await flow.rate():.0f} events a second, {frames} frames, ended within {longest_s:.3f} s\n")


async def test_the_sockets_of_a_revoked_session_are_closed(
    settings: Settings, fleet: Fleet, size: Size, chance: random.Random, acme: Tenant, flow: Flow
) -> None:
    longest_s = 0.0
    for _ in range(size.revocations):
        member = await make_member(acme.org_id, Role.MEMBER)
        async with witnesses_of(member, flow, fleet, settings, size, chance) as witnesses:
            asked_at = time.monotonic()
            await fleet.change(REVOKE, member.token, id=global_id("session", member.session_id))
            closed = await asyncio.gather(*(witness.client.close_code() for witness in witnesses))
            longest_s = max(longest_s, time.monotonic() - asked_at)

        assert closed == [FORBIDDEN] * len(witnesses)
        assert longest_s < DEADLINE_S
        for witness in witnesses:
            assert witness.codes in ([], ["UNAUTHENTICATED"])
    sys.stdout.write(f"{await flow.rate():.0f} events a second, closed within {longest_s:.3f} s\n")


async def test_whoever_is_an_admin_no_more_misses_just_what_admins_see(
    settings: Settings, fleet: Fleet, size: Size, chance: random.Random, acme: Tenant, flow: Flow
) -> None:
    secret = types_seen_with(Permission.API_KEYS_MANAGE)
    shown = 0
    for _ in range(size.revocations // 2):
        person = await make_member(acme.org_id, Role.ADMIN)
        membership_id = await membership_of(person)
        async with keys_come_and_go(acme), witnesses_of(person, flow, fleet, settings, size, chance) as witnesses:
            await fleet.change(LOWER, acme.admin.token, id=global_id("membership", membership_id))
            lowered = await number_of("MEMBERSHIP_UPDATED", acme.org_id, membership_id)
            for witness in witnesses:
                await witness.has_passed(lowered + FRAMES_AFTER)

        log = await log_of(acme.org_id)
        for witness in witnesses:
            assert witness.codes == []
            assert [frame.seq for frame in witness.frames if frame.type in secret and frame.seq > lowered] == []
            shown += sum(frame.type in secret for frame in witness.frames)
            first, last = witness.frames[0].seq, witness.frames[-1].seq
            public = [event for event in log if first <= event.seq <= last and event.type not in secret]
            expected = [event.seq for event in public if witness.tells_all or event.subject_kind == "task"]
            assert [frame.seq for frame in witness.frames if frame.type not in secret] == expected
    assert shown > 0
