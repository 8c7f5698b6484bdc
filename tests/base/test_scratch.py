"""Folders that last as long as their process."""

import signal
import stat
import sys
import tempfile
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from domain.base.scratch import scratch, sweep
from tests.processes import ENVIRON, ROOT

HOLDS_ONE = """
import sys
from domain.base.scratch import scratch

with scratch() as folder:
    (folder / "report").write_text("what takes room")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are; what other processes of the machine have there is not looked at."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sweep.cache_clear()
    return tmp_path


def holder(place: Path) -> Popen[str]:
    """A process that holds a folder until its input ends."""
    environ = {**ENVIRON, "TMPDIR": str(place)}
    return Popen([sys.executable, "-c", HOLDS_ONE], cwd=ROOT, env=environ, stdin=PIPE, stdout=PIPE, text=True)  # noqa: S603


def folder_of(process: Popen[str]) -> Path:
    assert process.stdout is not None
    return Path(process.stdout.readline().strip())


def test_it_is_empty_and_our_own_and_gone_at_the_end(place: Path) -> None:
    with scratch() as folder:
        assert list(place.iterdir()) == [folder]
        assert list(folder.iterdir()) == []
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "inner").mkdir()
        (folder / "inner" / "file").touch()
    assert list(place.iterdir()) == []


def test_it_is_gone_after_a_fault(place: Path) -> None:
    with pytest.raises(ZeroDivisionError), scratch():
        raise ZeroDivisionError
    assert list(place.iterdir()) == []


def test_what_a_killed_process_has_left_goes_and_what_another_uses_stays(place: Path) -> None:
    with holder(place) as killed, holder(place) as alive:
        left, used = folder_of(killed), folder_of(alive)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert (left / "report").exists()

        with scratch() as folder:
            assert sorted(place.iterdir()) == sorted([used, folder])
            assert (used / "report").read_text() == "what takes room"


def test_a_link_is_not_followed(place: Path) -> None:
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    link = place / "planwire-scratch-link"
    link.symlink_to(elsewhere)

    with scratch():
        assert (elsewhere / "file").exists()
    assert link.is_symlink()
