"""Telling this process what its commits have changed, by ids. A hint: who dies at once after a commit tells nobody."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from uuid import UUID

from domain.base.database import after_commit

Listener = Callable[[Collection[UUID]], None]


class Commits:
    """Of one kind of thing, and who hears of them."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()

    @contextmanager
    def told(self, listener: Listener) -> Iterator[None]:
        """Tell the listener, inside the block, the ids of what a commit of this process has changed."""
        self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)

    def tell_after_commit(self, ids: Collection[UUID]) -> None:
        """Tell all listeners of these, if there are any, once the open transaction is committed."""
        if ids:
            after_commit(lambda: self._tell(ids))

    def _tell(self, ids: Collection[UUID]) -> None:
        for listener in tuple(self._listeners):
            listener(ids)
