"""An answer is written once, from what the one who asks may see, and ends whatever happens."""

import asyncio
import re
from typing import Any, cast

import pytest
import structlog

from domain.adapters.language_model import estimated_tokens
from domain.ai import answering, context, prompts, streams, threads, tools, upkeep
from domain.ai.guard import Guard
from domain.base.actor import Actor
from domain.base.clock import new_id
from domain.base.database import acting_for
from domain.base.errors import RequestError, Timeout, Unavailable
from domain.comments import service as comments
from domain.search.hits import Hit
from domain.search.models import Subject
from tests.ai.chatting import Talk, begin, calling, id_of, row_of, tokens_of
from tests.events.live import until
from tests.factories import Tenant, execute, make_project, make_task
from tests.notifications.test_inbox import remove
from tests.openai.server import Reply

SHOWN = """query ($id: ID!) { node(id: $id) { ... on AiMessage { role content status inputTokens outputTokens
  sources { snippet node { ... on Task { identifier } ... on Comment { body } } } } } }"""
SOURCES = "query ($id: ID!) { node(id: $id) { ... on AiMessage { sources { node { ... on Task { identifier } } } } } }"


def number_of(asked: dict[str, Any], text: str) -> int:
    """The number of the passage that holds the text."""
    passages = re.findall(r'<passage number="(\d+)".*?</passage>', str(asked["messages"]))
    whole = re.findall(r"<passage number=.*?</passage>", str(asked["messages"]))
    return next(int(number) for number, passage in zip(passages, whole, strict=True) if text in passage)


async def titled(tenant: Tenant, *titles: str) -> None:
    """Tasks with these titles."""
    project = await make_project(tenant.member, tenant, key="WEB", name="Website")
    for title in titles:
        await make_task(tenant.member, project, title=title, description="Since Monday.")


async def test_an_answer_is_written_from_what_is_found_and_names_it(talk: Talk, acme: Tenant) -> None:
    await titled(acme, "The login page is slow", "The login page is blue", "Invoices")
    thread = await begin(acme.member, acme)
    exchange = await talk.ask(acme.member, thread, "login page")

    def says(asked: dict[str, Any]) -> Reply:
        slow, blue = number_of(asked, "is slow"), number_of(asked, "is blue")
        return Reply(f"Blue [{blue}], slow [{slow}] [99], list[{slow}].")

    talk.fake.model = says
    row = await talk.write(exchange)

    slow = number_of({"messages": talk.asked()}, "is slow")
    assert (row["status"], row["content"]) == ("DONE", f"Blue [1], slow [2], list[{slow}].")
    shown = (await acme.member.client.ok(SHOWN, id=id_of(exchange.answer)))["node"]
    assert [each["node"]["identifier"] for each in shown["sources"]] == ["WEB-2", "WEB-1"]
    assert (shown["inputTokens"], shown["outputTokens"]) == (21, 4)
    assert await tokens_of(acme) == 25
    system, asked = talk.asked()
    assert system == {"role": "system", "content": prompts.SYSTEM}
    assert asked["content"].endswith("\n\nlogin page")
    assert "Invoices" not in asked["content"]


async def test_sources_that_the_viewer_does_not_see_any_more_are_left_out(talk: Talk, acme: Tenant) -> None:
    await titled(acme, "The login page is slow")
    exchange = await talk.ask(acme.member, await begin(acme.member, acme), "login page")
    talk.fake.reply("Slow [1].")
    await talk.write(exchange)

    await execute("DELETE FROM task WHERE org_id = $1", acme.org_id)

    assert (await acme.member.client.ok(SOURCES, id=id_of(exchange.answer)))["node"]["sources"] == []


def test_an_answer_names_a_bounded_number_of_things() -> None:
    given = context.Sources(Guard(""))
    for _ in range(30):
        given.give(Hit(Subject.COMMENT, new_id(), score=0.0, snippet="", row=cast(Any, None), text=""))

    shown = given.cited(" ".join(f"[{number}]" for number in [*range(30, 0, -1), 30]))

    assert shown == " ".join([*(f"[{number}]" for number in range(1, context.MOST_NAMED + 1)), "[1]"])
    assert len(given.kept()) == context.MOST_NAMED


async def test_what_was_said_before_goes_along(talk: Talk, acme: Tenant) -> None:
    await titled(acme, "The login page is slow")
    thread = await begin(acme.member, acme)
    talk.fake.reply("It is slow [1].")
    await talk.write(await talk.ask(acme.member, thread, "login page"))
    talk.fake.reply(cut=True, stop_after=1, text="Half an answer")
    failed = await talk.write(await talk.ask(acme.member, thread, "Why?"))

    await talk.write(await talk.ask(acme.member, thread, "Hm?"))

    assert failed["status"] == "FAILED"
    said = [(message["role"], message["content"]) for message in talk.asked()[1:-1]]
    # The number was of another answer's passages, and what failed was no answer.
    assert said == [("user", "login page"), ("assistant", "It is slow."), ("user", "Why?")]
    assert talk.asked()[-1]["content"] == f"{prompts.NOTHING_FOUND}\n\nHm?"


async def test_what_is_asked_keeps_to_its_budget(talk: Talk, acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    await titled(acme, *(f"The login page {n} {'is slow ' * 20}" for n in range(9)))
    thread = await begin(acme.member, acme)
    for n in range(3):
        talk.fake.reply(f"{n} " * 300)
        await talk.write(await talk.ask(acme.member, thread, "Hm?"))
    monkeypatch.setattr(context, "MOST_TOKENS", estimated_tokens(prompts.SYSTEM) + 150)

    await talk.write(await talk.ask(acme.member, thread, "login page"))

    asked = talk.asked()
    assert sum(len(message["content"]) for message in asked) < 4 * 1_000
    assert 1 <= str(asked).count("<passage number=") < 8
    assert len(asked) < 2 + 6


async def test_a_question_that_takes_the_whole_budget_is_answered_from_something(talk: Talk, acme: Tenant) -> None:
    hit = Hit(
        Subject.COMMENT, new_id(), score=0.0, snippet="", row=cast(Any, None), text="The login page is slow. " * 50
    )

    async def search(*_asked: object) -> list[Hit]:
        return [hit]

    # Of three bytes each.
    exchange = await talk.ask(acme.member, await begin(acme.member, acme), "長" * 8_000)
    guard = Guard(prompts.SECRET)
    async with acme.member.acting() as actor:
        asked = await context.gathered(
            actor, exchange.question, search=search, sources=context.Sources(guard), guard=guard
        )

    assert hit.text in asked[-1].content
    assert prompts.NOTHING_FOUND not in asked[-1].content


async def test_the_model_searches_and_reads_as_the_one_who_asks(talk: Talk, acme: Tenant) -> None:
    await titled(acme, "The login page is slow")
    project = await make_project(acme.member, acme, key="OPS", name="Operations")
    task = await make_task(acme.member, project, title="Certificate", description="It ends on Friday.")
    async with acme.member.acting() as actor:
        await comments.create(actor, task.id, body="Renewed by Mia.")
    exchange = await talk.ask(acme.member, await begin(acme.member, acme), "login page")
    talk.fake.reply("Let me look.", tool_calls=(calling("search", query="certificate"),), finish="tool_calls")
    talk.fake.reply("", tool_calls=(calling("read_task", identifier="ops-1"),), finish="tool_calls")
    talk.fake.reply("It is renewed [2].")

    row = await talk.write(exchange)

    assert row["content"] == "Let me look.\n\nIt is renewed [1]."
    shown = (await acme.member.client.ok(SOURCES, id=id_of(exchange.answer)))["node"]["sources"]
    assert shown == [{"node": {"identifier": "OPS-1"}}]
    found, read = talk.asked()[3], talk.asked()[5]
    assert found["role"] == read["role"] == "tool"
    assert 'number="2" name="OPS-1"' in found["content"]
    assert "It ends on Friday." in read["content"]
    assert "Renewed by Mia." in read["content"]
    assert (row["input_tokens"], row["output_tokens"]) == (63, 12)
    assert await tokens_of(acme) == 75


async def test_a_long_task_is_read_with_its_latest_comment(talk: Talk, acme: Tenant) -> None:
    project = await make_project(acme.member, acme, key="OPS", name="Operations")
    task = await make_task(acme.member, project, title="Certificate", description="It ends. " * 2_000)
    async with acme.member.acting() as actor:
        for body in ("Long ago. " * 500, "Renewed by Mia."):
            await comments.create(actor, task.id, body=body)
    talk.fake.reply("", tool_calls=(calling("read_task", identifier="OPS-1"),))
    talk.fake.reply("It is renewed [1].")

    await talk.write(await talk.ask(acme.member, await begin(acme.member, acme)))

    read = talk.asked()[-1]["content"]
    assert "Renewed by Mia." in read
    assert len(read) < 4_000


async def test_a_model_that_only_calls_tools_comes_to_an_end(talk: Talk, acme: Tenant) -> None:
    call = calling("search", query="x")
    talk.fake.model = lambda asked: Reply("", tool_calls=(call,) * 9 if "tools" in asked else ())
    talk.fake.replies = []

    row = await talk.write(await talk.ask(acme.member, await begin(acme.member, acme)))

    assert row["status"] == "FAILED"
    assert len(talk.chats) == answering.MOST_CALLS_OF_MODEL
    assert [len(each.body["messages"]) for each in talk.chats] == [2, 7, 12, 17]


@pytest.mark.parametrize(
    "call",
    [
        ("search", "no JSON"),
        ("search", "[]"),
        ("search", '{"query": 1}'),
        ("search", '{"query": "a\\u0000b"}'),
        ("read_task", "{}"),
        ("task_delete", '{"identifier": "WEB-1"}'),
    ],
)
async def test_a_call_that_makes_no_sense_is_told_so(talk: Talk, acme: Tenant, call: tuple[str, str]) -> None:
    talk.fake.reply("", tool_calls=(call,))
    talk.fake.reply("So be it.")

    row = await talk.write(await talk.ask(acme.member, await begin(acme.member, acme)))

    assert row["content"] == "So be it."
    assert talk.asked()[-1]["content"] == tools.NOT_UNDERSTOOD


async def test_an_answer_that_breaks_off_has_failed_with_what_had_come(talk: Talk, acme: Tenant) -> None:
    talk.fake.reply("Half of it is here. And so on", stop_after=6, cut=True)

    row = await talk.write(await talk.ask(acme.member, await begin(acme.member, acme)))

    assert (row["status"], row["content"]) == ("FAILED", "Half of it is here. And ")
    assert row["finished_at"] is not None
    assert row["output_tokens"] == 6
    assert await tokens_of(acme) == row["input_tokens"] + row["output_tokens"]


@pytest.mark.parametrize("fault", [Unavailable("away"), Timeout("slow")])
async def test_a_database_that_is_away_for_a_moment_ends_no_answer(
    talk: Talk, acme: Tenant, monkeypatch: pytest.MonkeyPatch, fault: RequestError
) -> None:
    monkeypatch.setattr(answering, "WRITE_EVERY_S", 0.01)
    tell, refused = answering._tell, asyncio.Event()

    async def once(*given: Any) -> str:
        if not refused.is_set():
            refused.set()
            raise fault
        return await tell(*given)

    monkeypatch.setattr(answering, "_tell", once)
    exchange = await talk.ask(acme.member, await begin(acme.member, acme))
    reply = talk.fake.reply("So it is.", stop_after=1)
    async with talk.writing(exchange) as written:
        await refused.wait()
        reply.go_on.set()
        row = await written

    assert (row["status"], row["content"]) == ("DONE", "So it is.")


async def test_a_model_that_refuses_costs_nothing(talk: Talk, acme: Tenant) -> None:
    talk.fake.fault("fail", path="/chat/completions", status=400, times=9)

    row = await talk.write(await talk.ask(acme.member, await begin(acme.member, acme)))

    assert (row["status"], row["content"], row["input_tokens"]) == ("FAILED", "", None)
    assert await tokens_of(acme) == 0


@pytest.mark.parametrize("text", ["", " \n "])
async def test_a_model_that_says_nothing_has_failed(talk: Talk, acme: Tenant, text: str) -> None:
    talk.fake.reply(text)

    assert (await talk.write(await talk.ask(acme.member, await begin(acme.member, acme))))["status"] == "FAILED"


async def test_a_model_that_does_not_stop_is_stopped(talk: Talk, acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "LONGEST_ANSWER", 1_000)
    talk.fake.reply("and on " * 100_000)

    row = await talk.write(await talk.ask(acme.member, await begin(acme.member, acme)))

    assert row["status"] == "DONE"
    assert 1_000 <= len(row["content"]) < 2_000
    await talk.chats[0].hung_up.wait()


async def test_an_answer_that_takes_too_long_has_failed(
    talk: Talk, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough for its first word to come.
    monkeypatch.setattr(answering, "LONGEST_S", 2.0)
    talk.fake.reply("So it is.", stop_after=1)

    row = await talk.write(await talk.ask(acme.member, await begin(acme.member, acme)))

    assert (row["status"], row["content"]) == ("FAILED", "So ")
    await talk.chats[0].hung_up.wait()


async def test_a_second_attempt_asks_nobody(talk: Talk, acme: Tenant) -> None:
    exchange = await talk.ask(acme.member, await begin(acme.member, acme))
    # As a worker leaves it that was killed.
    await execute("UPDATE ai_message SET claim = $2, content = 'So far' WHERE id = $1", exchange.answer.id, new_id())

    row = await talk.write(exchange)
    again = await talk.write(exchange)

    assert (row["status"], row["content"]) == ("FAILED", "So far")
    assert again == row
    assert talk.chats == []


async def test_who_has_left_gets_no_answer(talk: Talk, acme: Tenant) -> None:
    await titled(acme, "The login page is slow")
    exchange = await talk.ask(acme.member, await begin(acme.member, acme), "login page")
    await remove(acme, acme.member)

    row = await talk.write(exchange)

    assert (row["status"], row["content"]) == ("FAILED", "")
    assert talk.chats == []


async def test_who_leaves_meanwhile_reads_no_further(talk: Talk, acme: Tenant) -> None:
    exchange = await talk.ask(acme.member, await begin(acme.member, acme), "login page")
    reply = talk.fake.reply("Look. ", tool_calls=(calling("search", query="x"),), stop_after=1)
    async with talk.writing(exchange) as written:
        await reply.stopped.wait()
        await execute("UPDATE membership SET role = 'GUEST' WHERE user_id = $1", acme.member.user_id)
        reply.go_on.set()
        row = await written

    assert row["status"] == "FAILED"
    assert len(talk.chats) == 1


async def test_a_month_that_ends_in_the_midst_ends_the_answer(
    talk: Talk, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = await talk.ask(acme.member, await begin(acme.member, acme))
    talk.fake.reply("Look. ", tool_calls=(calling("search", query="x"),), usage=(10**9, 1))

    row = await talk.write(exchange)

    assert (row["status"], row["content"]) == ("FAILED", "Look. ")
    assert len(talk.chats) == 1


@pytest.mark.parametrize("how", ["cancel", "delete"])
async def test_what_is_not_wanted_any_more_hangs_up(talk: Talk, acme: Tenant, how: str) -> None:
    cancel = "mutation ($id: ID!) { aiMessageCancel(id: $id) { assistantMessage { status content } errors { code } } }"
    thread = await begin(acme.member, acme)
    exchange = await talk.ask(acme.member, thread)
    reply = talk.fake.reply("So it is. And more", stop_after=3)
    async with talk.writing(exchange):
        await reply.stopped.wait()
        await until(lambda: _has(exchange.answer.id, "So it "))
        if how == "cancel":
            told = await acme.member.client.done(cancel, id=id_of(exchange.answer))
            assert told["assistantMessage"] == {"status": "CANCELED", "content": "So it "}
        else:
            async with acme.member.acting() as actor:
                await threads.delete(actor, thread.id)
        await talk.chats[0].hung_up.wait()

    if how == "cancel":
        row = await row_of(exchange.answer.id)
        assert (row["status"], row["content"]) == ("CANCELED", "So it ")
    # What had come until then is charged all the same.
    assert await tokens_of(acme) > 0


async def _has(message_id: Any, content: str) -> bool:
    return bool((await row_of(message_id))["content"] == content)


async def test_an_answer_that_nobody_writes_has_failed(talk: Talk, acme: Tenant) -> None:
    thread = await begin(acme.member, acme)
    exchange = await talk.ask(acme.member, thread)
    other = await talk.ask(acme.member, await begin(acme.member, acme))
    await execute("UPDATE delivery SET state = 'DEAD', ended_at = now() WHERE source_id = $1", exchange.answer.id)

    with acting_for([acme.org_id]):
        ended = await upkeep.end_abandoned(Actor.system(acme.org_id))

    assert ended == 1
    assert (await row_of(exchange.answer.id))["status"] == "FAILED"
    assert (await row_of(other.answer.id))["status"] == "STREAMING"
    await talk.retry(acme.member, exchange.answer.id)


async def test_nothing_that_is_said_is_logged(talk: Talk, acme: Tenant, capfd: pytest.CaptureFixture[str]) -> None:
    words = ("quetzal", "axolotl", "pangolin", "narwhal")
    await titled(acme, f"The login {words[0]}")
    with structlog.testing.capture_logs() as lines:
        for how in ({}, {"stop_after": 2, "cut": True}):
            thread = await begin(acme.member, acme, words[3])
            talk.fake.reply(f"The {words[2]} [1].", tool_calls=(calling("search", query=words[1]),))
            talk.fake.reply(f"The {words[2]} again.", **how)
            await talk.write(await talk.ask(acme.member, thread, f"login {words[1]}"))

    assert any(line["event"] == "an answer has failed" for line in lines)
    out, err = capfd.readouterr()
    assert not any(word in f"{lines}{out}{err}" for word in (*words, prompts.SYSTEM[:30]))


async def test_followers_are_told_what_the_row_has_and_where(
    talk: Talk, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "WRITE_EVERY_S", 0.01)
    told: list[tuple[int, str]] = []

    async def tell(_texts: object, _id: object, offset: int, text: str) -> None:
        told.append((offset, text))

    monkeypatch.setattr(streams, "tell", tell)
    reply = talk.fake.reply("One two 🚀 three four five", stop_after=4)
    exchange = await talk.ask(acme.member, await begin(acme.member, acme))
    async with talk.writing(exchange) as written:
        await until(lambda: _has(exchange.answer.id, "One two 🚀 "))
        reply.go_on.set()
        row = await written

    assert row["content"] == "One two 🚀 three four five"
    assert "".join(text for _, text in told) == row["content"][: sum(len(text) for _, text in told)]
    assert [offset for offset, _ in told] == [
        streams.units(row["content"][: sum(len(text) for _, text in told[:n])]) for n in range(len(told))
    ]
