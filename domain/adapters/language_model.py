"""A language model: what it is told and what comes back. The interface, and what it costs where nobody says."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Protocol

# Of English text in the vocabularies of today; other letters take more bytes and more tokens.
_BYTES_PER_TOKEN = 4
# What a message takes beside its text.
_TOKENS_PER_MESSAGE = 4


@dataclass(frozen=True)
class ToolCall:
    """The model asks for a tool. `arguments` should be a JSON object: that it is one is for the caller to see."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Message:
    """One message. The answer of a tool names the call that it answers; an assistant may have called some."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True)
class Tool:
    """What the model may call. `parameters` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Text:
    """Some more of the text, never empty."""

    text: str


@dataclass(frozen=True)
class Usage:
    """What it cost. `is_estimated` where the service did not tell."""

    input_tokens: int
    output_tokens: int
    is_estimated: bool


class FinishReason(StrEnum):
    """Why it ended."""

    STOP = "stop"
    LENGTH = "length"
    """`max_tokens` were used up: what came is cut."""
    TOOL_CALLS = "tool_calls"
    FILTERED = "content_filter"
    """The service held back the rest."""


@dataclass(frozen=True)
class End:
    """The last piece."""

    reason: FinishReason
    usage: Usage


Piece = Text | ToolCall | End


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    text: str
    reason: FinishReason
    usage: Usage


@dataclass(frozen=True)
class Image:
    """A picture: PNG, JPEG or WebP."""

    content: bytes
    content_type: str


class LanguageModel(Protocol):
    """Whoever answers. Every call raises Unavailable when it is to be tried again, ModelRefused when that is no use."""

    def stream(
        self, messages: Sequence[Message], *, tools: Sequence[Tool] = (), max_tokens: int
    ) -> AsyncGenerator[Piece, None]:
        """The answer as it comes: text, then the calls of tools, each whole, and one End.

        Without an End it broke off, and Unavailable is raised. To close the generator, or to cancel who waits for it,
        ends the request at once: `contextlib.aclosing` does so. What it cost then is for `estimated_usage` to say.
        """

    async def answer(
        self, messages: Sequence[Message], *, max_tokens: int, schema: Mapping[str, Any] | None = None
    ) -> Answer:
        """A short answer, whole. With `schema` it should be JSON of that JSON schema; the caller sees whether it is."""

    async def image(self, prompt: str) -> Image:
        """A picture of what the prompt says. It takes up to some minutes and is never asked for twice."""

    async def close(self) -> None:
        """Close what is open."""


def estimated_usage(messages: Sequence[Message], tools: Sequence[Tool], answered: Iterable[str]) -> Usage:
    """About what was used when the service did not say: a call that was cut off, for one. It is no promise."""
    asked = sum(_TOKENS_PER_MESSAGE + estimated_tokens(message.content) for message in messages)
    asked += sum(estimated_tokens(call.name + call.arguments) for message in messages for call in message.tool_calls)
    asked += sum(estimated_tokens(f"{tool.name}{tool.description}{tool.parameters}") for tool in tools)
    return Usage(asked, estimated_tokens("".join(answered)), is_estimated=True)


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has."""
    return -(-len(text.encode(errors="replace")) // _BYTES_PER_TOKEN)
