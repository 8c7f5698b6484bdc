"""The same by real workers: what one leaves that is killed in the middle, another one ends, once."""

import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from domain.adapters.wiring import Adapters
from domain.attachments import service
from domain.base.settings import Settings
from tests.attachments.uploading import COMPLETE, DELETE, HANDLERS, Desk, File, picture
from tests.jobs.crew import Crew, crew, end_leases, ended, leave_the_past, until
from tests.jobs.working import working

PICTURE = File(picture(), "a.png", "image/png")


@pytest.fixture
async def workers(settings: Settings, adapters: Adapters) -> AsyncIterator[Crew]:
    """Starts workers over the files of the application under test."""
    async with crew(settings, settings.data_dir) as found:
        yield found


async def pictured(desk: Desk) -> dict[str, Any] | None:
    """The one attachment, once its thumbnail is there."""
    (found,) = await desk.listed()
    return found if found["thumbnailUrl"] is not None else None


@pytest.mark.parametrize("at_once_bytes", [1, service.AT_ONCE_BYTES], ids=["in its check", "in its thumbnail"])
async def test_what_a_killed_worker_leaves_is_done_by_another(
    workers: Crew,
    desk: Desk,
    settings: Settings,
    adapters: Adapters,
    monkeypatch: pytest.MonkeyPatch,
    at_once_bytes: int,
) -> None:
    monkeypatch.setattr(service, "AT_ONCE_BYTES", at_once_bytes)
    id = await desk.sent(PICTURE)

    process = await workers.start("--only", "relay,worker", "--reactions", "tests.attachments.dying")
    await desk.member.client.done(COMPLETE, id=id)
    status = await ended(process)
    left = await desk.listed()
    await end_leases(desk.org_id)
    async with working(settings, adapters, HANDLERS):
        found = await until(lambda: pictured(desk))

    assert status == -signal.SIGKILL
    assert [each["thumbnailUrl"] for each in left] == [None]
    assert found["status"] == "READY"
    assert await desk.stored(id) == (True, True)
    assert await desk.facts() == ["ATTACHMENT_CREATED", "ATTACHMENT_UPDATED", "ATTACHMENT_UPDATED"]


async def test_from_the_upload_to_the_end(desk: Desk, settings: Settings, adapters: Adapters) -> None:
    await leave_the_past(settings)
    async with working(settings, adapters, HANDLERS):
        made = await desk.completed(PICTURE)
        await until(lambda: pictured(desk))
        await desk.member.client.done(DELETE, id=made["id"])

        async def is_gone() -> bool:
            return await desk.stored(made["id"]) == (False, False)

        await until(is_gone)

    assert (await desk.facts())[-1] == "ATTACHMENT_DELETED"
