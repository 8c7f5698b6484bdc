"""Cron: one table of what happens when, and the jobs of the product itself.

To add a line is all that a feature needs. A tick of an organization names the statement of its domain that gives the
organizations that there is something to do for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from domain.adapters.wiring import Adapters
from domain.ai.upkeep import ABANDONED as UNWRITTEN
from domain.base import telemetry
from domain.billing.reconcile import CUSTOMERS
from domain.billing.subscriptions import GRACE_ENDED
from domain.deliveries import cleaning, invariants, metrics
from domain.deliveries.ticks import EVERY_ORGANIZATION
from domain.invitations.service import OVERDUE
from domain.search.indexing import OVERDUE as UNINDEXED
from domain.tasks.due import ORGANIZATIONS
from domain.work.upkeep import ABANDONED, ENDED
from jobs.ai import end_abandoned as end_unwritten
from jobs.attachments import strays, sweep
from jobs.billing import nightly
from jobs.billing_ticks import end_grace
from jobs.handlers import TickHandler, tick
from jobs.invitations import expire
from jobs.notifications import remind
from jobs.search import catch_up, look_for_own_indexes
from jobs.work import clean as clean_jobs
from jobs.work import end_abandoned

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_log = structlog.get_logger("schedule")


@dataclass(frozen=True)
class Line:
    """A handler, and its periods: `every` so long, the first at `at` after midnight UTC.

    The period that runs is begun at once when nobody has begun it, also after a day without workers; those that passed
    meanwhile are not made up for. `organizations` is the statement that gives ids, with the period's start as $1.
    """

    handler: TickHandler
    every: timedelta
    at: timedelta = timedelta(0)
    organizations: str = EVERY_ORGANIZATION

    @property
    def statement(self) -> str | None:
        """The statement for ticks of organizations, None for one that is nobody's."""
        return self.organizations if self.handler.is_of_organizations else None

    def period_start(self, at: datetime) -> datetime:
        """When the period that `at` lies in began."""
        return at - (at - _EPOCH - self.at) % self.every


@tick("deliveries.clean", timeout_s=1800.0)
async def clean(at: datetime, _adapters: Adapters) -> None:
    """Delete what has served its time."""
    _log.info("cleaned", **await cleaning.clean(at))


@tick("deliveries.measure", timeout_s=600.0)
async def measure(at: datetime, _adapters: Adapters) -> None:
    """Write each organization's metrics of the hour."""
    _log.info("measured", organizations=await metrics.measure(at))


@tick("deliveries.check", timeout_s=600.0)
async def check(_at: datetime, _adapters: Adapters) -> None:
    """Tell of the invariants that do not hold, and count them."""
    for fault in await invariants.broken():
        telemetry.BROKEN_INVARIANTS.labels(fault.name).inc(fault.count)
        _log.error("an invariant does not hold", invariant=fault.name, count=fault.count, examples=fault.examples)


SCHEDULE: Sequence[Line] = (
    Line(clean, every=timedelta(days=1), at=timedelta(hours=2)),
    Line(measure, every=timedelta(hours=1)),
    Line(check, every=timedelta(hours=1), at=timedelta(minutes=30)),
    Line(expire, every=timedelta(minutes=5), organizations=OVERDUE),
    Line(nightly, every=timedelta(days=1), at=timedelta(hours=3), organizations=CUSTOMERS),
    Line(end_grace, every=timedelta(minutes=5), organizations=GRACE_ENDED),
    Line(sweep, every=timedelta(days=1), at=timedelta(hours=4)),
    Line(strays, every=timedelta(days=1), at=timedelta(hours=5)),
    Line(remind, every=timedelta(minutes=5), organizations=ORGANIZATIONS),
    Line(end_abandoned, every=timedelta(minutes=5), organizations=ABANDONED),
    Line(catch_up, every=timedelta(minutes=1), organizations=UNINDEXED),
    Line(look_for_own_indexes, every=timedelta(days=1), at=timedelta(hours=6)),
    Line(end_unwritten, every=timedelta(minutes=5), organizations=UNWRITTEN),
    Line(clean_jobs, every=timedelta(days=1), at=timedelta(hours=2), organizations=ENDED),
)
