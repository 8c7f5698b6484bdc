"""Event -> handlers, in one table, and so for accounts' entries: to add a reaction is to add a name to a line."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import ModuleType
from typing import Any

from domain.base.settings import Settings
from domain.events.types import EventType
from domain.identity.mails import MAILS
from domain.identity.security_log import Action
from jobs import (
    ai,
    attachments,
    billing,
    exports,
    identity,
    images,
    invitations,
    notifications,
    reports,
    schedule,
    search,
)
from jobs.handlers import AccountHandler, AnyHandler, EventHandler, InboundHandler, RowHandler
from jobs.listeners import LISTENERS
from jobs.schedule import Line

REACTIONS: Mapping[EventType, tuple[EventHandler, ...]] = {
    EventType.PROJECT_CREATED: (search.index,),
    EventType.PROJECT_UPDATED: (search.index,),
    EventType.TASK_CREATED: (search.index,),
    EventType.TASK_UPDATED: (search.index,),
    EventType.TASK_ASSIGNED: (notifications.fan_out,),
    EventType.TASK_DUE_SOON: (notifications.fan_out,),
    EventType.COMMENT_CREATED: (notifications.fan_out, search.index),
    EventType.COMMENT_UPDATED: (notifications.fan_out, search.index),
    EventType.ATTACHMENT_UPDATED: (attachments.thumbnail, attachments.remove, attachments.remove_again),
    EventType.ATTACHMENT_DELETED: (attachments.remove, attachments.remove_again),
    EventType.INVITATION_CREATED: (invitations.mail,),
    EventType.INVITATION_RESENT: (invitations.mail,),
    EventType.INVITATION_ACCEPTED: (notifications.fan_out,),
    EventType.MEMBERSHIP_CREATED: (billing.seats,),
    EventType.MEMBERSHIP_DELETED: (billing.seats,),
    EventType.SUBSCRIPTION_UPDATED: (billing.warn, billing.seats),
    EventType.JOB_FINISHED: (notifications.fan_out,),
}
# Rows of ours name their handler themselves, by its name.
ROWS: Sequence[RowHandler] = (ai.answer, attachments.check, exports.make, images.draw, reports.make)
# What comes from outside names its handler itself.
INBOUND: Sequence[InboundHandler] = (billing.sync,)
ACCOUNT_REACTIONS: Mapping[Action, tuple[AccountHandler, ...]] = {Action(name): (identity.mail,) for name in MAILS}


@dataclass(frozen=True)
class Reactions:
    """The tables, and each handler by its name.

    Raises ValueError when two handlers have one name, or one is listed twice for a type of event.
    """

    events: Mapping[EventType, tuple[EventHandler, ...]] = field(default_factory=lambda: REACTIONS)
    accounts: Mapping[Action, tuple[AccountHandler, ...]] = field(default_factory=lambda: ACCOUNT_REACTIONS)
    listeners: Mapping[EventHandler, Collection[EventType]] = field(default_factory=lambda: LISTENERS)
    rows: Sequence[RowHandler] = ROWS
    inbound: Sequence[InboundHandler] = INBOUND
    lines: Sequence[Line] = schedule.SCHEDULE
    by_name: Mapping[str, AnyHandler] = field(init=False)

    def __post_init__(self) -> None:
        by_name: dict[str, AnyHandler] = {}
        heard = [*(each for group in self.events.values() for each in group), *self.listeners]
        every: list[AnyHandler] = [*heard, *(then for each in heard for then in each.then)]
        every += [each for group in self.accounts.values() for each in group]
        every += self.rows
        every += self.inbound
        every += [line.handler for line in self.lines]
        for each in every:
            if by_name.setdefault(each.name, each) is not each:
                raise ValueError(f"two handlers are named {each.name}")
        object.__setattr__(self, "by_name", by_name)
        for type_ in EventType:
            names = [each.name for each in self._heard(type_)]
            # One delivery is made of an event for a handler; a second would stop the relay.
            if len(set(names)) < len(names):
                raise ValueError(f"a handler is listed twice for {type_}: {', '.join(names)}")

    def names_by_type(self, settings: Settings) -> dict[str, list[str]]:
        """Type of event -> the names of the handlers that this deployment has do something about it."""
        return {
            type_.value: [handler.name for handler in self._heard(type_) if handler.is_wanted(settings)]
            for type_ in EventType
        }

    @property
    def delays(self) -> dict[str, timedelta]:
        """The names of the handlers that wait after an event -> how long."""
        heard = [*(each for group in self.events.values() for each in group), *self.listeners]
        return {each.name: timedelta(seconds=each.delay_s) for each in heard if each.delay_s}

    @property
    def names_by_action(self) -> dict[str, list[str]]:
        """Action of an account's log -> the names of its handlers."""
        return {action.value: [handler.name for handler in handlers] for action, handlers in self.accounts.items()}

    def _heard(self, type_: EventType) -> list[EventHandler]:
        """All that hear of events of the type."""
        return [*self.events.get(type_, ()), *(each for each, types in self.listeners.items() if type_ in types)]

    @classmethod
    def of(cls, module: ModuleType) -> "Reactions":
        """The tables of another module with the same names; those that it lacks are empty. For tests."""
        found: dict[str, Any] = vars(module)
        return cls(
            found.get("REACTIONS", {}),
            found.get("ACCOUNT_REACTIONS", {}),
            found.get("LISTENERS", {}),
            found.get("ROWS", ()),
            found.get("INBOUND", ()),
            found.get("SCHEDULE", ()),
        )
