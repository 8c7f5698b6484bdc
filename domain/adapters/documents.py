"""Documents that clients have sent before and name by their SHA-256 from then on. Redis keeps them for all processes.

Each process remembers those it used last, so one that is asked for often costs no round trip. What comes out of Redis
is served only when it fits its hash.
"""

import asyncio
import hashlib
import re
import sys
from collections import OrderedDict
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis

from domain.adapters.redis import Circuit, pool
from domain.base.batches import Batches
from domain.base.errors import Unavailable

EXPIRY_S = 30 * 24 * 3600
# Use puts the expiry off, but is no write each time.
RENEWED_AFTER_S = 24 * 3600
TEXT_BYTES_MAX = 30 * 1024
REMEMBERED_MAX = 1000
REMEMBERED_BYTES_MAX = 8 * 1024 * 1024
# Anybody may send documents; those that were used longest ago make room. At most 300 MiB so.
KEPT_MAX = 10_000
_CONNECTIONS = 4
_HASH = re.compile(r"[0-9a-f]{64}")
# Documents by the second of their last renewal, with its fraction.
_INDEX = "documents"
_NOW = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
"""
# KEYS: index, then documents. ARGV: expiry in seconds, seconds after which use renews it, hashes. Back come the texts,
# or false. A value of another type is no text.
_GET = (
    _NOW
    + """
local texts = {}
for i = 2, #KEYS do
  local text = redis.pcall('GET', KEYS[i])
  texts[i - 1] = type(text) == 'string' and text
  if texts[i - 1] and redis.call('TTL', KEYS[i]) <= ARGV[1] - ARGV[2] then
    redis.call('EXPIRE', KEYS[i], ARGV[1])
    redis.call('ZADD', KEYS[1], now, ARGV[i + 1])
  end
end
return texts
"""
)
# KEYS: index, document. ARGV: expiry in seconds, how many are kept, hash, text. The expired leave the index first.
_PUT = (
    _NOW
    + """
redis.call('SET', KEYS[2], ARGV[4], 'EX', ARGV[1])
redis.call('ZADD', KEYS[1], now, ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1])
local over = redis.call('ZCARD', KEYS[1]) - ARGV[2]
if over > 0 then
  local dropped = redis.call('ZPOPMIN', KEYS[1], over)
  for i = 1, #dropped, 2 do redis.call('DEL', 'document:' .. dropped[i]) end
end
"""
)

_log = structlog.get_logger("documents")


@dataclass(slots=True)
class _Remembered:
    """A document in this process; `renew_at` is when its use is told to Redis again."""

    text: str
    size_bytes: int
    renew_at: float


class StoredDocuments:
    """Documents by hash: 64 lower-case hexadecimal digits, without a prefix."""

    def __init__(
        self,
        url: str,
        *,
        expiry_s: int = EXPIRY_S,
        renewed_after_s: int = RENEWED_AFTER_S,
        kept_max: int = KEPT_MAX,
        remembered_max: int = REMEMBERED_MAX,
        remembered_bytes_max: int = REMEMBERED_BYTES_MAX,
    ) -> None:
        self._expiry_s = expiry_s
        self._renewed_after_s = renewed_after_s
        self._kept_max = kept_max
        self._remembered_max = remembered_max
        self._remembered_bytes_max = remembered_bytes_max
        self._redis = Redis.from_pool(pool(url, connections=_CONNECTIONS))
        self._get = self._redis.register_script(_GET)
        self._put = self._redis.register_script(_PUT)
        self._circuit = Circuit("documents", refusal="Stored documents cannot be read right now. Try again soon.")
        self._sought: Batches[str, str] = Batches(self._look_up)
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()
        self._remembered_bytes = 0

    async def get(self, hash: str) -> str | None:
        """The document, or None when there is none. Raises Unavailable without Redis, unless it is remembered here."""
        found = self._recall(hash)
        if found is None:
            if not _HASH.fullmatch(hash):
                return None
            self._circuit.check()
            return await self._sought.get(hash)
        if found.renew_at <= asyncio.get_running_loop().time():
            await self._renew(hash, found)
        return found.text

    async def put(self, hash: str, text: str) -> None:
        """Keep the document for 30 days from its last use.

        Raises ValueError when the text does not fit the hash or is over 30 KiB; Unavailable without Redis.
        """
        encoded = text.encode()
        _check(hash, encoded)
        found = self._recall(hash)
        if found is None:
            await self._store(hash, encoded)
            self._remember(hash, text)
        elif found.renew_at <= asyncio.get_running_loop().time():
            await self._renew(hash, found)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _look_up(self, hashes: list[str]) -> dict[str, str]:
        async with self._circuit.asking():
            values: list[bytes | None] = await self._get(
                keys=[_INDEX, *map(_name, hashes)], args=[self._expiry_s, self._renewed_after_s, *hashes]
            )
        found = {}
        for hash, value in zip(hashes, values, strict=True):
            if value is None:
                continue
            try:
                _check(hash, value)
                text = value.decode()
            except ValueError as fault:
                _log.error("a stored document is not served", hash=hash, fault=type(fault).__name__)
                continue
            found[hash] = text
            self._remember(hash, text)
        return found

    async def _store(self, hash: str, encoded: bytes) -> None:
        async with self._circuit.asking():
            await self._put(keys=[_INDEX, _name(hash)], args=[self._expiry_s, self._kept_max, hash, encoded])

    async def _renew(self, hash: str, found: _Remembered) -> None:
        """Tell Redis that it is used; where Redis has lost it, this brings it back. Only one caller does."""
        found.renew_at = asyncio.get_running_loop().time() + self._renewed_after_s
        try:
            await self._store(hash, found.text.encode())
        except Unavailable:
            # The text is at hand, and the next day comes before the expiry.
            return

    def _recall(self, hash: str) -> _Remembered | None:
        found = self._remembered.get(hash)
        if found is not None:
            self._remembered.move_to_end(hash)
        return found

    def _remember(self, hash: str, text: str) -> None:
        if hash in self._remembered:
            return
        renew_at = asyncio.get_running_loop().time() + self._renewed_after_s
        # As it lies in memory: up to four bytes a character.
        found = self._remembered[hash] = _Remembered(text, sys.getsizeof(text), renew_at)
        self._remembered_bytes += found.size_bytes
        while len(self._remembered) > self._remembered_max or self._remembered_bytes > self._remembered_bytes_max:
            _, dropped = self._remembered.popitem(last=False)
            self._remembered_bytes -= dropped.size_bytes


def _check(hash: str, encoded: bytes) -> None:
    if len(encoded) > TEXT_BYTES_MAX:
        raise ValueError(f"a document has at most {TEXT_BYTES_MAX} bytes")
    if hashlib.sha256(encoded).hexdigest() != hash:
        raise ValueError("the document does not fit its hash")


def _name(hash: str) -> str:
    return f"document:{hash}"
