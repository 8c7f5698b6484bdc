"""A child process for work that may be too much, or on bytes that strangers sent.

It gets files by their paths, tells its progress in lines, and knows no setting and no secret. What it may use is
bounded: memory, processor, the size of a file, and time. It is killed when it is not wanted any more, and ends by
itself when we do, however we end: the pipe that is its standard input is closed then.
"""

import asyncio
import os
import resource
import runpy
import signal
import sys
import threading
from asyncio import StreamReader
from asyncio.subprocess import PIPE
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

# The end of what it wrote to its standard error; tracebacks end with what they are about.
TOLD_BYTES = 4096
# Numeric libraries start a thread for each core, each with memory of its own.
_ENVIRONMENT = {"LANG": "C.UTF-8", "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Limits:
    """What a child may use. `memory_bytes` is its address space, code and libraries included."""

    memory_bytes: int
    cpu_s: int
    wall_s: float
    file_bytes: int


class Exceeded(Exception):
    """The child came to one of its limits: `memory`, `processor` or `time`."""

    def __init__(self, limit: str) -> None:
        super().__init__(f"it took more {limit} than it may")
        self.limit = limit


class Failed(Exception):
    """The child ended with a fault; the message is the last line that it wrote."""


async def run(
    module: str, arguments: Sequence[str], limits: Limits, *, tell: Callable[[str], None] | None = None
) -> None:
    """Run the module as a program, to its end; `tell` gets each line of its standard output.

    Raises Exceeded; Failed. A cancellation kills it.
    """
    child = await asyncio.create_subprocess_exec(
        # Isolated: nothing is imported from the folder that we happen to stand in.
        *(sys.executable, "-I", "-m", __spec__.name),
        *(str(limits.memory_bytes), str(limits.cpu_s), str(limits.file_bytes)),
        *(module, *arguments),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=_ENVIRONMENT,
        # Ctrl-C at our terminal is our affair.
        start_new_session=True,
    )
    output, faults = cast(StreamReader, child.stdout), cast(StreamReader, child.stderr)
    try:
        async with asyncio.timeout(limits.wall_s):
            _, told, status = await asyncio.gather(_lines(output, tell), _last(faults), child.wait())
    except TimeoutError:
        raise Exceeded("time") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if status == -signal.SIGXCPU:
        raise Exceeded("processor")
    last = told.rstrip().rpartition("\n")[2]
    if last.startswith("MemoryError"):
        raise Exceeded("memory")
    if status < 0:
        raise Failed(f"it was ended by {signal.Signals(-status).name}")
    if status > 0:
        raise Failed(last or f"it ended with status {status}")


async def _lines(output: StreamReader, tell: Callable[[str], None] | None) -> None:
    async for line in output:
        if tell is not None:
            tell(line.decode(errors="replace").rstrip("\n"))


async def _last(output: StreamReader) -> str:
    told = b""
    while part := await output.read(TOLD_BYTES):
        told = (told + part)[-TOLD_BYTES:]
    return told.decode(errors="replace")


def _become(memory_bytes: str, cpu_s: str, file_bytes: str, module: str, *arguments: str) -> None:
    """Be the child."""
    for limit, most in (
        (resource.RLIMIT_AS, int(memory_bytes)),
        (resource.RLIMIT_FSIZE, int(file_bytes)),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    # SIGXCPU at the first, SIGKILL at the second.
    resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s), int(cpu_s) + 1))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_parent() -> None:
    # Not by way of sys.stdin, whose lock the interpreter wants when it ends.
    while os.read(0, TOLD_BYTES):
        pass
    os._exit(1)


if __name__ == "__main__":
    _become(*sys.argv[1:])
