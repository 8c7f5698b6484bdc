"""The clients' drivers as processes: what they are given, what they tell, and what they threw."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.processes import NODE

HERE = Path(__file__).resolve().parent
PATIENCE_S = 60


class Driver:
    """A driver while it runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> Any:
        """The next line that it tells; None when it has ended well. Raises AssertionError with what it threw."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        line = b""
        try:
            async with asyncio.timeout(PATIENCE_S):
                line = await self.process.stdout.readline()
        except TimeoutError:
            self.process.kill()
        if line:
            return json.loads(line)
        thrown = (await self.process.stderr.read()).decode()
        status = await self.process.wait()
        assert (status, thrown) == (0, ""), f"the driver ended with {status}: {thrown}"
        return None

    async def lines(self) -> list[Any]:
        """What it tells from now to its end."""
        told = []
        while (line := await self.line()) is not None:
            told.append(line)
        return told


@asynccontextmanager
async def running(script: str | Path, **given: Any) -> AsyncIterator[Driver]:
    """A driver with what it is given, killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        NODE,
        HERE / script,
        json.dumps(given),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1024 * 1024,
    )
    try:
        yield Driver(process)
    finally:
        if process.returncode is None:
            process.kill()
        # Not wait(), which never comes back while a pipe is full.
        await process.communicate()


async def told(script: str | Path, **given: Any) -> list[Any]:
    """All that a driver tells, which must end well."""
    async with running(script, **given) as driver:
        return await driver.lines()
