"""What a subscription shows follows what its reader may see at that moment, from the first event to the last."""

import time
from typing import Any
from uuid import UUID

import pytest

from domain.base.clock import new_id
from domain.base.database import tx
from domain.base.permissions import Permission, Role
from domain.events import follow, log
from domain.events.follow import TAIL_EVENTS
from domain.organizations import api_keys, memberships
from domain.organizations.events import ApiKeyCreated
from tests.events.live import EVENTS, begun, leaving_nothing, next_is_told, taken, tell, until
from tests.events.log import cursor
from tests.factories import Person, Tenant, execute, make_member, make_person, rows
from tests.sockets import Ended, Stream, opened

KEYS = """
subscription ($id: ID!) { events(organizationId: $id) { type organization { name apiKeys { name } } } }
"""
MEMBERSHIPS = "subscription ($id: ID!) { membershipChanged(organizationId: $id) { event { type } } }"
FOUND = """
mutation ($slug: String!) {
  organizationCreate(input: {name: "New", slug: $slug}) { organization { id eventCursor } errors { code } }
}
"""
# The bound that the product gives for a change that no event tells.
TAKES_EFFECT_WITHIN_S = 2.0

pytestmark = pytest.mark.usefixtures("adapters")


@pytest.fixture(params=["live", "behind"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every law holds for who keeps up, and for who reads the log page by page."""
    monkeypatch.setattr(follow, "TAIL_EVENTS", TAIL_EVENTS if request.param == "live" else 0)


async def membership_of(tenant: Tenant, person: Person) -> UUID:
    (row,) = await rows(
        "SELECT id FROM membership WHERE org_id = $1 AND user_id = $2 AND ended_at IS NULL",
        tenant.org_id,
        person.user_id,
    )
    return UUID(str(row["id"]))


async def tell_of_key(tenant: Tenant) -> None:
    """Write an event that admins alone may see."""
    async with tenant.admin.acting() as actor, tx():
        log.emit(actor, tenant.org_id, ApiKeyCreated(subject_id=new_id(), name="CI", permissions=()))


async def set_role(tenant: Tenant, person: Person, role: Role) -> None:
    async with tenant.admin.acting() as actor:
        await memberships.update(actor, await membership_of(tenant, person), role=role)


async def types(stream: Stream, count: int) -> list[str]:
    return [event["type"] for event in await taken(stream, count)]


async def rest_of(stream: Stream) -> tuple[list[str], list[str]]:
    """The types of the events that still come, and the codes that it ends with."""
    found: list[str] = []
    while True:
        payload = await stream.next()
        if payload["data"] is None:
            with pytest.raises(Ended):
                await stream.next()
            return found, [error["extensions"]["code"] for error in payload["errors"]]
        found.append(payload["data"]["events"]["type"])


async def test_a_guest_sees_nothing_of_keys(address: str, acme: Tenant) -> None:
    start = await cursor(acme.guest.client, acme)
    await tell_of_key(acme)

    async with opened(address, acme.guest.token) as socket:
        stream = await begun(socket, EVENTS, id=acme.id, after=start)
        await tell_of_key(acme)
        await next_is_told(acme, stream)


async def test_an_api_key_sees_the_types_that_its_permissions_show(address: str, acme: Tenant) -> None:
    async with acme.admin.acting() as actor:
        reader = await api_keys.create(actor, acme.org_id, name="R", permissions=[Permission.MEMBERS_READ])
    other = await make_member(acme.org_id, Role.GUEST)

    async with opened(address, reader.secret) as socket:
        stream = await begun(socket, EVENTS, id=acme.id)
        await tell_of_key(acme)
        await set_role(acme, other, Role.MEMBER)
        assert await types(stream, 1) == ["MEMBERSHIP_UPDATED"]
        await next_is_told(acme, stream)


async def test_who_is_lowered_sees_no_later_event_of_keys_and_goes_on_seeing_the_rest(
    address: str, acme: Tenant
) -> None:
    second = await make_member(acme.org_id, Role.ADMIN)

    async with opened(address, second.token) as socket:
        streams = [await begun(socket, EVENTS, id=acme.id) for _ in range(3)]
        await tell_of_key(acme)
        for stream in streams:
            assert await types(stream, 1) == ["API_KEY_CREATED"]
        await set_role(acme, second, Role.MEMBER)
        for _ in range(5):
            await tell_of_key(acme)
        for stream in streams:
            assert await types(stream, 1) == ["MEMBERSHIP_UPDATED"]
        await next_is_told(acme, streams[0])


async def test_who_is_raised_sees_more_without_following_anew(address: str, acme: Tenant) -> None:
    person = await make_member(acme.org_id, Role.GUEST)

    async with opened(address, person.token) as socket:
        stream = await begun(socket, EVENTS, id=acme.id)
        await tell_of_key(acme)
        await next_is_told(acme, stream)
        await set_role(acme, person, Role.ADMIN)
        await tell_of_key(acme)
        assert await types(stream, 2) == ["MEMBERSHIP_UPDATED", "API_KEY_CREATED"]
        await next_is_told(acme, stream)


@pytest.mark.parametrize("leaves", [True, False])
async def test_nothing_that_was_committed_after_the_end_of_a_membership_comes(
    address: str, acme: Tenant, globex: Tenant, leaves: bool
) -> None:
    person = await make_member(acme.org_id, Role.MEMBER)
    await execute(
        "INSERT INTO membership (id, org_id, user_id, role, created_at, updated_at) "
        "VALUES ($1, $2, $3, 'GUEST', now(), now())",
        new_id(), globex.org_id, person.user_id,
    )  # fmt: skip

    async with leaving_nothing(), opened(address, person.token) as socket:
        stream, filtered = await begun(socket, EVENTS, id=acme.id), await begun(socket, MEMBERSHIPS, id=acme.id)
        elsewhere = await begun(socket, EVENTS, id=globex.id)
        await tell(acme, 3)
        if leaves:
            async with person.acting() as actor:
                await memberships.leave(actor, acme.org_id)
        else:
            async with acme.admin.acting() as actor:
                await memberships.delete(actor, await membership_of(acme, person))
        await tell(acme, 3)

        seen, codes = await rest_of(stream)
        # It may have ended before what had been committed before the end came to it.
        assert seen == ["LABEL_UPDATED"] * len(seen)
        assert len(seen) <= 3
        assert codes == ["NOT_FOUND"]
        assert await filtered.codes() == ["NOT_FOUND"]
        await next_is_told(globex, elsewhere)


async def test_a_lower_role_that_no_event_tells_takes_effect_within_two_seconds(address: str, acme: Tenant) -> None:
    second = await make_member(acme.org_id, Role.ADMIN)

    async with opened(address, second.token) as socket:
        stream = await begun(socket, EVENTS, id=acme.id)
        await tell_of_key(acme)
        assert await types(stream, 1) == ["API_KEY_CREATED"]
        await execute("UPDATE membership SET role = 'GUEST' WHERE user_id = $1", second.user_id)
        since = time.monotonic()
        while time.monotonic() - since < TAKES_EFFECT_WITHIN_S:
            await tell(acme)
            await types(stream, 1)
        await tell_of_key(acme)
        await next_is_told(acme, stream)


async def test_an_end_that_no_event_tells_takes_effect_within_two_seconds(address: str, acme: Tenant) -> None:
    person = await make_member(acme.org_id, Role.MEMBER)

    async with leaving_nothing(), opened(address, person.token) as socket:
        stream = await begun(socket, EVENTS, id=acme.id)
        await execute("UPDATE membership SET ended_at = now() WHERE user_id = $1", person.user_id)
        since = time.monotonic()

        async def has_ended() -> bool:
            await tell(acme)
            return stream.received.qsize() > 0 and any(not each["payload"].get("data") for each in received())

        def received() -> list[Any]:
            return [each for each in stream.received._queue if each and each["type"] == "next"]  # type: ignore[attr-defined]

        await until(has_ended)
        assert time.monotonic() - since < TAKES_EFFECT_WITHIN_S
        _, codes = await rest_of(stream)
        assert codes == ["NOT_FOUND"]


async def test_an_organization_founded_over_the_socket_is_live_on_it(address: str) -> None:
    person = await make_person("Fiona Founder")

    async with opened(address, person.token) as socket:
        made = await (await socket.run(FOUND, slug=f"new-{person.user_id.hex[-12:]}")).data()
        assert made["errors"] == []
        organization = made["organization"]
        stream = await socket.run(EVENTS, id=organization["id"], after=organization["eventCursor"])
        assert await types(stream, 2) == ["ORGANIZATION_CREATED", "MEMBERSHIP_CREATED"]
        assert stream.received.empty()


async def test_who_is_let_in_by_somebody_else_follows_on_the_open_socket(address: str, acme: Tenant) -> None:
    person = await make_person("Nina New")

    async with opened(address, person.token) as socket:
        before = await socket.run(EVENTS, id=acme.id)
        assert await before.codes() == ["NOT_FOUND"]
        async with acme.admin.acting() as actor:
            await memberships.join(actor, acme.org_id, person.user_id, role=Role.GUEST)
        stream = await begun(socket, EVENTS, id=acme.id)
        await tell_of_key(acme)
        await next_is_told(acme, stream)


async def test_what_lies_below_an_event_follows_the_standing_of_that_moment(address: str, acme: Tenant) -> None:
    second = await make_member(acme.org_id, Role.ADMIN)
    shown: list[Any] = []

    async with opened(address, second.token) as socket:
        stream = await begun(socket, KEYS, id=acme.id)
        for role in (Role.ADMIN, Role.MEMBER, Role.GUEST, Role.ADMIN):
            if role is not Role.ADMIN or shown:
                await set_role(acme, second, role)
                await stream.next()
            await tell(acme)
            payload = await stream.next()
            keys = payload["data"]["events"]["organization"]["apiKeys"]
            shown.append((keys, [error["extensions"]["code"] for error in payload.get("errors", ())]))

    assert shown == [([], []), (None, ["FORBIDDEN"]), (None, ["FORBIDDEN"]), ([], [])]


async def test_what_a_stream_denies_is_noted_once_and_not_for_each_event(address: str, acme: Tenant) -> None:
    denied = "SELECT detail FROM security_entry WHERE user_id = $1 AND action = 'DENIED'"

    async with leaving_nothing(), opened(address, acme.member.token) as socket:
        stream = await begun(socket, KEYS, id=acme.id)
        await tell(acme, 5)
        for _ in range(5):
            payload = await stream.next()
            assert [error["extensions"]["code"] for error in payload["errors"]] == ["FORBIDDEN"]
        await until(lambda: rows(denied, acme.member.user_id))
    found = await rows(denied, acme.member.user_id)

    assert found == [{"detail": "API_KEYS_MANAGE"}]
