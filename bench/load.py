"""The load: a fixed number of connections, each with one request under way, sent and read by one thread over epoll.

No client library stands between: requests are bytes made beforehand, and of an answer no more is looked at than its
length, its status and whether it tells of errors. `python -m bench --hello` says what it can ask for at most.
"""

import re
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

RECEIVED_BYTES = 1 << 20
# Longer than the slowest answer under the heaviest load.
SILENCE_S = 30.0
LOOKED_AT_BYTES = 2_000
_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *(\d+)")


class LoadError(Exception):
    """The server did not answer as it has to."""


@dataclass
class Sample:
    """What came of one stretch of load."""

    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    received_bytes: int = 0

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return len(self.latencies_s) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """The time within which so many of the answers came."""
        ordered = sorted(self.latencies_s)
        return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)] * 1000


@dataclass
class _Connection:
    socket: socket.socket
    sent_at: float = 0.0
    head: bytes = b""
    missing: int = -1
    parts: list[bytes] = field(default_factory=list)


def request(authorization: str, body: bytes) -> bytes:
    """The bytes of one HTTP request."""
    head = (
        "POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
        f"Authorization: {authorization}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def ask(port: int, asked: bytes) -> bytes:
    """One request and its answer's body. Raises LoadError."""
    connection = _Connection(_connect(port))
    with connection.socket:
        connection.socket.settimeout(SILENCE_S)
        connection.socket.sendall(asked)
        while True:
            if not (received := connection.socket.recv(RECEIVED_BYTES)):
                raise LoadError("the server closed the connection")
            if (answer := _take(connection, received)) is not None:
                _check(answer)
                head, _, body = answer.partition(b"\r\n\r\n")
                return _joined(body) if _is_chunked(head) else body


def run(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Sample:
    """Ask the requests in turn for so long, over so many connections at once. Raises LoadError."""
    poll = select.epoll()
    opened = {each.socket.fileno(): each for each in (_Connection(_connect(port)) for _ in range(connections))}
    sample, clock, count, turn = Sample(), time.perf_counter, len(requests), 0
    begun = clock()
    until = begun + seconds
    under_way = len(opened)
    try:
        for number, each in opened.items():
            each.socket.setblocking(False)
            poll.register(number, select.EPOLLIN)
            each.sent_at = clock()
            each.socket.send(requests[turn % count])
            turn += 1
        while under_way:
            ready = poll.poll(SILENCE_S)
            if not ready:
                raise LoadError(f"no answer for {SILENCE_S:.0f} s")
            for number, _ in ready:
                each = opened[number]
                received = each.socket.recv(RECEIVED_BYTES)
                if not received:
                    raise LoadError("the server closed the connection")
                answer = _take(each, received)
                if answer is None:
                    continue
                _check(answer)
                now = clock()
                sample.latencies_s.append(now - each.sent_at)
                sample.received_bytes += len(answer)
                if now >= until:
                    under_way -= 1
                    continue
                each.sent_at = now
                asked = requests[turn % count]
                turn += 1
                if each.socket.send(asked) != len(asked):
                    raise LoadError("a request did not fit into the socket")
        # The last answers came after the end, so the end is when they had come.
        sample.seconds = clock() - begun
        return sample
    finally:
        poll.close()
        for each in opened.values():
            each.socket.close()


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=SILENCE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _take(connection: _Connection, received: bytes) -> bytes | None:
    """The whole answer once its last piece has come. Of an answer in chunks the end is known by the empty chunk."""
    if not connection.parts:
        # Nearly every answer comes in one piece and with its length.
        end = received.find(b"\r\n\r\n")
        found = _LENGTH.search(received, 0, end) if end > 0 else None
        if found is not None and int(found[1]) + end + 4 == len(received):
            return received
    connection.parts.append(received)
    if connection.missing == -1:
        whole = b"".join(connection.parts)
        end = whole.find(b"\r\n\r\n")
        if end == -1:
            return None
        connection.parts = [whole]
        connection.head = whole[:end]
        connection.missing = -2 if _is_chunked(connection.head) else _length(connection.head) + end + 4 - len(whole)
    elif connection.missing != -2:
        connection.missing -= len(received)
    if connection.missing == -2:
        # Of the end the last piece may hold a part only.
        if not (received if len(received) > 6 else b"".join(connection.parts[-3:])).endswith(b"\r\n0\r\n\r\n"):
            return None
    elif connection.missing > 0:
        return None
    answer = connection.parts[0] if len(connection.parts) == 1 else b"".join(connection.parts)
    connection.parts, connection.missing = [], -1
    return answer


def _is_chunked(head: bytes) -> bool:
    return b"chunked" in head


def _length(head: bytes) -> int:
    if (found := _LENGTH.search(head)) is None:
        raise LoadError(f"an answer without a length: {head[:200].decode()}")
    return int(found[1])


def _joined(chunked: bytes) -> bytes:
    parts: list[bytes] = []
    while True:
        size, _, rest = chunked.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return b"".join(parts)
        parts.append(rest[:length])
        chunked = rest[length + 2 :]


def _check(answer: bytes) -> None:
    # The errors of an answer stand before or behind its data; no document here has a field of that name. A refused
    # change has no task.
    if answer[9:12] != b"200" or b'"errors":' in answer or b'"task":null' in answer[:LOOKED_AT_BYTES]:
        raise LoadError(answer[:1000].decode(errors="replace"))
