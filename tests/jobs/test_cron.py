"""Cron with several workers, of which the one that leads is killed."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.schedule import SCHEDULE, Line, clean
from tests.factories import Tenant, rows
from tests.jobs.crew import Crew, kill, until, wish


async def _beats(tenant: Tenant) -> list[dict[str, Any]]:
    return await rows("SELECT at FROM counting.beat WHERE org_id = $1 ORDER BY at", tenant.org_id)


async def test_each_tick_comes_once_with_three_workers_and_a_leader_that_dies(
    workers: Crew, acme: Tenant, globex: Tenant
) -> None:
    await wish(acme, "beat")
    processes = [await workers.start() for _ in range(3)]

    async def go_on() -> None:
        count = len(await _beats(acme))

        async def have_more() -> bool:
            return len(await _beats(acme)) >= count + 2

        await until(have_more)

    await go_on()
    while len(processes) > 1:
        # The first was the first to ask for the lead. Who is left last has it in the end.
        await kill(processes.pop(0))
        await go_on()

    await kill(processes.pop())
    made = Counter(
        row["tick_at"]
        for row in await rows("SELECT tick_at FROM delivery WHERE org_id = $1 AND kind = 'TICK'", acme.org_id)
    )
    told = Counter(row["at"] for row in await _beats(acme))
    assert set(made.values()) == set(told.values()) == {1}
    assert set(told) <= set(made)
    assert await _beats(globex) == []


def test_a_period_begins_at_its_hour_of_the_day() -> None:
    daily = Line(clean, every=timedelta(days=1), at=timedelta(hours=2))

    def start(day: int, hour: int, minute: int = 0) -> datetime:
        return daily.period_start(datetime(2026, 11, day, hour, minute, tzinfo=UTC))

    assert start(21, 1, 59) == datetime(2026, 11, 20, 2, tzinfo=UTC)
    assert start(21, 2) == start(21, 15, 30) == start(22, 1, 59) == datetime(2026, 11, 21, 2, tzinfo=UTC)


def test_each_line_has_its_period() -> None:
    assert {line.handler.name: (line.every, line.at) for line in SCHEDULE} == {
        "deliveries.clean": (timedelta(days=1), timedelta(hours=2)),
        "deliveries.measure": (timedelta(hours=1), timedelta(0)),
        "deliveries.check": (timedelta(hours=1), timedelta(minutes=30)),
        "invitations.expire": (timedelta(minutes=5), timedelta(0)),
        "search.catch_up": (timedelta(minutes=1), timedelta(0)),
        "search.own_indexes": (timedelta(days=1), timedelta(hours=6)),
        "tasks.remind": (timedelta(minutes=5), timedelta(0)),
        "work.end_abandoned": (timedelta(minutes=5), timedelta(0)),
        "ai.end_abandoned": (timedelta(minutes=5), timedelta(0)),
        "work.clean": (timedelta(days=1), timedelta(hours=2)),
        "billing.end_grace": (timedelta(minutes=5), timedelta(0)),
        "billing.reconcile": (timedelta(days=1), timedelta(hours=3)),
        "attachments.sweep": (timedelta(days=1), timedelta(hours=4)),
        "attachments.strays": (timedelta(days=1), timedelta(hours=5)),
    }
