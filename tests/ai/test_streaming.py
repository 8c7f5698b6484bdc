"""An answer over a socket: what is there from a place on, then what comes, and the message at its end."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.adapters import watch
from domain.adapters.pubsub import PubSub
from domain.ai import answering, chat, streams, threads
from domain.ai.streams import Delta, beyond, units
from domain.base.clock import new_id
from domain.base.settings import Settings
from tests.ai.chatting import Talk, begin, id_of, row_of
from tests.ai.test_asking import key_of
from tests.events.live import begun, leaving_nothing, served
from tests.factories import Tenant, execute
from tests.notifications.test_inbox import enter, remove
from tests.sockets import Stream, opened
from tests.work.test_following import completes

STREAM = """subscription ($id: ID!, $after: Int) { aiMessageStream(messageId: $id, afterOffset: $after) {
  messageId offset text message { id status content } } }"""
# A word that has just come is held back.
TEXT = "One two 🚀 three. Vier, fünf 日本 six."


@pytest.fixture(params=["heard", "lost"])
def wakes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether pieces and wake-ups are heard, or all lost."""
    monkeypatch.setattr(answering, "WRITE_EVERY_S", 0.01)
    if request.param == "lost":
        monkeypatch.setattr(chat.changed, "_listeners", set())
        monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.05)

        async def tell(*_told: object) -> None:
            pass

        monkeypatch.setattr(streams, "tell", tell)


async def ended(stream: Stream, at: int = 0) -> str:
    """The text of all deltas from the place on, each where the one before it ended; the last with the message."""
    text, message = "", None
    while message is None:
        delta = await stream.data()
        assert delta["offset"] == at + units(text)
        text, message = text + delta["text"], delta["message"]
    await completes(stream)
    assert message["content"].endswith(text)
    return text


async def comes_to(stream: Stream, text: str) -> str:
    """What has come, once it is this text."""
    found = ""
    while found != text:
        delta = await stream.data()
        assert (delta["offset"], delta["message"]) == (units(found), None)
        found += delta["text"]
        assert text.startswith(found)
    return found


@pytest.mark.usefixtures("wakes")
async def test_an_answer_is_followed_to_its_end(talk: Talk, address: str, acme: Tenant) -> None:
    exchange = await talk.ask(acme.member, await begin(acme.member, acme))
    reply = talk.fake.reply(TEXT, stop_after=4)
    async with leaving_nothing(), opened(address, acme.member.token) as socket:
        stream = await begun(socket, STREAM, id=id_of(exchange.answer))
        async with talk.writing(exchange):
            had = await comes_to(stream, "One two 🚀 ")
            reply.go_on.set()
            rest = await ended(stream, units(had))

    assert had + rest == TEXT
    assert (await row_of(exchange.answer.id))["content"] == TEXT


@pytest.mark.usefixtures("wakes")
async def test_a_reader_that_comes_back_elsewhere_has_all_of_it_once(
    talk: Talk, address: str, settings: Settings, acme: Tenant
) -> None:
    exchange = await talk.ask(acme.member, await begin(acme.member, acme))
    reply = talk.fake.reply(TEXT, stop_after=2)
    async with talk.writing(exchange):
        async with opened(address, acme.member.token) as socket:
            stream = await begun(socket, STREAM, id=id_of(exchange.answer))
            had = await comes_to(stream, "One ")
            socket.cut()
        reply.go_on.set()
        async with served(settings) as other, opened(other.address, acme.member.token) as socket:
            stream = await socket.run(STREAM, id=id_of(exchange.answer), after=units(had))
            rest = await ended(stream, units(had))

    assert had + rest == TEXT


async def test_what_has_ended_is_told_from_any_place(talk: Talk, address: str, acme: Tenant) -> None:
    exchange = await talk.ask(acme.member, await begin(acme.member, acme))
    talk.fake.reply(TEXT)
    await talk.write(exchange)
    message = {"id": id_of(exchange.answer), "status": "DONE", "content": TEXT}
    rocket = units("One two ")
    asked = [(0, 0, TEXT), (None, 0, TEXT), (4, 4, TEXT[4:]), (units(TEXT), units(TEXT), "")]
    # In the midst of a character it begins with that character.
    asked += [(rocket + 1, rocket, "🚀" + TEXT.split("🚀")[1]), (rocket + 2, rocket + 2, TEXT.split("🚀")[1])]

    async with leaving_nothing(), opened(address, acme.member.token) as socket:
        for after, offset, text in asked:
            stream = await socket.run(STREAM, id=id_of(exchange.answer), after=after)
            told = {"messageId": id_of(exchange.answer), "offset": offset, "text": text, "message": message}
            assert await stream.data() == told
            await completes(stream)
        for after in (-1, units(TEXT) + 1, 2**31 - 1):
            assert await (await socket.run(STREAM, id=id_of(exchange.answer), after=after)).codes() == [
                "BAD_USER_INPUT"
            ]
        question = await socket.run(STREAM, id=id_of(exchange.question))
        assert (await question.data())["text"] == "What is late?"
        await completes(question)


async def test_what_is_not_the_viewers_is_not_found(talk: Talk, address: str, acme: Tenant, globex: Tenant) -> None:
    exchange = await talk.ask(acme.member, await begin(acme.member, acme))
    key = (await key_of(acme)).token
    mine, none = id_of(exchange.answer), f"ai_message_{new_id().hex}"
    asked = [
        (acme.admin.token, mine, "NOT_FOUND"),
        (globex.member.token, mine, "NOT_FOUND"),
        (acme.member.token, none, "NOT_FOUND"),
        (acme.member.token, acme.id, "NOT_FOUND"),
        (acme.member.token, "no id", "BAD_USER_INPUT"),
        (key, mine, "NOT_FOUND"),
        (None, mine, "UNAUTHENTICATED"),
    ]

    async with leaving_nothing():
        for token, id, code in asked:
            async with opened(address, token) as socket:
                assert await (await socket.run(STREAM, id=id)).codes() == [code]


@pytest.mark.parametrize("how", ["removed", "deleted", "canceled"])
async def test_a_stream_ends_with_its_reason(talk: Talk, address: str, acme: Tenant, how: str) -> None:
    thread = await begin(acme.member, acme)
    exchange = await talk.ask(acme.member, thread)
    reply = talk.fake.reply(TEXT, stop_after=2)
    async with talk.writing(exchange), leaving_nothing(), opened(address, acme.member.token) as socket:
        stream = await begun(socket, STREAM, id=id_of(exchange.answer))
        await comes_to(stream, "One ")
        if how == "removed":
            # Nothing of the answer changes.
            await remove(acme, acme.member)
            assert await stream.codes() == ["NOT_FOUND"]
            await enter(acme, acme.member)
            reply.go_on.set()
        elif how == "deleted":
            async with acme.member.acting() as actor:
                await threads.delete(actor, thread.id)
            assert await stream.codes() == ["NOT_FOUND"]
        else:
            async with acme.member.acting() as actor:
                await chat.cancel(actor, exchange.answer.id)
            last = await stream.data()
            assert (last["text"], last["message"]["status"]) == ("", "CANCELED")
            await completes(stream)


async def test_a_thread_that_is_deleted_at_the_beginning_ends_the_stream(
    talk: Talk, address: str, acme: Tenant
) -> None:
    thread = await begin(acme.member, acme)
    exchange = await talk.ask(acme.member, thread)
    async with opened(address, acme.member.token) as socket:
        stream = await begun(socket, STREAM, id=id_of(exchange.answer))
        await execute("DELETE FROM ai_thread WHERE id = $1", thread.id)
        assert await stream.codes() == ["NOT_FOUND"]


async def test_what_is_missing_between_pieces_is_found_in_the_row(talk: Talk, address: str, acme: Tenant) -> None:
    exchange = await talk.ask(acme.member, await begin(acme.member, acme))
    id, texts = exchange.answer.id, talk.adapters.texts

    async def write(content: str) -> None:
        # Of the same version, so that no look finds it: only what is told.
        await execute("UPDATE ai_message SET content = $2 WHERE id = $1", id, content)

    async with opened(address, acme.member.token) as socket:
        stream = await begun(socket, STREAM, id=id_of(exchange.answer))
        await write("One two ")
        await streams.tell(texts, id, 0, "One two ")
        assert (await stream.data())["text"] == "One two "
        await write("One two three four five ")
        # The piece before it was lost, one is told twice, and one is half known.
        await streams.tell(texts, id, units("One two three "), "four ")
        await streams.tell(texts, id, 0, "One two ")
        await comes_to_from(stream, "One two ", "One two three four five ")
        await write("One two three four five six ")
        await streams.tell(texts, id, units("One two three "), "four five six ")
        delta = await stream.data()
        assert (delta["offset"], delta["text"]) == (units("One two three four five "), "six ")


async def comes_to_from(stream: Stream, had: str, text: str) -> None:
    while had != text:
        delta = await stream.data()
        assert delta["offset"] == units(had)
        had += delta["text"]


async def test_without_redis_the_row_has_it(settings: Settings) -> None:
    away = PubSub("redis://127.0.0.1:1")

    await streams.tell(away, new_id(), 0, "text")

    await away.close()


@given(st.text(), st.data())
def test_places_are_counted_as_clients_count(text: str, data: st.DataObject) -> None:
    encoded = text.encode("utf-16-le")
    place = data.draw(st.integers(0, units(text)))

    offset, rest = beyond(text, place)

    assert units(text) == len(encoded) // 2
    assert offset in (place, place - 1)
    assert encoded[: 2 * offset].decode("utf-16-le") + rest == text
    if offset != place:
        assert ord(rest[0]) > 0xFFFF
    assert Delta(new_id(), offset, rest).end == units(text)


async def test_many_follow_one_answer(talk: Talk, address: str, acme: Tenant) -> None:
    exchange = await talk.ask(acme.member, await begin(acme.member, acme))
    talk.fake.reply(TEXT * 20)
    async with opened(address, acme.member.token) as socket:
        followed: list[Any] = [await begun(socket, STREAM, id=id_of(exchange.answer)) for _ in range(5)]
        async with talk.writing(exchange):
            found = await asyncio.gather(*(ended(stream) for stream in followed))

    assert found == [(await row_of(exchange.answer.id))["content"]] * 5
