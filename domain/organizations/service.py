"""Organizations: founded by a person, changed by who has ORG_UPDATE."""

import re
from typing import Any
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import new_id
from domain.base.database import tx
from domain.base.database_faults import unique
from domain.base.errors import Faults, Taken
from domain.base.models import check_version, save
from domain.base.permissions import Permission, Role
from domain.billing import subscriptions
from domain.events.log import changes, emit
from domain.organizations import memberships, queries
from domain.organizations.events import OrganizationCreated, OrganizationUpdated
from domain.organizations.models import Organization
from domain.organizations.queries import OrganizationRow

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def _taken() -> Any:
    return unique("organization_slug", Taken("Another organization has this slug.", "slug"))


def _check(values: dict[str, Any]) -> None:
    faults = Faults()
    faults.required(values, "name", "slug")
    faults.text(values.get("name"), "name", least=1, most=100)
    if (slug := values.get("slug")) is not None:
        faults.text(slug, "slug", least=3, most=40)
        if not _SLUG.fullmatch(slug):
            faults.add("Must be words of a-z and 0-9 with single hyphens between them.", "slug")
    faults.check()


async def create(actor: Actor, *, name: str, slug: str) -> OrganizationRow:
    """Found an organization on the FREE plan with the caller as its admin; the row.

    Raises Unauthenticated for an API key; UserErrors; Taken (slug).
    """
    user_id = actor.require_person()
    _check({"name": name, "slug": slug})
    org_id = new_id()
    async with memberships.entering(actor, org_id, Role.ADMIN):
        with _taken():
            await Organization.create(id=org_id, name=name, slug=slug)
        emit(actor, org_id, OrganizationCreated(subject_id=org_id, name=name, slug=slug))
        await memberships.join(actor, org_id, user_id, role=Role.ADMIN)
        await subscriptions.start_free(org_id)
    return await queries.by_ids.get(actor, org_id)


async def update(actor: Actor, org_id: UUID, *, if_version: int | None = None, **values: Any) -> OrganizationRow:
    """Change name or slug; the row.

    Raises NotFound; Forbidden (ORG_UPDATE); UserErrors; StaleVersion; Taken (slug).
    """
    async with tx():
        organization = await queries.lock(actor, org_id, Permission.ORG_UPDATE)
        _check(values)
        check_version(organization, if_version)
        if differing := changes(organization, values):
            with _taken():
                await save(Organization, organization, **{name: change.now for name, change in differing.items()})
            emit(actor, org_id, OrganizationUpdated(subject_id=org_id, **differing))
    return await queries.by_ids.get(actor, org_id)
