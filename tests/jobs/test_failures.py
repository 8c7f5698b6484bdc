"""What fails is tried again, is dead in the end, and goes on when the operator says so; nothing else waits for it."""

import signal
from collections import Counter
from typing import Any

from domain.deliveries.claims import TRIES
from tests.factories import Tenant, execute, rows
from tests.jobs.crew import (
    Crew,
    all_done,
    calls,
    deliveries,
    effects,
    end_leases,
    ended,
    hurry,
    make_labels,
    until,
    wish,
)


async def _dead(tenant: Tenant, handler: str) -> list[dict[str, Any]]:
    """The dead deliveries, once there is one; the pauses between attempts are cut short."""

    async def found() -> list[dict[str, Any]]:
        await hurry(tenant.org_id)
        return [row for row in await deliveries(tenant.org_id, handler) if row["state"] == "DEAD"]

    listed: list[dict[str, Any]] = await until(found)
    return listed


async def test_what_fails_is_dead_after_all_tries_and_done_when_retried(
    workers: Crew, acme: Tenant, globex: Tenant
) -> None:
    await wish(acme, "fail after")
    await workers.start()
    await make_labels(acme, 1)
    await make_labels(globex, 1)

    (row,) = await _dead(acme, "counting.count")

    assert row["attempts"] == TRIES
    # The first line without the address: nothing else of what a vendor quotes is kept.
    assert row["last_error"] == "RuntimeError: no mail to [redacted]"
    assert await effects(acme.org_id) == {}
    await until(lambda: all_done(globex.org_id))
    assert await effects(globex.org_id) == {1: 1}

    _, listed = await workers.command("jobs", "dead")
    (line,) = [line for line in listed.splitlines() if acme.slug in line]
    assert line.startswith(f"{row['id']}  counting.count  {acme.slug}  {TRIES} attempts  ")
    assert line.endswith("h  RuntimeError: no mail to [redacted]")

    await wish(acme)
    assert await workers.command("jobs", "retry", str(row["id"])) == (0, "1 to be tried again\n")
    await until(lambda: all_done(acme.org_id))
    assert await effects(acme.org_id) == {1: 1}
    assert await workers.command("jobs", "retry", str(row["id"])) == (1, "")
    assert await effects(acme.org_id) == {1: 1}


async def test_all_that_is_dead_is_retried_at_once(workers: Crew, acme: Tenant) -> None:
    await execute("DELETE FROM delivery WHERE state = 'DEAD'")
    await wish(acme, "give up")
    await workers.start()
    await make_labels(acme, 3)

    async def are_dead() -> bool:
        return [row["state"] for row in await deliveries(acme.org_id, "counting.call")] == ["DEAD"] * 3

    await until(are_dead)
    # Who gives up is not tried again.
    assert [row["attempts"] for row in await deliveries(acme.org_id, "counting.call")] == [1] * 3

    await wish(acme)
    assert await workers.command("jobs", "retry", "--all") == (0, "3 to be tried again\n")
    await until(lambda: all_done(acme.org_id))
    assert Counter(call["seq"] for call in await calls(acme.org_id)) == {1: 2, 2: 2, 3: 2}


async def test_a_job_that_kills_its_workers_is_dead_in_the_end(workers: Crew, acme: Tenant, globex: Tenant) -> None:
    await wish(acme, "die")
    await make_labels(acme, 1)
    await make_labels(globex, 1)
    worker = await workers.start("--concurrency", "1")

    for _ in range(TRIES):
        assert await ended(worker) == -signal.SIGKILL
        await end_leases(acme.org_id)
        worker = await workers.start("--concurrency", "1")

    (row,) = await _dead(acme, "counting.call")
    assert row["last_error"] == "GivenUp: its worker ended in each attempt"
    assert len(await calls(acme.org_id)) == TRIES
    await until(lambda: all_done(globex.org_id))
    assert await effects(globex.org_id) == {1: 1}
    assert await effects(acme.org_id) == {1: 1}


async def test_what_runs_past_its_time_out_has_failed(workers: Crew, acme: Tenant) -> None:
    await wish(acme, "be late")
    await make_labels(acme, 1)
    await execute("UPDATE event SET type = 'LABEL_DELETED' WHERE org_id = $1", acme.org_id)
    await workers.start()

    async def failed() -> list[dict[str, Any]]:
        found = await deliveries(acme.org_id, "counting.late")
        return [row for row in found if row["last_error"] is not None]

    (row,) = await until(failed)
    assert (row["state"], row["attempts"], row["claim"], row["last_error"]) == ("PENDING", 1, None, "TimeoutError")
    assert row["available_at"] > row["created_at"]


async def test_what_takes_too_long_at_the_end_is_given_back(workers: Crew, acme: Tenant) -> None:
    await wish(acme, "hold call")
    worker = await workers.start("--finish-within", "1")
    await make_labels(acme, 1)
    await until(lambda: calls(acme.org_id))

    worker.terminate()
    assert await ended(worker) == 0

    (row,) = await deliveries(acme.org_id, "counting.call")
    assert (row["state"], row["attempts"], row["claim"], row["last_error"]) == ("PENDING", 0, None, None)
    (is_due,) = await rows(
        "SELECT available_at <= now() AND queue_at <= now() AS it FROM delivery WHERE id = $1", row["id"]
    )
    assert is_due["it"]
    await wish(acme)
    await workers.start()
    await until(lambda: all_done(acme.org_id))
    assert len({call["job_id"] for call in await calls(acme.org_id)}) == 1
