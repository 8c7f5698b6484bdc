"""THROUGHPUT from the log, beside a simple count of what was done to the tasks."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from domain.base.clock import frozen
from domain.projects import workflow_states
from domain.reports import throughput
from domain.reports.throughput import Times
from domain.tasks import columns, transfer
from domain.tasks import service as tasks
from tests.factories import Tenant, make_project, make_task, states_of
from tests.reports.histories import History, made, percentile, scope


def at(day: int, hour: int = 12) -> datetime:
    """An instant of June 2026."""
    return datetime(2026, 6, day, hour, tzinfo=UTC)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/New_York"])
async def test_numbers_are_those_of_a_simple_count(acme: Tenant, seed: int, zone: str) -> None:
    history, projects = await made(acme, seed, 160)
    first = history.end.date() - timedelta(days=25)
    last = history.end.date() - timedelta(days=4)

    async with acme.member.acting() as actor:
        for project_id in (None, *(project.id for project in projects)):
            chosen = scope(actor, acme, first, last, zone, project_id=project_id)
            weeks, whole = await throughput.weeks(chosen)
            standing = await throughput.flow(chosen, last)

            period = chosen.period
            for week in (*weeks, whole):
                begin, end = period.begin_of(week.first), period.begin_of(week.last + timedelta(days=1))
                expected = _expected(history, project_id, begin, end, period.end)
                assert (week.created, week.done) == expected[:2]
                assert _listed(week.times) == pytest.approx(expected[2], abs=1e-6)
            assert sum(week.done for week in weeks) == whole.done
            assert standing == {
                day: history.standing(project_id, period.begin_of(day + timedelta(days=1))) for day in period.days()
            }
    assert history.done(None, history.end)


def _expected(
    history: History, project_id: UUID | None, begin: datetime, end: datetime, until: datetime
) -> tuple[int, int, list[float | None]]:
    created = sum(begin <= told.came[0][0] < end for told in history.of(project_id))
    done = [each for each in history.done(project_id, until) if begin <= each[0] < end]
    leads = [lead for _, lead, _ in done]
    cycles = [cycle for _, _, cycle in done if cycle is not None]
    times = [percentile(leads, 0.5), percentile(leads, 0.85), percentile(cycles, 0.5), percentile(cycles, 0.85)]
    return created, len(done), times


def _listed(times: Times) -> list[float | None]:
    return [times.lead_p50, times.lead_p85, times.cycle_p50, times.cycle_p85]


async def test_reopened_task_is_done_at_its_last_time_and_only_then(acme: Tenant) -> None:
    with frozen(at(1)):
        project = await make_project(acme.admin, acme)
        task = await make_task(acme.member, project)
    states = await states_of(project)
    async with acme.member.acting() as actor:
        for day, name in ((2, "In progress"), (4, "Done"), (9, "In progress"), (11, "Done")):
            with frozen(at(day)):
                await tasks.move(actor, task.id, state_id=states[name])

        async def done(last: int) -> list[tuple[str, int, float | None, float | None]]:
            weeks, _ = await throughput.weeks(scope(actor, acme, date(2026, 6, 1), date(2026, 6, last)))
            return [(str(week.first), week.done, week.times.lead_p50, week.times.cycle_p50) for week in weeks]

        assert await done(7) == [("2026-06-01", 1, 3.0, 2.0)]
        assert await done(10) == [("2026-06-01", 0, None, None), ("2026-06-08", 0, None, None)]
        assert await done(14) == [("2026-06-01", 0, None, None), ("2026-06-08", 1, 10.0, 9.0)]


async def test_task_that_never_was_started_has_no_cycle_time(acme: Tenant) -> None:
    with frozen(at(1)):
        project = await make_project(acme.admin, acme)
        states = await states_of(project)
        await make_task(acme.member, project, state_id=states["Done"])

    async with acme.member.acting() as actor:
        _, whole = await throughput.weeks(scope(actor, acme, date(2026, 6, 1), date(2026, 6, 7)))

    assert (whole.created, whole.done, whole.times) == (1, 1, Times(lead_p50=0.0, lead_p85=0.0))


async def test_state_that_came_with_its_project_and_is_gone_still_meant_done(acme: Tenant) -> None:
    with frozen(at(1)):
        project = await make_project(acme.admin, acme)
        task = await make_task(acme.member, project)
        states = await states_of(project)
    async with acme.admin.acting() as actor:
        with frozen(at(2)):
            released = await workflow_states.create(actor, project.id, name="Released", category="DONE")  # type: ignore[arg-type]
        with frozen(at(3)):
            await tasks.move(actor, task.id, state_id=states["Done"])
        with frozen(at(9)):
            await workflow_states.delete(
                actor, states["Done"], move_tasks_to_id=released.id, move_tasks=columns.move_all
            )

        weeks, _ = await throughput.weeks(scope(actor, acme, date(2026, 6, 1), date(2026, 6, 14)))

    assert [(week.done, week.times.lead_p50) for week in weeks] == [(1, 2.0), (0, None)]


async def test_transferred_task_takes_its_history_along_and_a_deleted_one_leaves_none(acme: Tenant) -> None:
    with frozen(at(1)):
        source, target = [await make_project(acme.admin, acme, name=name) for name in ("Website", "App")]
        moved, gone = [await make_task(acme.member, source) for _ in range(2)]
    states = await states_of(source)
    async with acme.member.acting() as actor:
        for day, name in ((2, "In progress"), (4, "Done")):
            with frozen(at(day)):
                for task in (moved, gone):
                    await tasks.move(actor, task.id, state_id=states[name])
        with frozen(at(6)):
            await transfer.transfer(actor, moved.id, project_id=target.id)
            await tasks.delete(actor, gone.id)

        counted = Counter[str]()
        for name, project in (("source", source), ("target", target)):
            chosen = scope(actor, acme, date(2026, 6, 1), date(2026, 6, 7), project_id=project.id)
            _, whole = await throughput.weeks(chosen)
            counted[name] += whole.created + whole.done
            assert (await throughput.flow(chosen, date(2026, 6, 7)))[date(2026, 6, 4)]["DONE"] == (name == "target")

    assert counted == {"source": 0, "target": 2}


async def test_another_organizations_tasks_do_not_count(acme: Tenant, globex: Tenant) -> None:
    with frozen(at(1)):
        project = await make_project(globex.admin, globex)
        await make_task(globex.member, project)

    async with acme.member.acting() as actor:
        for org, project_id in ((acme, None), (globex, None), (acme, project.id), (globex, project.id)):
            chosen = scope(actor, org, date(2026, 6, 1), date(2026, 6, 7), project_id=project_id)
            _, whole = await throughput.weeks(chosen)
            standing = await throughput.flow(chosen, date(2026, 6, 7))

            assert whole.created == 0
            assert sum(standing[date(2026, 6, 7)].values()) == 0


async def test_flow_ends_with_today(acme: Tenant) -> None:
    async with acme.member.acting() as actor:
        chosen = scope(actor, acme, date(2026, 6, 1), date(2026, 6, 7))

        assert list(await throughput.flow(chosen, date(2026, 6, 3))) == [date(2026, 6, day) for day in (1, 2, 3)]
        assert await throughput.flow(chosen, date(2026, 5, 31)) == {}
