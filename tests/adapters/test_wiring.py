"""Which adapters there are is the settings' choice, and nothing is lost in silence."""

import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from domain.adapters.embeddings_local import LocalEmbeddings
from domain.adapters.http import Http
from domain.adapters.language_model import Message
from domain.adapters.mail import Mail, MailOff, MailRefused
from domain.adapters.mail_files import FileMail
from domain.adapters.mail_resend import ResendMail
from domain.adapters.mail_smtp import SmtpMail
from domain.adapters.slack import Slack
from domain.adapters.storage_local import LocalStorage
from domain.adapters.storage_s3 import S3Storage
from domain.adapters.wiring import Adapters, mail_of, storage_of
from domain.base.settings import Settings, load
from tests.adapters.test_mail_smtp import MESSAGE
from tests.adapters.test_storage_keys import KEY
from tests.openai.server import serving

SERVERS = {"DATABASE_URL": "postgres://db.test/planwire", "SECRET_KEY": "k" * 32}
SMTP = {"SMTP_URL": "smtp://mail.test"}
RESEND = {"RESEND_API_KEY": "re_1"}


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    """The way out, which nothing takes here."""
    http = Http()
    yield http
    await http.close()


@pytest.mark.parametrize(
    ("environ", "mail"),
    [
        ({}, FileMail),
        (SMTP, SmtpMail),
        (RESEND, ResendMail),
        ({**SMTP, **RESEND}, SmtpMail),
        ({**SERVERS, **SMTP}, SmtpMail),
        ({**SERVERS, **RESEND}, ResendMail),
        (SERVERS, MailOff),
    ],
)
async def test_mail_takes_the_way_that_is_set(
    environ: dict[str, str], mail: type[Mail], http: Http, tmp_path: Path
) -> None:
    with structlog.testing.capture_logs() as lines:
        found = mail_of(load(environ, data_dir=tmp_path), http)

    assert type(found) is mail
    assert [(line["log_level"], line["event"]) for line in lines] == (
        [("warning", "no mail is sent: neither SMTP_URL nor RESEND_API_KEY is set")] if mail is MailOff else []
    )


async def test_without_a_way_every_mail_is_refused(http: Http, tmp_path: Path) -> None:
    mail = mail_of(load(SERVERS, data_dir=tmp_path), http)

    with pytest.raises(MailRefused, match="set SMTP_URL or RESEND_API_KEY"):
        await mail.send(MESSAGE)


async def test_a_webhook_is_there_when_its_url_is(settings: Settings) -> None:
    without = Adapters.of(settings)
    having = Adapters.of(replace(settings, slack_webhook_url="https://hooks.test/x"))

    assert without.slack is None
    assert isinstance(having.slack, Slack)
    await without.close()
    await having.close()


@pytest.mark.parametrize(("environ", "warnings"), [({}, []), (SERVERS, ["files lie on this machine alone"])])
async def test_without_a_bucket_files_lie_in_the_data_directory(
    environ: dict[str, str], warnings: list[str], tmp_path: Path
) -> None:
    with structlog.testing.capture_logs() as lines:
        storage = storage_of(load(environ, data_dir=tmp_path))

    assert isinstance(storage, LocalStorage)
    assert storage.path(KEY) == tmp_path / "files" / KEY
    assert [line["event"] for line in lines] == warnings


async def test_files_lie_in_the_bucket_that_is_set(tmp_path: Path) -> None:
    bucket = {"S3_BUCKET": "files", "AWS_REGION": "eu-central-1"}

    with structlog.testing.capture_logs() as lines:
        storages = [storage_of(load(each, data_dir=tmp_path)) for each in (bucket, {**SERVERS, **bucket})]

    assert [type(storage) for storage in storages] == [S3Storage, S3Storage]
    assert lines == []


async def test_without_a_key_texts_are_embedded_here_and_there_is_no_language_model(settings: Settings) -> None:
    adapters = Adapters.of(settings)

    assert isinstance(adapters.embeddings, LocalEmbeddings)
    assert adapters.language_model is None
    await adapters.close()


async def test_with_a_key_both_are_the_services(settings: Settings) -> None:
    async with serving() as fake:
        told = load({**SERVERS, **fake.settings})
        adapters = Adapters.of(replace(told, redis_url=settings.redis_url))
        model = adapters.language_model
        assert model is not None

        (vector,) = await adapters.embeddings.embed(["text"])
        answer = await model.answer([Message("user", "Is it late?")], max_tokens=5)
        await adapters.close()

    assert (adapters.embeddings.model, len(vector)) == ("127.0.0.1/fake-embedding/64", 64)
    assert answer.text == "As you wish."
    assert [(asked.path, asked.body["model"]) for asked in fake.asked] == [
        ("/v1/embeddings", "fake-embedding"),
        ("/v1/chat/completions", "fake-chat"),
    ]


async def test_a_service_without_embeddings_is_used_for_the_rest(settings: Settings) -> None:
    told = load({**SERVERS, "OPENAI_API_KEY": "sk-1", "OPENAI_EMBEDDING_MODEL": "local"})
    adapters = Adapters.of(replace(told, redis_url=settings.redis_url))

    assert isinstance(adapters.embeddings, LocalEmbeddings)
    assert adapters.language_model is not None
    await adapters.close()


NOT_IMPORTED = """
import sys
from pathlib import Path
import commands.serving
import commands.working
from domain.adapters.wiring import Adapters
from domain.base.settings import load

Adapters.of(load({"REDIS_URL": "redis://127.0.0.1"}, data_dir=Path(sys.argv[1])))
print(sorted({"aiobotocore", "botocore", "fpdf", "matplotlib", "openai", "wordllama"} & set(sys.modules)))
"""


def test_a_client_that_nobody_set_is_not_imported(tmp_path: Path) -> None:
    # In a process of its own: others of this one may have imported it.
    told = subprocess.run(  # noqa: S603
        [sys.executable, "-c", NOT_IMPORTED, str(tmp_path)], capture_output=True, text=True, check=True
    )

    assert told.stdout == "[]\n"
