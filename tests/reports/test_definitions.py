"""Periods, names and refusals."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from domain.base.errors import Invalid
from domain.reports import documents
from domain.reports.definitions import Asked, Period, ReportFormat, ReportKind, week_of


def asked(first: date, last: date) -> Asked:
    """A report of these days."""
    return Asked(ReportKind.THROUGHPUT, ReportFormat.PDF, Period(first, last), None)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2026, 11, 1), date(2026, 11, 1)),
        (date(2024, 1, 1), date(2024, 12, 31)),
        (date(1970, 1, 1), date(1970, 1, 2)),
    ],
)
def test_a_day_to_a_year_is_a_period(first: date, last: date) -> None:
    asked(first, last).check()


@pytest.mark.parametrize(
    ("first", "last", "path"),
    [
        (date(2026, 11, 2), date(2026, 11, 1), ("to",)),
        (date(2024, 1, 1), date(2025, 1, 1), ("to",)),
        (date(1969, 12, 31), date(1970, 1, 1), ("from",)),
        (date(1, 1, 1), date(1, 1, 2), ("from",)),
        (date(9999, 12, 30), date(9999, 12, 31), ("to",)),
    ],
)
def test_other_days_are_refused(first: date, last: date, path: tuple[str, ...]) -> None:
    with pytest.raises(Invalid) as refused:
        asked(first, last).check()

    assert refused.value.path == path


def test_a_file_is_named_for_what_it_is() -> None:
    status = Asked(ReportKind.PROJECT_STATUS, ReportFormat.CSV, Period(date(2026, 11, 1), date(2026, 11, 30)), None)

    assert asked(date(2026, 11, 1), date(2026, 11, 30)).filename == "throughput-2026-11-01-2026-11-30.pdf"
    assert status.filename == "project-status-2026-11-01-2026-11-30.csv"


@pytest.mark.parametrize("project_id", [None, UUID(int=7)])
def test_what_is_asked_for_comes_back_from_its_arguments(project_id: UUID | None) -> None:
    period = Period(date(2026, 11, 1), date(2026, 11, 30), "Europe/Berlin")
    one = Asked(ReportKind.WORKLOAD, ReportFormat.PDF, period, project_id)

    assert Asked.of(one.arguments()) == one


def test_days_begin_where_the_reader_lives() -> None:
    """Also those on which clocks are changed."""
    period = Period(date(2026, 10, 25), date(2026, 10, 26), "Europe/Berlin")

    assert period.begin == datetime(2026, 10, 24, 22, tzinfo=UTC)
    assert period.begin_of(date(2026, 10, 26)) == datetime(2026, 10, 25, 23, tzinfo=UTC)
    assert period.end == datetime(2026, 10, 26, 23, tzinfo=UTC)


def test_an_unknown_time_zone_is_utc() -> None:
    assert Period(date(2026, 1, 1), date(2026, 1, 1), "Mars/Olympus").begin == datetime(2026, 1, 1, tzinfo=UTC)


def test_weeks_begin_on_mondays_and_the_first_with_the_period() -> None:
    period = Period(date(2026, 12, 30), date(2027, 1, 11))

    assert period.weeks() == [date(2026, 12, 30), date(2027, 1, 4), date(2027, 1, 11)]
    assert [week_of(day) for day in period.weeks()] == ["2026-W53", "2027-W01", "2027-W02"]


@pytest.mark.parametrize(
    ("first", "last", "written"),
    [
        (date(2026, 11, 1), date(2026, 11, 1), "1 November 2026"),
        (date(2026, 11, 1), date(2026, 11, 30), "1 \N{EN DASH} 30 November 2026"),
        (date(2026, 10, 5), date(2026, 11, 1), "5 October 2026 \N{EN DASH} 1 November 2026"),
    ],
)
def test_a_period_is_written_as_people_do(first: date, last: date, written: str) -> None:
    assert documents.span(Period(first, last)) == written
