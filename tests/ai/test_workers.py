"""Answers in worker processes: followed from another process, and ended when theirs is killed or asked to end."""

import pytest

from tests.ai.chatting import Talk, begin, id_of, row_of, tokens_of
from tests.ai.test_streaming import STREAM, TEXT, comes_to, ended
from tests.events.live import begun
from tests.factories import Tenant
from tests.jobs.crew import Crew, all_done, end_leases, kill, until
from tests.jobs.crew import ended as has_ended
from tests.sockets import opened

AS_EVER = ("--reactions", "jobs.reactions")


@pytest.fixture
def crew(workers: Crew, talk: Talk) -> Crew:
    """Workers that have the model."""
    workers.more.update(talk.fake.settings, OPENAI_EMBEDDING_MODEL="local")
    del workers.more["OPENAI_EMBEDDING_DIMENSIONS"]
    return workers


async def test_a_killed_workers_answer_has_failed_with_what_had_come(
    crew: Crew, talk: Talk, address: str, acme: Tenant
) -> None:
    worker = await crew.start(*AS_EVER)
    talk.fake.reply(TEXT, stop_after=4)
    talk.fake.reply(TEXT)
    exchange = await talk.ask(acme.member, await begin(acme.member, acme))
    async with opened(address, acme.member.token) as socket:
        stream = await begun(socket, STREAM, id=id_of(exchange.answer))
        had = await comes_to(stream, "One two 🚀 ")

        await kill(worker)
        await talk.chats[0].hung_up.wait()
        await end_leases(acme.org_id)
        await crew.start(*AS_EVER)

        last = await stream.data()
        assert (last["text"], last["message"]["status"], last["message"]["content"]) == ("", "FAILED", had)
        # Nobody was asked a second time, until somebody asks.
        assert len(talk.chats) == 1
        again = await talk.retry(acme.member, exchange.answer.id)
        assert await ended(await socket.run(STREAM, id=id_of(again.answer))) == TEXT

    await until(lambda: all_done(acme.org_id))
    assert (await row_of(exchange.answer.id))["status"] == "FAILED"
    assert len(talk.chats) == 2


async def test_a_worker_that_is_asked_to_end_ends_its_answer(crew: Crew, talk: Talk, acme: Tenant) -> None:
    worker = await crew.start(*AS_EVER, "--finish-within", "1")
    reply = talk.fake.reply(TEXT, stop_after=4)
    exchange = await talk.ask(acme.member, await begin(acme.member, acme))
    await reply.stopped.wait()

    worker.terminate()

    assert await has_ended(worker) == 0
    row = await row_of(exchange.answer.id)
    assert (row["status"], row["content"]) == ("FAILED", "One two 🚀 three. ")
    await talk.chats[0].hung_up.wait()
    assert await tokens_of(acme) > 0
