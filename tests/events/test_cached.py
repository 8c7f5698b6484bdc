"""Reads with the cache before them: what their keys stand on, and who may neither fill nor wait."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from domain.adapters.cache import Codec, Kind
from domain.adapters.wiring import Adapters
from domain.base.actor import Actor, Standing
from domain.base.database import acting_for, app_pool, fetch_value, one_connection, tx
from domain.base.permissions import Permission, Role
from domain.base.sql import sql
from domain.events import queries
from domain.events.cached import cached
from domain.projects import queries as project_queries
from domain.projects import service as projects
from tests.events.live import WITHIN_S, until
from tests.factories import Tenant, execute, make_project, rows, statements

NAMES = Kind("tests.names", Codec[list[str]](list, list), 300)


class Names:
    """The names of organizations' projects, and for which organizations they were loaded."""

    def __init__(self, adapters: Adapters) -> None:
        self.cache = adapters.cache
        self.loaded: list[list[UUID]] = []

    async def load(self, _actor: Actor, org_ids: list[UUID]) -> dict[UUID, list[str]]:
        """Organization -> names, as the tenant set lets them be seen; one without any is left out."""
        self.loaded.append(org_ids)
        found = {}
        for org_id in org_ids:
            statement = sql("SELECT array_agg(name ORDER BY name) FROM project WHERE org_id = {}", org_id)
            if (names := await fetch_value(statement)) is not None:
                found[org_id] = names
        return found

    async def of(self, actor: Actor, *org_ids: UUID, **options: Any) -> Mapping[UUID, list[str] | None]:
        """What the cache gives."""
        found, _ = await cached(self.cache, NAMES, actor, org_ids, self.load, **options)
        return found


@pytest.fixture
def names(adapters: Adapters) -> Names:
    """Nothing is loaded yet."""
    return Names(adapters)


async def test_what_was_loaded_stands_until_the_next_event(acme: Tenant, names: Names) -> None:
    await make_project(acme.member, acme, name="One")
    async with acme.member.acting() as actor:
        for _ in range(2):
            assert await names.of(actor, acme.org_id) == {acme.org_id: ["One"]}
        assert names.loaded == [[acme.org_id]]

        await projects.create(actor, acme.org_id, name="Two")

        for _ in range(2):
            assert await names.of(actor, acme.org_id) == {acme.org_id: ["One", "Two"]}
    assert names.loaded == [[acme.org_id]] * 2


async def test_what_was_loaded_before_a_change_is_not_shown_after_it(acme: Tenant, names: Names) -> None:
    await make_project(acme.member, acme, name="One")
    loading, changed = asyncio.Event(), asyncio.Event()

    async def load(actor: Actor, org_ids: list[UUID]) -> dict[UUID, list[str]]:
        found = await names.load(actor, org_ids)
        loading.set()
        await changed.wait()
        return found

    async with acme.member.acting() as actor:
        slow = asyncio.create_task(cached(names.cache, NAMES, actor, [acme.org_id], load))
        await loading.wait()
        await projects.create(actor, acme.org_id, name="Two")
        # It does not wait for the slow one, whose answer is older than its question.
        async with asyncio.timeout(WITHIN_S):
            assert await names.of(actor, acme.org_id) == {acme.org_id: ["One", "Two"]}
        changed.set()

        assert (await slow)[0] == {acme.org_id: ["One"]}
        assert await names.of(actor, acme.org_id) == {acme.org_id: ["One", "Two"]}


async def test_a_transaction_shows_its_own_changes_to_nobody_else(acme: Tenant, names: Names) -> None:
    project = await make_project(acme.member, acme, name="One")
    async with acme.member.acting() as actor:
        with suppress(ZeroDivisionError):
            async with tx():
                await projects.update(actor, project.id, name="Undone")
                assert await names.of(actor, acme.org_id) == {acme.org_id: ["Undone"]}
                raise ZeroDivisionError

        assert await names.of(actor, acme.org_id) == {acme.org_id: ["One"]}
        async with tx():
            await projects.update(actor, project.id, name="Changed")
            # What is kept was true before.
            assert await names.of(actor, acme.org_id) == {acme.org_id: ["Changed"]}
    assert len(names.loaded) == 3


async def test_what_another_may_do_is_another_key(acme: Tenant, names: Names) -> None:
    await make_project(acme.member, acme, name="One")
    async with acme.member.acting() as actor:
        assert await names.of(actor, acme.org_id) == {acme.org_id: ["One"]}
        without = actor.permissions(acme.org_id) - {Permission.PROJECT_READ}
        lesser = replace(actor, standings={acme.org_id: Standing(Role.MEMBER, without)})

        async def nothing(_actor: Actor, org_ids: list[UUID]) -> dict[UUID, list[str]]:
            return {}

        found, loaded = await cached(names.cache, NAMES, lesser, [acme.org_id], nothing)
        assert (found, loaded) == ({acme.org_id: None}, 1)
        assert await names.of(actor, acme.org_id) == {acme.org_id: ["One"]}
    assert len(names.loaded) == 1


async def test_who_is_signed_out_while_it_loads_keeps_nothing_from_the_others(acme: Tenant, names: Names) -> None:
    await make_project(acme.member, acme, name="One")
    async with acme.member.acting() as leaving, acme.member.acting() as staying:

        async def load(actor: Actor, org_ids: list[UUID]) -> dict[UUID, list[str]]:
            # As the watch over open sockets does it. The end of a session has no event of an organization.
            leaving.stand({})
            asked = project_queries.asked(first=1, after=None, include_archived=False, sorts=())
            found = await project_queries.of_organizations.totals(actor, org_ids, asked)
            return {org_id: [str(total)] for org_id, total in found.items() if total}

        with acting_for(leaving.standings):
            await cached(names.cache, NAMES, leaving, [acme.org_id], load)

        with acting_for(staying.standings):
            found, loaded = await cached(names.cache, NAMES, staying, [acme.org_id], load)
    assert (found, loaded) == ({acme.org_id: ["1"]}, 0)


async def test_other_arguments_are_another_key(acme: Tenant, names: Names) -> None:
    await make_project(acme.member, acme, name="One")
    async with acme.member.acting() as actor:
        for arguments in ("a", "b", ("a", 1), ("a", None), ("a", "None")):
            for _ in range(2):
                await names.of(actor, acme.org_id, arguments=arguments)

    assert len(names.loaded) == 5


async def test_several_organizations_are_loaded_at_once_as_far_as_they_are_missing(
    acme: Tenant, globex: Tenant, names: Names
) -> None:
    for tenant in (acme, globex):
        await make_project(tenant.member, tenant, name=tenant.slug)
    both = Actor.system(acme.org_id, globex.org_id)
    with acting_for(both.standings):
        expected = {acme.org_id: [acme.slug], globex.org_id: [globex.slug]}
        await names.of(both, acme.org_id)
        with statements() as sent:
            assert await names.of(both, globex.org_id, acme.org_id, globex.org_id) == expected
        assert await names.of(both, acme.org_id, globex.org_id) == expected

    assert names.loaded == [[acme.org_id], [globex.org_id]]
    assert sum("event_counter" in text for text in sent) == 1


async def test_where_nothing_has_happened_yet_nothing_is_kept(acme: Tenant, names: Names) -> None:
    async with acme.member.acting() as actor:
        for _ in range(2):
            assert await names.of(actor, acme.org_id) == {acme.org_id: None}

    assert names.loaded == [[acme.org_id]] * 2


async def test_a_stranger_learns_nothing_of_a_log_and_of_what_is_kept(
    acme: Tenant, globex: Tenant, names: Names
) -> None:
    await make_project(acme.member, acme, name="One")
    async with acme.member.acting() as actor:
        await names.of(actor, acme.org_id)
        assert list(await queries.marks(actor, [acme.org_id, globex.org_id])) == [acme.org_id]

    async with globex.admin.acting() as stranger:
        assert await queries.marks(stranger, [acme.org_id]) == {}
        assert await names.of(stranger, acme.org_id) == {acme.org_id: None}
    # Row-level security alone, if code asked for what it may not.
    with acting_for([globex.org_id]):
        assert await queries.marks(actor, [acme.org_id]) == {}


async def test_a_log_that_was_set_back_has_other_marks_at_the_same_numbers(acme: Tenant) -> None:
    await make_project(acme.member, acme, name="One")
    async with acme.member.acting() as actor:
        (before,) = await rows("SELECT seq, digest FROM event_counter WHERE org_id = $1", acme.org_id)
        await projects.create(actor, acme.org_id, name="Two")
        mark = await queries.marks(actor, [acme.org_id])
        # As a backup would bring it back.
        await execute("DELETE FROM event WHERE org_id = $1 AND seq > $2", acme.org_id, before["seq"])
        await execute("UPDATE event_counter SET seq = $2, digest = $3 WHERE org_id = $1", acme.org_id, *before.values())

        await projects.create(actor, acme.org_id, name="Three")

        again = await queries.marks(actor, [acme.org_id])
    numbers = [each[acme.org_id].split(".")[0] for each in (mark, again)]
    assert numbers[0] == numbers[1]
    assert mark != again


async def test_who_waits_for_a_load_holds_no_connection(acme: Tenant, names: Names) -> None:
    await make_project(acme.member, acme, name="One")
    waiting_for, gate = app_pool().max_size + 5, asyncio.Event()

    async def load(actor: Actor, org_ids: list[UUID]) -> dict[UUID, list[str]]:
        await gate.wait()
        return await names.load(actor, org_ids)

    async def ask(actor: Actor) -> Mapping[UUID, list[str] | None]:
        with one_connection():
            return (await cached(names.cache, NAMES, actor, [acme.org_id], load))[0]

    async with acme.member.acting() as actor:
        asking = [asyncio.create_task(ask(actor)) for _ in range(waiting_for)]
        await until(lambda: app_pool().size == app_pool().idle_size and names.cache._led)
        gate.set()

        assert await asyncio.gather(*asking) == [{acme.org_id: ["One"]}] * waiting_for
    assert names.loaded == [[acme.org_id]]
