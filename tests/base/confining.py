"""A program for tests that has a confined child, tells its id, and waits to be killed."""

import asyncio
import sys

from domain.base import confined

WIDE = confined.Limits(memory_bytes=2 * 1024**3, cpu_s=60, wall_s=600.0, file_bytes=1024**2)
SAY_AND_SLEEP = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"


def _pass_on(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(confined.run("timeit", ["-n1", "-r1", SAY_AND_SLEEP], WIDE, tell=_pass_on))
