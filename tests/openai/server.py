"""A service of our own that speaks as OpenAI's API does, for tests: chat completions, embeddings, images.

`serving()` runs it on this machine; the official client talks to it unchanged. What the model says is a `Reply`, or a
function of what it was asked; what goes wrong is a `Fault`. It keeps what it was asked, and whether the client hung up.
"""

import asyncio
import contextlib
import hashlib
import json
import math
import re
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from tests.openai.pictures import PNG, PNG_BASE64
from tests.ports import at_a_port

Json = dict[str, Any]
How = Literal["fail", "cut", "stall", "answer"]
DIMENSIONS = 64


@dataclass
class Reply:
    """What the model says to one request, and how it arrives. Each piece is a part of the stream of its own."""

    text: str = "As you wish."
    # Name and arguments of each.
    tool_calls: tuple[tuple[str, str], ...] = ()
    finish: str | None = "stop"
    # Tokens of what was asked and of what was answered; None does not tell.
    usage: tuple[int, int] | None = (21, 4)
    # After so many pieces it waits for `go_on`, with `cut` it hangs up instead.
    stop_after: int | None = None
    cut: bool = False
    # Sent in place of the parts: each what `data:` is followed by. It may have no end.
    raw: Iterable[str] | None = None
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def pieces(self) -> list[str]:
        """The text, word by word."""
        return re.findall(r"\S+\s*|\s+", self.text)


@dataclass
class Fault:
    """What goes wrong with the next requests whose path ends so, and whose body holds `about`.

    "fail" answers with a status and a code. "cut" hangs up in the midst of an answer. "stall" waits for `let_go`, and
    goes on as if nothing had been. "answer" gives `body` for an answer, whatever it is.
    """

    how: How
    path: str = ""
    about: str = ""
    times: int = 1
    status: int = 503
    code: str | None = None
    # Quotes what it refuses, as services do.
    message: str | None = None
    retry_after: str | None = None
    body: bytes = b"{}"
    # Set once a request was struck.
    struck: asyncio.Event = field(default_factory=asyncio.Event)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    def strikes(self, asked: "Asked") -> bool:
        """Whether it is for such a request."""
        return asked.path.endswith(self.path) and self.about in json.dumps(asked.body)


@dataclass
class Asked:
    """A request, when it came by the loop's clock, and what became of it."""

    path: str
    body: Json
    headers: dict[str, str]
    at: float
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    # The client left before it had the whole answer.
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)


class FakeOpenAi:
    """The fake: what it says, what goes wrong, and what it was asked."""

    def __init__(self, listener: socket.socket) -> None:
        self.origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.key = f"sk-fake-{secrets.token_hex(12)}"
        self.replies: list[Reply] = []
        # Asked once `replies` are used up.
        self.model: Callable[[Json], Reply] = lambda _body: Reply()
        self.embedded: Callable[[str, int], list[float]] = vector_of
        # What is said of a picture: `b64_json`, or the `url` of one.
        self.picture: Json = {"b64_json": PNG_BASE64}
        self.faults: list[Fault] = []
        self.asked: list[Asked] = []

    @property
    def settings(self) -> dict[str, str]:
        """The settings with which Planwire uses it."""
        return {
            "OPENAI_API_KEY": self.key,
            "OPENAI_BASE_URL": f"{self.origin}/v1",
            "OPENAI_CHAT_MODEL": "fake-chat",
            "OPENAI_EMBEDDING_MODEL": "fake-embedding",
            "OPENAI_EMBEDDING_DIMENSIONS": str(DIMENSIONS),
            "OPENAI_IMAGE_MODEL": "fake-image",
        }

    def reply(self, text: str = "As you wish.", **how: Any) -> Reply:
        """Let the model say this to the next request for which nothing is said yet."""
        self.replies.append(made := Reply(text, **how))
        return made

    def fault(self, how: How, **where: Any) -> Fault:
        """Let something go wrong with the next requests; what it was is left at its place in `Fault`."""
        self.faults.append(made := Fault(how, **where))
        return made

    def let_go(self) -> None:
        """End all waiting."""
        for fault in self.faults:
            fault.let_go.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        request = Request(scope, receive)
        content = await request.body()
        asked = Asked(
            scope["path"],
            json.loads(content) if content else {},
            dict(request.headers),
            asyncio.get_running_loop().time(),
        )
        self.asked.append(asked)
        watching = asyncio.create_task(_watch(asked, receive))
        try:
            await self._answer(asked, send)
        finally:
            watching.cancel()

    async def _answer(self, asked: Asked, send: Send) -> None:
        if asked.path == "/picture.png":
            await _send(asked, send, 200, PNG, {"content-type": "image/png"})
            return
        if asked.headers.get("authorization") != f"Bearer {self.key}":
            # OpenAI's own words hold a part of the key too.
            given = asked.headers.get("authorization", "")
            await _send_error(asked, send, 401, "invalid_api_key", f"Incorrect API key provided: {given}.")
            return
        fault = next((each for each in self.faults if each.times and each.strikes(asked)), None)
        if fault is not None and await self._struck(fault, asked, send):
            return
        if asked.path == "/v1/embeddings":
            await _send(asked, send, 200, _json(self._embeddings(asked.body)))
        elif asked.path == "/v1/images/generations":
            await _send(asked, send, 200, _json({"created": 1, "data": [self.picture]}))
        elif asked.path == "/v1/chat/completions":
            reply = self.replies.pop(0) if self.replies else self.model(asked.body)
            if asked.body.get("stream"):
                await _stream(asked, reply, send)
            else:
                await _send(asked, send, 200, _json(_completion(reply)))
        else:
            await _send_error(asked, send, 404, "not_found", f"The fake knows no {asked.path}.")

    async def _struck(self, fault: Fault, asked: Asked, send: Send) -> bool:
        """Whether the fault was the answer."""
        fault.times -= 1
        fault.struck.set()
        if fault.how == "stall":
            await _either(fault.let_go, asked.hung_up)
            return asked.hung_up.is_set()
        if fault.how == "cut":
            await send(_start(200, {"content-type": "application/json", "content-length": "4096"}))
            await send({"type": "http.response.body", "body": b'{"object":', "more_body": True})
        elif fault.how == "answer":
            await _send(asked, send, 200, fault.body)
        else:
            headers = {} if fault.retry_after is None else {"retry-after": fault.retry_after}
            message = fault.message or f"The fake does not like {json.dumps(asked.body)}."
            await _send_error(asked, send, fault.status, fault.code, message, headers)
        return True

    def _embeddings(self, body: Json) -> Json:
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        count = body.get("dimensions", DIMENSIONS)
        data = [
            {"object": "embedding", "index": place, "embedding": self.embedded(text, count)}
            for place, text in enumerate(texts)
        ]
        return {"object": "list", "model": body["model"], "data": data, "usage": {"prompt_tokens": 1}}


def vector_of(text: str, dimensions: int) -> list[float]:
    """A vector by which texts are near that have words in common. It is not of length one."""
    vector = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()):
        number = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8])
        vector[number % dimensions] += 1.0 if number >> 63 else -1.0
    return vector if math.hypot(*vector) else [1.0] * dimensions


def _completion(reply: Reply) -> Json:
    message: Json = {"role": "assistant", "content": reply.text}
    choice = {"index": 0, "message": message, "finish_reason": reply.finish}
    return {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], **_usage(reply)}


def _usage(reply: Reply) -> Json:
    if reply.usage is None:
        return {}
    asked, answered = reply.usage
    return {"usage": {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}}


def _parts(reply: Reply, *, with_usage: bool) -> list[Json]:
    """The parts of a stream. Calls of tools come in fragments, one after another."""
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in reply.pieces]
    for place, (name, arguments) in enumerate(reply.tool_calls):
        half = len(arguments) // 2
        begun = {"name": name, "arguments": ""}
        deltas.append({"tool_calls": [{"index": place, "id": f"call_{place}", "type": "function", "function": begun}]})
        deltas += [
            {"tool_calls": [{"index": place, "function": {"arguments": each}}]}
            for each in (arguments[:half], arguments[half:])
        ]
    choices: list[Json] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    if reply.finish is not None:
        choices.append({"index": 0, "delta": {}, "finish_reason": reply.finish})
    parts: list[Json] = [{"choices": [choice]} for choice in choices]
    if with_usage and reply.usage is not None:
        parts.append({"choices": [], **_usage(reply)})
    return [{"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, **part} for part in parts]


async def _stream(asked: Asked, reply: Reply, send: Send) -> None:
    with_usage = bool(asked.body.get("stream_options", {}).get("include_usage"))
    told = reply.raw
    if told is None:
        told = (*(json.dumps(part) for part in _parts(reply, with_usage=with_usage)), "[DONE]")
    await send(_start(200, {"content-type": "text/event-stream"}))
    for place, data in enumerate(told):
        # The first part says only who speaks.
        if place - 1 == reply.stop_after:
            reply.stopped.set()
            if reply.cut:
                return
            await _either(reply.go_on, asked.hung_up)
        if asked.hung_up.is_set():
            return
        await send({"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": True})
        # What is sent is not always waited for, and the client may be in this loop.
        await asyncio.sleep(0)
    asked.answered.set()
    await send({"type": "http.response.body", "body": b""})


async def _watch(asked: Asked, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if not asked.answered.is_set():
        asked.hung_up.set()


async def _either(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


async def _send(asked: Asked, send: Send, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    await send(_start(status, {"content-type": "application/json"} | (headers or {})))
    asked.answered.set()
    await send({"type": "http.response.body", "body": body})


async def _send_error(
    asked: Asked, send: Send, status: int, code: str | None, message: str, headers: dict[str, str] | None = None
) -> None:
    body = {"error": {"message": message, "type": "fake_error", "code": code}}
    await _send(asked, send, status, _json(body), headers)


def _start(status: int, headers: dict[str, str]) -> Message:
    told = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": told}


def _json(value: Json) -> bytes:
    return json.dumps(value).encode()


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[FakeOpenAi]:
    """A fake at a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fake = FakeOpenAi(listener)
        async with at_a_port(fake, listener):
            try:
                yield fake
            finally:
                fake.let_go()
