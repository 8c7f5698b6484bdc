"""Reads for many objects at once, each key once an operation."""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any

from graph.base.context import Context

Read = Callable[..., Awaitable[dict[Any, Any]]]


class Loads:
    """What an operation has read. Rows of one key are the same wherever it asks for them."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def rows(self, read: Read, keys: Sequence[Any], *arguments: Hashable) -> list[Any]:
        """What the read gives for each key, None for a key that is None; where it fails, the failure for each."""
        try:
            found = await self._context.operation.read(read, keys, *arguments)
        except Exception as fault:
            return [None if key is None else fault for key in keys]
        return [found.get(key) for key in keys]

    async def each(self, asked: Sequence[tuple[Read, Any, tuple[Hashable, ...]]]) -> list[Any]:
        """As `rows`, for keys that may be asked of different reads."""
        groups: dict[tuple[Read, tuple[Hashable, ...]], list[int]] = {}
        for number, (read, _, arguments) in enumerate(asked):
            groups.setdefault((read, arguments), []).append(number)
        values: list[Any] = [None] * len(asked)
        for (read, arguments), numbers in groups.items():
            for number, value in zip(
                numbers, await self.rows(read, [asked[n][1] for n in numbers], *arguments), strict=True
            ):
                values[number] = value
        return values
