"""What a service of models is told, and says, stays between the two."""

import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
import structlog

from domain.adapters.embeddings_openai import OpenAiEmbeddings
from domain.adapters.language_model import Message, Text
from domain.adapters.language_model_openai import OpenAiLanguageModel
from domain.adapters.model_errors import ModelRefused
from domain.base.errors import Unavailable
from tests.adapters.test_language_model import model_at
from tests.openai.server import DIMENSIONS, FakeOpenAi, serving


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAi]:
    """The service."""
    async with serving() as running:
        yield running


async def test_neither_words_nor_key_are_told_in_logs_and_errors(
    fake: FakeOpenAi, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("openai", "httpx2", "httpcore2", "asyncio", ""):
        caplog.set_level(logging.DEBUG, name)
    model, stranger = model_at(fake), model_at(fake, key="sk-hunter2-wrong")
    secret = [Message("user", "hunter2-prompt")]
    faults: list[BaseException] = []

    async def failing(model: OpenAiLanguageModel) -> None:
        embeddings = OpenAiEmbeddings(model._service, model="fake-embedding", dimensions=DIMENSIONS)
        for call in (
            model.answer(secret, max_tokens=5),
            anext(model.stream(secret, max_tokens=5)),
            embeddings.embed(["hunter2-text"]),
        ):
            with pytest.raises((Unavailable, ModelRefused)) as raised:
                await call
            faults.append(raised.value)

    with structlog.testing.capture_logs() as lines:
        for _ in range(2):
            fake.reply("hunter2-answer and more")
        await model.answer(secret, max_tokens=5)
        async with aclosing(model.stream(secret, max_tokens=5)) as pieces:
            told = [piece async for piece in pieces]
        await model.image("hunter2-prompt")
        for status in (400, 429, 500):
            fake.fault("fail", status=status, code="hunter2 code", times=3, retry_after="3600")
            await failing(model)
        fake.fault("answer", body=b'"hunter2-body"', times=3)
        await failing(model)
        fake.reply(raw=('{"error": {"message": "hunter2-answer"}}',))
        fake.embedded = lambda _text, _dimensions: [0.0]
        fake.fault("fail", status=500, retry_after="3600")
        await failing(model)
        await failing(stranger)

    assert told[0] == Text("hunter2-answer ")
    assert len(faults) == 18
    written = caplog.text + str([(record.msg, record.args) for record in caplog.records]) + str(lines)
    written += "".join("".join(traceback.format_exception(fault)) for fault in faults)
    assert "hunter2" not in written
    assert fake.key not in written
    # All of it was heard.
    assert {"openai", "httpx2", "httpcore2"} <= {record.name.partition(".")[0] for record in caplog.records}
    assert {line["status"] for line in lines if "status" in line} == {400, 401, 429, 500}
    await model.close()
    await stranger.close()
