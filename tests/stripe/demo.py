"""The fake beside `planwire dev`: at a port of its own, with a memory that lasts from one start to the next."""

import asyncio
import json
import socket
from pathlib import Path

from tests.stripe.server import FakeStripe, running

SAVE_EVERY_S = 1.0


class Demo:
    """A fake that listens already, so that its settings are known, and is served by `run`."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.fake = FakeStripe.behind(self._listener)
        self.origin, self.settings = self.fake.origin, self.fake.settings

    async def run(self, webhooks: str, directory: Path) -> None:
        """Serve until cancelled. Events go to `webhooks`; what is remembered lies in the directory."""
        file = directory / "stripe.json"
        self._restore(file)
        self.fake.courier.address = webhooks
        with self._listener:
            async with running(self.fake, self._listener):
                try:
                    while True:
                        await asyncio.sleep(SAVE_EVERY_S)
                        self._save(file)
                finally:
                    self._save(file)

    def _restore(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists():
            self.fake.account.restore(json.loads(file.read_text()))

    def _save(self, file: Path) -> None:
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(self.fake.account.saved()))
        # A name stands for the whole text, or for the one before.
        draft.replace(file)
