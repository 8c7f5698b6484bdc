"""Reactions for worker processes: jobs that hold, and say in a file which process is at them.

`planwire work --reactions tests.work.hands` runs them.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.work import running
from domain.work.queries import JobRow
from domain.work.running import Progress, Result
from jobs.handlers import row_handler

LOOK_EVERY_S = 0.02


def _note(directory: Path, word: str) -> None:
    with (directory / f"{word}.{os.getpid()}").open("a") as file:
        file.write("x")


async def _hold(directory: Path) -> None:
    """Wait for the file `go`, and say so when it is not waited for any more."""
    _note(directory, "begun")
    try:
        while not (directory / "go").exists():  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(LOOK_EVERY_S)
    except asyncio.CancelledError:
        _note(directory, "cancelled")
        raise


async def does(job: JobRow, progress: Progress) -> Result:
    """Half of it at once; the rest, or with `upload` the second half of the file, when the file `go` is there."""
    directory = Path(job.given["directory"])
    progress.tell(0.5, "half")

    async def chunks() -> AsyncIterator[bytes]:
        yield b"one "
        if job.given.get("upload"):
            await _hold(directory)
        yield b"two"

    if not job.given.get("upload"):
        await _hold(directory)
    return Result("report.txt", "text/plain", chunks())


@row_handler("hands.do", timeout_s=running.HANDLER_TIMEOUT_S)
async def do(_actor: Actor, job_id: UUID, adapters: Adapters, _delivery_id: UUID) -> None:
    """The job."""
    await running.perform(job_id, adapters.storage, does)


ROWS = (do,)
