"""Who may ask for an archive, and who still may when it is made."""

import pytest

from domain.adapters.wiring import Adapters
from domain.base.errors import Forbidden, LimitReached, NotFound
from domain.base.permissions import Role
from domain.exports import service as exports
from domain.organizations import memberships
from domain.work.service import MOST_OPEN
from tests.exports.archives import job_of, perform
from tests.factories import Person, Tenant, make_member, rows

EXPORT = """mutation ($id: ID!) { organizationExport(organizationId: $id) {
  job { id kind status progress message resultUrl } errors { code } } }"""


@pytest.mark.parametrize("role", [Role.MEMBER, Role.BILLING_MANAGER, Role.GUEST])
async def test_only_who_may_change_the_organization_asks(acme: Tenant, role: Role) -> None:
    person = await make_member(acme.org_id, role)

    async with person.acting() as actor:
        with pytest.raises(Forbidden, match="ORG_UPDATE"):
            await exports.ask(actor, acme.org_id)

    assert await _jobs(acme) == 0


async def test_a_stranger_finds_no_organization(acme: Tenant, globex: Tenant) -> None:
    async with globex.admin.acting() as actor:
        with pytest.raises(NotFound):
            await exports.ask(actor, acme.org_id)

    assert await _jobs(acme) == 0


async def test_the_mutation_gives_the_job(acme: Tenant) -> None:
    job = (await acme.admin.client.done(EXPORT, id=acme.id))["job"]

    assert job.pop("id").startswith("job_")
    assert job == {"kind": "EXPORT", "status": "QUEUED", "progress": 0.0, "message": None, "resultUrl": None}
    (delivery,) = await rows("SELECT handler, state FROM delivery WHERE org_id = $1", acme.org_id)
    assert delivery == {"handler": "exports.make", "state": "PENDING"}


async def test_nobody_has_many_at_once(acme: Tenant) -> None:
    async with acme.admin.acting() as actor:
        for _ in range(MOST_OPEN):
            await exports.ask(actor, acme.org_id)
        with pytest.raises(LimitReached):
            await exports.ask(actor, acme.org_id)

    assert await _jobs(acme) == MOST_OPEN


@pytest.mark.parametrize(
    ("becomes", "reason"),
    [(Role.MEMBER, "This needs the permission ORG_UPDATE."), (None, "There is no such member.")],
)
async def test_who_may_no_more_gets_nothing(
    acme: Tenant, adapters: Adapters, becomes: Role | None, reason: str
) -> None:
    second = await make_member(acme.org_id, Role.ADMIN)
    async with second.acting() as actor:
        job = await exports.ask(actor, acme.org_id)
    await _change(acme, second, becomes)

    await perform(job.id, acme.org_id, adapters.storage)

    row = await job_of(job.id)
    assert (row["status"], row["message"], row["result_filename"]) == ("FAILED", reason, None)
    assert [each async for each in adapters.storage.list(f"org/{acme.org_id}/")] == []


async def _change(tenant: Tenant, person: Person, role: Role | None) -> None:
    (row,) = await rows("SELECT id FROM membership WHERE user_id = $1", person.user_id)
    async with tenant.admin.acting() as actor:
        if role is None:
            await memberships.delete(actor, row["id"])
        else:
            await memberships.update(actor, row["id"], role=role)


async def _jobs(tenant: Tenant) -> int:
    return len(await rows("SELECT FROM job WHERE org_id = $1", tenant.org_id))
