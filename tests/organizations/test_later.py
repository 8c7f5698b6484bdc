"""Who has asked for something, as they stand when it is done."""

import pytest

from domain.base.actor import Actor, ActorKind, ActorRef
from domain.base.database import acting_for
from domain.base.errors import NotFound, Unauthenticated
from domain.base.permissions import GRANTS, Permission, Role
from domain.organizations import api_keys, callers, memberships
from tests.factories import Tenant, execute


async def later(tenant: Tenant, ref: ActorRef) -> Actor:
    """The caller, as a job of the organization finds them."""
    with acting_for([tenant.org_id]):
        return await callers.of_ref(ref, tenant.org_id)


async def test_a_person_stands_as_they_do_now_and_in_that_organization_alone(acme: Tenant, globex: Tenant) -> None:
    async with globex.admin.acting() as actor:
        await memberships.join(actor, globex.org_id, acme.member.user_id, role=Role.ADMIN)
    ref = ActorRef(ActorKind.USER, acme.member.user_id)

    before = await later(acme, ref)
    await execute("UPDATE membership SET role = 'GUEST' WHERE org_id = $1 AND user_id = $2", acme.org_id, ref.id)
    after = await later(acme, ref)

    assert (before.ref, before.user_id) == (ref, acme.member.user_id)
    assert before.permissions(acme.org_id) == GRANTS[Role.MEMBER]
    assert after.permissions(acme.org_id) == GRANTS[Role.GUEST]
    assert list(after.standings) == [acme.org_id]
    with pytest.raises(Unauthenticated):
        after.require_person()


async def test_who_has_left_and_strangers_stand_nowhere(acme: Tenant, globex: Tenant) -> None:
    await execute("UPDATE membership SET ended_at = now() WHERE user_id = $1", acme.member.user_id)

    for person in (acme.member, globex.admin):
        with pytest.raises(NotFound, match="member"):
            await later(acme, ActorRef(ActorKind.USER, person.user_id))
    with pytest.raises(ValueError, match="system"):
        await later(acme, ActorRef(ActorKind.SYSTEM, None))


async def test_a_key_stands_while_it_lasts_with_what_its_maker_still_may(acme: Tenant) -> None:
    async with acme.admin.acting() as actor:
        made = await api_keys.create(
            actor, acme.org_id, name="key", permissions=[Permission.TASK_READ, Permission.ORG_UPDATE]
        )
    ref = ActorRef(ActorKind.API_KEY, made.key.id)

    whole = await later(acme, ref)
    await execute("UPDATE membership SET role = 'MEMBER' WHERE user_id = $1", acme.admin.user_id)
    less = await later(acme, ref)

    assert (whole.ref, whole.api_key_id, whole.user_id) == (ref, made.key.id, acme.admin.user_id)
    assert whole.permissions(acme.org_id) == api_keys.STRUCTURE | {Permission.TASK_READ, Permission.ORG_UPDATE}
    assert less.permissions(acme.org_id) == api_keys.STRUCTURE | {Permission.TASK_READ}
    for end in (
        "UPDATE api_key SET expires_at = now() WHERE id = $1",
        "UPDATE api_key SET expires_at = NULL, revoked_at = now() WHERE id = $1",
        "UPDATE membership SET ended_at = now() WHERE user_id = (SELECT user_id FROM api_key WHERE id = $1)",
    ):
        await execute(end, made.key.id)
        with pytest.raises(NotFound, match="API key"):
            await later(acme, ref)
        await execute("UPDATE api_key SET revoked_at = NULL, expires_at = NULL WHERE id = $1", made.key.id)
