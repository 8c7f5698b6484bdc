"""From the commit to the effect, with real processes that are killed on the way."""

import asyncio
import signal
from collections import Counter
from uuid import UUID

from redis.asyncio import Redis

from domain.adapters.pubsub import INBOXES, LOGS, PubSub
from domain.base.settings import Settings
from domain.deliveries.claims import LEASE
from jobs.broker import GROUP, QUEUE
from jobs.cron import LOCK
from jobs.invitations import expire
from tests.factories import Tenant, execute, rows
from tests.jobs.crew import (
    PATIENCE_S,
    Crew,
    all_done,
    calls,
    deliveries,
    effects,
    kill,
    make_labels,
    until,
    wish,
)
from tests.links import make_invitation
from tests.notifications.reading import assignments


async def once_each(org_id: UUID, count: int) -> None:
    """Wait until all is done; each event of the log then had its effect once."""
    await until(lambda: all_done(org_id))
    assert await effects(org_id) == Counter(range(1, count + 1))


async def test_each_event_has_each_effect_once(workers: Crew, acme: Tenant, globex: Tenant) -> None:
    await make_labels(acme, 5)
    await workers.start()
    await make_labels(acme, 5)
    await make_labels(globex, 3)

    await once_each(acme.org_id, 10)
    await once_each(globex.org_id, 3)
    assert [call["seq"] for call in await calls(acme.org_id)] == list(range(1, 11))
    assert [row["seq"] for row in await deliveries(acme.org_id, "counting.count")] == list(range(1, 11))


async def test_a_killed_worker_leaves_its_job_to_another(workers: Crew, acme: Tenant) -> None:
    await wish(acme, "hold")
    victim = await workers.start()
    await make_labels(acme, 1)

    async def is_held() -> bool:
        free = await rows(
            "SELECT FROM delivery WHERE org_id = $1 AND handler = 'counting.count' AND claim IS NULL",
            acme.org_id,
        )
        locked = await rows(
            "SELECT (SELECT count(*) FROM delivery WHERE org_id = $1 AND handler = 'counting.count') > count(*) AS it "
            "FROM (SELECT FROM delivery WHERE org_id = $1 AND handler = 'counting.count' FOR UPDATE SKIP LOCKED) AS f",
            acme.org_id,
        )
        return not free and bool(locked[0]["it"])

    await until(is_held)
    # In this order: who has not yet read the wish would do the job to its end.
    await kill(victim)
    await wish(acme)
    await workers.start()

    await once_each(acme.org_id, 1)
    (row,) = await deliveries(acme.org_id, "counting.count")
    assert row["attempts"] == 2


async def test_a_killed_workers_call_is_made_again_under_the_same_id(workers: Crew, acme: Tenant) -> None:
    await wish(acme, "hold call")
    victim = await workers.start()
    other = await workers.start()
    await make_labels(acme, 1)
    (first,) = await until(lambda: calls(acme.org_id))
    victims = {victim.pid: victim, other.pid: other}
    await kill(victims.pop(first["pid"]))
    await wish(acme)

    await until(lambda: all_done(acme.org_id))

    again = await calls(acme.org_id)
    assert [call["job_id"] for call in again] == [first["job_id"]] * 2
    assert {call["pid"] for call in again} == {victim.pid, other.pid}


async def test_a_long_job_runs_once_with_idle_workers_beside_it(workers: Crew, acme: Tenant) -> None:
    await wish(acme, "wait")
    for _ in range(2):
        await workers.start()
    await make_labels(acme, 1)
    # The lease of the one was kept beyond two of its lengths; the lock of the other has then lasted for as long.
    kept = "SELECT FROM delivery WHERE org_id = $1 AND available_at > created_at + 2.5 * $2::interval"
    await until(lambda: rows(kept, acme.org_id, LEASE))
    await wish(acme)

    await once_each(acme.org_id, 1)
    assert len(await calls(acme.org_id)) == 1
    assert [row["attempts"] for row in await deliveries(acme.org_id, "counting.call")] == [1]


async def test_jobs_spread_over_the_workers(workers: Crew, settings: Settings, acme: Tenant) -> None:
    await wish(acme, "wait call")
    pids = {(await workers.start("--only", "worker", "--concurrency", "2")).pid for _ in range(2)}
    await make_labels(acme, 20)
    await workers.start("--only", "relay")

    async def are_full() -> bool:
        return len(await calls(acme.org_id)) == 4

    await until(are_full)
    # Each has what it can do at a time, and nobody keeps more to himself.
    assert Counter(call["pid"] for call in await calls(acme.org_id)) == dict.fromkeys(pids, 2)
    async with Redis.from_url(str(settings.redis_url)) as redis:
        assert (await redis.xpending(QUEUE, GROUP))["pending"] == 4
    await wish(acme)
    await once_each(acme.org_id, 20)


async def test_a_worker_that_is_asked_to_end_finishes_what_runs(workers: Crew, acme: Tenant) -> None:
    await wish(acme, "wait call")
    worker = await workers.start_command()
    await make_labels(acme, 1)
    await until(lambda: calls(acme.org_id))

    async def leads() -> bool:
        locks = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND (classid, objid) = ($1, $2)"
        return bool(await rows(locks, *divmod(LOCK, 2**32)))

    async def has_heard() -> bool:
        # Who is asked to end gives back the lead of cron at once.
        return not await leads()

    await until(leads)
    worker.send_signal(signal.SIGTERM)
    await until(has_heard)
    (row,) = await deliveries(acme.org_id, "counting.call")
    assert (row["state"], row["claim"] is None, worker.poll()) == ("PENDING", False, None)
    await wish(acme)
    assert await asyncio.to_thread(worker.wait, 60) == 0
    assert [row["state"] for row in await deliveries(acme.org_id, "counting.call")] == ["DONE"]
    assert await effects(acme.org_id) == {1: 1}


async def test_events_wait_while_nobody_works(workers: Crew, acme: Tenant) -> None:
    await make_labels(acme, 3)

    assert await deliveries(acme.org_id, "counting.count") == []
    await workers.start("--only", "relay")
    await until(lambda: deliveries(acme.org_id, "counting.count"))
    assert await effects(acme.org_id) == {}
    await workers.start("--only", "worker")
    await once_each(acme.org_id, 3)


async def test_what_redis_has_lost_is_queued_again(workers: Crew, acme: Tenant) -> None:
    relay = await workers.start("--only", "relay")
    await make_labels(acme, 20)

    async def queued() -> bool:
        found = await deliveries(acme.org_id, "counting.count")
        return len(found) == 20 and all(row["queue_at"] > row["available_at"] for row in found)

    await until(queued)
    await kill(relay)
    # Nothing but the loss itself makes anybody queue them again today.
    await execute("UPDATE delivery SET queue_at = now() + interval '1 day' WHERE org_id = $1", acme.org_id)
    await workers.flush_redis()
    await workers.start()

    await once_each(acme.org_id, 20)


async def test_an_account_entry_has_its_effect_once(workers: Crew, acme: Tenant) -> None:
    entry = (
        "INSERT INTO security_entry (id, user_id, at, action) VALUES (gen_random_uuid(), $1, now(), $2) RETURNING id"
    )
    (signed_in,) = await rows(entry, acme.member.user_id, "SIGNED_IN")
    await rows(entry, acme.member.user_id, "SIGNED_OUT")
    await workers.start()

    async def greetings() -> list[dict[str, object]]:
        return await rows("SELECT entry_id FROM counting.greeting WHERE user_id = $1", acme.member.user_id)

    await until(greetings)
    assert await greetings() == [{"entry_id": signed_in["id"]}]
    await until(
        lambda: rows("SELECT FROM delivery WHERE user_id = $1 AND state = 'DONE' AND attempts = 1", acme.member.user_id)
    )
    left = await rows("SELECT FROM security_entry WHERE user_id = $1 AND relayed_at IS NULL", acme.member.user_id)
    assert left == []
    await execute("DELETE FROM security_entry WHERE user_id = $1", acme.member.user_id)


async def test_people_hear_at_once_of_what_jobs_put_into_their_inboxes(
    workers: Crew, settings: Settings, acme: Tenant
) -> None:
    await workers.start("--reactions", "", "--only", "relay,worker")
    inboxes = PubSub(str(settings.redis_url), INBOXES)
    wakes = inboxes.wakes()
    # From here on nothing is missed.
    assert await anext(wakes) is None

    await assignments(acme, acme.member, 1)

    async with asyncio.timeout(PATIENCE_S):
        assert await anext(wakes) == frozenset({acme.member.user_id})
    await inboxes.close()


async def test_who_follows_a_log_hears_at_once_of_what_jobs_write_into_it(
    workers: Crew, settings: Settings, acme: Tenant
) -> None:
    invitation = await make_invitation(acme.admin, acme, "eve@example.test")
    await execute("UPDATE invitation SET expires_at = now() - interval '10 minutes' WHERE id = $1", invitation.id)
    await execute("DELETE FROM tick WHERE name = $1", expire.name)
    logs = PubSub(str(settings.redis_url), LOGS)
    wakes = logs.wakes()
    assert await anext(wakes) is None

    # Those of the product.
    await workers.start("--reactions", "")

    async with asyncio.timeout(PATIENCE_S):
        while acme.org_id not in (await anext(wakes) or ()):
            pass
    await logs.close()
    assert await rows("SELECT FROM event WHERE org_id = $1 AND type = 'INVITATION_EXPIRED'", acme.org_id)
