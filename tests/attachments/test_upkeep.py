"""What workers do about attachments, and what is put right each night."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import structlog

from domain.adapters.storage import Storage, Stored, attachment_key, result_key, thumbnail_key
from domain.attachments import checking, service, sweeping
from domain.attachments.checking import Verdict
from domain.attachments.states import MOVES, Status, check_move
from domain.base import telemetry
from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.database import acting_for
from domain.base.errors import TransitionNotAllowed
from tests.attachments.uploading import COMPLETE, DELETE, NOTES, Desk, File, picture, uuid_of
from tests.factories import execute, rows
from tests.tasks.board import id_of, refusals, unchanged
from tests.work.doing import ask_nobody

LARGE = File(b"line\n" * 10, "large.txt")


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few bytes be many."""
    monkeypatch.setattr(service, "AT_ONCE_BYTES", 20)


@pytest.mark.parametrize("source", Status)
@pytest.mark.parametrize("target", Status)
def test_an_attachment_moves_by_the_table_alone(source: Status, target: Status) -> None:
    if target in MOVES[source]:
        check_move(source, target)
    else:
        with pytest.raises(TransitionNotAllowed):
            check_move(source, target, "id")


async def test_a_large_file_is_checked_by_a_job(desk: Desk, small_limit: None) -> None:
    waits = await desk.completed(LARGE)
    async with unchanged(desk.board.tenant):
        again = await desk.member.client.refused(COMPLETE, id=waits["id"])

    await desk.work()

    (ready,) = await desk.listed()
    assert (waits["status"], ready["status"], ready["contentType"]) == ("REQUESTED", "READY", "text/plain")
    assert refusals(again) == [("IN_PROGRESS", ["id"])]
    assert await desk.facts() == ["ATTACHMENT_CREATED", "ATTACHMENT_UPDATED"]


async def test_a_large_file_that_is_wrong_is_rejected_by_the_job(desk: Desk, small_limit: None) -> None:
    spoofed = await desk.completed(File(LARGE.body, "a.png", "image/png"))
    other = (await desk.announced(LARGE))["attachment"]
    await desk.put(other["id"], b"LINE\n" * 10)
    await desk.member.client.done(COMPLETE, id=other["id"])

    await desk.work()

    assert [each["status"] for each in await desk.listed()] == ["REJECTED"] * 2
    assert [await desk.stored(each["id"]) for each in (spoofed, other)] == [(False, False)] * 2
    assert await desk.used() == 0


async def test_two_who_complete_a_large_file_at_once_have_it_checked_once(desk: Desk, small_limit: None) -> None:
    id = await desk.sent(LARGE)

    await asyncio.gather(*(desk.member.client.run(COMPLETE, id=id) for _ in range(5)))

    asked = await rows("SELECT handler, source_id FROM delivery WHERE org_id = $1 AND kind = 'ROW'", desk.org_id)
    assert asked == [{"handler": "attachments.check", "source_id": uuid_of(id)}]


async def test_what_is_deleted_while_it_is_checked_stays_gone(desk: Desk, small_limit: None) -> None:
    made = await desk.completed(LARGE)

    await desk.member.client.done(DELETE, id=made["id"])
    await desk.work()

    assert await desk.listed() == []
    assert await desk.facts() == ["ATTACHMENT_CREATED", "ATTACHMENT_DELETED"]
    assert await desk.stored(made["id"]) == (False, False)


async def test_bytes_that_are_gone_before_the_check_are_told(desk: Desk, small_limit: None) -> None:
    made = await desk.completed(LARGE)
    await desk.storage.delete(attachment_key(desk.org_id, uuid_of(made["id"])))

    await desk.work()

    (ended,) = await desk.listed()
    assert (ended["status"], ended["rejectionReason"]) == ("REJECTED", checking.GONE)


async def test_a_verdict_that_comes_late_changes_nothing(desk: Desk) -> None:
    made = await desk.completed()

    with acting_for([desk.org_id]):
        async with unchanged(desk.board.tenant):
            row = await service.settle(Actor.system(desk.org_id), uuid_of(made["id"]), Verdict(reason="late"))

    assert (row.status, row.rejection_reason) == ("READY", None)


async def age(id: str, days: float) -> None:
    """Let the attachment be so old."""
    await execute(
        "UPDATE attachment SET created_at = created_at - $1::interval, updated_at = updated_at - $1::interval "
        "WHERE id = $2",
        timedelta(days=days),
        uuid_of(id),
    )


async def test_an_upload_that_was_never_finished_ends_with_the_night(desk: Desk) -> None:
    old, sent, young = await desk.announced(), await desk.sent(), await desk.announced()
    for id in (old["attachment"]["id"], sent):
        await age(id, 1)

    await desk.sweep(now())
    await desk.work()
    async with unchanged(desk.board.tenant):
        await desk.sweep(now())

    ended = {each["id"]: (each["status"], each["rejectionReason"]) for each in await desk.listed()}
    assert ended == {
        old["attachment"]["id"]: ("REJECTED", sweeping.NEVER_FINISHED),
        sent: ("REJECTED", sweeping.NEVER_FINISHED),
        young["attachment"]["id"]: ("REQUESTED", None),
    }
    assert await desk.used() == len(NOTES.body)
    assert await desk.stored(sent) == (False, False)


async def test_a_check_that_never_came_to_an_end_ends_with_the_night(desk: Desk, small_limit: None) -> None:
    made = await desk.completed(LARGE)
    await age(made["id"], 1)

    await desk.sweep(now())

    (ended,) = await desk.listed()
    assert (ended["status"], ended["rejectionReason"]) == ("REJECTED", sweeping.NEVER_CHECKED)


async def test_what_was_rejected_a_week_ago_is_forgotten(desk: Desk) -> None:
    old = await desk.completed(File(b"no picture", "a.png", "image/png"))
    young = await desk.completed(File(b"no picture", "a.png", "image/png"))
    await age(old["id"], 7)
    await age(young["id"], 6.9)

    await desk.sweep(now())
    await desk.work()

    assert [each["id"] for each in await desk.listed()] == [young["id"]]
    assert (await desk.facts())[-1] == "ATTACHMENT_DELETED"


async def listed(storage: Storage, org_id: UUID) -> set[str]:
    """The keys of an organization's objects."""
    return {stored.key async for stored in storage.list(f"org/{org_id}/")}


async def one() -> AsyncIterator[bytes]:
    """Bytes of an object."""
    yield b"x"


async def test_objects_without_a_row_end_when_they_are_a_day_old(desk: Desk) -> None:
    kept = await desk.completed(File(picture(), "a.png", "image/png"))
    await desk.work()
    strays = [make(desk.org_id, new_id()) for make in (attachment_key, thumbnail_key, result_key)]
    # The thumbnail of what has none, and the bytes of what was rejected, sent once more behind the job.
    plain = await desk.completed()
    rejected = await desk.completed(File(b"no picture", "a.png", "image/png"))
    await desk.work()
    strays += [thumbnail_key(desk.org_id, uuid_of(plain["id"])), attachment_key(desk.org_id, uuid_of(rejected["id"]))]
    job, claim = await ask_nobody(desk.member, desk.board.tenant), new_id()
    await execute("UPDATE job SET claim = $1 WHERE id = $2", claim, job.id)
    of_a_job = result_key(desk.org_id, claim)
    for key in (*strays, of_a_job):
        await desk.storage.write(key, one(), content_type="text/plain")
    before = await listed(desk.storage, desk.org_id)

    await desk.sweep(now())
    young = await listed(desk.storage, desk.org_id)
    await desk.sweep(now() + timedelta(days=1, seconds=5))

    assert young == before
    assert await listed(desk.storage, desk.org_id) == before - set(strays)
    assert before - set(strays) == {
        attachment_key(desk.org_id, uuid_of(kept["id"])),
        thumbnail_key(desk.org_id, uuid_of(kept["id"])),
        attachment_key(desk.org_id, uuid_of(plain["id"])),
        of_a_job,
    }


async def test_the_bytes_of_a_task_that_was_deleted_end_with_the_night(desk: Desk) -> None:
    made = await desk.completed()
    document = "mutation ($id: ID!) { taskDelete(id: $id) { deletedId errors { code } } }"
    await desk.member.client.done(document, id=id_of(desk.task))

    await desk.sweep(now() + timedelta(days=1, seconds=5))

    assert await desk.stored(made["id"]) == (False, False)


def lost() -> float:
    """How many lost files have been counted."""
    return float(telemetry.BROKEN_INVARIANTS.labels("attachment_bytes")._value.get())


async def test_a_file_whose_bytes_are_lost_is_told_and_counted(desk: Desk) -> None:
    made, whole, young = await desk.completed(), await desk.completed(), await desk.completed()
    for each in (made, whole):
        await age(each["id"], 2)
    for each in (made, young):
        await desk.storage.delete(attachment_key(desk.org_id, uuid_of(each["id"])))
    before = lost()

    with structlog.testing.capture_logs() as said:
        async with unchanged(desk.board.tenant):
            await desk.sweep(now())

    (told,) = [each for each in said if each["log_level"] == "error"]
    assert (told["count"], told["examples"]) == (1, [str(uuid_of(made["id"]))])
    assert lost() == before + 1


async def test_where_nothing_is_lost_no_file_is_asked_for_by_itself(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await desk.completed()
    await age(made["id"], 2)
    asked: list[str] = []

    async def stat(key: str) -> Stored | None:
        asked.append(key)
        return None

    monkeypatch.setattr(desk.storage, "stat", stat)
    await desk.sweep(now())

    assert asked == []


async def test_many_are_swept_in_parts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "AT_ONCE", 2)
    made = [await desk.completed() for _ in range(5)]
    open_ = [(await desk.announced())["attachment"] for _ in range(5)]
    for each in (*made, *open_):
        await age(each["id"], 2)
    await desk.storage.delete(attachment_key(desk.org_id, uuid_of(made[3]["id"])))
    before = lost()

    await desk.sweep(now())

    assert sorted(each["status"] for each in await desk.listed()) == ["READY"] * 5 + ["REJECTED"] * 5
    assert lost() == before + 1


async def test_the_objects_of_organizations_that_are_gone_end(desk: Desk) -> None:
    made, gone = await desk.completed(), new_id()
    strays = [make(gone, new_id()) for make in (attachment_key, thumbnail_key, result_key)]
    for key in strays:
        await desk.storage.write(key, one(), content_type="text/plain")

    await sweeping.remove_strays(now(), desk.storage)
    young = await listed(desk.storage, gone)
    await sweeping.remove_strays(now() + timedelta(days=1, seconds=5), desk.storage)

    assert young == set(strays)
    assert await listed(desk.storage, gone) == set()
    assert await desk.stored(made["id"]) == (True, False)


@pytest.mark.parametrize("late", [service.settle, service.note_thumbnail], ids=["verdict", "thumbnail"])
async def test_what_comes_after_the_end_writes_nothing(desk: Desk, late: Callable[..., Awaitable[Any]]) -> None:
    rejected = await desk.completed(File(b"no picture", "a.png", "image/png"))
    given = (Verdict(content_type="image/png"),) if late is service.settle else ()

    with acting_for([desk.org_id]):
        async with unchanged(desk.board.tenant):
            await late(Actor.system(desk.org_id), uuid_of(rejected["id"]), *given)

    assert (await desk.listed())[0]["status"] == "REJECTED"
