"""Tables of reactions for tests, whose handlers count what they do in rows of the schema `counting`.

`planwire work --reactions tests.jobs.counting` runs them. What is said of an organization in `counting.wish` makes its
handlers hold, wait, fail, or kill their process.
"""

import asyncio
import os
import signal
from datetime import datetime, timedelta
from uuid import UUID

from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.base.database import acting_for, execute, fetch, fetch_value
from domain.base.sql import Row, sql
from domain.events.queries import EventRow
from domain.events.types import EventType
from domain.identity.security_log import Action, SecurityEntryRow
from jobs.handlers import GivenUp, account_handler, handler, organization_tick, outside_handler, tick
from jobs.schedule import Line

# Whoever holds is killed before.
HOLD_S = 600.0
LOOK_EVERY_S = 0.05

TABLES = """
CREATE SCHEMA IF NOT EXISTS counting;
CREATE TABLE IF NOT EXISTS counting.wish (org_id uuid, what text);
CREATE TABLE IF NOT EXISTS counting.effect (org_id uuid, seq bigint);
CREATE TABLE IF NOT EXISTS counting.call (org_id uuid, seq bigint, job_id uuid, pid int);
CREATE TABLE IF NOT EXISTS counting.greeting (user_id uuid, entry_id uuid, job_id uuid);
CREATE TABLE IF NOT EXISTS counting.beat (org_id uuid, at timestamptz);
"""


async def _wishes(actor: Actor) -> set[str]:
    rows = await fetch(sql("SELECT what FROM counting.wish WHERE org_id = ANY({})", list(actor.standings)), Row)
    return {row["what"] for row in rows}


async def _wait(actor: Actor, *wishes: str) -> None:
    """Go on when none of it is wished any more."""
    while await _wishes(actor) & {*wishes}:  # noqa: ASYNC110  # no event tells
        await asyncio.sleep(LOOK_EVERY_S)


@handler("counting.count")
async def count(actor: Actor, event: EventRow, _adapters: Adapters) -> None:
    """Count the event, in the transaction that notes it as done."""
    await execute(sql("INSERT INTO counting.effect VALUES ({}, {})", event.org_id, event.seq))
    wishes = await _wishes(actor)
    if "hold" in wishes:
        await asyncio.sleep(HOLD_S)
    await _wait(actor, "wait")
    if "fail after" in wishes:
        raise RuntimeError("no mail to ada@example.test\nnor anywhere else")


@outside_handler("counting.call")
async def call(actor: Actor, event: EventRow, _adapters: Adapters, job_id: UUID) -> None:
    """Count the call, at once and for good, as a service outside would."""
    values = event.org_id, event.seq, job_id, os.getpid()
    await fetch(sql("INSERT INTO counting.call VALUES ({}, {}, {}, {})", *values), Row)
    wishes = await _wishes(actor)
    if "hold call" in wishes:
        await asyncio.sleep(HOLD_S)
    await _wait(actor, "wait", "wait call")
    if "fail call" in wishes:
        raise RuntimeError("the service is away")
    if "give up" in wishes:
        raise GivenUp("refused for good")
    if "die" in wishes:
        os.kill(os.getpid(), signal.SIGKILL)


@outside_handler("counting.late", timeout_s=0.3)
async def late(actor: Actor, _event: EventRow, _adapters: Adapters, _job_id: UUID) -> None:
    """Run past its time-out when that is wished."""
    if "be late" in await _wishes(actor):
        await asyncio.sleep(HOLD_S)


@account_handler("counting.greet")
async def greet(user_id: UUID, entry: SecurityEntryRow, _adapters: Adapters, job_id: UUID) -> None:
    """Count the entry; the account's own row can be read."""
    known = await fetch_value(sql("SELECT id FROM users WHERE id = {}", user_id))
    await fetch(sql("INSERT INTO counting.greeting VALUES ({}, {}, {})", known, entry.id, job_id), Row)


@tick("counting.beat")
async def beat(at: datetime, _adapters: Adapters) -> None:
    """Count the tick."""
    with acting_for(()):
        await fetch(sql("INSERT INTO counting.beat VALUES (NULL, {})", at), Row)


@organization_tick("counting.beat_each")
async def beat_each(actor: Actor, at: datetime) -> None:
    """Count the organization's tick."""
    (org_id,) = actor.standings
    await execute(sql("INSERT INTO counting.beat VALUES ({}, {})", org_id, at))


REACTIONS = {type_: (count, call) for type_ in EventType} | {EventType.LABEL_DELETED: (late,)}
ACCOUNT_REACTIONS = {Action.SIGNED_IN: (greet,)}
SCHEDULE = (
    Line(beat, every=timedelta(seconds=1)),
    Line(
        beat_each,
        every=timedelta(seconds=1),
        organizations="SELECT org_id FROM counting.wish WHERE what = 'beat' AND $1::timestamptz IS NOT NULL",
    ),
)
