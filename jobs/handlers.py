"""What a handler is: a name, a time-out, and when it counts as done.

- `@handler`: changes rows of ours. It runs in the transaction that notes it as done: both happen or neither, once.
- `@outside_handler`: calls an outside service between two transactions, at least once. `job_id` is the same in every
  attempt, so what can be done twice can be known again by it.
- `@personal_handler`: as `@outside_handler`, for one of those who hear of an event. A `@handler` whose `then` names it
  makes its deliveries, one for each person, so that a retry is for one person alone.
- `@row_handler`: as `@outside_handler`, for a row of ours that has asked for it (`domain/base/outbox.py`).
- `@account_handler`: as `@outside_handler`, for what happened to an account.
- `@inbound_handler`: as `@outside_handler`, for a row that came from outside. It finds out whose it is.
- `@organization_tick`: as `@handler`, for a tick of cron in one organization.
- `@outside_tick`: as `@outside_handler`, for a tick of cron in one organization.
- `@tick`: for a tick of cron that is nobody's. It opens its own doors and can bear being run twice.

Each reads the present state and decides again whether there is something to do: it may come late. GivenUp says that
trying again is of no use; any other exception is tried again.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.base.database import acting_for, tx
from domain.base.settings import Settings
from domain.deliveries import claims
from domain.deliveries.claims import Claim
from domain.events.queries import EventRow
from domain.identity.security_log import SecurityEntryRow

TIMEOUT_S = 60.0

OnEvent = Callable[[Actor, EventRow, Adapters], Awaitable[None]]
OnEventOutside = Callable[[Actor, EventRow, Adapters, UUID], Awaitable[None]]
OnEventForPerson = Callable[[Actor, EventRow, UUID, Adapters, UUID], Awaitable[None]]
OnRow = Callable[[Actor, UUID, Adapters, UUID], Awaitable[None]]
OnEntry = Callable[[UUID, SecurityEntryRow, Adapters, UUID], Awaitable[None]]
OnInbound = Callable[[UUID, Adapters, UUID], Awaitable[None]]
OnOrganizationTick = Callable[[Actor, datetime], Awaitable[object]]
OnOutsideTick = Callable[[Actor, datetime, Adapters, UUID], Awaitable[object]]
OnTick = Callable[[datetime, Adapters], Awaitable[object]]


class GivenUp(Exception):
    """The job can never be done as it stands: it is dead at once."""


@dataclass(frozen=True)
class AnyHandler:
    """What is done for a delivery, and when it counts as done."""

    name: str
    does: Callable[[Claim, Adapters], Awaitable[object]]
    timeout_s: float = TIMEOUT_S
    # Its lease has to be kept while it runs. A row that is locked by a transaction needs none.
    is_outside: bool = True
    # Takes minutes or hours: only half of a worker's places are for such, so that nobody's mail waits for a report.
    is_long: bool = False
    # Whether this deployment wants it: whether deliveries are made for it at all.
    is_wanted: Callable[[Settings], bool] = lambda _settings: True

    async def perform(self, claim: Claim, adapters: Adapters) -> None:
        """Do it and note it: both or neither in one transaction, or outside of any the one after the other.

        Raises Gone when it is somebody else's by then; what the handler raises.
        """
        if self.is_outside:
            await self.does(claim, adapters)
            await claims.done(claim)
            return
        with _acting_in(claim):
            async with tx():
                await claims.hold(claim)
                await self.does(claim, adapters)
                await claims.done(claim)


@dataclass(frozen=True)
class PersonalHandler(AnyHandler):
    """Is for an event and one person who hears of it."""


@dataclass(frozen=True)
class EventHandler(AnyHandler):
    """Is for an event. It makes deliveries for the handlers of `then`."""

    then: tuple[PersonalHandler, ...] = ()
    # How long after the event it is done, for what a later event of the same thing may make needless.
    delay_s: float = 0.0


@dataclass(frozen=True)
class RowHandler(AnyHandler):
    """Is for a row of an organization."""


@dataclass(frozen=True)
class AccountHandler(AnyHandler):
    """Is for an entry of an account's log."""


@dataclass(frozen=True)
class InboundHandler(AnyHandler):
    """Is for a row that came from outside."""


@dataclass(frozen=True)
class TickHandler(AnyHandler):
    """Is for a tick of cron: of each organization, or nobody's."""

    is_of_organizations: bool = True


def handler(
    name: str, *, timeout_s: float = TIMEOUT_S, then: tuple[PersonalHandler, ...] = ()
) -> Callable[[OnEvent], EventHandler]:
    """Make a handler of the function. `name` is `<feature>.<verb>`; it stays when the function is renamed."""

    def made(run: OnEvent) -> EventHandler:
        async def does(claim: Claim, adapters: Adapters) -> None:
            await run(_system_of(claim), await _event(claim), adapters)

        return EventHandler(name, does, timeout_s, is_outside=False, then=then)

    return made


def outside_handler(
    name: str,
    *,
    timeout_s: float = TIMEOUT_S,
    delay_s: float = 0.0,
    is_wanted: Callable[[Settings], bool] = lambda _settings: True,
) -> Callable[[OnEventOutside], EventHandler]:
    """Make a handler of the function, as all below. It is done `delay_s` after the event, or later."""

    def made(run: OnEventOutside) -> EventHandler:
        async def does(claim: Claim, adapters: Adapters) -> None:
            with _acting_in(claim) as actor:
                await run(actor, await _event(claim), adapters, claim.id)

        return EventHandler(name, does, timeout_s, is_wanted=is_wanted, delay_s=delay_s)

    return made


def personal_handler(name: str, *, timeout_s: float = TIMEOUT_S) -> Callable[[OnEventForPerson], PersonalHandler]:
    """See above."""

    def made(run: OnEventForPerson) -> PersonalHandler:
        async def does(claim: Claim, adapters: Adapters) -> None:
            if claim.user_id is None:
                raise GivenUp("this delivery is nobody's")
            with _acting_in(claim) as actor:
                await run(actor, await _event(claim), claim.user_id, adapters, claim.id)

        return PersonalHandler(name, does, timeout_s)

    return made


def row_handler(name: str, *, timeout_s: float = TIMEOUT_S, is_long: bool = False) -> Callable[[OnRow], RowHandler]:
    """See above."""

    def made(run: OnRow) -> RowHandler:
        async def does(claim: Claim, adapters: Adapters) -> None:
            with _acting_in(claim) as actor:
                await run(actor, claim.source_id, adapters, claim.id)

        return RowHandler(name, does, timeout_s, is_long=is_long)

    return made


def account_handler(name: str, *, timeout_s: float = TIMEOUT_S) -> Callable[[OnEntry], AccountHandler]:
    """See above. Nothing is to be done for an account that is gone."""

    def made(run: OnEntry) -> AccountHandler:
        async def does(claim: Claim, adapters: Adapters) -> None:
            entry = await claims.entry_of(claim)
            if entry is not None:
                # In no organization: what belongs to the person alone is all that can be read.
                with acting_for(()):
                    await run(entry.user_id, entry, adapters, claim.id)

        return AccountHandler(name, does, timeout_s)

    return made


def inbound_handler(name: str, *, timeout_s: float = TIMEOUT_S) -> Callable[[OnInbound], InboundHandler]:
    """See above."""

    def made(run: OnInbound) -> InboundHandler:
        return InboundHandler(name, lambda claim, adapters: run(claim.source_id, adapters, claim.id), timeout_s)

    return made


def organization_tick(name: str, *, timeout_s: float = TIMEOUT_S) -> Callable[[OnOrganizationTick], TickHandler]:
    """See above."""

    def made(run: OnOrganizationTick) -> TickHandler:
        return TickHandler(
            name, lambda claim, _adapters: run(_system_of(claim), _instant(claim)), timeout_s, is_outside=False
        )

    return made


def outside_tick(name: str, *, timeout_s: float = TIMEOUT_S) -> Callable[[OnOutsideTick], TickHandler]:
    """See above."""

    def made(run: OnOutsideTick) -> TickHandler:
        async def does(claim: Claim, adapters: Adapters) -> None:
            with _acting_in(claim) as actor:
                await run(actor, _instant(claim), adapters, claim.id)

        return TickHandler(name, does, timeout_s)

    return made


def tick(name: str, *, timeout_s: float = TIMEOUT_S) -> Callable[[OnTick], TickHandler]:
    """See above."""

    def made(run: OnTick) -> TickHandler:
        return TickHandler(
            name, lambda claim, adapters: run(_instant(claim), adapters), timeout_s, is_of_organizations=False
        )

    return made


@contextmanager
def _acting_in(claim: Claim) -> Iterator[Actor]:
    """The system at work in the delivery's organization, under its row-level security inside the block."""
    actor = _system_of(claim)
    with acting_for(actor.standings):
        yield actor


def _system_of(claim: Claim) -> Actor:
    if claim.org_id is None:
        raise GivenUp("this delivery is no organization's")
    return Actor.system(claim.org_id)


def _instant(claim: Claim) -> datetime:
    if claim.tick_at is None:
        raise GivenUp("this delivery is no tick's")
    return claim.tick_at


async def _event(claim: Claim) -> EventRow:
    event = await claims.event_of(claim)
    if event is None:
        raise GivenUp("the event is not in the log")
    return event
