"""What other libraries would put into our logs."""

import json
import sys
from subprocess import run

from tests.processes import ENVIRON, ROOT

SCRIPT = """
import json, logging
from domain.base import telemetry
from domain.base.settings import load

telemetry.configure(load({"LOG_LEVEL": "debug"}))
names = (
    "asyncpg",
    "httpcore",
    "httpcore.http11",
    "httpcore2.http11",
    "httpx2",
    "openai._base_client",
    "taskiq.receiver",
    "planwire",
)
print(json.dumps([name for name in names if logging.getLogger(name).isEnabledFor(logging.DEBUG)]))
"""


def test_libraries_that_log_values_and_headers_are_quiet_at_debug() -> None:
    told = run([sys.executable, "-c", SCRIPT], cwd=ROOT, env=ENVIRON, capture_output=True, text=True, check=True)  # noqa: S603

    assert json.loads(told.stdout) == ["planwire"]
