"""A language model answers in pieces, whole, or not at all; who stops listening stops the service too."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from domain.adapters.http import Http
from domain.adapters.language_model import (
    Answer,
    End,
    FinishReason,
    Message,
    Piece,
    Text,
    Tool,
    ToolCall,
    Usage,
    estimated_usage,
)
from domain.adapters.language_model_openai import OpenAiLanguageModel
from domain.adapters.model_errors import ModelRefused
from domain.adapters.openai_service import OpenAiService
from domain.base.errors import Unavailable
from tests.adapters.test_http import names, only
from tests.openai.server import FakeOpenAi, Reply, serving

# Only a test that fails waits for so long.
PATIENCE_S = 20.0
ASKED = (Message("system", "Be short."), Message("user", "What is late?"))
TOOL = Tool("tasks", "Finds tasks.", {"type": "object", "properties": {"text": {"type": "string"}}})


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAi]:
    """The service."""
    async with serving() as running:
        yield running


def model_at(fake: FakeOpenAi, *, key: str | None = None, **deadlines: float) -> OpenAiLanguageModel:
    """The service's language model, which finds pictures on this machine."""
    return OpenAiLanguageModel(
        OpenAiService(api_key=key or fake.key, base_url=f"{fake.origin}/v1"),
        chat_model="fake-chat",
        image_model="fake-image",
        pictures=Http(resolve=names("127.0.0.1"), is_allowed=only("127.0.0.1"), schemes=("http",)),
        **deadlines,
    )


@pytest.fixture
async def model(fake: FakeOpenAi) -> AsyncIterator[OpenAiLanguageModel]:
    """The service's language model."""
    made = model_at(fake)
    yield made
    await made.close()


async def all_of(model: OpenAiLanguageModel, **asked: Any) -> list[Piece]:
    """Every piece of the answer."""
    async with aclosing(model.stream(ASKED, max_tokens=50, **asked)) as pieces:
        return [piece async for piece in pieces]


async def test_an_answer_comes_in_pieces_and_ends_with_what_it_cost(
    fake: FakeOpenAi, model: OpenAiLanguageModel
) -> None:
    fake.reply("WEB-1 and WEB-2 🙂 are late.", usage=(30, 9))

    pieces = await all_of(model)

    assert pieces == [
        *(Text(each) for each in ("WEB-1 ", "and ", "WEB-2 ", "🙂 ", "are ", "late.")),
        End(FinishReason.STOP, Usage(30, 9, is_estimated=False)),
    ]
    (asked,) = fake.asked
    assert asked.body == {
        "model": "fake-chat",
        "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "What is late?"}],
        "max_tokens": 50,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert asked.answered.is_set()
    assert not asked.hung_up.is_set()


def part(**choice: object) -> str:
    """A part of a stream."""
    return json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": None, **choice}]})


async def listen(model: OpenAiLanguageModel, pieces: list[Piece]) -> None:
    """Put every piece of an answer there as it comes."""
    async with aclosing(model.stream(ASKED, max_tokens=50)) as coming:
        async for piece in coming:
            pieces.append(piece)


async def test_a_piece_is_there_before_the_next_is_made(fake: FakeOpenAi, model: OpenAiLanguageModel) -> None:
    reply = fake.reply("One two.", stop_after=1)

    async with aclosing(model.stream(ASKED, max_tokens=50)) as pieces:
        first = await anext(pieces)
        reply.go_on.set()
        rest = [piece async for piece in pieces]

    assert first == Text("One ")
    assert rest[0] == Text("two.")


async def test_calls_of_tools_come_whole(fake: FakeOpenAi, model: OpenAiLanguageModel) -> None:
    calls = (("tasks", '{"text": "späte"}'), ("tasks", "not JSON"), ("now", ""))
    fake.reply("Let me see.", tool_calls=calls, finish="tool_calls")
    called = ToolCall("call_9", "tasks", "{}")
    messages = (*ASKED, Message("assistant", "", (called,)), Message("tool", "[]", tool_call_id="call_9"))

    async with aclosing(model.stream(messages, tools=[TOOL], max_tokens=50)) as answer:
        pieces = [piece async for piece in answer]

    assert pieces[3:] == [
        *(ToolCall(f"call_{place}", *call) for place, call in enumerate(calls)),
        End(FinishReason.TOOL_CALLS, Usage(21, 4, is_estimated=False)),
    ]
    (asked,) = fake.asked
    assert asked.body["tools"] == [
        {
            "type": "function",
            "function": {"name": "tasks", "description": "Finds tasks.", "parameters": TOOL.parameters},
        }
    ]
    assert asked.body["messages"][2:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call_9", "type": "function", "function": {"name": "tasks", "arguments": "{}"}}],
        },
        {"role": "tool", "content": "[]", "tool_call_id": "call_9"},
    ]


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("stop", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("content_filter", FinishReason.FILTERED),
        ("eos", FinishReason.STOP),
    ],
)
async def test_why_it_ended_is_told(
    told: str, reason: FinishReason, fake: FakeOpenAi, model: OpenAiLanguageModel
) -> None:
    fake.reply("Yes.", finish=told)
    fake.reply("Yes.", finish=told)

    *_, end = await all_of(model)
    answer = await model.answer(ASKED, max_tokens=50)

    assert isinstance(end, End)
    assert (end.reason, answer.reason) == (reason, reason)


@pytest.mark.parametrize("usage", [None, (0, 0), (-1, 5)])
async def test_a_cost_that_is_not_told_is_estimated(
    usage: tuple[int, int] | None, fake: FakeOpenAi, model: OpenAiLanguageModel
) -> None:
    fake.reply("x" * 40, usage=usage, tool_calls=(("tasks", "y" * 35),))
    fake.reply("x" * 40, usage=usage)

    *_, end = await all_of(model, tools=[TOOL])
    answer = await model.answer(ASKED, max_tokens=50)

    assert isinstance(end, End)
    assert end.usage == estimated_usage(ASKED, [TOOL], ["x" * 40, "tasks" + "y" * 35])
    assert (end.usage.output_tokens, end.usage.is_estimated) == (20, True)
    assert answer.usage == Usage(15, 10, is_estimated=True)


async def test_who_closes_the_answer_ends_it_at_the_service(fake: FakeOpenAi, model: OpenAiLanguageModel) -> None:
    reply = fake.reply("One two three.", stop_after=2)

    async with aclosing(model.stream(ASKED, max_tokens=50)) as pieces:
        first = await anext(pieces)

    assert first == Text("One ")
    async with asyncio.timeout(PATIENCE_S):
        await fake.asked[0].hung_up.wait()
    assert not reply.go_on.is_set()
    assert len(await all_of(model)) == 4


async def test_who_is_cancelled_while_waiting_ends_it_at_the_service(
    fake: FakeOpenAi, model: OpenAiLanguageModel
) -> None:
    reply = fake.reply("One two three.", stop_after=2)
    listening = asyncio.create_task(all_of(model))
    async with asyncio.timeout(PATIENCE_S):
        await reply.stopped.wait()

    listening.cancel()

    with pytest.raises(asyncio.CancelledError):
        await listening
    async with asyncio.timeout(PATIENCE_S):
        await fake.asked[0].hung_up.wait()


async def test_who_is_cancelled_before_anything_came_ends_it_at_the_service(
    fake: FakeOpenAi, model: OpenAiLanguageModel
) -> None:
    fault = fake.fault("stall")
    listening = asyncio.create_task(all_of(model))
    async with asyncio.timeout(PATIENCE_S):
        await fault.struck.wait()

    listening.cancel()

    with pytest.raises(asyncio.CancelledError):
        await listening
    async with asyncio.timeout(PATIENCE_S):
        await fake.asked[0].hung_up.wait()


async def test_a_service_that_falls_silent_is_left(fake: FakeOpenAi) -> None:
    model = model_at(fake, idle_s=0.5)
    pieces: list[Piece] = []

    # On a busy machine so little time may be over before anything came.
    while not pieces:
        fake.replies = [Reply("One two three.", stop_after=2)]
        with pytest.raises(Unavailable, match="in time"):
            await listen(model, pieces)

    assert pieces == [Text("One "), Text("two ")]
    async with asyncio.timeout(PATIENCE_S):
        await fake.asked[-1].hung_up.wait()
    await model.close()


async def test_a_service_that_never_begins_is_left(fake: FakeOpenAi) -> None:
    model = model_at(fake, idle_s=0.3)
    fault = fake.fault("stall", times=99)

    # On a busy machine so little time may be over before the request has come.
    while not fault.struck.is_set():
        with pytest.raises(Unavailable, match="in time"):
            await all_of(model)
    with pytest.raises(Unavailable, match="in time"):
        await model.answer(ASKED, max_tokens=50)

    async with asyncio.timeout(PATIENCE_S):
        await fake.asked[0].hung_up.wait()
    await model.close()


async def test_an_answer_without_end_is_left(fake: FakeOpenAi) -> None:
    model = model_at(fake, total_s=1.0)
    pieces: list[Piece] = []

    # On a busy machine so little time may be over before anything came.
    while not pieces:
        fake.replies = [Reply(raw=itertools.repeat(part(delta={"content": "and on "})))]
        with pytest.raises(Unavailable, match="in time"):
            await listen(model, pieces)

    assert set(pieces) == {Text("and on ")}
    async with asyncio.timeout(PATIENCE_S):
        await fake.asked[0].hung_up.wait()
    await model.close()


@pytest.mark.parametrize(
    "reply",
    [
        {"stop_after": 2, "cut": True},
        {"finish": None},
        {"finish": None, "tool_calls": (("tasks", "{}"),)},
        {"raw": ("{not JSON",)},
        {"raw": ('{"error": {"message": "overloaded", "code": "overloaded"}}',)},
        {"raw": ()},
    ],
)
async def test_an_answer_that_breaks_off_has_no_end(
    reply: dict[str, Any], fake: FakeOpenAi, model: OpenAiLanguageModel
) -> None:
    fake.reply("One two three.", **reply)
    pieces: list[Piece] = []

    with pytest.raises(Unavailable, match="broke off"):
        await listen(model, pieces)

    assert all(isinstance(piece, Text) for piece in pieces)
    # What has begun to answer is not asked twice.
    assert len(fake.asked) == 1


@pytest.mark.parametrize(
    "raw",
    [
        ("1",),
        ('"text"',),
        ("null",),
        ("[]",),
        ("{}",),
        ('{"choices": 5}',),
        ('{"choices": [5]}',),
        (part(delta=None),),
        (part(delta={"content": 5}),),
        (part(delta={"content": ["text"]}),),
        (part(delta={"tool_calls": 5}),),
        (part(delta={"tool_calls": [5]}),),
        (part(delta={"tool_calls": [{"index": 0, "id": "1"}]}),),
        (part(delta={"tool_calls": [{"index": 0, "id": "1", "function": {"name": 5}}]}),),
        (
            part(delta={"tool_calls": [{"index": [1], "id": "1", "function": {"name": "a"}}]}),
            part(finish_reason="stop"),
        ),
        (part(delta={"tool_calls": [{"index": 0, "function": {"name": "a"}}]}), part(finish_reason="stop")),
        (part(delta={"tool_calls": [{"index": 0, "id": "1", "function": {}}]}), part(finish_reason="stop")),
    ],
)
async def test_a_stream_of_the_wrong_shape_is_unavailable(
    raw: tuple[str, ...], fake: FakeOpenAi, model: OpenAiLanguageModel
) -> None:
    fake.reply(raw=(*raw, "[DONE]"))

    with pytest.raises(Unavailable, match=r"gave a wrong answer|broke off"):
        await all_of(model)


async def test_parts_without_a_choice_or_a_place_are_no_fault(fake: FakeOpenAi, model: OpenAiLanguageModel) -> None:
    lone = {"tool_calls": [{"id": "1", "function": {"name": "now", "arguments": "{}"}}]}
    usage = json.dumps({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
    fake.reply(raw=('{"choices": []}', part(delta=lone), part(finish_reason="tool_calls"), usage, "[DONE]"))

    pieces = await all_of(model)

    assert pieces == [ToolCall("1", "now", "{}"), End(FinishReason.TOOL_CALLS, Usage(1, 2, is_estimated=False))]


async def test_what_fails_before_it_begins_is_asked_again(fake: FakeOpenAi, model: OpenAiLanguageModel) -> None:
    fake.fault("fail", status=429, retry_after="0.01")
    fake.fault("fail", status=500, retry_after="0.01")

    pieces = await all_of(model)

    assert "".join(piece.text for piece in pieces if isinstance(piece, Text)) == "As you wish."
    assert len(fake.asked) == 3


@pytest.mark.parametrize(
    ("status", "error"), [(400, ModelRefused), (401, Unavailable), (404, Unavailable), (422, ModelRefused)]
)
async def test_a_refusal_is_told_apart(
    status: int, error: type[Exception], fake: FakeOpenAi, model: OpenAiLanguageModel
) -> None:
    fake.fault("fail", status=status, times=3)

    with pytest.raises(error, match=str(status)):
        await all_of(model)
    with pytest.raises(error, match=str(status)):
        await model.answer(ASKED, max_tokens=50)
    with pytest.raises(error, match=str(status)):
        await model.image("A red dot")

    assert len(fake.asked) == 3


async def test_what_cannot_be_written_is_refused_and_not_asked(fake: FakeOpenAi, model: OpenAiLanguageModel) -> None:
    broken = [Message("user", "a\ud800b")]

    for call in (model.answer(broken, max_tokens=5), anext(model.stream(broken, max_tokens=5)), model.image("\ud800")):
        with pytest.raises(ModelRefused, match="cannot be written in UTF-8"):
            await call

    assert fake.asked == []


async def test_a_short_answer_comes_whole_and_in_the_shape_that_is_asked_for(
    fake: FakeOpenAi, model: OpenAiLanguageModel
) -> None:
    fake.reply('{"late": true}')

    answer = await model.answer(ASKED, max_tokens=50, schema={"type": "object"})

    assert answer == Answer('{"late": true}', FinishReason.STOP, Usage(21, 4, is_estimated=False))
    (asked,) = fake.asked
    assert asked.body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": False},
    }
    assert "stream" not in asked.body


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": {"content": null}}]}'],
)
async def test_an_answer_of_the_wrong_shape_is_unavailable(
    body: bytes, fake: FakeOpenAi, model: OpenAiLanguageModel
) -> None:
    fake.fault("answer", body=body)

    with pytest.raises(Unavailable, match="gave a wrong answer"):
        await model.answer(ASKED, max_tokens=50)


async def test_a_model_that_declines_has_refused(fake: FakeOpenAi, model: OpenAiLanguageModel) -> None:
    message = {"content": None, "refusal": "I cannot help with that."}
    fake.fault("answer", body=json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode())

    with pytest.raises(ModelRefused, match=r"^the language model declines to answer$"):
        await model.answer(ASKED, max_tokens=50)


def test_openai_itself_is_told_the_limit_by_its_new_name() -> None:
    model = OpenAiLanguageModel(
        OpenAiService(api_key="sk-1", base_url="https://api.openai.com/v1"),
        chat_model="gpt",
        image_model="gpt-image",
        pictures=Http(),
    )

    assert model._asked((), 50)["max_completion_tokens"] == 50
