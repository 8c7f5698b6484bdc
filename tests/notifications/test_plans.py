"""Large inboxes are read from their indexes: a page in its order, and what is unread without looking at the rest."""

import re

import pytest

from domain.base.actor import Actor
from domain.base.database import acting_for, tx
from domain.notifications import queries
from tests.factories import Tenant, execute, statements
from tests.notifications.reading import INBOX, assigned


async def plan_of(tenant: Tenant, text: str) -> str:
    """How PostgreSQL runs the statement for any values, when it sorts nothing that it can read in order."""
    values = ", ".join(["NULL"] * len(set(re.findall(r"\$\d+", text))))
    with acting_for([tenant.org_id]):
        async with tx() as opened:
            await opened.connection.execute(f"SET LOCAL enable_sort = off; PREPARE shown AS {text}")
            found = await opened.connection.fetch(f"EXPLAIN (COSTS OFF) EXECUTE shown ({values})")
            await opened.connection.execute("DEALLOCATE shown")
    return "\n".join(row[0] for row in found)


async def fill(tenant: Tenant) -> None:
    """Thousands of entries, most of them read, in the inboxes of all four people."""
    await assigned(tenant, tenant.member)
    await execute(
        "INSERT INTO notification SELECT (copied).* FROM (SELECT jsonb_populate_record(notification, "
        "jsonb_build_object('id', gen_random_uuid(), 'event_id', gen_random_uuid(), 'user_id', membership.user_id, "
        "'seq', n + 10, 'read_at', CASE WHEN n % 50 > 0 THEN now() END)) AS copied "
        "FROM notification, generate_series(1, 2000) AS n, membership "
        "WHERE notification.org_id = $1 AND membership.org_id = $1) AS made",
        tenant.org_id,
    )
    await execute("ANALYZE notification")


@pytest.mark.asked_once
async def test_a_page_and_a_count_are_read_from_their_indexes(acme: Tenant) -> None:
    await fill(acme)
    client = acme.member.client
    after = (await client.ok(INBOX, first=20))["viewer"]["notifications"]["pageInfo"]["endCursor"]

    with statements() as sent:
        everything = (await client.ok(INBOX, first=20, after=after))["viewer"]
        unread = (await client.ok(INBOX, first=20, unreadOnly=True))["viewer"]
    with statements() as followed, acting_for([acme.org_id]):
        actor = Actor.of_user(acme.member.user_id, (await acme.member.actor()).standings, acme.member.session_id)
        await queries.between(actor, acme.member.user_id, 100, 200, most=50)

    assert (len(everything["notifications"]["nodes"]), everything["unreadNotificationCount"]) == (20, 41)
    assert (len(unread["notifications"]["nodes"]), unread["notifications"]["totalCount"]) == (20, 41)
    about = [text for text in dict.fromkeys([*sent, *followed]) if "FROM notification" in text]
    plans = {text: await plan_of(acme, text) for text in about}
    assert len([text for text in about if "LIMIT" in text]) == 3
    for text, plan in plans.items():
        assert "Seq Scan on notification" not in plan, plan
        if "LIMIT" in text:
            assert "Sort" not in plan, plan
            assert "seq" in "".join(re.findall(r"Index Cond: (.*)", plan)) or "notification_unread" in plan, plan
        if "read_at IS NULL" in text:
            assert "notification_unread" in plan, plan
