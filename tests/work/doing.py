"""Jobs whose work a test says, done by a real relay and worker; and jobs that nobody does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import pytest

from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.base.permissions import Permission
from domain.base.settings import Settings
from domain.work import running, service
from domain.work.models import JobKind
from domain.work.queries import JobRow
from domain.work.running import Does, Progress, Result
from graph.base.ids import global_id
from jobs.handlers import row_handler
from jobs.reactions import Reactions
from tests.factories import Person, Tenant, execute, rows
from tests.jobs.working import working

CONTENT = b"one,two\r\n1,2\r\n"
# No deployment has a handler of this name.
NOBODY = "test.nobody"
_doing: dict[UUID, Does] = {}


@row_handler("test.do", timeout_s=running.HANDLER_TIMEOUT_S)
async def do(_actor: Actor, job_id: UUID, adapters: Adapters, _delivery_id: UUID) -> None:
    """What the test has said for the organization."""

    async def does(job: JobRow, progress: Progress) -> Result | None:
        return await _doing[job.org_id](job, progress)

    await running.perform(job_id, adapters.storage, does)


REACTIONS = Reactions(events={}, accounts={}, listeners={}, rows=(do,), inbound=(), lines=())


@contextlib.asynccontextmanager
async def performing(
    settings: Settings, adapters: Adapters, tenant: Tenant, does: Does, reactions: Reactions = REACTIONS
) -> AsyncIterator[None]:
    """Inside the block a worker does the organization's jobs so."""
    _doing[tenant.org_id] = does
    async with working(settings, adapters, reactions):
        yield


async def made(*chunks: bytes) -> AsyncIterator[bytes]:
    """The chunks, one after the other."""
    for chunk in chunks:
        yield chunk


async def csv(_job: JobRow, _progress: Progress) -> Result:
    """A small file."""
    return Result("report.csv", "text/csv", made(CONTENT))


async def ask(
    person: Person,
    tenant: Tenant,
    *,
    handler: str = do.name,
    kind: JobKind = JobKind.REPORT,
    permission: Permission = Permission.TASK_READ,
    **arguments: Any,
) -> JobRow:
    """A job that the person asks for."""
    async with person.acting() as actor:
        return await service.ask(actor, tenant.org_id, kind, permission, handler, arguments)


async def ask_nobody(person: Person, tenant: Tenant, kind: JobKind = JobKind.REPORT) -> JobRow:
    """A job that stays as it is: its delivery is never due."""
    job = await ask(person, tenant, handler=NOBODY, kind=kind)
    await execute("UPDATE delivery SET queue_at = 'infinity', available_at = 'infinity' WHERE source_id = $1", job.id)
    return job


def id_of(job: JobRow) -> str:
    """The global id."""
    return global_id("job", job.id)


async def row_of(job: JobRow) -> dict[str, Any]:
    """The job's row as it is now."""
    (found,) = await rows("SELECT * FROM job WHERE id = $1", job.id)
    return found


async def status_of(job: JobRow) -> str:
    """Where it stands now."""
    return str((await row_of(job))["status"])


class Gate:
    """Work that has begun, and goes on when it may. `cancelled` says that it was stopped on the way."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.times = 0

    async def wait(self) -> None:
        """Come to the gate."""
        self.times += 1
        self.begun.set()
        try:
            await self.may_go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def does(self, job: JobRow, progress: Progress) -> Result:
        """Wait at the gate, and leave a small file."""
        await self.wait()
        return await csv(job, progress)

    async def uploads(self, _job: JobRow, _progress: Progress) -> Result:
        """Leave a file that is half there when it comes to the gate."""

        async def chunks() -> AsyncIterator[bytes]:
            yield CONTENT[:5]
            await self.wait()
            yield CONTENT[5:]

        return Result("report.csv", "text/csv", chunks())


@contextlib.contextmanager
def telling_every(seconds: float) -> Iterator[None]:
    """Inside the block progress is written so often."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "TELL_EVERY_S", seconds)
        yield
