"""Repeats at the same moment: one effect and one answer, whoever comes first, and whoever goes away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from domain.base import database
from domain.base.actor import Actor
from domain.base.clock import new_id
from domain.base.database import acting_for, app_pool, pool_sizes, tx
from domain.base.settings import Settings
from domain.idempotency import service
from domain.idempotency.service import Attempt
from domain.labels import service as labels_service
from tests.client import Answer
from tests.events.chain import first_fault
from tests.factories import Tenant, events, execute, rows
from tests.idempotency.keyed import CREATE_LABEL, kept, labels, new_key
from tests.tasks.races import PATIENCE_S, uncommitted

AT_ONCE = 50
DEFAULT_POOL = 10


async def create(tenant: Tenant, key: str, name: str = "bug") -> Answer:
    """The answer to the tenant's admin, who asks for a label under the key."""
    return await tenant.admin.client.run(CREATE_LABEL, org=tenant.id, name=name, key=key)


@pytest.fixture
async def small_pools(settings: Settings) -> AsyncIterator[None]:
    """Pools of the size that a process has when nobody says another."""
    await database.disconnect()
    await database.connect(replace(settings, database_pool_size=DEFAULT_POOL))
    assert app_pool().max_size == pool_sizes(replace(settings, database_pool_size=DEFAULT_POOL))[0]
    yield
    await database.disconnect()
    await database.connect(settings)


async def prove_one_effect(tenant: Tenant, key: str, answers: list[Answer]) -> None:
    """All got the same answer, and it was done once."""
    assert [answer.errors for answer in answers if answer.errors] == []
    assert [answer.data for answer in answers] == [answers[0].data] * len(answers)
    assert answers[0].data is not None
    assert answers[0].data["labelCreate"]["label"]["name"] == "bug"
    assert (await labels(tenant.org_id), await events(tenant.org_id)) == (["bug"], ["LABEL_CREATED"])
    assert len(await kept(key)) == 1
    assert await first_fault(tenant.org_id) is None


async def test_repeats_at_once_have_one_effect_and_one_answer(acme: Tenant) -> None:
    key = new_key()

    answers = await asyncio.gather(*(create(acme, key) for _ in range(AT_ONCE)))

    await prove_one_effect(acme, key, answers)


async def test_repeats_at_once_have_room_in_pools_of_the_default_size(acme: Tenant, small_pools: None) -> None:
    key = new_key()

    answers = await asyncio.gather(*(create(acme, key) for _ in range(AT_ONCE)))

    await prove_one_effect(acme, key, answers)


async def test_a_refusal_at_once_is_one_refusal(acme: Tenant) -> None:
    await create(acme, new_key())
    key = new_key()

    answers = await asyncio.gather(*(create(acme, key) for _ in range(AT_ONCE)))

    taken = {"label": None, "errors": [{"code": "TAKEN", "path": ["input", "name"]}]}
    for answer in answers:
        assert answer.data is not None
        found = answer.data["labelCreate"]
        assert (
            found | {"errors": [{name: error[name] for name in ("code", "path")} for error in found["errors"]]} == taken
        )
    assert (await labels(acme.org_id), await events(acme.org_id)) == (["bug"], ["LABEL_CREATED"])


@contextlib.contextmanager
def held_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """The first label is created and then waits, uncommitted: the event that it has come so far, and the one to go."""
    reached, go, create_label = asyncio.Event(), asyncio.Event(), labels_service.create

    async def slow(actor: Actor, org_id: Any, **values: Any) -> Any:
        made = await create_label(actor, org_id, **values)
        if not reached.is_set():
            reached.set()
            await go.wait()
        return made

    with monkeypatch.context() as patched:
        patched.setattr(labels_service, "create", slow)
        yield reached, go


async def test_a_repeat_waits_for_the_first_and_gets_its_outcome(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    key, asked_again = new_key(), asyncio.Event()
    pause = service._Waiting.pause

    async def note(self: service._Waiting) -> None:
        asked_again.set()
        await pause(self)

    monkeypatch.setattr(service._Waiting, "pause", note)
    with held_back(monkeypatch) as (reached, go):
        first = asyncio.create_task(create(acme, key))
        await reached.wait()
        second = asyncio.create_task(create(acme, key))
        await asked_again.wait()
        assert await labels(acme.org_id) == []
        go.set()
        answers = [await first, await second]

    await prove_one_effect(acme, key, answers)


async def test_who_waits_holds_no_connection(acme: Tenant, small_pools: None, monkeypatch: pytest.MonkeyPatch) -> None:
    key, waiting, all_wait = new_key(), 0, asyncio.Event()

    async def sleep_until_told(self: service._Waiting) -> None:
        nonlocal waiting
        waiting += 1
        if waiting == AT_ONCE:
            all_wait.set()
        await go.wait()

    monkeypatch.setattr(service._Waiting, "pause", sleep_until_told)
    with held_back(monkeypatch) as (reached, go):
        first = asyncio.create_task(create(acme, key))
        await reached.wait()
        others = [asyncio.create_task(create(acme, key)) for _ in range(AT_ONCE)]
        await all_wait.wait()
        in_use = app_pool().size - app_pool().idle_size
        with acting_for([acme.org_id]):
            async with tx():
                pass
        go.set()
        monkeypatch.undo()
        answers = [await first, *await asyncio.gather(*others)]

    assert in_use == 1
    await prove_one_effect(acme, key, answers)


async def test_patience_ends_with_in_progress(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key()
    monkeypatch.setattr(service, "PATIENCE_S", 0.1)
    async with acme.admin.acting() as actor:
        number = Attempt(actor, "labelCreate", key, b"").lock_number

    with acting_for([]):
        # Another process that runs the same is no more than its lock.
        async with app_pool().lent() as other, other.transaction():
            await other.execute("SELECT pg_advisory_xact_lock($1)", number)
            busy = await create(acme, key)
            different = await create(acme, new_key(), "chore")
    done = await create(acme, key)

    assert busy.data is not None
    (error,) = busy.data["labelCreate"]["errors"]
    assert (busy.data["labelCreate"]["label"], error["code"], error["path"]) == (
        None,
        "IN_PROGRESS",
        ["@idempotent", "key"],
    )
    assert [answer.data and answer.data["labelCreate"]["errors"] for answer in (different, done)] == [[], []]
    assert await labels(acme.org_id) == ["bug", "chore"]


async def test_who_goes_away_in_the_middle_leaves_nothing_and_the_repeat_does_it(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_key()
    with held_back(monkeypatch) as (reached, _):
        first = asyncio.create_task(create(acme, key))
        await reached.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

    assert (await labels(acme.org_id), await events(acme.org_id), await kept(key)) == ([], [], [])
    await prove_one_effect(acme, key, [await create(acme, key)])
    assert await rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'") == []


async def test_old_keys_are_dropped_by_many_at_once_without_waiting(acme: Tenant) -> None:
    await keep_old(acme, [new_key() for _ in range(20)])

    keys = [new_key() for _ in range(20)]
    answers = await asyncio.gather(*(create(acme, key, key) for key in keys))

    assert [answer.data and answer.data["labelCreate"]["errors"] for answer in answers] == [[]] * 20
    found = await rows("SELECT key FROM idempotency")
    assert sorted(row["key"] for row in found) == sorted(keys)


async def test_anybodys_old_keys_are_dropped_some_at_a_time(acme: Tenant, globex: Tenant) -> None:
    old = [new_key() for _ in range(service._DROPPED_AT_ONCE + 3)]
    await keep_old(acme, old)

    for _ in range(2):
        await create(globex, key := new_key(), key)
        found = {row["key"] for row in await rows("SELECT key FROM idempotency")}
        old = [each for each in old if each in found]
        assert len(old) in (3, 0)

    assert old == []


async def test_old_keys_that_are_used_again_at_once_do_not_deadlock(acme: Tenant) -> None:
    keys = [new_key() for _ in range(12)]
    for _ in range(3):
        await keep_old(acme, keys)
        # Each takes the place of one old row and would drop those that the others take the place of.
        answers = await asyncio.gather(*(create(acme, key, key) for key in keys for _ in range(2)))
        assert [answer.errors for answer in answers if answer.errors] == []
        await execute("DELETE FROM label WHERE org_id = $1", acme.org_id)

    assert len(await events(acme.org_id)) == 3 * len(keys)


async def test_a_key_whose_old_row_another_is_dropping_is_waited_for_without_a_lock(
    acme: Tenant, globex: Tenant, paused: asyncio.Event
) -> None:
    key = new_key()
    await keep_old(acme, [key])

    async def drop(actor: Actor) -> None:
        await service._insert(Attempt(actor, "x", new_key(), b""), new_id(), outcome="null", lease_until=None)

    async with uncommitted(globex.admin, drop), asyncio.timeout(PATIENCE_S):
        again = asyncio.create_task(create(acme, key))
        await paused.wait()
        locks = await rows("SELECT 1 FROM pg_locks WHERE NOT granted")

    assert locks == []
    await prove_one_effect(acme, key, [await again])


async def keep_old(tenant: Tenant, keys: list[str]) -> None:
    """Let the admin have kept something under these keys a day ago, and let nothing else be kept."""
    await execute("DELETE FROM idempotency")
    async with tenant.admin.acting() as actor:
        for key in keys:
            async with tx():
                await service._insert(
                    Attempt(actor, "labelCreate", key, b""), new_id(), outcome="null", lease_until=None
                )
    await execute("UPDATE idempotency SET created_at = created_at - interval '1 day'")
