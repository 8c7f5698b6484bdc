"""What a report can be: its kind, its file, and the days that it is about."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain.base.errors import Invalid

MOST_DAYS = 366
"""A year, whichever it is."""
_DAY = timedelta(days=1)


class ReportKind(StrEnum):
    """What it tells."""

    PROJECT_STATUS = "PROJECT_STATUS"
    THROUGHPUT = "THROUGHPUT"
    WORKLOAD = "WORKLOAD"


class ReportFormat(StrEnum):
    """What file it is."""

    PDF = "PDF"
    CSV = "CSV"


TITLES = {
    ReportKind.PROJECT_STATUS: "Project status",
    ReportKind.THROUGHPUT: "Throughput",
    ReportKind.WORKLOAD: "Workload",
}
CATEGORY_NAMES = {
    "BACKLOG": "Backlog",
    "TODO": "Todo",
    "IN_PROGRESS": "In progress",
    "DONE": "Done",
    "CANCELED": "Canceled",
}
CONTENT_TYPES = {ReportFormat.PDF: "application/pdf", ReportFormat.CSV: "text/csv; charset=utf-8"}


@dataclass(frozen=True)
class Period:
    """Whole days from the first to the last, both included, as the time zone counts them.

    Where a day begins and ends is found here alone: statements get the instants, and know nothing of time zones.
    """

    first: date
    last: date
    time_zone: str = "UTC"

    @property
    def begin(self) -> datetime:
        """The first instant of the period."""
        return self.begin_of(self.first)

    @property
    def end(self) -> datetime:
        """The first instant behind the period."""
        return self.begin_of(self.last + _DAY)

    def begin_of(self, day: date) -> datetime:
        """The first instant of the day."""
        return datetime.combine(day, time(), _zone(self.time_zone)).astimezone(UTC)

    def local(self, at: datetime) -> datetime:
        """The instant as the clocks of the time zone show it."""
        return at.astimezone(_zone(self.time_zone))

    def days(self) -> list[date]:
        """Each day."""
        return [self.first + _DAY * number for number in range((self.last - self.first).days + 1)]

    def weeks(self) -> list[date]:
        """The first day of each ISO week; of the first week that is the first day of the period."""
        return [day for day in self.days() if day == self.first or day.isoweekday() == 1]


def week_of(day: date) -> str:
    """The ISO week of the day, as 2026-W47."""
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


@dataclass(frozen=True)
class Asked:
    """Which report somebody has asked for: of one project, or of the organization's."""

    kind: ReportKind
    format: ReportFormat
    period: Period
    project_id: UUID | None

    def check(self) -> None:
        """Raises Invalid (from, to) for days that make no period, or too long a one."""
        if self.period.first > self.period.last:
            raise Invalid("Must not come before `from`.", "to")
        if (self.period.last - self.period.first).days >= MOST_DAYS:
            raise Invalid(f"A report is about {MOST_DAYS} days at most.", "to")
        if self.period.first.year < 1970 or self.period.last.year > 9998:
            raise Invalid("Must be from 1970 to 9998.", "from" if self.period.first.year < 1970 else "to")

    @property
    def filename(self) -> str:
        """What the file is called."""
        kind = self.kind.value.lower().replace("_", "-")
        return f"{kind}-{self.period.first}-{self.period.last}.{self.format.value.lower()}"

    def arguments(self) -> dict[str, Any]:
        """All of it, as a job keeps it."""
        return {
            "kind": self.kind.value,
            "format": self.format.value,
            "from": self.period.first.isoformat(),
            "to": self.period.last.isoformat(),
            "time_zone": self.period.time_zone,
            "project_id": None if self.project_id is None else str(self.project_id),
        }

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> "Asked":
        """What a job has kept."""
        period = Period(
            date.fromisoformat(arguments["from"]), date.fromisoformat(arguments["to"]), arguments["time_zone"]
        )
        project_id = arguments["project_id"]
        return cls(
            ReportKind(arguments["kind"]),
            ReportFormat(arguments["format"]),
            period,
            None if project_id is None else UUID(project_id),
        )
