"""A server under the system goes away: what sockets are told, those that are open and those that come."""

from collections.abc import AsyncIterator

import pytest

from domain.base.data_directory import POSTGRES, REDIS
from tests.events.live import until
from tests.test_outages import VIEWER, System, make_tenant, system_in
from tests.transport.talk import talking

TYPENAME = {"__typename": "Query"}


@pytest.fixture(scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with system_in(tmp_path_factory.mktemp("socket-outages"), SOCKETS_PER_USER="3") as made:
        yield made


def address_of(system: System) -> str:
    """host:port."""
    return system.api.origin.removeprefix("http://")


async def test_without_postgres_who_says_who_it_is_shall_come_again_and_open_sockets_stay(system: System) -> None:
    pia, address = await make_tenant(system, "pia"), address_of(system)
    async with talking(address) as opened, talking(address) as late:
        await opened.begin(pia.token)
        await system.stop(POSTGRES)

        read = await opened.answer(VIEWER)
        without = await opened.answer("{ __typename }")
        init = {"type": "connection_init", "payload": {"authorization": f"Bearer {pia.token}"}}
        await late.say(init, {"id": "1", "type": "subscribe", "payload": {"query": "{ __typename }"}})
        refused = await late.closed()
        await system.start(POSTGRES)

        async def reads() -> bool:
            return bool((await opened.answer(VIEWER))["data"]["viewer"])

        await until(reads)
        async with talking(address) as again:
            await again.begin(pia.token)

    assert (read["data"], [error["extensions"]["code"] for error in read["errors"]]) == (
        {"viewer": None},
        ["UNAVAILABLE"],
    )
    assert without["data"] == TYPENAME
    assert refused == (1013, "Try again later")


async def test_without_redis_sockets_are_taken_as_many_as_this_process_may_hold(system: System) -> None:
    rob, address = await make_tenant(system, "rob"), address_of(system)
    async with talking(address) as before, talking(address) as first, talking(address) as second:
        await before.begin(rob.token)
        await system.stop(REDIS)
        await first.begin(rob.token)
        await second.begin(rob.token)
        async with talking(address) as one_more:
            await one_more.say({"type": "connection_init", "payload": {"authorization": f"Bearer {rob.token}"}})
            refused = await one_more.closed()
        read = [await each.answer(VIEWER) for each in (before, first, second)]
        unknown = await first.refusal(None, documentId="sha256:" + "0" * 64)
        apollo = {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}
        to_be_sent = await first.refusal("", extensions=apollo)
        await system.start(REDIS)

        async def knows_documents() -> bool:
            error = await first.refusal(None, documentId="sha256:" + "0" * 64)
            return str(error["code"]) == "PERSISTED_QUERY_NOT_FOUND"

        await until(knows_documents)

    assert refused == (4429, "At most 3 sockets at once.")
    assert [answer["data"]["viewer"]["email"] for answer in read] == [rob.email] * 3
    assert unknown["code"] == "UNAVAILABLE"
    assert to_be_sent["code"] == "PERSISTED_QUERY_NOT_FOUND"
