"""An operation that takes too long: what its client is told, and that nothing works for it any more."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from domain.base.database import LOCK_TIMEOUT_MS
from domain.base.settings import Settings
from graph.base import deadlines
from tests.events.live import until
from tests.factories import Person, Tenant, events, rows
from tests.transport.servers import ask, asking, codes

# Less than a statement waits for a lock by itself.
SHORT_S = 0.5
READ = "{ viewer { preferences { locale } } }"
BOTH = """mutation ($org: ID!) {
  first: labelCreate(input: {organizationId: $org, name: "first", color: "#123456"}) { label { name } errors { code } }
  second: profileUpdate(input: {name: "Second"}) { viewer { user { name } } errors { code } }
}"""
AGAIN = """mutation ($name: String!) {
  profileUpdate(input: {name: $name}) @idempotent(key: "the-same") { viewer { user { name } } errors { code } }
}"""
WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations that have half a second."""
    assert SHORT_S < LOCK_TIMEOUT_MS / 1000 / 2
    monkeypatch.setattr("graph.execution.DEADLINE_S", SHORT_S)
    monkeypatch.setattr(deadlines, "LOOK_EVERY_S", 0.05)


@contextlib.asynccontextmanager
async def held(settings: Settings, statement: str, *values: object) -> AsyncIterator[None]:
    """Somebody has locked what the statement locks, and does not go on."""
    holder = await asyncpg.connect(settings.database_url)
    try:
        async with holder.transaction():
            await holder.execute(statement, *values)
            yield
    finally:
        await holder.close()


def of_user(settings: Settings, person: Person) -> contextlib.AbstractAsyncContextManager[None]:
    """The person's own row is locked."""
    return held(settings, "SELECT FROM users WHERE id = $1 FOR UPDATE", person.user_id)


async def waits(table: str) -> bool:
    """Whether a statement over the table waits for a lock."""
    return await rows(WAITING, f"%{table}%") != []


async def waits_no_more(table: str) -> bool:
    """Whether none does."""
    return not await waits(table)


async def test_a_query_that_takes_too_long_is_ended_in_the_database_too(settings: Settings, acme: Tenant) -> None:
    async with asking(settings) as http:
        async with held(settings, "LOCK TABLE preferences IN ACCESS EXCLUSIVE MODE"):
            asked = asyncio.create_task(ask(http, READ, acme.member))
            await until(lambda: waits("preferences"))
            other = await ask(http, "{ viewer { user { id } } }", acme.guest)
            late = await asked
            # The lock is still held: what waited for it was cancelled and did not come to its end.
            await until(lambda: waits_no_more("preferences"))
        after = await ask(http, READ, acme.member)

    assert (late.status_code, late.json()["data"], codes(late)) == (200, None, ["TIMEOUT"])
    told = late.json()["extensions"]["cost"]
    assert told["charged"] == told["estimated"]
    assert other.json()["data"]["viewer"]["user"]["id"] == acme.guest.id
    assert codes(after) == []


async def test_of_two_mutations_the_first_stays_and_the_second_is_undone(settings: Settings, acme: Tenant) -> None:
    before = await rows("SELECT name FROM users WHERE id = $1", acme.admin.user_id)

    async with asking(settings) as http:
        async with of_user(settings, acme.admin):
            answer = await ask(http, BOTH, acme.admin, variables={"org": acme.id})
            await until(lambda: waits_no_more("users"))

    assert answer.json()["data"] == {"first": {"label": {"name": "first"}, "errors": []}, "second": None}
    assert [(error["path"], error["extensions"]["code"]) for error in answer.json()["errors"]] == [
        (["second"], "TIMEOUT")
    ]
    assert await rows("SELECT name FROM label WHERE org_id = $1", acme.org_id) == [{"name": "first"}]
    assert await rows("SELECT name FROM users WHERE id = $1", acme.admin.user_id) == before
    assert (await events(acme.org_id))[-1:] == ["LABEL_CREATED"]


async def test_what_comes_behind_one_that_took_all_the_time_is_not_begun(settings: Settings, acme: Tenant) -> None:
    document = """mutation ($org: ID!) {
      first: profileUpdate(input: {name: "Late"}) { errors { code } }
      second: labelCreate(input: {organizationId: $org, name: "second", color: "#123456"}) { errors { code } }
    }"""

    async with asking(settings) as http, of_user(settings, acme.admin):
        answer = await ask(http, document, acme.admin, variables={"org": acme.id})

    assert answer.json()["data"] == {"first": None, "second": None}
    first, second = answer.json()["errors"]
    assert "Nothing has changed" in first["message"]
    assert "was not begun" in second["message"]
    assert await rows("SELECT name FROM label WHERE org_id = $1", acme.org_id) == []


async def test_a_mutation_that_took_too_long_is_done_once_by_its_repeats(settings: Settings, acme: Tenant) -> None:
    person = acme.admin
    variables = {"name": "Once"}

    async with asking(settings) as http:
        async with of_user(settings, person):
            late = await ask(http, AGAIN, person, variables=variables)
            nothing = await rows("SELECT name FROM users WHERE id = $1 AND name = 'Once'", person.user_id)
            await until(lambda: waits_no_more("users"))
        answers = [await ask(http, AGAIN, person, variables=variables) for _ in range(2)]
        other = await ask(http, AGAIN, person, variables={"name": "Other"})

    assert (codes(late), nothing) == (["TIMEOUT"], [])
    for answer in answers:
        assert answer.json()["data"]["profileUpdate"] == {"viewer": {"user": {"name": "Once"}}, "errors": []}
    assert other.json()["data"]["profileUpdate"]["errors"] == [{"code": "CONFLICT"}]
    assert await rows("SELECT name FROM users WHERE id = $1", person.user_id) == [{"name": "Once"}]
