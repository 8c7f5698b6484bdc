"""How an answer leaves: its head with the first piece of its body, where uvicorn writes each by itself.

A second write is a second call of the system, and wakes the other end for a head without its body.
"""

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

# A longer piece is not copied for it.
MOST_JOINED_BYTES = 64 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def hold_head(cycle: RequestResponseCycle) -> None:
    """Let the head of the cycle's answer wait for the first piece of its body."""
    held = _HeldHead(cycle.transport, cycle.on_response)
    cycle.transport = held  # type: ignore[assignment]  # it is one but for its class
    cycle.on_response = held.on_response


class _HeldHead:
    """The transport, for one answer. The head is the first that is written, but for an interim answer before it.

    It knows nothing of the request, which knows it: both go when they are done, without the collector of cycles.
    """

    def __init__(self, transport: Any, ended: Callable[..., None]) -> None:
        self._transport = transport
        self._ended = ended
        self._is_begun = False
        self._head = b""

    def write(self, data: bytes) -> None:
        """As the transport's, but for the head."""
        if not self._is_begun and data != CONTINUE:
            self._is_begun, self._head = True, data
            return
        if self._head and len(data) <= MOST_JOINED_BYTES:
            data, self._head = self._head + data, b""
        self._let_go()
        self._transport.write(data)

    def close(self) -> None:
        """As the transport's."""
        self._let_go()
        self._transport.close()

    def on_response(self) -> None:
        """As the cycle's. An answer without a body has written its head alone."""
        self._let_go()
        self._ended()

    def _let_go(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
