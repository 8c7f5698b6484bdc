"""Reactions of a worker that kills itself in the middle: behind a check's last byte, or with a thumbnail stored.

`planwire work --reactions tests.attachments.dying` runs them. No test imports this, or it would be who dies.
"""

import os
import signal
from typing import Any

from domain.attachments import checking, service
from tests.attachments.uploading import HANDLERS

REACTIONS = HANDLERS.events
ROWS = HANDLERS.rows


def _die(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


checking.judge = _die
service.note_thumbnail = _die
