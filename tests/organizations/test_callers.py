"""Finding the callers: many at once in one statement, and each anew."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from domain.base import database
from domain.base.clock import frozen, now
from domain.base.errors import Unavailable
from domain.base.permissions import Permission, Role
from domain.organizations import api_keys, callers
from tests.factories import Tenant, execute, make_member, make_person, rows, statements


async def test_fifty_callers_of_one_moment_are_found_in_one_statement(acme: Tenant, globex: Tenant) -> None:
    people = [acme.admin, acme.guest, globex.admin, await make_person(), await make_member(acme.org_id, Role.MEMBER)]
    tokens = [people[number % 5].token for number in range(48)] + ["pws_unknown", "pws_"]

    with statements() as sent:
        found = await asyncio.gather(*(callers.signed_in(token) for token in tokens))

    assert len(sent) == 1
    for number, actor in enumerate(found[:48]):
        assert actor == await people[number % 5].actor()
    assert found[48:] == [None, None]
    # What one operation does to its standings must not reach another's.
    assert len({id(actor.standings) for actor in found if actor is not None}) == 48


async def test_standings_come_in_the_order_of_the_memberships(acme: Tenant, globex: Tenant) -> None:
    ada = acme.member
    await execute(
        "INSERT INTO membership (id, org_id, user_id, role, created_at, updated_at) "
        "VALUES (uuidv7(), $1, $2, 'ADMIN', now(), now())",
        globex.org_id, ada.user_id,
    )  # fmt: skip

    actor = await callers.signed_in(ada.token)

    assert actor is not None
    assert [(org_id, standing.role) for org_id, standing in actor.standings.items()] == [
        (acme.org_id, Role.MEMBER),
        (globex.org_id, Role.ADMIN),
    ]


async def test_what_ends_between_two_look_ups_is_refused_at_the_second(acme: Tenant) -> None:
    ada, mia = acme.admin, acme.member
    async with ada.acting() as actor:
        made = await api_keys.create(actor, acme.org_id, name="CI", permissions=[Permission.TASK_READ])
    assert None not in [
        *await asyncio.gather(callers.signed_in(ada.token), callers.signed_in(mia.token)),
        await api_keys.authenticate(made.secret),
    ]

    await execute("DELETE FROM session WHERE id = $1", ada.session_id)
    await execute("UPDATE membership SET ended_at = now() WHERE user_id = $1", mia.user_id)
    await execute("UPDATE api_key SET revoked_at = now() WHERE id = $1", made.key.id)

    found = await asyncio.gather(callers.signed_in(ada.token), callers.signed_in(mia.token))
    assert found[0] is None
    assert found[1] is not None
    assert found[1].standings == {}
    assert await api_keys.authenticate(made.secret) is None


async def test_a_caller_who_is_cut_off_takes_nobody_along(acme: Tenant) -> None:
    asking = [asyncio.create_task(callers.signed_in(acme.admin.token)) for _ in range(10)]
    for _ in range(4):
        await asyncio.sleep(0)
    for task in asking[::2]:
        task.cancel()

    found = await asyncio.gather(*asking, return_exceptions=True)

    assert all(isinstance(each, asyncio.CancelledError) for each in found[::2])
    assert found[1::2] == [await acme.admin.actor()] * 5


async def test_without_the_database_all_who_ask_are_told_so(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    system = database._system_pool
    assert system is not None
    with monkeypatch.context() as patched, capture_logs() as logged:
        patched.setitem(system._opening, "port", 1)
        for connection in system._idle:
            connection.terminate()

        found = await asyncio.gather(*(callers.signed_in(acme.admin.token) for _ in range(5)), return_exceptions=True)

    assert [type(each) for each in found] == [Unavailable] * 5
    assert [entry["code"] for entry in logged if entry["event"] == "database fault"] == ["UNAVAILABLE"]
    assert await callers.signed_in(acme.admin.token) == await acme.admin.actor()


async def test_fifty_due_uses_are_noted_by_one_statement(acme: Tenant) -> None:
    ada, mia = acme.admin, acme.member
    later = now() + timedelta(minutes=5)

    with frozen(later), statements() as sent:
        await asyncio.gather(*(callers.signed_in(each.token) for each in (ada, mia) for _ in range(25)))
    with frozen(later + timedelta(seconds=59)), statements() as sent_soon_after:
        await callers.signed_in(ada.token)

    assert [text.split()[0] for text in sent] == ["SELECT", "UPDATE"]
    assert [text.split()[0] for text in sent_soon_after] == ["SELECT"]
    used = await rows("SELECT last_used_at FROM session WHERE id = ANY($1)", [ada.session_id, mia.session_id])
    assert [row["last_used_at"] for row in used] == [later, later]


async def test_who_holds_the_sessions_row_does_not_hold_up_its_caller(acme: Tenant) -> None:
    ada = acme.admin
    system = database._system_pool
    assert system is not None
    async with system.lent() as other:
        await other.execute("BEGIN")
        await other.execute("UPDATE session SET user_agent = 'held' WHERE id = $1", ada.session_id)

        with frozen(now() + timedelta(minutes=5)):
            actor = await callers.signed_in(ada.token)

        await other.execute("ROLLBACK")
    assert actor == await ada.actor()
