"""Mail of embedded mode: a file for each, for who develops to look at. None of it leaves this machine."""

import asyncio
import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from domain.adapters.mail import Message, written
from domain.base.clock import now
from domain.base.errors import Unavailable

# When it was written, so that names sort by time, and which mail it is.
_TIME = "%Y%m%dT%H%M%S%f"
_NAME = re.compile(r"([0-9]{8}T[0-9]{12})Z-[0-9a-f]{32}\.eml")


@dataclass(frozen=True)
class Stored:
    """A mail that was written. `text` and `html` are empty when it has none."""

    name: str
    written_at: datetime
    headers: tuple[tuple[str, str], ...]
    text: str
    html: str

    def header(self, name: str) -> str:
        """The value of a header, empty when there is none."""
        return next((value for each, value in self.headers if each.lower() == name.lower()), "")


class FileMail:
    """The folder of mails in the data directory."""

    def __init__(self, data_dir: Path, *, sender: str) -> None:
        self._directory = data_dir / "mail"
        self._sender = sender

    async def send(self, message: Message) -> None:
        """Write the mail, unless it is there already. Raises MailRefused; Unavailable when the disk takes nothing."""
        mail = written(message, sender=self._sender)
        which = hashlib.sha256(message.message_id.encode()).hexdigest()[:32]
        name = f"{now().astimezone(UTC).strftime(_TIME)}Z-{which}.eml"
        try:
            await asyncio.to_thread(self._write, name, which, mail.as_bytes())
        except OSError as fault:
            raise Unavailable("The mail cannot be written to the data directory.") from fault

    async def close(self) -> None:
        """Nothing is open."""

    async def newest(self, limit: int) -> list[Stored]:
        """The mails that were written last, newest first."""
        return await asyncio.to_thread(self._newest, limit)

    async def find(self, name: str) -> Stored | None:
        """The mail of that file name, None when there is none."""
        # Matched before it becomes part of a path, so it cannot lead anywhere else.
        return await asyncio.to_thread(self._read, name) if _NAME.fullmatch(name) else None

    def _write(self, name: str, which: str, content: bytes) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(self._directory.glob(f"*-{which}.eml")):
            return
        draft = self._directory / f".{secrets.token_hex(8)}.draft"
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
            draft.rename(self._directory / name)
        finally:
            draft.unlink(missing_ok=True)

    def _newest(self, limit: int) -> list[Stored]:
        if not self._directory.is_dir():
            return []
        names = sorted((each.name for each in self._directory.iterdir() if _NAME.fullmatch(each.name)), reverse=True)
        return [found for name in names[:limit] if (found := self._read(name)) is not None]

    def _read(self, name: str) -> Stored | None:
        try:
            content = (self._directory / name).read_bytes()
        except FileNotFoundError:
            return None
        mail = message_from_bytes(content, _class=EmailMessage, policy=policy.default)
        matched = _NAME.fullmatch(name)
        assert matched is not None  # noqa: S101  # both callers have matched it
        return Stored(
            name,
            datetime.strptime(matched[1], _TIME).replace(tzinfo=UTC),
            tuple((key, str(value)) for key, value in mail.items()),
            _part(mail, "plain"),
            _part(mail, "html"),
        )


def _part(mail: EmailMessage, kind: str) -> str:
    found = mail.get_body((kind,))
    return "" if found is None else str(found.get_content()).replace("\r\n", "\n")
