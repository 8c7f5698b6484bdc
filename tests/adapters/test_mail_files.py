"""Mails of embedded mode: whole files for their owner alone, in order, one for each mail."""

import asyncio
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from domain.adapters.mail import MailRefused
from domain.adapters.mail_files import FileMail
from domain.base.clock import frozen
from domain.base.errors import Unavailable
from tests.adapters.test_mail_smtp import MESSAGE

AT = datetime(2026, 11, 21, 12, 0, 0, 1, tzinfo=UTC)
SENDER = "Planwire <no-reply@planwire.example>"


async def test_a_mail_is_a_file_that_its_owner_alone_may_read(tmp_path: Path) -> None:
    mail = FileMail(tmp_path, sender=SENDER)

    with frozen(AT):
        await mail.send(MESSAGE)

    (file,) = (tmp_path / "mail").iterdir()
    assert file.name.startswith("20261121T120000000001Z-")
    assert file.suffix == ".eml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    (found,) = await mail.newest(10)
    assert found == await mail.find(file.name)
    assert (found.written_at, found.text, found.html) == (AT, MESSAGE.text, MESSAGE.html + "\n")
    assert found.header("subject") == MESSAGE.subject
    assert found.header("to") == MESSAGE.to
    assert found.header("message-id") == MESSAGE.message_id
    assert found.header("cc") == ""


async def test_the_newest_come_first(tmp_path: Path) -> None:
    mail = FileMail(tmp_path, sender=SENDER)
    for number in range(3):
        with frozen(AT + timedelta(seconds=number)):
            await mail.send(replace(MESSAGE, subject=str(number), message_id=f"<{number}@planwire.example>"))

    assert [each.header("subject") for each in await mail.newest(10)] == ["2", "1", "0"]
    assert [each.header("subject") for each in await mail.newest(2)] == ["2", "1"]


async def test_a_retry_writes_no_second_file(tmp_path: Path) -> None:
    mail = FileMail(tmp_path, sender=SENDER)

    await mail.send(MESSAGE)
    await mail.send(replace(MESSAGE, subject="Another title"))

    assert [each.header("subject") for each in await mail.newest(10)] == [MESSAGE.subject]


async def test_mails_at_once_are_all_written(tmp_path: Path) -> None:
    mail = FileMail(tmp_path, sender=SENDER)

    await asyncio.gather(*(mail.send(replace(MESSAGE, message_id=f"<{n}@planwire.example>")) for n in range(50)))

    assert len(await mail.newest(100)) == 50
    assert len(list((tmp_path / "mail").iterdir())) == 50


@pytest.mark.parametrize(
    "name",
    [
        "../secret_key",
        "..%2fsecret_key",
        "/etc/passwd",
        "",
        ".",
        "x.eml",
        "20261121T120000000001Z-" + "g" * 32 + ".eml",
    ],
)
async def test_no_other_file_is_found_by_a_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    (tmp_path / "secret_key").write_text("secret")
    (tmp_path / "mail" / "x.eml").write_text("Subject: x\n\n")
    mail = FileMail(tmp_path, sender=SENDER)

    assert await mail.find(name) is None
    assert await mail.newest(10) == []


async def test_there_are_none_before_the_first(tmp_path: Path) -> None:
    mail = FileMail(tmp_path, sender=SENDER)

    assert await mail.newest(10) == []
    assert await mail.find("20261121T120000000001Z-" + "a" * 32 + ".eml") is None


async def test_a_disk_that_takes_nothing_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("in the way")

    with pytest.raises(Unavailable):
        await FileMail(tmp_path, sender=SENDER).send(MESSAGE)


async def test_a_mail_that_would_be_another_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(MailRefused):
        await FileMail(tmp_path, sender=SENDER).send(replace(MESSAGE, to="ann@acme.test\nBcc: eve@evil.test"))

    assert not (tmp_path / "mail").exists()
