"""Changes that call an outside service: the key is claimed, the service called, the outcome kept.

The vendor here knows a call again by its key, as payment services do.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock, patch
from uuid import UUID

import pytest

from domain.base.actor import Actor
from domain.base.clock import frozen, now
from domain.base.database import app_pool, transaction, tx
from domain.base.errors import Conflict, InProgress, Invalid, Timeout, Unavailable
from domain.idempotency import service
from domain.idempotency.service import KEPT_FOR, LEASE_MARGIN, Attempt, Kept, OutsideCall
from domain.labels import service as labels_service
from tests.factories import Tenant, events, execute, rows
from tests.idempotency.keyed import PREFERENCES, kept, labels, new_key
from tests.tasks.races import PATIENCE_S

TIMEOUT_S = 20.0
LEASE = timedelta(seconds=TIMEOUT_S) + LEASE_MARGIN


@dataclass
class Vendor:
    """Somebody else's service. `calls` are all that came, `done` what they did: one thing a key."""

    calls: list[UUID] = field(default_factory=list)
    done: dict[UUID, str] = field(default_factory=dict)
    fault: Exception | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event | None = None

    async def call(self, key: UUID) -> str:
        """What was done under the key, now or before."""
        assert transaction() is None
        self.calls.append(key)
        if self.fault is not None:
            raise self.fault
        made = self.done.setdefault(key, f"charge {len(self.done) + 1}")
        self.reached.set()
        if self.go is not None:
            await self.go.wait()
        return made


@dataclass(frozen=True)
class Shop:
    """A caller's change that calls the vendor and then adds a label named for what it did."""

    actor: Actor
    org_id: UUID
    vendor: Vendor
    attempt: Attempt

    async def buy(self, *, finish: Callable[[str], Awaitable[str]] | None = None) -> str | Kept:
        """What came of it."""
        return await service.once_outside(
            self.attempt,
            OutsideCall(self.vendor.call, finish or self.finish, TIMEOUT_S),
            keep=lambda result: f'"{result}"',
            refuse=lambda refusal: f"refused: {refusal}",
        )

    async def buy_at_home(self) -> str | Kept:
        """What comes of the same by a newer version of the code, which needs no vendor."""
        return await service.once(
            self.attempt,
            lambda: self.finish("made at home"),
            keep=lambda result: f'"{result}"',
            refuse=lambda refusal: f"refused: {refusal}",
        )

    async def finish(self, charge: str) -> str:
        """The change of our own."""
        await labels_service.create(self.actor, self.org_id, name=charge, color="#123456")
        return charge

    async def refuse(self, charge: str) -> str:
        """A change that turns out not to be allowed."""
        await self.finish(charge)
        raise Conflict("closed meanwhile")

    async def prove(self, *names: str) -> None:
        """These labels are there, each with its event, and the vendor did one thing for each key."""
        assert await labels(self.org_id) == sorted(names)
        assert await events(self.org_id) == ["LABEL_CREATED"] * len(names)
        assert set(self.vendor.calls) == {row["id"] for row in await kept(self.attempt.key)}
        assert len(set(self.vendor.calls)) == 1


@pytest.fixture
async def shop(acme: Tenant) -> AsyncIterator[Shop]:
    """The admin's."""
    async with acme.admin.acting() as actor:
        yield Shop(actor, acme.org_id, Vendor(), Attempt(actor, "buy", new_key(), b"digest"))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits gives up soon."""
    monkeypatch.setattr(service, "PATIENCE_S", 0.05)


async def hang_up(shop: Shop) -> None:
    """A change whose client goes away during the call."""
    go = shop.vendor.go = asyncio.Event()
    task = asyncio.create_task(shop.buy())
    await shop.vendor.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()


async def cut_off(shop: Shop) -> None:
    """A change that dies after the call and before its end, as when a process is killed: nothing runs any more."""
    with patch.object(service, "_give_back", AsyncMock()):
        await hang_up(shop)


async def age(shop: Shop, by: timedelta) -> None:
    """Let the claim have been made longer ago."""
    await execute("UPDATE idempotency SET created_at = created_at - $1::interval WHERE key = $2", by, shop.attempt.key)


async def test_the_vendor_is_called_once_and_the_outcome_kept(shop: Shop) -> None:
    first, again = await shop.buy(), await shop.buy()

    assert (first, again) == ("charge 1", Kept('"charge 1"'))
    assert len(shop.vendor.calls) == 1
    await shop.prove("charge 1")
    (row,) = await kept(shop.attempt.key)
    assert row["lease_until"] is None


async def test_many_at_once_are_one_call(shop: Shop) -> None:
    outcomes = await asyncio.gather(*(shop.buy() for _ in range(50)))

    assert sorted(outcomes, key=str) == sorted(["charge 1", *[Kept('"charge 1"')] * 49], key=str)
    assert len(shop.vendor.calls) == 1
    await shop.prove("charge 1")


async def test_other_arguments_are_a_conflict_also_while_it_runs(shop: Shop) -> None:
    other = replace(shop, attempt=replace(shop.attempt, digest=b"other"))
    await cut_off(shop)
    with pytest.raises(Conflict):
        await other.buy()
    with frozen(now() + LEASE):
        assert await shop.buy() == "charge 1"
        with pytest.raises(Conflict):
            await other.buy()

    await shop.prove("charge 1")


async def test_a_crash_between_call_and_end_leaves_the_claim_until_its_lease_ends(shop: Shop, impatient: None) -> None:
    begun = now()
    with frozen(begun):
        await cut_off(shop)
    (claim,) = await kept(shop.attempt.key)
    assert (claim["outcome"], claim["lease_until"]) == (None, begun + LEASE)
    assert await labels(shop.org_id) == []

    with frozen(begun + LEASE - timedelta(microseconds=1)), pytest.raises(InProgress):
        await shop.buy()
    with frozen(begun + LEASE):
        assert await shop.buy() == "charge 1"
        assert await shop.buy() == Kept('"charge 1"')

    assert shop.vendor.calls == [claim["id"]] * 2
    assert shop.vendor.done == {claim["id"]: "charge 1"}
    await shop.prove("charge 1")


async def test_a_connection_that_breaks_at_the_end_leaves_nothing_of_ours_and_the_next_try_finishes(shop: Shop) -> None:
    async def finish_over_a_broken_connection(charge: str) -> str:
        opened = transaction()
        assert opened is not None
        await shop.finish(charge)
        await execute(
            "SELECT pg_terminate_backend($1, 2000)", await opened.connection.fetchval("SELECT pg_backend_pid()")
        )
        return charge

    with pytest.raises(Unavailable):
        await shop.buy(finish=finish_over_a_broken_connection)
    assert (await labels(shop.org_id), await events(shop.org_id)) == ([], [])

    # The claim was given back, so nobody has to wait for the lease.
    assert await shop.buy() == "charge 1"
    assert len(shop.vendor.calls) == 2
    await shop.prove("charge 1")


async def test_one_of_two_takes_an_ended_lease_over(shop: Shop) -> None:
    await cut_off(shop)
    before = len(shop.vendor.calls)

    with frozen(now() + LEASE):
        outcomes = await asyncio.gather(shop.buy(), shop.buy())

    assert sorted(outcomes, key=str) == sorted(["charge 1", Kept('"charge 1"')], key=str)
    assert len(shop.vendor.calls) == before + 1
    await shop.prove("charge 1")


async def test_who_comes_back_after_another_took_over_changes_nothing(shop: Shop) -> None:
    go = shop.vendor.go = asyncio.Event()
    slow = asyncio.create_task(shop.buy())
    await shop.vendor.reached.wait()
    shop.vendor.go = None

    with frozen(now() + LEASE):
        taken_over = await shop.buy()
    go.set()
    with pytest.raises(InProgress):
        await slow

    assert taken_over == "charge 1"
    assert await shop.buy() == Kept('"charge 1"')
    await shop.prove("charge 1")


@contextlib.contextmanager
def finishing(shop: Shop) -> Iterator[tuple[asyncio.Event, Callable[[str], Awaitable[str]], asyncio.Event]]:
    """An end that stops before its commit: the event that it has come so far, the end, and the event to go on."""
    reached, go = asyncio.Event(), asyncio.Event()

    async def finish(charge: str) -> str:
        made = await shop.finish(charge)
        reached.set()
        await go.wait()
        return made

    try:
        yield reached, finish, go
    finally:
        go.set()


async def test_who_would_take_over_while_the_first_writes_its_outcome_gets_that_outcome(
    shop: Shop, paused: asyncio.Event
) -> None:
    with finishing(shop) as (reached, finish, go):
        first = asyncio.create_task(shop.buy(finish=finish))
        await reached.wait()
        with frozen(now() + LEASE):
            second = asyncio.create_task(shop.buy())
        async with asyncio.timeout(PATIENCE_S):
            await paused.wait()
        # Whoever waits holds nothing meanwhile.
        locks = await rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' OR NOT granted")
        go.set()

        assert (await first, await second) == ("charge 1", Kept('"charge 1"'))
    assert locks == []
    assert len(shop.vendor.calls) == 1
    await shop.prove("charge 1")


async def test_who_would_take_over_from_an_end_that_fails_does_so(shop: Shop, paused: asyncio.Event) -> None:
    with finishing(shop) as (reached, finish, _):
        first = asyncio.create_task(shop.buy(finish=finish))
        await reached.wait()
        with frozen(now() + LEASE):
            second = asyncio.create_task(shop.buy())
        async with asyncio.timeout(PATIENCE_S):
            await paused.wait()
        first.cancel()

        with pytest.raises(asyncio.CancelledError):
            await first
        assert await second == "charge 1"
    assert len(shop.vendor.calls) == 2
    await shop.prove("charge 1")


async def test_who_hangs_up_during_the_call_gives_the_claim_back_for_the_repeat(shop: Shop, impatient: None) -> None:
    await hang_up(shop)

    assert await shop.buy() == "charge 1"
    assert len(shop.vendor.calls) == 2
    await shop.prove("charge 1")


async def test_who_hangs_up_at_the_end_gives_the_claim_back_for_the_repeat(shop: Shop, impatient: None) -> None:
    with finishing(shop) as (reached, finish, _):
        first = asyncio.create_task(shop.buy(finish=finish))
        await reached.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

    assert (await labels(shop.org_id), await events(shop.org_id)) == ([], [])
    assert await shop.buy() == "charge 1"
    await shop.prove("charge 1")


async def test_who_is_cut_off_again_while_it_gives_back_does_so_all_the_same(shop: Shop) -> None:
    go = shop.vendor.go = asyncio.Event()
    task = asyncio.create_task(shop.buy())
    await shop.vendor.reached.wait()

    # As a server's cancel scope does it: at every wait anew.
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*service._giving_back)

    assert task.cancelled()
    assert await shop.buy() == "charge 1"
    await shop.prove("charge 1")


async def test_giving_back_is_not_waited_for_without_end(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "GIVE_BACK_WITHIN_S", 0.05)
    go = shop.vendor.go = asyncio.Event()
    task = asyncio.create_task(shop.buy())
    await shop.vendor.reached.wait()
    (claim,) = await kept(shop.attempt.key)

    async with app_pool().lent() as other, other.transaction():
        await other.execute("SELECT FROM idempotency WHERE id = $1 FOR UPDATE", claim["id"])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    go.set()

    assert await kept(shop.attempt.key) == [claim]


async def test_a_claim_counts_for_as_long_as_its_lease_however_old_it_is(shop: Shop, acme: Tenant) -> None:
    await cut_off(shop)
    (claim,) = await kept(shop.attempt.key)
    begun = now()
    with finishing(shop) as (reached, finish, go), frozen(begun + KEPT_FOR - timedelta(seconds=10)):
        slow = asyncio.create_task(shop.buy(finish=finish))
        await reached.wait()

        with frozen(begun + KEPT_FOR + timedelta(seconds=10)):
            another = asyncio.create_task(shop.buy())
            # Somebody else's outcome, and with it the sweep.
            await acme.guest.client.ok(PREFERENCES, key=new_key())
            assert [row["id"] for row in await kept(shop.attempt.key)] == [claim["id"]]
        go.set()
        assert await slow == "charge 1"
    assert await another == Kept('"charge 1"')

    # The outcome is no older than it is.
    with frozen(begun + KEPT_FOR + timedelta(seconds=20)):
        assert await shop.buy() == Kept('"charge 1"')
    assert shop.vendor.calls == [claim["id"]] * 2
    await shop.prove("charge 1")


async def test_the_sweep_leaves_a_claim_whose_lease_runs(shop: Shop, acme: Tenant) -> None:
    go = shop.vendor.go = asyncio.Event()
    first = asyncio.create_task(shop.buy())
    await shop.vendor.reached.wait()
    await age(shop, KEPT_FOR)
    await execute("DELETE FROM idempotency WHERE key <> $1", shop.attempt.key)

    await acme.guest.client.ok(PREFERENCES, key=new_key())
    go.set()

    assert await first == "charge 1"
    await shop.prove("charge 1")


async def test_the_sweep_drops_a_claim_that_nobody_came_back_to(shop: Shop, acme: Tenant) -> None:
    await cut_off(shop)
    await age(shop, KEPT_FOR)
    await execute("UPDATE idempotency SET lease_until = lease_until - $1::interval", LEASE)
    await execute("DELETE FROM idempotency WHERE key <> $1", shop.attempt.key)

    await acme.guest.client.ok(PREFERENCES, key=new_key())

    assert await kept(shop.attempt.key) == []


async def test_a_field_that_calls_outside_no_more_treats_an_ended_claim_as_absent(shop: Shop, impatient: None) -> None:
    other = replace(shop, attempt=replace(shop.attempt, digest=b"other"))
    await cut_off(shop)
    with pytest.raises(InProgress):
        await shop.buy_at_home()

    with frozen(now() + LEASE):
        with pytest.raises(Conflict):
            await other.buy_at_home()
        assert await shop.buy_at_home() == "made at home"
        assert await shop.buy_at_home() == Kept('"made at home"')

    assert await labels(shop.org_id) == ["made at home"]
    assert len(await kept(shop.attempt.key)) == 1


async def test_a_refusal_of_the_vendor_is_an_outcome(shop: Shop) -> None:
    shop.vendor.fault = Invalid("The card was declined.", "card")

    first = await shop.buy()
    shop.vendor.fault = None
    again = await shop.buy()

    assert (first, again) == ("refused: The card was declined.", Kept('"refused: The card was declined."'))
    assert len(shop.vendor.calls) == 1
    await shop.prove()


async def test_a_refusal_at_the_end_is_an_outcome_and_undoes_what_is_ours(shop: Shop) -> None:
    first = await shop.buy(finish=shop.refuse)
    again = await shop.buy()

    assert (first, again) == ("refused: closed meanwhile", Kept('"refused: closed meanwhile"'))
    await shop.prove()


@pytest.mark.parametrize("fault", [Unavailable("away"), RuntimeError("a bug")])
async def test_any_other_fault_gives_the_claim_back_for_the_next_try(shop: Shop, fault: Exception) -> None:
    shop.vendor.fault = fault

    with pytest.raises(type(fault)):
        await shop.buy()
    assert await labels(shop.org_id) == []
    shop.vendor.fault = None

    assert await shop.buy() == "charge 1"
    assert len(shop.vendor.calls) == 2
    await shop.prove("charge 1")


async def test_a_call_may_not_outlast_its_lease(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.vendor.go = asyncio.Event()

    with pytest.raises(Timeout):
        await service.once_outside(shop.attempt, OutsideCall(shop.vendor.call, shop.finish, 0.05), keep=str, refuse=str)
    shop.vendor.go = None

    assert await shop.buy() == "charge 1"
    await shop.prove("charge 1")


async def test_without_a_key_every_call_has_an_id_of_its_own(shop: Shop) -> None:
    made = [await service.outside(OutsideCall(shop.vendor.call, shop.finish, TIMEOUT_S)) for _ in range(2)]

    assert made == ["charge 1", "charge 2"]
    assert len(set(shop.vendor.calls)) == 2
    assert await kept(shop.attempt.key) == []


async def test_none_of_it_joins_a_transaction(shop: Shop) -> None:
    async def call_inside() -> Any:
        async with tx():
            return await shop.buy()

    async def once_inside() -> Any:
        async with tx():
            return await service.once(shop.attempt, lambda: shop.finish("x"), keep=str, refuse=str)

    async def outside_inside() -> Any:
        async with tx():
            return await service.outside(OutsideCall(shop.vendor.call, shop.finish, TIMEOUT_S))

    for attempt in (call_inside, once_inside, outside_inside):
        with pytest.raises(RuntimeError, match="cannot join"):
            await attempt()

    assert (shop.vendor.calls, await labels(shop.org_id), await kept(shop.attempt.key)) == ([], [], [])
