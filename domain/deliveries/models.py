"""The rows of what has to be done after a commit: how far the log is relayed, what each handler owes, cron's ticks."""

from enum import StrEnum

from tortoise import fields
from tortoise.models import Model

from domain.base.clock import new_id, now


class Kind(StrEnum):
    """What a delivery comes from."""

    EVENT = "EVENT"
    ROW = "ROW"
    ACCOUNT = "ACCOUNT"
    TICK = "TICK"
    INBOUND = "INBOUND"


class State(StrEnum):
    """PENDING until its handler has done it, or has failed too often."""

    PENDING = "PENDING"
    DONE = "DONE"
    DEAD = "DEAD"


class RelayPosition(Model):
    """The number of the organization's last relayed event. Its lock is held by the relay that is at this log."""

    org_id = fields.UUIDField(primary_key=True)
    seq = fields.BigIntField()

    class Meta:
        table = "relay_position"


class Delivery(Model):
    """One thing for one handler, and what became of it: once it is DONE it is the record that it was done.

    Of an event, a row or a tick of an organization, of an account's entry, of a tick that is nobody's, or of a row that
    came from outside. `source_id` is the event's, entry's, tick's or row's; with the handler it is unique, and of an
    event with the person too: an event may have a delivery for each who hears of it.
    """

    id = fields.UUIDField(primary_key=True, default=new_id)
    org_id = fields.UUIDField(null=True)
    user_id = fields.UUIDField(null=True)
    kind = fields.CharEnumField(Kind, max_length=16)
    source_id = fields.UUIDField()
    # The event's number; null for what has none.
    seq = fields.BigIntField(null=True)
    # The instant that a tick stands for.
    tick_at = fields.DatetimeField(null=True)
    handler = fields.TextField()
    state = fields.CharEnumField(State, max_length=16, default=State.PENDING)
    attempts = fields.IntField(default=0)
    # Nobody may take it before: the pause after a failure, or the lease of who is at it.
    available_at = fields.DatetimeField(default=now)
    # When it is queued, or queued again because nothing was heard of it.
    queue_at = fields.DatetimeField(default=now)
    # Names the attempt that has it, so that one who comes late changes nothing.
    claim = fields.UUIDField(null=True)
    last_error = fields.TextField(null=True)
    created_at = fields.DatetimeField(default=now)
    ended_at = fields.DatetimeField(null=True)

    class Meta:
        table = "delivery"


class Tick(Model):
    """One period of one line of the schedule that has begun."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    name = fields.TextField()
    period_start = fields.DatetimeField()
    begun_at = fields.DatetimeField(default=now)

    class Meta:
        table = "tick"


class OrganizationMetrics(Model):
    """What an organization held in an hour."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    org_id = fields.UUIDField()
    at = fields.DatetimeField()
    members = fields.IntField()
    projects = fields.IntField()
    tasks_open = fields.IntField()
    tasks_done = fields.IntField()
    events = fields.BigIntField()

    class Meta:
        table = "organization_metrics"
