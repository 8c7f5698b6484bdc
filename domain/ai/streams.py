"""Following an answer while it is written, from any place in it and in any process.

The row is the truth. Whoever writes an answer writes its text into the row first, and then tells it to all processes
over Redis; so no follower ever has text that a crash takes back. A piece that follows on what a follower has is passed
on without a look at the row. One that is missing, or an end, is found in the row: at once where somebody tells of it,
else by the look that is taken once a second.

Places are counted in UTF-16 code units, as clients count. A character of two units is never cut.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

from domain.adapters.pubsub import PubSub
from domain.adapters.watch import LOOK_EVERY_S, Recheck, Watch
from domain.ai import chat, queries
from domain.ai.models import AiMessageStatus
from domain.ai.queries import MessageRow
from domain.base.actor import Actor
from domain.base.endless import endlessly
from domain.base.errors import BadInput, NotFound, Unavailable

AGAIN_AFTER_S, AGAIN_AT_MOST_S = 0.1, 2.0
_ID_BYTES, _PLACE_BYTES = 16, 4
_UNIT_BYTES = 2


@dataclass(frozen=True)
class Delta:
    """Text at a place of an answer. `message` is the answer, once it has ended."""

    message_id: UUID
    offset: int
    text: str
    message: MessageRow | None = None

    @property
    def end(self) -> int:
        """The place behind it."""
        return self.offset + units(self.text)


def units(text: str) -> int:
    """How many UTF-16 code units a text has."""
    return len(text.encode("utf-16-le")) // _UNIT_BYTES


def beyond(text: str, offset: int) -> tuple[int, str]:
    """What of the text lies behind the place, and where that begins: one unit before, in the midst of a character."""
    encoded = text.encode("utf-16-le")
    if 0xDC <= int.from_bytes(encoded[offset * _UNIT_BYTES + 1 : (offset + 1) * _UNIT_BYTES]) <= 0xDF:
        offset -= 1
    return offset, encoded[offset * _UNIT_BYTES :].decode("utf-16-le")


async def at(actor: Actor, message_id: UUID, offset: int) -> MessageRow:
    """The caller's message. Raises NotFound for what is none; BadInput for a place that is not in it."""
    message = await queries.by_ids.get(actor, message_id)
    if not 0 <= offset <= units(message.content):
        raise BadInput("`afterOffset` lies outside of the message.", path=["afterOffset"])
    return message


async def tell(texts: PubSub, message_id: UUID, offset: int, text: str) -> None:
    """Tell all processes what the row has at this place by now. Where that fails they look at the row."""
    with suppress(Unavailable):
        await texts.tell(message_id.bytes + offset.to_bytes(_PLACE_BYTES) + text.encode())


class Answers:
    """The answers that somebody in this process follows. `run` hears of what is new."""

    def __init__(self, changes: PubSub, texts: PubSub) -> None:
        self._watch = Watch(changes, chat.changed, queries.versions_of)
        self._texts = texts
        self._followers: dict[UUID, set[_Heard]] = {}

    async def run(self) -> None:
        """Hear and look until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch.run())
            again = endlessly(self._hear, again_after_s=AGAIN_AFTER_S, again_at_most_s=AGAIN_AT_MOST_S)
            group.create_task(again)

    async def deltas(
        self, actor: Actor, begun: MessageRow, after: int, recheck: Recheck
    ) -> AsyncGenerator[Delta, None]:
        """An answer from the place on, then what is added, to the end, which comes with the message.

        `recheck` is awaited before anything is shown. Raises NotFound for what is no message of the caller's any more.
        """
        message_id, org_id, place = begun.id, begun.org_id, after
        with self._watch.following(message_id, org_id) as followed, self._hearing(message_id) as heard:
            while True:
                news = followed.news
                await recheck()
                message = await queries.by_ids.get(actor, message_id)
                has_ended = message.status != AiMessageStatus.STREAMING
                offset, text = beyond(message.content, place)
                if text or has_ended:
                    delta = Delta(message_id, offset, text, message if has_ended else None)
                    yield delta
                    place = delta.end
                if has_ended:
                    return
                while not news.is_set() and org_id in actor.standings:
                    if (piece := heard.next_at(place)) is not None:
                        await recheck()
                        if org_id not in actor.standings:
                            raise NotFound(queries.MESSAGES.noun)
                        yield piece
                        place = piece.end
                    elif heard.has_missed:
                        break
                    else:
                        # Leaving the organization changes nothing of the message.
                        await heard.until(news)

    @contextmanager
    def _hearing(self, message_id: UUID) -> Iterator["_Heard"]:
        heard = _Heard()
        followers = self._followers.setdefault(message_id, set())
        followers.add(heard)
        try:
            yield heard
        finally:
            followers.discard(heard)
            if not followers:
                del self._followers[message_id]

    async def _hear(self) -> None:
        async for told in self._texts.told():
            if told is None:
                continue
            message_id, text = UUID(bytes=told[:_ID_BYTES]), told[_ID_BYTES + _PLACE_BYTES :].decode()
            for heard in self._followers.get(message_id, ()):
                heard.take(Delta(message_id, int.from_bytes(told[_ID_BYTES:][:_PLACE_BYTES]), text))


class _Heard:
    """What one follower has heard and not passed on."""

    def __init__(self) -> None:
        self._pieces: list[Delta] = []
        self._came = asyncio.Event()

    @property
    def has_missed(self) -> bool:
        """Whether something was told that does not follow on what there is."""
        return bool(self._pieces)

    def take(self, piece: Delta) -> None:
        self._pieces.append(piece)
        self._came.set()

    def next_at(self, place: int) -> Delta | None:
        """What follows at the place; what lies before it is forgotten, and all of it where something is missing."""
        while self._pieces and self._pieces[0].end <= place:
            del self._pieces[0]
        if not self._pieces or self._pieces[0].offset > place:
            return None
        piece = self._pieces.pop(0)
        offset, text = beyond(piece.text, place - piece.offset)
        return Delta(piece.message_id, piece.offset + offset, text)

    async def until(self, news: asyncio.Event) -> None:
        """Wait for a piece or for the news, a second at most."""
        self._came.clear()
        waiting = [asyncio.create_task(event.wait()) for event in (self._came, news)]
        try:
            await asyncio.wait(waiting, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
