"""The proxy of the drills: it drops whole messages and nothing else, and outlives the server."""

import asyncio
from itertools import cycle
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.live_log.lossy_redis import LossyRedis, frame_end

FRAMES = [
    b"+PONG\r\n",
    b"-ERR no\r\n",
    b":7\r\n",
    b"$-1\r\n",
    b"$0\r\n\r\n",
    b"$4\r\n\r\n\r\n\r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$3\r\n*1\r\r\n",
    b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nab\r\n",
    b"%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n*2\r\n:1\r\n_\r\n",
    b"|1\r\n+k\r\n+v\r\n*1\r\n#t\r\n",
]


@pytest.mark.parametrize("frame", FRAMES)
def test_a_frame_ends_where_it_ends(frame: bytes) -> None:
    assert frame_end(frame) == len(frame)
    assert frame_end(b"+OK\r\n" + frame + b":1\r\n", 5) == 5 + len(frame)
    assert [frame_end(frame[:length]) for length in range(len(frame))] == [None] * len(frame)


@pytest.mark.parametrize("protocol", [2, 3])
async def test_every_other_message_is_lost_and_all_else_passes(tmp_path: Path, protocol: int) -> None:
    losing = cycle((False, True))
    lossy = LossyRedis(tmp_path, lambda: next(losing))
    async with lossy.running(), Redis.from_url(lossy.url, protocol=protocol) as redis, redis.pubsub() as heard:
        await heard.subscribe("news")
        assert (await heard.get_message(timeout=5) or {})["type"] == "subscribe"
        for number in range(6):
            await redis.publish("news", number)
        await redis.set("key", "message")

        messages = [await heard.get_message(timeout=5) for _ in range(3)]

        assert [message and message["data"] for message in messages] == [b"0", b"2", b"4"]
        assert (lossy.passed, lossy.dropped) == (3, 3)
        assert await redis.get("key") == b"message"


async def test_connections_break_with_the_server_and_new_ones_reach_the_next(tmp_path: Path) -> None:
    lossy = LossyRedis(tmp_path, lambda: False)
    async with lossy.running(), Redis.from_url(lossy.url) as redis, redis.pubsub() as heard:
        await heard.subscribe("news")
        await heard.get_message(timeout=5)
        await redis.set("key", "value")

        await lossy.restart()

        with pytest.raises(RedisError):
            async with asyncio.timeout(5):
                await heard.parse_response()
        async with Redis.from_url(lossy.url) as again:
            assert await again.get("key") is None
