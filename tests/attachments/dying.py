"""`planwire work` that kills itself in the middle of a job: behind a check's last byte, or with a thumbnail stored."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import planwire
from domain.attachments import checking, service
from domain.base.settings import Settings
from domain.events.types import EventType
from jobs import attachments as jobs
from jobs.reactions import REACTIONS as ALL
from tests.processes import ENVIRON, ROOT

REACTIONS = {type_: ALL[type_] for type_ in (EventType.ATTACHMENT_UPDATED, EventType.ATTACHMENT_DELETED)}
ROWS = (jobs.check,)


def _die(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def dying(settings: Settings) -> Iterator["subprocess.Popen[bytes]"]:
    """The process, over the same servers and the same files."""
    environ = {
        "DATABASE_URL": str(settings.database_url),
        "DATABASE_POOL_SIZE": "8",
        "REDIS_URL": str(settings.redis_url),
        "SECRET_KEY": settings.secret_key,
        "PLANWIRE_DATA": str(settings.data_dir),
        "LOG_LEVEL": "warning",
    }
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", __name__], cwd=ROOT, env={**ENVIRON, **environ}
    ) as process:
        try:
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    checking.judge = _die
    service.note_thumbnail = _die
    sys.exit(planwire.main(("work", "--only", "relay,worker", "--reactions", "tests.attachments.dying")))
