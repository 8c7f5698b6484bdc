"""Folders for files that are of use only while their process lives."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PREFIX = "planwire-scratch-"
# Nobody sweeps it before it is locked.
_PREFIX_WHILE_NEW = "planwire-new-"


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder that only this user can look into, removed at the end with what is in it.

    What killed processes of this user have left goes when a process first asks for one.
    """
    sweep()
    new = Path(tempfile.mkdtemp(prefix=_PREFIX_WHILE_NEW))
    folder = new.with_name(new.name.replace(_PREFIX_WHILE_NEW, PREFIX, 1))
    # The kernel takes the lock back when the process ends, however it ends.
    with _opened(new) as directory:
        fcntl.flock(directory, fcntl.LOCK_EX)
        new.rename(folder)
        try:
            yield folder
        finally:
            # Something may have cleaned the machine of old files.
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(folder)


@cache
def sweep() -> None:
    """Remove the folders whose processes are gone; once in each process."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # It may be another user's, gone by now, or in use.
        with contextlib.suppress(OSError), _opened(left) as directory:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left)


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
