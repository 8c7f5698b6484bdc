"""Whoever embeds texts keeps the same promises; a service may fail in every way without breaking them."""

import asyncio
import importlib
import json
import math
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from domain.adapters.embeddings import TEXT_LENGTH_MAX, Embeddings, Vector, batches, unit
from domain.adapters.embeddings_local import LocalEmbeddings
from domain.adapters.embeddings_openai import BATCH_TEXTS, CONCURRENCY, OpenAiEmbeddings
from domain.adapters.model_errors import ModelRefused
from domain.adapters.openai_service import OpenAiService
from domain.base.errors import Unavailable
from tests.openai.server import DIMENSIONS, FakeOpenAi, serving

# Only a test that fails waits for so long.
PATIENCE_S = 20.0


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAi]:
    """The service."""
    async with serving() as running:
        yield running


def service_at(fake: FakeOpenAi, *, key: str | None = None) -> OpenAiService:
    """The service's address and its key."""
    return OpenAiService(api_key=key or fake.key, base_url=f"{fake.origin}/v1")


@pytest.fixture
async def remote(fake: FakeOpenAi) -> AsyncIterator[Embeddings]:
    """The service's embeddings."""
    made = OpenAiEmbeddings(service_at(fake), model="fake-embedding", dimensions=DIMENSIONS)
    yield made
    await made.close()


@pytest.fixture(scope="module")
async def local() -> AsyncIterator[Embeddings]:
    """This machine's."""
    made = LocalEmbeddings()
    yield made
    await made.close()


@pytest.fixture(params=["local", "remote"])
def embeddings(request: pytest.FixtureRequest) -> Embeddings:
    """Each of the two."""
    made: Embeddings = request.getfixturevalue(request.param)
    return made


def nearness(one: Vector, other: Vector) -> float:
    """The cosine between two vectors of length one."""
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_every_text_gets_its_vector_of_length_one(embeddings: Embeddings) -> None:
    texts = [f"the login page of release {number} fails" for number in range(150)] + ["漢字 🙂", "x" * TEXT_LENGTH_MAX]

    together = await embeddings.embed(texts)
    alone = [(await embeddings.embed([text]))[0] for text in (texts[0], texts[77], texts[-1])]

    assert len(together) == len(texts)
    assert {len(vector) for vector in together} == {embeddings.dimensions}
    assert all(math.isclose(nearness(vector, vector), 1.0, rel_tol=1e-5) for vector in together)
    assert [together[0], together[77], together[-1]] == alone
    assert len({vector.tobytes() for vector in together[-3:]}) == 3


async def test_what_has_more_in_common_is_nearer(embeddings: Embeddings) -> None:
    question, near, far = await embeddings.embed(
        ["who pays the invoice", "the invoice that somebody pays", "garden flowers in spring"]
    )

    assert nearness(question, near) > nearness(question, far)


async def test_no_texts_are_no_vectors(embeddings: Embeddings) -> None:
    assert await embeddings.embed([]) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "text 1 is blank"),
        (" \n\t", "text 1 is blank"),
        ("x" * (TEXT_LENGTH_MAX + 1), "text 1 has 8001 characters"),
        ("a\ud800b", "text 1 cannot be written in UTF-8"),
    ],
)
async def test_what_is_no_passage_is_refused_before_any_work(
    text: str, reason: str, embeddings: Embeddings, fake: FakeOpenAi
) -> None:
    with pytest.raises(ValueError, match=reason) as raised:
        await embeddings.embed(["fine", text])

    assert fake.asked == []
    assert not text.strip() or text not in str(raised.value)


def test_models_have_names_of_their_own(local: Embeddings, fake: FakeOpenAi) -> None:
    service = service_at(fake)
    made = [OpenAiEmbeddings(service, model=model, dimensions=size) for model in "ab" for size in (256, 512)]

    assert [each.model for each in made] == ["127.0.0.1/a/256", "127.0.0.1/a/512", "127.0.0.1/b/256", "127.0.0.1/b/512"]
    assert local.model == "wordllama/l2_supercat/256"


# Of this machine


async def test_the_local_model_knows_what_words_mean(local: Embeddings) -> None:
    (question,) = await local.embed(["people can't get in"])
    titles = [
        "Users are unable to log in",
        "Draw a new logo",
        "Pay the invoice of March",
        "Order chairs for the office",
    ]

    found = await local.embed(titles)

    assert max(range(4), key=lambda place: nearness(question, found[place])) == 0


async def test_the_loop_goes_on_while_the_local_model_loads_and_works() -> None:
    embeddings = LocalEmbeddings()
    turns = 0
    working = asyncio.create_task(embeddings.embed([f"text number {number}" for number in range(500)]))

    while not working.done():
        await asyncio.sleep(0)
        turns += 1

    assert len(await working) == 500
    # Each batch ends in a turn of its own, at the least.
    assert turns > 500 / 64
    await embeddings.close()


async def test_many_who_ask_at_once_load_the_local_model_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from_package = importlib.import_module("wordllama").WordLlama
    load, loads = from_package.load, []

    def counted(*arguments: Any, **named: Any) -> Any:
        loads.append(named["disable_download"])
        return load(*arguments, **named)

    monkeypatch.setattr(from_package, "load", counted)
    embeddings = LocalEmbeddings()

    found = await asyncio.gather(*(embeddings.embed(["the same"]) for _ in range(20)))

    assert all(vectors == found[0] for vectors in found)
    assert loads == [True]
    await embeddings.close()


# Of a service


async def test_a_service_is_asked_in_batches_and_few_at_a_time(fake: FakeOpenAi, remote: Embeddings) -> None:
    stalls = [fake.fault("stall") for _ in range(CONCURRENCY)]
    texts = [f"text {number}" for number in range(BATCH_TEXTS * 6 + 1)]
    embedding = asyncio.create_task(remote.embed(texts))
    async with asyncio.timeout(PATIENCE_S):
        for stall in stalls:
            await stall.struck.wait()
    # Whatever else would be asked at once would have come in these turns.
    for _ in range(100):
        await asyncio.sleep(0)
    asked_at_once = len(fake.asked)

    fake.let_go()
    found = await embedding

    assert asked_at_once == CONCURRENCY
    assert sorted(len(asked.body["input"]) for asked in fake.asked) == [1, *[BATCH_TEXTS] * 6]
    assert found == [unit(fake.embedded(text, DIMENSIONS)) for text in texts]


async def test_long_texts_make_small_batches() -> None:
    assert list(batches(["a" * 6, "b" * 6, "c", "d" * 30, "e"], count=3, characters=12)) == [
        ["a" * 6, "b" * 6],
        ["c"],
        ["d" * 30],
        ["e"],
    ]


@pytest.mark.parametrize(
    ("model", "sent"), [("text-embedding-3-small", 16), ("vendor/text-embedding-3-large", 16), ("bge-m3", None)]
)
async def test_a_length_is_asked_for_where_a_model_can_shorten(model: str, sent: int | None, fake: FakeOpenAi) -> None:
    fake.embedded = lambda text, _dimensions: [float(len(text))] * 16
    embeddings = OpenAiEmbeddings(service_at(fake), model=model, dimensions=16)

    (vector,) = await embeddings.embed(["text"])

    assert list(vector) == [0.25] * 16
    assert fake.asked[0].body.get("dimensions") == sent
    await embeddings.close()


async def test_the_places_of_the_answer_count(fake: FakeOpenAi, remote: Embeddings) -> None:
    with answering(fake, [item(1, [0.0, 2.0]), item(0, [3.0, 0.0])]):
        found = await remote.embed(["one", "two"])

    assert [vector.index(1.0) for vector in found] == [0, 1]


@pytest.mark.parametrize("fault", [{"how": "fail", "status": 500}, {"how": "fail", "status": 429}, {"how": "cut"}])
async def test_what_fails_once_is_asked_again(fault: dict[str, Any], fake: FakeOpenAi, remote: Embeddings) -> None:
    fake.fault(**fault, retry_after="0.01")

    found = await remote.embed(["text"])

    assert found == [unit(fake.embedded("text", DIMENSIONS))]
    assert len(fake.asked) == 2


async def test_retry_after_is_kept(fake: FakeOpenAi, remote: Embeddings) -> None:
    # Longer than the client would wait by itself after a first try.
    fake.fault("fail", status=429, retry_after="1.2")

    await remote.embed(["text"])

    first, second = fake.asked
    assert second.at - first.at >= 1.2


async def test_what_is_put_off_for_long_is_not_waited_for(fake: FakeOpenAi, remote: Embeddings) -> None:
    fake.fault("fail", status=429, code="insufficient_quota", retry_after="3600")

    with pytest.raises(Unavailable, match="answers 429 insufficient_quota"):
        await remote.embed(["text"])

    assert len(fake.asked) == 1


async def test_a_service_that_stays_away_is_given_up(fake: FakeOpenAi, remote: Embeddings) -> None:
    fake.fault("fail", status=503, times=99, retry_after="0.01")

    with pytest.raises(Unavailable, match="answers 503"):
        await remote.embed(["text"])

    assert len(fake.asked) == 3


async def test_nobody_there_is_unavailable() -> None:
    async with serving() as gone:
        service = service_at(gone)
    embeddings = OpenAiEmbeddings(service, model="fake-embedding", dimensions=DIMENSIONS)

    with pytest.raises(Unavailable, match="cannot be reached"):
        await embeddings.embed(["text"])

    await embeddings.close()


async def test_all_of_it_takes_no_longer_than_the_deadline(fake: FakeOpenAi) -> None:
    fault = fake.fault("stall", times=99)
    embeddings = OpenAiEmbeddings(service_at(fake), model="fake-embedding", dimensions=DIMENSIONS, deadline_s=0.3)

    # On a busy machine so little time may be over before the request has come.
    while not fault.struck.is_set():
        with pytest.raises(Unavailable, match="in time"):
            await embeddings.embed(["text"])

    async with asyncio.timeout(PATIENCE_S):
        await fake.asked[0].hung_up.wait()
    await embeddings.close()


async def test_one_batch_that_fails_ends_the_others(fake: FakeOpenAi, remote: Embeddings) -> None:
    fake.fault("fail", status=400)
    fake.fault("stall", times=99)

    with pytest.raises(ModelRefused):
        await remote.embed([f"text {number}" for number in range(BATCH_TEXTS * 3)])

    async with asyncio.timeout(PATIENCE_S):
        for asked in fake.asked[1:]:
            await asked.hung_up.wait()
    (vector,) = await asyncio.gather(answered(fake, remote))
    assert len(vector) == DIMENSIONS


async def answered(fake: FakeOpenAi, embeddings: Embeddings) -> Vector:
    """A vector, now that nothing fails any more."""
    fake.faults.clear()
    return (await embeddings.embed(["text"]))[0]


@pytest.mark.parametrize("status", [400, 413, 415, 422])
async def test_a_text_that_is_not_taken_is_refused_for_good(status: int, fake: FakeOpenAi, remote: Embeddings) -> None:
    fake.fault("fail", status=status, code="context_length_exceeded")

    with pytest.raises(ModelRefused, match=f"^the embedding service answers {status} context_length_exceeded$"):
        await remote.embed(["text"])

    assert len(fake.asked) == 1


@pytest.mark.parametrize("status", [302, 401, 403, 404])
async def test_what_the_operator_must_mend_may_succeed_later(status: int, fake: FakeOpenAi, remote: Embeddings) -> None:
    fake.fault("fail", status=status)

    with pytest.raises(Unavailable, match=f"answers {status}"):
        await remote.embed(["text"])

    assert len(fake.asked) == 1


def item(place: int | None, values: object) -> dict[str, object]:
    """A vector of an answer."""
    return {"embedding": values} | ({} if place is None else {"index": place})


@contextmanager
def answering(fake: FakeOpenAi, data: object) -> Iterator[None]:
    """The next answer holds this, in vectors of two."""
    # As short as it has to be, for the expected number of dimensions.
    padding: Sequence[float] = [0.0] * (DIMENSIONS - 2)
    if isinstance(data, list):
        for each in data:
            if isinstance(each, dict) and isinstance(each.get("embedding"), list) and len(each["embedding"]) == 2:
                each["embedding"] = [*each["embedding"], *padding]
    fake.fault("answer", body=json.dumps({"data": data}).encode())
    yield


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (None, "data is no list of objects"),
        ([1, 2], "data is no list of objects"),
        ([item(0, [1, 0])], "1 vectors for 2 texts"),
        ([item(0, [1, 0])] * 3, "3 vectors for 2 texts"),
        ([item(0, [1, 0]), item(0, [1, 0])], "the places of the vectors are not those of the texts"),
        ([item(0, [1, 0]), item(7, [1, 0])], "the places of the vectors are not those of the texts"),
        ([item(0, [1, 0]), {"index": [1], "embedding": [1, 0]}], "the places of the vectors are not"),
        ([item(None, [1, 0]), item(None, [1, 0, 0])], "an embedding has 3 dimensions, not 64"),
        ([item(None, [1, 0]), item(None, [])], "an embedding has 0 dimensions, not 64"),
        ([item(0, [1, 0]), item(1, [0, 0])], "an embedding has no direction"),
        ([item(0, [1, 0]), item(1, [10**400, 0])], "it is no JSON|an embedding has no direction"),
        ([item(0, [1, 0]), item(1, [float("nan"), 0])], "it is no JSON"),
        ([item(0, [1, 0]), item(1, [None, 0])], "an embedding is no list of numbers"),
        ([item(0, [1, 0]), item(1, ["1", 0])], "an embedding is no list of numbers"),
        ([item(0, [1, 0]), item(1, [True, 0])], "an embedding is no list of numbers"),
        ([item(0, [1, 0]), item(1, "AAAA")], "an embedding is no list of numbers"),
    ],
)
async def test_a_wrong_shape_is_named(data: object, fault: str, fake: FakeOpenAi, remote: Embeddings) -> None:
    with answering(fake, data), pytest.raises(Unavailable, match=f"gave a wrong answer: ({fault})"):
        await remote.embed(["one", "two"])

    assert len(fake.asked) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff"])
async def test_what_is_no_json_object_is_named(body: bytes, fake: FakeOpenAi, remote: Embeddings) -> None:
    fake.fault("answer", body=body)

    with pytest.raises(Unavailable, match="it is no JSON"):
        await remote.embed(["one"])
