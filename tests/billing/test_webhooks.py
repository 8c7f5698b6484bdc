"""What Stripe signed is kept once and for good before it is answered; what it did not sign leaves nothing."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import structlog

from domain.base.settings import Settings
from domain.billing import webhooks
from tests.billing.dying import dying
from tests.billing.paying import Shop, changes_of, standing
from tests.factories import Tenant, rows
from tests.jobs.crew import PATIENCE_S, until
from tests.ports import http_client
from tests.stripe.objects import Json
from tests.stripe.webhooks import signature, written

FOREIGN = "whsec_of_another"


def event(type_: str = "customer.subscription.updated", **changed: Any) -> Json:
    """An event about an object that is not there."""
    number = time.monotonic_ns()
    about = {"id": f"sub_{number}", "object": "subscription"}
    told = {"object": "event", "type": type_, "livemode": False, "created": int(time.time()), "data": {"object": about}}
    return {"id": f"evt_{number}", **told, **changed}


@pytest.fixture
async def owner(settings: Settings) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """A connection of the database's owner."""
    connection = await asyncpg.connect(settings.database_url)
    yield connection
    await connection.close()


async def kept() -> tuple[int, int]:
    """How many events are kept, and how many deliveries of what came from outside."""
    (row,) = await rows(
        "SELECT (SELECT count(*) FROM stripe_event) AS events, "
        "(SELECT count(*) FROM delivery WHERE kind = 'INBOUND') AS deliveries"
    )
    return row["events"], row["deliveries"]


async def test_an_event_is_kept_and_looked_at_once(shop: Shop) -> None:
    told, before = event(), await kept()

    statuses = [await shop.fake.courier.post(written(told)), *await shop.fake.courier.repeat(told, 50)]

    assert statuses == [200] * 51
    assert await kept() == (before[0] + 1, before[1] + 1)
    (row,) = await rows("SELECT * FROM stripe_event WHERE stripe_id = $1", told["id"])
    assert (row["type"], row["object_id"], row["livemode"]) == (told["type"], told["data"]["object"]["id"], False)
    assert int(row["created_at"].timestamp()) == told["created"]
    (delivery,) = await rows("SELECT * FROM delivery WHERE source_id = $1", row["id"])
    assert (delivery["handler"], delivery["state"]) == ("billing.sync", "PENDING")


@pytest.mark.parametrize("type_", ["customer.created", "invoice.created", "charge.succeeded"])
async def test_what_nobody_acts_on_is_kept_alone(shop: Shop, type_: str) -> None:
    before = await kept()

    assert await shop.fake.courier.post(written(event(type_))) == 200

    assert await kept() == (before[0] + 1, before[1])


def test_the_types_that_are_acted_on() -> None:
    assert sorted(webhooks.HANDLED) == [
        "checkout.session.completed",
        "customer.deleted",
        "customer.subscription.created",
        "customer.subscription.deleted",
        "customer.subscription.trial_will_end",
        "customer.subscription.updated",
        "invoice.paid",
        "invoice.payment_failed",
    ]


@pytest.mark.parametrize("wrong", ["unsigned", "forged", "foreign", "cut", "old", "changed", "no event"])
async def test_what_stripe_did_not_sign_leaves_nothing(shop: Shop, wrong: str) -> None:
    body, secret, before = written(event(type="customer.deleted")), shop.fake.courier.secret, await kept()
    sent, header = {
        "unsigned": (body, ""),
        "forged": (body, f"t={int(time.time())},v1={'0' * 64}"),
        "foreign": (body, signature(body, FOREIGN)),
        "cut": (body[:-2], signature(body, secret)),
        "old": (body, signature(body, secret, at=time.time() - 302)),
        "changed": (body.replace(b"customer.deleted", b"invoice.paid"), signature(body, secret)),
        "no event": (b"[1]", signature(b"[1]", secret)),
    }[wrong]

    with structlog.testing.capture_logs() as lines:
        status = await shop.fake.courier.post(sent, header)

    assert status == 400
    assert await kept() == before
    assert "evt_" not in json.dumps(lines, default=str)
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["a webhook is not Stripe's"]


async def test_too_large_a_body_leaves_nothing(shop: Shop) -> None:
    before, body = await kept(), b" " * (1024 * 1024 + 1)

    assert await shop.fake.courier.post(body) == 413

    assert await kept() == before


async def test_without_a_secret_there_is_no_such_page(address: str) -> None:
    body = written(event())
    async with http_client(trust_env=False) as client:
        answer = await client.post(
            f"http://{address}/webhooks/stripe", content=body, headers={"stripe-signature": signature(body, "")}
        )
        assert answer.status_code == 404


async def test_only_what_is_sent_is_taken(shop: Shop) -> None:
    async with http_client(trust_env=False) as client:
        assert (await client.get(f"http://{shop.address}/webhooks/stripe")).status_code == 405


async def test_a_database_that_does_not_take_it_is_told_and_stripe_sends_it_again(
    shop: Shop, owner: "asyncpg.Connection[Any]"
) -> None:
    told, before = event(), await kept()

    async with owner.transaction():
        await owner.execute("LOCK TABLE stripe_event IN ACCESS EXCLUSIVE MODE")
        refused = await shop.fake.courier.post(written(told))
    left = await kept()
    taken = await shop.fake.courier.post(written(told))

    assert (refused, taken) == (503, 200)
    assert left == before
    assert await kept() == (before[0] + 1, before[1] + 1)


async def test_nothing_is_answered_before_the_commit(shop: Shop, owner: "asyncpg.Connection[Any]") -> None:
    told, before = event(), await kept()
    another = owner.transaction()
    await another.start()
    # Another server is about to keep the same event, and dies before its commit.
    await owner.execute(
        "INSERT INTO stripe_event (id, stripe_id, type, livemode, created_at, received_at) "
        "VALUES (gen_random_uuid(), $1, 'invoice.paid', false, now(), now())",
        told["id"],
    )

    posting = asyncio.create_task(shop.fake.courier.post(written(told)))
    await until(_somebody_waits)
    is_answered = posting.done()
    await another.rollback()

    assert not is_answered
    # Where this machine was slow the server has given up waiting, and Stripe sends it again.
    assert await posting in (200, 503)
    assert await shop.fake.courier.post(written(told)) == 200
    assert await kept() == (before[0] + 1, before[1] + 1)


async def _somebody_waits() -> bool:
    waiting = await rows(
        "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'WITH kept AS (INSERT INTO%'"
    )
    return bool(waiting)


async def test_one_event_fifty_times_at_once_has_one_effect(shop: Shop, acme: Tenant) -> None:
    shop.fake.courier.hold()
    await shop.buy(acme)
    (completed,) = [each for each in shop.fake.courier.held or [] if each["type"] == "checkout.session.completed"]
    await shop.fake.courier.release([])

    async with shop.working():
        statuses = await shop.fake.courier.repeat(completed, 50)
        await shop.settled(acme)

    assert statuses == [200] * 50
    assert await standing(acme.org_id) == ("PRO", "ACTIVE")
    assert len(await changes_of(acme.org_id)) == 1
    done = await rows(
        "SELECT attempts FROM delivery JOIN stripe_event ON stripe_event.id = source_id WHERE stripe_id = $1",
        completed["id"],
    )
    assert done == [{"attempts": 1}]


async def test_a_server_that_is_killed_between_commit_and_answer_loses_nothing(
    shop: Shop, acme: Tenant, tmp_path: Path
) -> None:
    shop.fake.courier.hold()
    await shop.buy(acme)
    (completed,) = [each for each in shop.fake.courier.held or [] if each["type"] == "checkout.session.completed"]
    await shop.fake.courier.release([])
    before = await kept()

    with dying(shop.settings, shop.fake.settings, tmp_path) as (process, origin):
        there, shop.fake.courier.address = shop.fake.courier.address, f"{origin}/webhooks/stripe"
        with pytest.raises(httpx.HTTPError):
            await shop.fake.courier.post(written(completed))
        assert await asyncio.to_thread(process.wait, PATIENCE_S) == -signal.SIGKILL
    after = await kept()
    shop.fake.courier.address = there
    # Nobody has told Stripe that it was taken.
    again = await shop.fake.courier.post(written(completed))
    async with shop.working():
        await shop.settled(acme)

    assert after == (before[0] + 1, before[1] + 1)
    assert (again, await kept()) == (200, after)
    assert await standing(acme.org_id) == ("PRO", "ACTIVE")
    assert len(await changes_of(acme.org_id)) == 1
