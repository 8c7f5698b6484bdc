"""A job over a socket: as it stands, then every change, and complete once it has ended."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from domain.adapters import watch
from domain.adapters.bell import Bell
from domain.adapters.pubsub import JOBS, PubSub
from domain.adapters.watch import Watch
from domain.adapters.wiring import Adapters
from domain.base.clock import new_id
from domain.base.commits import Commits
from domain.base.settings import Settings
from domain.work import service
from domain.work.queries import JobRow
from domain.work.running import Progress, Result
from tests.events.live import begun, leaving_nothing, never, served, until
from tests.factories import Person, Tenant, execute
from tests.notifications.test_inbox import enter, remove
from tests.sockets import Ended, Stream, opened
from tests.work.doing import Gate, ask, ask_nobody, csv, id_of, performing
from tests.work.test_asking import ask_by_key

UPDATED = "subscription ($id: ID!) { jobUpdated(id: $id) { id status progress message resultUrl } }"


@pytest.fixture(params=["heard", "lost"])
def wakes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether wake-ups are heard, or all lost: those of this process's bells and of Redis."""
    if request.param == "lost":
        monkeypatch.setattr(service.changed, "_listeners", set())


async def cancel(person: Person, job: JobRow) -> None:
    async with person.acting() as actor:
        await service.cancel(actor, job.id)


async def come_to(job: JobRow, progress: float) -> None:
    """As a worker writes it, in this process."""
    await execute("UPDATE job SET progress = $2, version = version + 1 WHERE id = $1", job.id, progress)
    service.changed.tell_after_commit([job.id])


async def completes(stream: Stream) -> None:
    """The stream has come to its end, without an error."""
    with pytest.raises(Ended) as end:
        await stream.next()
    assert end.value.errors is None


@pytest.mark.usefixtures("quiet", "wakes")
async def test_a_job_is_followed_from_its_beginning_to_its_end(
    address: str, settings: Settings, adapters: Adapters, acme: Tenant
) -> None:
    gate = Gate()

    async def does(job: JobRow, progress: Progress) -> Result:
        progress.tell(0.5, "Half")
        await gate.wait()
        return await csv(job, progress)

    job = await ask(acme.member, acme)
    async with leaving_nothing(), opened(address, acme.member.token) as socket:
        stream = await begun(socket, UPDATED, id=id_of(job))
        first = await stream.data()
        async with performing(settings, adapters, acme, does):
            seen = [first]
            while seen[-1]["message"] != "Half":
                seen.append(await stream.data())
            gate.may_go_on.set()
            last = await stream.data()
            await completes(stream)

    nothing = {"id": id_of(job), "message": None, "resultUrl": None}
    assert first == {"status": "QUEUED", "progress": 0.0, **nothing}
    # What came fast may have come as one.
    assert seen[1:-1] in ([], [{"status": "RUNNING", "progress": 0.0, **nothing}])
    assert seen[-1] == {"status": "RUNNING", "progress": 0.5, **nothing, "message": "Half"}
    assert (last["status"], last["progress"], last["message"]) == ("SUCCEEDED", 1.0, None)
    assert last["resultUrl"] is not None


async def test_a_job_that_has_ended_is_shown_once(address: str, acme: Tenant) -> None:
    job = await ask_nobody(acme.member, acme)
    await cancel(acme.member, job)

    async with leaving_nothing(), opened(address, acme.member.token) as socket:
        stream = await socket.run(UPDATED, id=id_of(job))
        assert (await stream.data())["status"] == "CANCELED"
        await completes(stream)


async def test_what_is_not_the_viewers_job_is_not_found(address: str, acme: Tenant, globex: Tenant) -> None:
    job, (by_key, _) = await ask_nobody(acme.member, acme), await ask_by_key(acme)
    asked = [
        (acme.admin, id_of(job)),
        (acme.admin, id_of(by_key)),
        (globex.admin, id_of(job)),
        (acme.member, f"job_{new_id().hex}"),
        (acme.member, acme.id),
    ]

    async with leaving_nothing():
        for person, id in asked:
            async with opened(address, person.token) as socket:
                assert await (await socket.run(UPDATED, id=id)).codes() == ["NOT_FOUND"]
        async with opened(address, acme.member.token) as socket:
            assert await (await socket.run(UPDATED, id="no id")).codes() == ["BAD_USER_INPUT"]
        async with opened(address) as socket:
            assert await (await socket.run(UPDATED, id=id_of(job))).codes() == ["UNAUTHENTICATED"]


async def test_a_key_follows_its_own(address: str, acme: Tenant) -> None:
    job, secret = await ask_by_key(acme)

    async with opened(address, secret) as socket:
        stream = await begun(socket, UPDATED, id=id_of(job))
        assert (await stream.data())["status"] == "QUEUED"
        await execute("UPDATE api_key SET revoked_at = now() WHERE org_id = $1", acme.org_id)
        assert await socket.close_code() == 4403


@pytest.mark.usefixtures("wakes")
async def test_the_last_of_many_changes_always_comes(address: str, acme: Tenant) -> None:
    job = await ask_nobody(acme.member, acme)
    async with opened(address, acme.member.token) as socket:
        stream = await begun(socket, UPDATED, id=id_of(job))
        for n in range(50):
            await come_to(job, n / 100)
        seen = [await stream.data()]
        while seen[-1]["progress"] != 0.49:
            seen.append(await stream.data())
        await cancel(acme.member, job)
        assert (await stream.data())["status"] == "CANCELED"
        await completes(stream)

    told = [each["progress"] for each in seen]
    assert told == sorted(set(told))


async def test_who_leaves_the_organization_is_told_no_more(address: str, acme: Tenant) -> None:
    job = await ask_nobody(acme.member, acme)
    async with leaving_nothing(), opened(address, acme.member.token) as socket:
        stream = await begun(socket, UPDATED, id=id_of(job))
        await stream.data()

        # Nothing of the job changes.
        await remove(acme, acme.member)

        assert await stream.codes() == ["NOT_FOUND"]
        await enter(acme, acme.member)
        again = await begun(socket, UPDATED, id=id_of(job))
        assert (await again.data())["status"] == "QUEUED"


async def test_a_result_is_not_shown_to_who_may_not_have_it_any_more(
    address: str, settings: Settings, adapters: Adapters, acme: Tenant
) -> None:
    gate = Gate()
    job = await ask(acme.billing, acme)
    async with opened(address, acme.billing.token) as socket:
        stream = await begun(socket, UPDATED, id=id_of(job))
        await execute("UPDATE job SET permission = 'BILLING_READ' WHERE id = $1", job.id)
        async with performing(settings, adapters, acme, gate.does):
            await gate.begun.wait()
            await execute("UPDATE membership SET role = 'GUEST' WHERE user_id = $1", acme.billing.user_id)
            gate.may_go_on.set()
            while (last := await stream.data())["status"] != "SUCCEEDED":
                assert last["resultUrl"] is None
        await completes(stream)

    assert last["resultUrl"] is None


async def test_what_is_told_by_a_process_that_serves_nobody_is_heard(
    settings: Settings, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only the bell that a worker has: the server's own and its looks are away.
    monkeypatch.setattr(Watch, "_look", never)
    job = await ask_nobody(acme.member, acme)
    async with served(settings) as server, opened(server.address, acme.member.token) as socket:
        stream = await begun(socket, UPDATED, id=id_of(job))
        assert (await stream.data())["status"] == "QUEUED"
        async with ringing(settings):
            await cancel(acme.member, job)
            assert (await stream.data())["status"] == "CANCELED"


@asynccontextmanager
async def ringing(settings: Settings) -> AsyncIterator[None]:
    """A bell of its own, alone."""
    pubsub = PubSub(settings.redis_url or "", JOBS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.changed, "_listeners", set())
        task = asyncio.create_task(Bell(pubsub, service.changed).run())
        await until(lambda: bool(service.changed._listeners))
        yield
        task.cancel()
        await asyncio.wait([task])
    await pubsub.close()


async def test_all_that_a_process_follows_is_looked_at_in_one_statement(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.01)
    ids = [new_id() for _ in range(20)]
    looks: list[set[UUID]] = []

    async def look(asked: Collection[UUID]) -> dict[UUID, int]:
        looks.append(set(asked))
        return {}

    pubsub = PubSub(settings.redis_url or "", JOBS)
    watched = Watch(pubsub, Commits(), look)
    running = asyncio.create_task(watched.run())
    followed = [watched.following(id) for id in ids]
    for each in followed:
        each.__enter__()
    looks.clear()
    await until(lambda: len(looks) >= 5)
    running.cancel()
    await asyncio.wait([running])
    for each in followed:
        each.__exit__(None, None, None)
    await pubsub.close()

    assert looks == [set(ids)] * len(looks)


async def test_jobs_of_several_organizations_are_followed_at_once(address: str, acme: Tenant, globex: Tenant) -> None:
    first, second = [(tenant, await ask_nobody(tenant.member, tenant)) for tenant in (acme, globex)]
    async with opened(address, acme.member.token) as mine, opened(address, globex.member.token) as theirs:
        streams = [
            await begun(socket, UPDATED, id=id_of(job)) for socket, (_, job) in ((mine, first), (theirs, second))
        ]
        before = [(await stream.data())["progress"] for stream in streams]
        for _, job in (second, first):
            await come_to(job, 0.5)
        after = [(await stream.data())["progress"] for stream in streams]

    assert (before, after) == ([0.0, 0.0], [0.5, 0.5])
