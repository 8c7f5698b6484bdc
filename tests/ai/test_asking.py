"""Threads and questions: whose they are, and when one is refused; then nothing has changed."""

from typing import Any

import pytest

from domain.adapters.wiring import Adapters
from domain.ai import budget
from domain.base.permissions import Permission
from domain.base.settings import Settings
from domain.billing.plans import Feature
from domain.organizations import api_keys
from tests.ai.chatting import Talk, begin, id_of, row_of
from tests.client import GraphQL
from tests.factories import Person, Tenant, execute, rows

CREATE = """mutation ($org: ID!, $title: String) { aiThreadCreate(organizationId: $org, title: $title) {
  thread { id title organization { id } messages { totalCount } } errors { code path } } }"""
DELETE = "mutation ($id: ID!) { aiThreadDelete(id: $id) { deletedId errors { code } } }"
SEND = """mutation ($id: ID!, $content: String!) { aiMessageSend(threadId: $id, content: $content) {
  userMessage { id role status content } assistantMessage { id role status content inputTokens sources { score } }
  errors { code path ... on LimitError { feature limit } } } }"""
CANCEL = """mutation ($id: ID!) { aiMessageCancel(id: $id) { userMessage { id } assistantMessage { id status }
  errors { code path } } }"""
RETRY = """mutation ($id: ID!) { aiMessageRetry(id: $id) { userMessage { id } assistantMessage { id status }
  errors { code path } } }"""
THREADS = """query ($org: ID!, $after: String) { viewer { aiThreads(organizationId: $org, first: 2, after: $after) {
  totalCount nodes { title messages { totalCount nodes { role content status } } } pageInfo { endCursor hasNextPage }
} } }"""
NODE = "query ($id: ID!) { node(id: $id) { id } }"


async def thread_of(person: Person, tenant: Tenant, **given: Any) -> str:
    return str((await person.client.done(CREATE, org=tenant.id, **given))["thread"]["id"])


async def key_of(tenant: Tenant) -> GraphQL:
    """A key that may do what its maker, the admin, may."""
    async with tenant.admin.acting() as actor:
        made = await api_keys.create(actor, tenant.org_id, name="key", permissions=[*Permission])
    return GraphQL(made.secret)


async def counted(tenant: Tenant) -> list[int]:
    """Threads, messages and deliveries of the organization."""
    counts = ", ".join(
        f"(SELECT count(*) FROM {table} WHERE org_id = $1) AS {table}"
        for table in ("ai_thread", "ai_message", "delivery", "event")
    )
    (found,) = await rows(f"SELECT {counts}", tenant.org_id)
    return list(found.values())


async def test_a_question_returns_at_once_with_the_answer_that_begins(talk: Talk, acme: Tenant) -> None:
    id = await thread_of(acme.member, acme)

    told = await acme.member.client.done(SEND, id=id, content="  What\nis late?")

    question, answer = told["userMessage"], told["assistantMessage"]
    assert question == {"id": question["id"], "role": "USER", "status": "DONE", "content": "  What\nis late?"}
    nothing: dict[str, Any] = {"content": "", "inputTokens": None, "sources": []}
    assert answer == {"id": answer["id"], "role": "ASSISTANT", "status": "STREAMING", **nothing}
    (delivery,) = await rows("SELECT handler, state FROM delivery WHERE org_id = $1 AND kind = 'ROW'", acme.org_id)
    assert delivery == {"handler": "ai.answer", "state": "PENDING"}
    shown = (await acme.member.client.ok(THREADS, org=acme.id))["viewer"]["aiThreads"]["nodes"]
    assert [(each["title"], each["messages"]["totalCount"]) for each in shown] == [("What is late?", 2)]
    assert [each["role"] for each in shown[0]["messages"]["nodes"]] == ["USER", "ASSISTANT"]
    assert talk.chats == []


async def test_threads_come_newest_first_in_pages(adapters: Adapters, acme: Tenant) -> None:
    for title in ("One", "Two", "Three"):
        await thread_of(acme.member, acme, title=title)

    first = (await acme.member.client.ok(THREADS, org=acme.id))["viewer"]["aiThreads"]
    after = first["pageInfo"]["endCursor"]
    second = (await acme.member.client.ok(THREADS, org=acme.id, after=after))["viewer"]["aiThreads"]

    assert [each["title"] for each in first["nodes"] + second["nodes"]] == ["Three", "Two", "One"]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"]) == (3, True)


async def test_a_thread_is_its_makers_alone(talk: Talk, acme: Tenant, globex: Tenant) -> None:
    thread = await begin(acme.member, acme, "Mine")
    exchange = await talk.ask(acme.member, thread)
    thread_id, answer_id = f"ai_thread_{thread.id.hex}", id_of(exchange.answer)
    key = await key_of(acme)
    before = await counted(acme)

    for client in (acme.admin.client, globex.member.client, key):
        codes = ["UNAUTHENTICATED"] if client is key else ["NOT_FOUND"]
        for document, given in (
            (SEND, {"id": thread_id, "content": "Hm?"}),
            (DELETE, {"id": thread_id}),
            (CANCEL, {"id": answer_id}),
            (RETRY, {"id": answer_id}),
        ):
            assert (await client.run(document, **given)).codes == codes
        for id in (thread_id, answer_id):
            assert (await client.ok(NODE, id=id))["node"] is None
        found = (await client.ok(THREADS, org=acme.id))["viewer"]["aiThreads"]
        assert (found["totalCount"], found["nodes"]) == (0, [])
    assert await counted(acme) == before


async def test_guests_keys_and_strangers_begin_none(adapters: Adapters, acme: Tenant, globex: Tenant) -> None:
    key = await key_of(acme)
    asked = [(acme.guest.client, "FORBIDDEN"), (globex.member.client, "NOT_FOUND"), (key, "UNAUTHENTICATED")]

    for client, code in asked:
        assert (await client.run(CREATE, org=acme.id)).codes == [code]
    assert (await acme.member.client.refused(CREATE, org=acme.id, title=" "))[0]["path"] == ["title"]
    assert (await acme.member.client.refused(CREATE, org=acme.id, title="x" * 201))[0]["path"] == ["title"]
    assert (await counted(acme))[0] == 0


async def test_a_member_who_became_a_guest_reads_and_deletes_but_asks_no_more(talk: Talk, acme: Tenant) -> None:
    id = await thread_of(acme.member, acme, title="Mine")
    await execute("UPDATE membership SET role = 'GUEST' WHERE user_id = $1", acme.member.user_id)

    assert (await acme.member.client.run(SEND, id=id, content="Hm?")).codes == ["FORBIDDEN"]
    assert (await acme.member.client.ok(NODE, id=id))["node"] == {"id": id}
    assert (await acme.member.client.done(DELETE, id=id))["deletedId"] == id
    assert await counted(acme) == [0, 0, 0, 0]


async def test_without_a_model_nothing_is_asked(adapters: Adapters, settings: Settings, acme: Tenant) -> None:
    id = await thread_of(acme.member, acme)
    before = await counted(acme)

    (refusal,) = await acme.member.client.refused(SEND, id=id, content="Hm?")

    assert refusal["code"] == "FEATURE_DISABLED"
    assert await counted(acme) == before
    assert (await acme.member.client.done(DELETE, id=id))["deletedId"] == id


async def test_one_answer_at_a_time(talk: Talk, acme: Tenant) -> None:
    thread = await begin(acme.member, acme)
    exchange = await talk.ask(acme.member, thread)
    id, before = f"ai_thread_{thread.id.hex}", await counted(acme)

    (refusal,) = await acme.member.client.refused(SEND, id=id, content="And?")

    assert (refusal["code"], refusal["path"]) == ("CONFLICT", ["threadId"])
    assert await counted(acme) == before
    await talk.write(exchange)
    await acme.member.client.done(SEND, id=id, content="And?")


@pytest.mark.parametrize("content", ["", " \n", "x" * 8_001])
async def test_a_question_has_1_to_8000_characters(talk: Talk, acme: Tenant, content: str) -> None:
    id = await thread_of(acme.member, acme)

    (refusal,) = await acme.member.client.refused(SEND, id=id, content=content)

    assert (refusal["code"], refusal["path"]) == ("INVALID", ["content"])
    assert (await counted(acme))[1] == 0
    await acme.member.client.done(SEND, id=id, content="x" * 8_000)


async def test_who_has_used_up_the_month_asks_no_more(talk: Talk, acme: Tenant) -> None:
    id = await thread_of(acme.member, acme)
    await execute(
        "INSERT INTO ai_usage (id, org_id, month, tokens) VALUES (gen_random_uuid(), $1, "
        "date_trunc('month', now() AT TIME ZONE 'UTC')::date, 1000000000)",
        acme.org_id,
    )

    (refusal,) = await acme.member.client.refused(SEND, id=id, content="Hm?")

    assert (refusal["code"], refusal["feature"]) == ("LIMIT_REACHED", Feature.AI_TOKENS_MONTH.value)
    assert (await counted(acme))[1] == 0


async def test_who_asks_too_often_waits(talk: Talk, acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "TURNS", type(budget.TURNS)(1, 60))
    first, second = await thread_of(acme.member, acme), await thread_of(acme.member, acme)
    await acme.member.client.done(SEND, id=first, content="Hm?")

    assert (await acme.member.client.run(SEND, id=second, content="Hm?")).codes == ["RATE_LIMITED"]
    assert (await counted(acme))[1] == 2


@pytest.mark.parametrize("how", ["FAILED", "CANCELED"])
async def test_what_was_not_answered_is_asked_for_again(talk: Talk, acme: Tenant, how: str) -> None:
    exchange = await talk.ask(acme.member, await begin(acme.member, acme))
    id = id_of(exchange.answer)
    if how == "CANCELED":
        told = await acme.member.client.done(CANCEL, id=id)
        assert told["assistantMessage"] == {"id": id, "status": "CANCELED"}
    else:
        talk.fake.fault("fail", path="/chat/completions", status=400)
        await talk.write(exchange)

    told = await acme.member.client.done(RETRY, id=id)

    assert told["userMessage"]["id"] == id_of(exchange.question)
    assert told["assistantMessage"]["status"] == "STREAMING"
    assert told["assistantMessage"]["id"] != id
    assert (await row_of(exchange.answer.id))["status"] == how


async def test_only_what_ended_badly_is_asked_for_again_and_only_what_runs_is_canceled(
    talk: Talk, acme: Tenant
) -> None:
    exchange = await talk.ask(acme.member, await begin(acme.member, acme))
    question, answer = id_of(exchange.question), id_of(exchange.answer)
    refused = {"code": "CONFLICT", "path": ["id"]}

    assert await acme.member.client.refused(RETRY, id=answer) == [refused]
    assert await acme.member.client.refused(CANCEL, id=question) == [refused]
    await talk.write(exchange)
    before = await counted(acme)
    for document, id in ((RETRY, question), (RETRY, answer), (CANCEL, answer)):
        assert await acme.member.client.refused(document, id=id) == [refused]
    assert await counted(acme) == before


async def test_nothing_of_it_is_in_the_log_of_events(talk: Talk, acme: Tenant) -> None:
    thread = await begin(acme.member, acme, "Secret plans")
    await talk.write(await talk.ask(acme.member, thread))
    await acme.member.client.done(DELETE, id=f"ai_thread_{thread.id.hex}")

    assert await counted(acme) == [0, 0, 1, 0]
