"""A language model by a service that speaks as OpenAI's API does.

Source: OpenAI's API reference, create chat completion, streaming events, create image.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, cast

import puremagic

from domain.adapters.http import Http, RequestRefused
from domain.adapters.language_model import (
    Answer,
    End,
    FinishReason,
    Image,
    Message,
    Piece,
    Text,
    Tool,
    ToolCall,
    Usage,
    estimated_usage,
)
from domain.adapters.model_errors import ModelRefused
from domain.adapters.openai_service import OpenAiService, WrongShape, decoded, our_errors
from domain.base.errors import Unavailable

# Until the answer begins, tries and waits together, and then between any two parts of it.
IDLE_S = 60.0
TOTAL_S = 300.0
IMAGE_S = 240.0
IMAGE_BYTES_MAX = 20 * 1024 * 1024
_IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp")
_LANGUAGE_MODEL, _IMAGES = "language model", "image service"


class OpenAiLanguageModel:
    """The service's models for text and for images. `pictures` fetches those that it only gives the address of."""

    def __init__(
        self,
        service: OpenAiService,
        *,
        chat_model: str,
        image_model: str,
        pictures: Http,
        idle_s: float = IDLE_S,
        total_s: float = TOTAL_S,
        image_s: float = IMAGE_S,
    ) -> None:
        self._service = service
        self._chat_model = chat_model
        self._image_model = image_model
        self._pictures = pictures
        self._idle_s = idle_s
        self._total_s = total_s
        self._image_s = image_s

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[Tool] = (), max_tokens: int
    ) -> AsyncGenerator[Piece, None]:
        """The answer as it comes; see `LanguageModel.stream`."""
        coming = _Coming()
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._total_s
        asked: dict[str, Any] = self._asked(messages, max_tokens) | {
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if tools:
            asked["tools"] = [_tool(tool) for tool in tools]
        with our_errors(_LANGUAGE_MODEL):
            async with asyncio.timeout_at(min(ends_at, loop.time() + self._idle_s)):
                chunks = await self._service.client.chat.completions.create(**asked)
            try:
                while True:
                    async with asyncio.timeout_at(min(ends_at, loop.time() + self._idle_s)):
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        break
                    if text := coming.take(chunk):
                        yield Text(text)
                for call in coming.tool_calls():
                    yield call
                yield coming.end(messages, tools)
            finally:
                await chunks.close()

    async def answer(
        self, messages: Sequence[Message], *, max_tokens: int, schema: Mapping[str, Any] | None = None
    ) -> Answer:
        """A short answer, whole; see `LanguageModel.answer`."""
        asked = self._asked(messages, max_tokens)
        if schema is not None:
            # Not strict, which takes a part of JSON Schema alone, without optional properties.
            named = {"name": "answer", "schema": schema, "strict": False}
            asked["response_format"] = {"type": "json_schema", "json_schema": named}
        with our_errors(_LANGUAGE_MODEL):
            async with asyncio.timeout(self._idle_s):
                got = await self._service.client.chat.completions.with_raw_response.create(**asked)
            return _whole(decoded(got.content), messages)

    async def image(self, prompt: str) -> Image:
        """A picture; see `LanguageModel.image`."""
        with our_errors(_IMAGES):
            # A picture is dear: one whose answer was lost is not made again here.
            once = self._service.client.with_options(max_retries=0)
            async with asyncio.timeout(self._image_s):
                got = await once.images.with_raw_response.generate(
                    model=self._image_model, prompt=prompt, n=1, timeout=self._image_s
                )
                content = await self._picture(decoded(got.content))
            return Image(content, _image_type(content))

    async def close(self) -> None:
        """Close the connections."""
        await self._service.close()
        await self._pictures.close()

    def _asked(self, messages: Sequence[Message], max_tokens: int) -> dict[str, Any]:
        # OpenAI's newer models refuse the old name, and not every other service knows the new one.
        limit = "max_completion_tokens" if self._service.is_openai else "max_tokens"
        return {
            "model": self._chat_model,
            "messages": [_message(message) for message in messages],
            limit: max_tokens,
            "timeout": self._total_s,
        }

    async def _picture(self, answer: dict[str, Any]) -> bytes:
        match answer.get("data"):
            case [{"b64_json": str(text)}]:
                try:
                    return base64.b64decode(text, validate=True)
                except ValueError:
                    raise WrongShape("the picture is no base64") from None
            case [{"url": str(url)}]:
                return await self._fetched(url)
        raise WrongShape("data is not one picture")

    async def _fetched(self, url: str) -> bytes:
        try:
            answer = await self._pictures.request("GET", url)
        except RequestRefused:
            # Its words may hold parts of the address, which may hold a signature.
            raise ModelRefused("the picture lies at an address that may not be asked") from None
        if answer.status != 200:
            raise Unavailable(f"The picture's address answers {answer.status}.")
        if answer.is_cut:
            raise WrongShape("the picture is too large")
        return answer.body


class _Coming:
    """What has come of an answer so far."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: dict[int, list[str]] = {}
        self._finish: object = None
        self._usage: object = None

    def take(self, chunk: Any) -> str:
        """The text of a part, often empty. Raises WrongShape. The client does not hold answers to its own types."""
        try:
            self._usage = chunk.usage or self._usage
            for choice in chunk.choices[:1]:
                self._finish = choice.finish_reason or self._finish
                for fragment in choice.delta.tool_calls or ():
                    self._add(fragment)
                text = choice.delta.content or ""
                if not isinstance(text, str):
                    raise WrongShape("a part of the text is none")
                self._texts.append(text)
                return text
            return ""
        except (AttributeError, TypeError, KeyError):
            raise WrongShape("a part of the stream is not of the API") from None

    def _add(self, fragment: Any) -> None:
        # Name and arguments come in fragments, the id once; some services leave out the place of a lone call.
        call = self._calls.setdefault(fragment.index or 0, ["", "", ""])
        call[0] = call[0] or fragment.id or ""
        call[1] += fragment.function.name or ""
        call[2] += fragment.function.arguments or ""

    def tool_calls(self) -> list[ToolCall]:
        """The calls, once all has come. Raises WrongShape; Unavailable when the answer broke off before."""
        if self._finish is None:
            raise Unavailable("The language model broke off.")
        return [_call(*self._calls[place]) for place in sorted(self._calls)]

    def end(self, messages: Sequence[Message], tools: Sequence[Tool]) -> End:
        """How it ended."""
        usage = _usage(getattr(self._usage, "prompt_tokens", None), getattr(self._usage, "completion_tokens", None))
        answered = [*self._texts, *("".join(call[1:]) for call in self._calls.values())]
        return End(_reason(self._finish), usage or estimated_usage(messages, tools, answered))


def _whole(answer: dict[str, Any], messages: Sequence[Message]) -> Answer:
    match answer:
        case {"choices": [{"message": {"refusal": str(refusal)}}, *_]} if refusal:
            raise ModelRefused("the language model declines to answer")
        case {"choices": [{"message": {"content": str(text)}, "finish_reason": reason}, *_]}:
            told = answer.get("usage")
            counts = cast(dict[str, Any], told) if isinstance(told, dict) else {}
            usage = _usage(counts.get("prompt_tokens"), counts.get("completion_tokens"))
            return Answer(text, _reason(reason), usage or estimated_usage(messages, (), [text]))
    raise WrongShape("it holds no message with a text")


def _call(id: object, name: object, arguments: object) -> ToolCall:
    if not (isinstance(id, str) and isinstance(name, str) and isinstance(arguments, str) and id and name):
        raise WrongShape("a call of a tool has no id or no name")
    return ToolCall(id, name, arguments)


def _usage(asked: object, answered: object) -> Usage | None:
    """The usage as the service tells it; None when it does not."""
    if type(asked) is int and type(answered) is int and asked > 0 and answered >= 0:
        return Usage(asked, answered, is_estimated=False)
    return None


def _reason(told: object) -> FinishReason:
    """Services have words of their own for an end like any other."""
    return next((reason for reason in FinishReason if reason == told), FinishReason.STOP)


def _message(message: Message) -> dict[str, Any]:
    told: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        told["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        told["tool_call_id"] = message.tool_call_id
    return told


def _tool(tool: Tool) -> dict[str, Any]:
    described = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": described}


def _image_type(content: bytes) -> str:
    if len(content) > IMAGE_BYTES_MAX:
        raise WrongShape("the picture is too large")
    try:
        found = puremagic.from_string(content, mime=True)
    except (puremagic.PureError, ValueError):
        found = ""
    if found not in _IMAGE_TYPES:
        raise WrongShape(f"the picture is none of {', '.join(_IMAGE_TYPES)}")
    return found
