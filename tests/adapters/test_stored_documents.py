"""Stored documents: found by their hash alone, remembered where they are used, and never served poisoned."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from domain.adapters.documents import EXPIRY_S, RENEWED_AFTER_S, TEXT_BYTES_MAX, StoredDocuments
from domain.base.errors import Unavailable
from tests.adapters.conftest import OwnRedis

ME = "{ me { id } }"


def hash_of(text: str) -> str:
    """What the document is named by."""
    return hashlib.sha256(text.encode()).hexdigest()


HASH = hash_of(ME)


@asynccontextmanager
async def storing(redis: OwnRedis, **options: Any) -> AsyncIterator[StoredDocuments]:
    """The documents as a process sees them."""
    documents = StoredDocuments(redis.url, **options)
    try:
        yield documents
    finally:
        await documents.close()


async def test_what_one_process_puts_another_gets(redis: OwnRedis) -> None:
    async with storing(redis) as one, storing(redis) as two, redis.operator() as client:
        assert await two.get(HASH) is None
        await one.put(HASH, ME)

        assert await two.get(HASH) == ME
        assert await one.get(HASH) == ME
        assert await client.get(f"document:{HASH}") == ME
        assert EXPIRY_S - 60 < await client.ttl(f"document:{HASH}") <= EXPIRY_S


async def test_a_document_in_use_costs_no_round_trip(redis: OwnRedis) -> None:
    async with storing(redis) as one, storing(redis) as two:
        await one.put(HASH, ME)
        await two.get(HASH)
        before = await redis.calls("evalsha")
        for documents in (one, two):
            for _ in range(10):
                assert await documents.get(HASH) == ME
                await documents.put(HASH, ME)

        assert await redis.calls("evalsha") == before


@pytest.mark.parametrize(
    ("hash", "text"),
    [
        (HASH, "{ me { name } }"),
        (HASH.upper(), ME),
        (f"sha256:{HASH}", ME),
        (hash_of("#" * (TEXT_BYTES_MAX + 1)), "#" * (TEXT_BYTES_MAX + 1)),
        (hash_of("é" * (TEXT_BYTES_MAX // 2 + 1)), "é" * (TEXT_BYTES_MAX // 2 + 1)),
        (HASH, "\ud800"),
    ],
)
async def test_what_does_not_fit_is_not_kept(redis: OwnRedis, hash: str, text: str) -> None:
    async with storing(redis) as documents, redis.operator() as client:
        with pytest.raises(ValueError):  # noqa: PT011
            await documents.put(hash, text)

        assert await documents.get(hash) is None
        assert await client.keys() == []


async def test_the_longest_document_is_kept(redis: OwnRedis) -> None:
    text = "#" * TEXT_BYTES_MAX
    async with storing(redis) as one, storing(redis) as two:
        await one.put(hash_of(text), text)

        assert await two.get(hash_of(text)) == text


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"{ me { email } }", HASH),
        (b"", HASH),
        (b"\xff", hashlib.sha256(b"\xff").hexdigest()),
        (b"#" * (TEXT_BYTES_MAX + 1), hashlib.sha256(b"#" * (TEXT_BYTES_MAX + 1)).hexdigest()),
    ],
)
async def test_a_poisoned_value_is_not_served(redis: OwnRedis, value: bytes, name: str) -> None:
    async with storing(redis) as documents, redis.operator() as client:
        await client.set(f"document:{name}", value)
        with capture_logs() as logs:
            assert await documents.get(name) is None

        assert [(each["event"], each["hash"]) for each in logs] == [("a stored document is not served", name)]


async def test_a_value_of_another_type_is_missing_and_then_replaced(redis: OwnRedis) -> None:
    async with storing(redis) as one, storing(redis) as two, redis.operator() as client:
        await client.lpush(f"document:{HASH}", ME)
        assert await one.get(HASH) is None
        await one.put(HASH, ME)

        assert await two.get(HASH) == ME


@pytest.mark.parametrize("name", ["", "x", HASH[:-1], HASH.upper(), f"{HASH}\n", "../documents", "*"])
async def test_what_is_no_hash_is_not_looked_for(redis: OwnRedis, name: str) -> None:
    async with storing(redis) as documents:
        before = await redis.calls("evalsha")

        assert await documents.get(name) is None
        assert await redis.calls("evalsha") == before


async def test_use_puts_the_expiry_off_once_a_day(redis: OwnRedis) -> None:
    key = f"document:{HASH}"
    async with storing(redis) as one, redis.operator() as client:
        await one.put(HASH, ME)
        await client.expire(key, EXPIRY_S - RENEWED_AFTER_S + 60)
        async with storing(redis) as two:
            await two.get(HASH)
        assert await client.ttl(key) <= EXPIRY_S - RENEWED_AFTER_S + 60

        await client.expire(key, EXPIRY_S - RENEWED_AFTER_S - 60)
        async with storing(redis) as three:
            await three.get(HASH)
        assert await client.ttl(key) > EXPIRY_S - 60


async def test_a_remembered_document_is_told_to_redis_again(redis: OwnRedis) -> None:
    async with storing(redis, renewed_after_s=0) as documents, redis.operator() as client:
        await documents.put(HASH, ME)
        await client.flushall()
        assert await documents.get(HASH) == ME

        assert await client.get(f"document:{HASH}") == ME


async def test_those_used_longest_ago_are_forgotten_by_the_process(redis: OwnRedis) -> None:
    texts = [f"{{ me {{ a{n}: id }} }}" for n in range(4)]
    async with storing(redis, remembered_max=3) as documents:
        for text in texts[:3]:
            await documents.put(hash_of(text), text)
        await documents.get(hash_of(texts[0]))
        await documents.put(hash_of(texts[3]), texts[3])
        # A server that does not have the script yet is asked twice.
        await documents.get(HASH)
        before = await redis.calls("evalsha")

        for at, calls in ((0, 0), (2, 0), (3, 0), (1, 1)):
            assert await documents.get(hash_of(texts[at])) == texts[at]
            assert await redis.calls("evalsha") == before + calls


async def test_a_process_remembers_so_many_bytes(redis: OwnRedis) -> None:
    texts = [f"# {n}".ljust(TEXT_BYTES_MAX) for n in range(10)]
    async with storing(redis, remembered_bytes_max=3 * TEXT_BYTES_MAX) as documents:
        for text in texts:
            await documents.put(hash_of(text), text)

        assert list(documents._remembered) == [hash_of(text) for text in texts[-2:]]
        assert documents._remembered_bytes == sum(each.size_bytes for each in documents._remembered.values())
        assert documents._remembered_bytes <= 3 * TEXT_BYTES_MAX


async def test_redis_keeps_so_many_and_drops_those_used_longest_ago(redis: OwnRedis) -> None:
    texts = [f"# {n}" for n in range(5)]
    async with storing(redis, kept_max=3) as documents, redis.operator() as client:
        for text in texts:
            await documents.put(hash_of(text), text)

        kept = {f"document:{hash_of(text)}" for text in texts[-3:]}
        assert set(await client.keys("document:*")) == kept
        assert await client.zcard("documents") == 3


async def test_without_redis_only_remembered_documents_are_served(redis: OwnRedis) -> None:
    other = "{ me { name } }"
    async with storing(redis) as documents:
        await documents.put(HASH, ME)
        await redis.kill()
        for _ in range(2):
            with pytest.raises(Unavailable):
                await documents.get(hash_of(other))
            with pytest.raises(Unavailable):
                await documents.put(hash_of(other), other)

        assert await documents.get(HASH) == ME
        assert list(documents._remembered) == [HASH]


async def test_a_redis_that_forgot_the_scripts_is_told_again(redis: OwnRedis) -> None:
    async with storing(redis) as one, storing(redis) as two, redis.operator() as client:
        await client.script_flush()
        await one.put(HASH, ME)
        await client.script_flush()

        assert await two.get(HASH) == ME
