"""Reads of organizations' things with the cache in front of them.

What is kept has in its key the organization, what the caller may do there, and how far the organization's log had come
when the caller asked. Every change of what may be kept here writes an event in its own transaction. So a key that was
made from a mark read now holds nothing that is older than this moment: a change makes another mark, and what was loaded
under the one before is never asked for again.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from domain.adapters.cache import Cache, Kind
from domain.base.actor import Actor
from domain.base.database import acting_for, spare_connection, transaction
from domain.events import queries

T = TypeVar("T")


async def cached(
    cache: Cache,
    kind: Kind[T],
    actor: Actor,
    org_ids: Sequence[UUID],
    load: Callable[[Actor, list[UUID]], Awaitable[Mapping[UUID, T]]],
    *,
    arguments: Any = (),
    marks: Mapping[UUID, str | None] | None = None,
) -> tuple[dict[UUID, T | None], int]:
    """Organization -> what `load` gives for it, None where it leaves it out; and for how many it had to load.

    What is loaded may depend on nothing but the organization, the actor's permissions there, and `arguments`, whose
    `repr` says all of them; and it may change with nothing but an event of the organization. `marks` are those that
    `queries.marks` gave within this operation; without them they are read. `load` gets an actor who stands where the
    caller stood when the keys were made. Raises what it raises.
    """
    if transaction() is not None:
        # It sees what is not committed and has no event yet. Nobody else may.
        return _filled(org_ids, await load(actor, list(org_ids))), len(set(org_ids))
    if marks is None:
        marks = await queries.marks(actor, org_ids)
    # The end of a session takes the caller's standings away at any moment, and has no event: read without them, nothing
    # would be kept for all who still stand there.
    actor = replace(actor, standings=dict(actor.standings))
    keys = {_key(actor, org_id, mark, arguments): org_id for org_id in org_ids if (mark := marks.get(org_id))}
    # An empty log has no mark that a later state could not have had as well.
    plain = [org_id for org_id in dict.fromkeys(org_ids) if not marks.get(org_id)]
    found = _filled(plain, await load(actor, plain)) if plain else {}

    async def load_keys(missing: list[str]) -> dict[str, T]:
        with acting_for(actor.standings):
            loaded = await load(actor, [keys[key] for key in missing])
        return {key: value for key in missing if (value := loaded.get(keys[key])) is not None}

    # Whoever loads needs a connection, which those who wait for it must not hold.
    spare_connection()
    values, loaded = await cache.get(kind, list(keys), load_keys)
    found.update((keys[key], value) for key, value in values.items())
    return found, len(plain) + len(loaded)


def _filled(org_ids: Sequence[UUID], found: Mapping[UUID, T]) -> dict[UUID, T | None]:
    return {org_id: found.get(org_id) for org_id in org_ids}


def _key(actor: Actor, org_id: UUID, mark: str, arguments: Any) -> str:
    seen = ",".join(sorted(actor.permissions(org_id)))
    return f"{org_id.hex}:{mark}:{hashlib.sha256(f'{seen}|{arguments!r}'.encode()).hexdigest()[:32]}"
