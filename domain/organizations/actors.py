"""Who did it: rows and events keep a kind and an id, and this reads who that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.base.actor import Actor, ActorKind
from domain.base.permissions import Permission
from domain.base.reads import Columns, One, Table, for_actor, orgs_with
from domain.base.sql import Row
from domain.identity import queries as identity
from domain.identity.queries import UserRow

Ref = tuple[str, UUID | None]


class ApiKeyActorRow(Row):
    """An API key as the doer of something; a revoked one too."""

    id: UUID
    name: str


@dataclass(frozen=True)
class SystemActor:
    """The product itself."""

    name: str = "Planwire"


API_KEY_ACTORS = Table("api_key", ApiKeyActorRow)


visible_keys = for_actor("api_key.org_id = ANY({}::uuid[])", orgs_with(Permission.MEMBERS_READ))
"""The keys that are or were, where the caller reads members."""

keys_by_ids = One(API_KEY_ACTORS, visible_keys)


async def by_refs(
    actor: Actor, refs: Sequence[Ref], columns: Columns
) -> dict[Ref, UserRow | ApiKeyActorRow | SystemActor]:
    """(kind, id) -> who it is, with the columns that its table has; one whom the caller may not see is left out."""
    found: dict[Ref, UserRow | ApiKeyActorRow | SystemActor] = {}
    ids: dict[str, list[UUID]] = {}
    for kind, id in refs:
        if id is None:
            found[kind, id] = SystemActor()
        else:
            ids.setdefault(kind, []).append(id)
    if users := ids.get(ActorKind.USER):
        rows = await identity.by_ids(actor, users, identity.USERS.own(columns))
        kind = ActorKind.USER.value
        found.update({(kind, id): row for id, row in rows.items()})
    if keys := ids.get(ActorKind.API_KEY):
        named = await keys_by_ids(actor, keys, API_KEY_ACTORS.own(columns))
        kind = ActorKind.API_KEY.value
        found.update({(kind, id): row for id, row in named.items()})
    return found


async def name_of(actor: Actor, ref: Ref) -> str | None:
    """The name of who it is; None for one whom the caller may not see."""
    found = (await by_refs(actor, [ref], ("id", "name"))).get(ref)
    return None if found is None else found.name
