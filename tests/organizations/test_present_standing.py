"""Whoever is removed or demoted while an operation of theirs runs changes nothing of the organization any more."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from domain.base.actor import Actor
from domain.base.database import acting_for, tx
from domain.base.errors import Forbidden, NotFound
from domain.base.permissions import Permission, Role
from domain.organizations import api_keys, memberships, queries
from domain.organizations import service as organizations
from tests.factories import Person, Tenant, events, execute, make_member, make_person, rows
from tests.tasks.races import uncommitted, waiting

pytestmark = pytest.mark.usefixtures("adapters")


@dataclass(frozen=True)
class Place:
    """An organization with two admins; the second is the one who acts."""

    tenant: Tenant
    second: Person
    guest_membership_id: UUID
    own_key: api_keys.Made
    foreign_key: api_keys.Made

    @property
    def org_id(self) -> UUID:
        return self.tenant.org_id

    async def state(self) -> list[Any]:
        """All that the acts could change."""
        tables = [
            await rows(f"SELECT {table}::text AS row FROM {table} WHERE {key} = $1 ORDER BY id", self.org_id)
            for table, key in (("organization", "id"), ("membership", "org_id"), ("api_key", "org_id"))
        ]
        return [*tables, await events(self.org_id)]


@pytest.fixture
async def place(acme: Tenant) -> Place:
    """A place with a key of each admin."""
    second = await make_member(acme.org_id, Role.ADMIN, "Second Admin")
    made = []
    for person in (second, acme.admin):
        async with person.acting() as actor:
            made.append(await api_keys.create(actor, acme.org_id, name="CI", permissions=list(Permission)))
    (guest,) = await rows("SELECT id FROM membership WHERE user_id = $1", acme.guest.user_id)
    return Place(acme, second, guest["id"], *made)


async def rename(actor: Actor, place: Place) -> None:
    await organizations.update(actor, place.org_id, name="Mine")


async def promote(actor: Actor, place: Place) -> None:
    await memberships.update(actor, place.guest_membership_id, role=Role.ADMIN)


async def remove(actor: Actor, place: Place) -> None:
    await memberships.delete(actor, place.guest_membership_id)


async def make_key(actor: Actor, place: Place) -> None:
    await api_keys.create(actor, place.org_id, name="More", permissions=[Permission.TASK_READ])


async def revoke_foreign(actor: Actor, place: Place) -> None:
    await api_keys.revoke(actor, place.foreign_key.key.id)


async def revoke_own(actor: Actor, place: Place) -> None:
    await api_keys.revoke(actor, place.own_key.key.id)


async def leave(actor: Actor, place: Place) -> None:
    await memberships.leave(actor, place.org_id)


Act = Callable[[Actor, Place], Awaitable[None]]
NEEDED: dict[Act, Permission] = {
    rename: Permission.ORG_UPDATE,
    promote: Permission.MEMBERS_MANAGE,
    remove: Permission.MEMBERS_MANAGE,
    make_key: Permission.API_KEYS_MANAGE,
    revoke_foreign: Permission.API_KEYS_MANAGE,
}
OF_A_KEY: list[Act] = [rename, promote, remove]


async def is_refused(
    act: Act, actor: Actor, place: Place, *, change: str, refusal: type[Exception], match: str
) -> None:
    """The act, by an actor from before the change of the second admin's membership, does nothing."""
    await execute(f"UPDATE membership SET {change} WHERE user_id = $1", place.second.user_id)
    before = await place.state()

    with acting_for(actor.standings), pytest.raises(refusal, match=match):
        await act(actor, place)

    assert await place.state() == before


@pytest.mark.parametrize("act", [*NEEDED, revoke_own, leave])
async def test_who_was_removed_changes_nothing(act: Act, place: Place) -> None:
    actor = await place.second.actor()

    await is_refused(
        act, actor, place, change="ended_at = now()", refusal=NotFound, match="There is no such organization"
    )


@pytest.mark.parametrize("act", NEEDED)
async def test_who_was_demoted_changes_nothing(act: Act, place: Place) -> None:
    actor = await place.second.actor()

    await is_refused(act, actor, place, change="role = 'MEMBER'", refusal=Forbidden, match=NEEDED[act])


@pytest.mark.parametrize("act", OF_A_KEY)
async def test_a_key_whose_maker_was_removed_changes_nothing(act: Act, place: Place) -> None:
    actor = await api_keys.authenticate(place.own_key.secret)
    assert actor is not None

    await is_refused(
        act, actor, place, change="ended_at = now()", refusal=NotFound, match="There is no such organization"
    )


@pytest.mark.parametrize("act", OF_A_KEY)
async def test_a_key_whose_maker_was_demoted_changes_nothing(act: Act, place: Place) -> None:
    actor = await api_keys.authenticate(place.own_key.secret)
    assert actor is not None

    await is_refused(act, actor, place, change="role = 'GUEST'", refusal=Forbidden, match=NEEDED[act])


@pytest.mark.parametrize("act", [revoke_own, leave])
async def test_who_was_demoted_still_ends_what_is_their_own(act: Act, place: Place) -> None:
    actor = await place.second.actor()
    await execute("UPDATE membership SET role = 'GUEST' WHERE user_id = $1", place.second.user_id)

    with acting_for(actor.standings):
        await act(actor, place)

    assert await api_keys.authenticate(place.own_key.secret) is None


async def test_who_is_removed_while_waiting_for_the_lock_is_refused(place: Place) -> None:
    second = await place.second.actor()
    (own,) = await rows("SELECT id FROM membership WHERE user_id = $1", place.second.user_id)

    with acting_for(second.standings):
        async with uncommitted(place.tenant.admin, lambda admin: memberships.delete(admin, own["id"])):
            renaming = await waiting(rename(second, place))
    with pytest.raises(NotFound, match="There is no such organization"):
        await renaming

    assert await rows("SELECT name FROM organization WHERE id = $1", place.org_id) == [{"name": "Acme"}]


async def test_leaving_where_one_never_was_and_where_one_is_no_more_look_the_same(acme: Tenant) -> None:
    stranger, gone = await make_person(), acme.guest
    document = "mutation ($id: ID!) { organizationLeave(id: $id) { deletedId errors { code } } }"
    await gone.client.done(document, id=acme.id)

    answers = [await person.client.run(document, id=acme.id) for person in (stranger, gone)]

    assert answers[0].codes == ["NOT_FOUND"]
    assert (answers[0].data, answers[0].errors) == (answers[1].data, answers[1].errors)


async def test_the_system_needs_no_membership(acme: Tenant) -> None:
    actor = Actor.system(acme.org_id)

    with acting_for(actor.standings):
        async with tx():
            locked = await queries.lock(actor, acme.org_id, Permission.ORG_UPDATE)

    assert locked.id == acme.org_id
