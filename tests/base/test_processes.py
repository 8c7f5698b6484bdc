"""Processes of the command line: what each imports, and how one that dies is followed by another."""

import json
import os
import signal
import subprocess
import sys
from multiprocessing.process import current_process
from pathlib import Path

import pytest

from commands.processes import PROCESS_TRIES, CommandError, keep
from tests.processes import ENVIRON, ROOT

IMPORTED = """
import importlib, json, sys

found = []
for name in ("commands.database", "commands.working"):
    importlib.import_module(name)
    found.append(sorted({"taskiq", "strawberry", "starlette", "uvicorn"} & set(sys.modules)))
print(json.dumps(found))
"""


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


def test_a_command_imports_what_it_needs_and_no_more() -> None:
    command = [sys.executable, "-c", IMPORTED]
    told = subprocess.run(command, cwd=ROOT, env=ENVIRON, capture_output=True, text=True, check=True)  # noqa: S603

    assert json.loads(told.stdout) == [[], ["taskiq"]]
