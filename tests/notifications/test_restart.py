"""The server is killed, and another takes its place: a device goes on behind the last entry that it has seen."""

import signal

from domain.base.settings import Settings
from domain.notifications import cursors
from tests.factories import Tenant
from tests.notifications.reading import assigned, ids_of
from tests.notifications.test_subscriptions import ADDED, COUNT
from tests.processes import free_port, serving
from tests.sockets import opened

WHILE_IT_SERVES, WHILE_NOBODY_SERVES = 3, 2


async def test_each_entry_comes_once_though_the_server_is_killed(settings: Settings, acme: Tenant) -> None:
    person, port, found = acme.member, free_port(), list[str]()
    cursor = cursors.write(settings, person.user_id, 0)

    for _ in range(3):
        await assigned(acme, person, WHILE_NOBODY_SERVES)
        with serving(settings, port) as server:
            async with opened(f"127.0.0.1:{port}", person.token) as socket:
                added, count = await socket.run(ADDED, after=cursor), await socket.run(COUNT)
                assert await count.data() == len(found) + WHILE_NOBODY_SERVES
                for number in range(WHILE_NOBODY_SERVES + WHILE_IT_SERVES):
                    if number == WHILE_NOBODY_SERVES:
                        await assigned(acme, person, WHILE_IT_SERVES)
                    entry = await added.data()
                    found.append(entry["id"])
                    cursor = entry["cursor"]
                server.end(signal.SIGKILL)

    assert found == (await ids_of(person.client))[::-1]
    assert len(found) == 3 * (WHILE_NOBODY_SERVES + WHILE_IT_SERVES)
