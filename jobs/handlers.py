"""What a handler is: a name, a time-out, and when it counts as done.

- `@handler`: changes rows of ours. It runs in the transaction that notes it as done: both happen or neither, once.
- `@outside_handler`: calls an outside service between two transactions, at least once. `job_id` is the same in every
  attempt, so what can be done twice can be known again by it.
- `@personal_handler`: as `@outside_handler`, for one of those who hear of an event. A `@handler` whose `then` names it
  makes its deliveries, one for each person, so that a retry is for one person alone.
- `@account_handler`: as `@outside_handler`, for what happened to an account.
- `@inbound_handler`: as `@outside_handler`, for a row that came from outside. It finds out whose it is.
- `@organization_tick`: as `@handler`, for a tick of cron in one organization.
- `@outside_tick`: as `@outside_handler`, for a tick of cron in one organization.
- `@tick`: for a tick of cron that is nobody's. It opens its own doors and can bear being run twice.

Each reads the present state and decides again whether there is something to do: it may come late. GivenUp says that
trying again is of no use; any other exception is tried again.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.base.database import acting_for, tx
from domain.deliveries import claims
from domain.deliveries.claims import Claim
from domain.events.queries import EventRow
from domain.identity.security_log import SecurityEntryRow

TIMEOUT_S = 60.0

OnEvent = Callable[[Actor, EventRow, Adapters], Awaitable[None]]
OnEventOutside = Callable[[Actor, EventRow, Adapters, UUID], Awaitable[None]]
OnEventForPerson = Callable[[Actor, EventRow, UUID, Adapters, UUID], Awaitable[None]]
OnEntry = Callable[[UUID, SecurityEntryRow, Adapters, UUID], Awaitable[None]]
OnInbound = Callable[[UUID, Adapters, UUID], Awaitable[None]]
OnOrganizationTick = Callable[[Actor, datetime], Awaitable[object]]
OnOutsideTick = Callable[[Actor, datetime, Adapters, UUID], Awaitable[object]]
OnTick = Callable[[datetime], Awaitable[object]]


class GivenUp(Exception):
    """The job can never be done as it stands: it is dead at once."""


@dataclass(frozen=True)
class Handler:
    """Does one thing for an event in the transaction that notes it as done."""

    name: str
    run: OnEvent
    timeout_s: float = TIMEOUT_S
    # Those that it makes deliveries for.
    then: "tuple[PersonalHandler, ...]" = ()
    # Whether its lease has to be kept while it runs. A row that is locked needs none.
    is_outside = False

    async def perform(self, claim: Claim, adapters: Adapters) -> None:
        """Do it and note it, or neither. Raises Gone when it is somebody else's; what the handler raises."""
        actor = _system_of(claim)
        with acting_for(actor.standings):
            async with tx():
                await claims.hold(claim)
                await self.run(actor, await _event(claim), adapters)
                await claims.done(claim)


@dataclass(frozen=True)
class OutsideHandler:
    """Does one thing for an event outside any transaction."""

    name: str
    run: OnEventOutside
    timeout_s: float = TIMEOUT_S
    is_outside = True

    async def perform(self, claim: Claim, adapters: Adapters) -> None:
        """Do it, then note it. Raises Gone when it is somebody else's by then; what the handler raises."""
        actor = _system_of(claim)
        with acting_for(actor.standings):
            await self.run(actor, await _event(claim), adapters, claim.id)
            await claims.done(claim)


@dataclass(frozen=True)
class PersonalHandler:
    """Does one thing for an event and one person who hears of it, outside any transaction."""

    name: str
    run: OnEventForPerson
    timeout_s: float = TIMEOUT_S
    is_outside = True

    async def perform(self, claim: Claim, adapters: Adapters) -> None:
        """Do it, then note it. Raises as the others do."""
        actor = _system_of(claim)
        if claim.user_id is None:
            raise GivenUp("this delivery is nobody's")
        with acting_for(actor.standings):
            await self.run(actor, await _event(claim), claim.user_id, adapters, claim.id)
            await claims.done(claim)


@dataclass(frozen=True)
class AccountHandler:
    """Does one thing for an entry of an account's log, outside any transaction."""

    name: str
    run: OnEntry
    timeout_s: float = TIMEOUT_S
    is_outside = True

    async def perform(self, claim: Claim, adapters: Adapters) -> None:
        """Do it, then note it; nothing is to be done for an account that is gone. Raises as the others do."""
        entry = await claims.entry_of(claim)
        if entry is not None:
            # In no organization: what belongs to the person alone is all that can be read.
            with acting_for(()):
                await self.run(entry.user_id, entry, adapters, claim.id)
        await claims.done(claim)


@dataclass(frozen=True)
class InboundHandler:
    """Does one thing for a row that came from outside, by the row's id, outside any transaction."""

    name: str
    run: OnInbound
    timeout_s: float = TIMEOUT_S
    is_outside = True

    async def perform(self, claim: Claim, adapters: Adapters) -> None:
        """Do it, then note it. Raises as the others do."""
        await self.run(claim.source_id, adapters, claim.id)
        await claims.done(claim)


@dataclass(frozen=True)
class OrganizationTick:
    """Does one thing for an organization at a tick of cron, in the transaction that notes it as done."""

    name: str
    run: OnOrganizationTick
    timeout_s: float = TIMEOUT_S
    is_outside = False

    async def perform(self, claim: Claim, adapters: Adapters) -> None:
        """Do it and note it, or neither. Raises as the others do."""
        actor = _system_of(claim)
        with acting_for(actor.standings):
            async with tx():
                await claims.hold(claim)
                await self.run(actor, _instant(claim))
                await claims.done(claim)


@dataclass(frozen=True)
class OutsideTick:
    """Does one thing for an organization at a tick of cron, outside any transaction."""

    name: str
    run: OnOutsideTick
    timeout_s: float = TIMEOUT_S
    is_outside = True

    async def perform(self, claim: Claim, adapters: Adapters) -> None:
        """Do it, then note it. Raises as the others do."""
        actor = _system_of(claim)
        with acting_for(actor.standings):
            await self.run(actor, _instant(claim), adapters, claim.id)
            await claims.done(claim)


@dataclass(frozen=True)
class SystemTick:
    """Does one thing at a tick of cron, through doors of its own."""

    name: str
    run: OnTick
    timeout_s: float = TIMEOUT_S
    is_outside = True

    async def perform(self, claim: Claim, adapters: Adapters) -> None:
        """Do it, then note it. Raises as the others do."""
        await self.run(_instant(claim))
        await claims.done(claim)


EventHandler = Handler | OutsideHandler
TickHandler = OrganizationTick | OutsideTick | SystemTick
AnyHandler = EventHandler | PersonalHandler | AccountHandler | InboundHandler | TickHandler


def handler(
    name: str, *, timeout_s: float = TIMEOUT_S, then: tuple[PersonalHandler, ...] = ()
) -> Callable[[OnEvent], Handler]:
    """Make the function a Handler. `name` is `<feature>.<verb>`; it stays when the function is renamed."""
    return lambda run: Handler(name, run, timeout_s, then)


def outside_handler(name: str, *, timeout_s: float = TIMEOUT_S) -> Callable[[OnEventOutside], OutsideHandler]:
    """Make the function an OutsideHandler."""
    return lambda run: OutsideHandler(name, run, timeout_s)


def personal_handler(name: str, *, timeout_s: float = TIMEOUT_S) -> Callable[[OnEventForPerson], PersonalHandler]:
    """Make the function a PersonalHandler."""
    return lambda run: PersonalHandler(name, run, timeout_s)


def account_handler(name: str, *, timeout_s: float = TIMEOUT_S) -> Callable[[OnEntry], AccountHandler]:
    """Make the function an AccountHandler."""
    return lambda run: AccountHandler(name, run, timeout_s)


def inbound_handler(name: str, *, timeout_s: float = TIMEOUT_S) -> Callable[[OnInbound], InboundHandler]:
    """Make the function an InboundHandler."""
    return lambda run: InboundHandler(name, run, timeout_s)


def organization_tick(name: str, *, timeout_s: float = TIMEOUT_S) -> Callable[[OnOrganizationTick], OrganizationTick]:
    """Make the function an OrganizationTick."""
    return lambda run: OrganizationTick(name, run, timeout_s)


def outside_tick(name: str, *, timeout_s: float = TIMEOUT_S) -> Callable[[OnOutsideTick], OutsideTick]:
    """Make the function an OutsideTick."""
    return lambda run: OutsideTick(name, run, timeout_s)


def tick(name: str, *, timeout_s: float = TIMEOUT_S) -> Callable[[OnTick], SystemTick]:
    """Make the function a SystemTick."""
    return lambda run: SystemTick(name, run, timeout_s)


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
