"""Processes that are kept running: one that dies is followed by another, until it is clear that none will work."""

import os
import signal
from multiprocessing.process import current_process
from pathlib import Path

import pytest

from planwire_processes import PROCESS_TRIES, CommandError, keep


def note_and_die(path: str) -> None:
    """Leave a line, and die without a word."""
    with open(path, "a", encoding="utf-8") as lines:
        lines.write(f"{current_process().name}\n")
    os.kill(os.getpid(), signal.SIGKILL)


async def test_what_dies_is_started_again_and_given_up_after_three_times(tmp_path: Path) -> None:
    lines = tmp_path / "lines"

    with pytest.raises(CommandError, match=f"the jobs ended {PROCESS_TRIES} times without working"):
        await keep("the jobs", note_and_die, str(lines), end_within_s=1.0)

    assert lines.read_text() == "planwire-the-jobs\n" * PROCESS_TRIES
