"""Children with little memory and time. `timeit` runs what it is told, as a program of the standard library."""

import asyncio
import signal
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from domain.base.confined import Exceeded, Failed, Limits, run
from tests.base.confining import SAY_AND_SLEEP, WIDE
from tests.jobs.crew import until

MIB = 1024**2


def told(code: str) -> list[str]:
    """Arguments of timeit that run the code once."""
    return ["-n1", "-r1", code]


def is_gone(pid: int) -> bool:
    """Whether the process has ended; one that nobody has waited for yet has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def gone(pid: int) -> bool:
    return is_gone(pid)


async def test_its_lines_are_told_as_they_come() -> None:
    lines: list[str] = []

    await run("timeit", told("print('first'); print('second')"), WIDE, tell=lines.append)

    assert lines[:2] == ["first", "second"]


async def test_it_knows_no_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECRET_KEY", "nobody may know this")
    lines: list[str] = []

    await run(
        "timeit", told("import os; print(sorted(os.environ), os.environ.get('SECRET_KEY'))"), WIDE, tell=lines.append
    )

    assert "SECRET_KEY" not in lines[0]
    assert "DATABASE_URL" not in lines[0]


@pytest.mark.parametrize(
    ("code", "limits", "limit"),
    [
        ("bytearray(1024**3)", replace(WIDE, memory_bytes=512 * MIB), "memory"),
        ("while True: pass", replace(WIDE, cpu_s=1), "processor"),
        ("import time; time.sleep(600)", replace(WIDE, wall_s=0.5), "time"),
    ],
)
async def test_what_takes_too_much_is_ended(code: str, limits: Limits, limit: str) -> None:
    with pytest.raises(Exceeded) as ended:
        await run("timeit", told(code), limits)

    assert ended.value.limit == limit


async def test_a_file_does_not_grow_beyond_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "large"

    with pytest.raises(Failed, match="File too large"):
        await run("timeit", told(f"open({str(path)!r}, 'wb').write(bytes(4 * 1024 ** 2))"), WIDE)

    assert path.stat().st_size <= WIDE.file_bytes


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise ValueError('this is no picture')", "ValueError: this is no picture"),
        ("import os; os.abort()", "it was ended by SIGABRT"),
        ("import os; os._exit(3)", "it ended with status 3"),
    ],
)
async def test_a_fault_is_told_by_its_last_line(code: str, message: str) -> None:
    with pytest.raises(Failed) as failed:
        await run("timeit", told(code), WIDE)

    assert str(failed.value) == message


async def test_a_cancellation_kills_it() -> None:
    pids: list[int] = []
    running = asyncio.create_task(run("timeit", told(SAY_AND_SLEEP), WIDE, tell=lambda line: pids.append(int(line))))
    await until(lambda: asyncio.sleep(0, bool(pids)))

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert is_gone(pids[0])


async def test_it_ends_with_who_started_it() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.base.confining", stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert not is_gone(pid)

    parent.send_signal(signal.SIGKILL)
    await parent.wait()

    await until(lambda: gone(pid))
