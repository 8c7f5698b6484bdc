"""`planwire serve` that kills itself between the commit of an event and the answer to it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import planwire
from domain.adapters.stripe import WebhookEvent
from domain.base.settings import Settings
from domain.billing import webhooks
from tests.processes import ENVIRON, ROOT

_receive = webhooks.receive


async def _receive_and_die(event: WebhookEvent) -> None:
    await _receive(event)
    os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def dying(
    settings: Settings, of_stripe: dict[str, str], directory: Path
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The process and its origin, over the same database."""
    environ = {
        "DATABASE_URL": str(settings.database_url),
        "REDIS_URL": str(settings.redis_url),
        "SECRET_KEY": settings.secret_key,
        "PLANWIRE_DATA": str(directory),
        **of_stripe,
    }
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", __name__],
        cwd=ROOT,
        env={**ENVIRON, **environ},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("ready: "), line
            yield process, line.removeprefix("ready: ").removesuffix("/graphql\n")
        finally:
            process.kill()


if __name__ == "__main__":
    webhooks.receive = _receive_and_die
    sys.exit(planwire.main(("serve", "--port", "0")))
