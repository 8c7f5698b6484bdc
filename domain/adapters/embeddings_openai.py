"""Embeddings by a service that speaks as OpenAI's API does. Source: OpenAI's API reference, create embeddings."""

import asyncio
from collections.abc import Sequence

from openai import omit

from domain.adapters.embeddings import Vector, batches, check, unit
from domain.adapters.openai_service import OpenAiService, WrongShape, decoded, our_errors

# Of one try, and of all together with the waits between them.
TRY_S = 10.0
DEADLINE_S = 30.0
# As many as Hugging Face's server takes at once unless it is told otherwise; OpenAI takes 2,048 with 300,000 tokens.
BATCH_TEXTS = 32
BATCH_CHARACTERS = 100_000
CONCURRENCY = 4
# Those after it can shorten their vectors; others refuse to be told a length.
_CAN_SHORTEN = "text-embedding-3"


class OpenAiEmbeddings:
    """The service's model. At most CONCURRENCY requests run at a time."""

    def __init__(self, service: OpenAiService, *, model: str, dimensions: int, deadline_s: float = DEADLINE_S) -> None:
        self.model = f"{service.host}/{model}/{dimensions}"
        self.dimensions = dimensions
        self._service = service
        self._name = model
        self._shorten_to = dimensions if _CAN_SHORTEN in model else omit
        self._deadline_s = deadline_s
        self._turns = asyncio.Semaphore(CONCURRENCY)

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """A vector for each text; see `Embeddings.embed`."""
        check(texts)
        with our_errors("embedding service"):
            async with asyncio.timeout(self._deadline_s):
                try:
                    async with asyncio.TaskGroup() as group:
                        asked = [
                            group.create_task(self._embedded(batch))
                            for batch in batches(texts, count=BATCH_TEXTS, characters=BATCH_CHARACTERS)
                        ]
                except ExceptionGroup as faults:
                    # The first one; the others were cancelled for it, or are like it.
                    raise faults.exceptions[0] from None
        return [vector for task in asked for vector in task.result()]

    async def close(self) -> None:
        """Close the connections."""
        await self._service.close()

    async def _embedded(self, texts: list[str]) -> list[Vector]:
        async with self._turns:
            answer = await self._service.client.embeddings.with_raw_response.create(
                input=texts, model=self._name, dimensions=self._shorten_to, encoding_format="float", timeout=TRY_S
            )
        return self._read(answer.content, len(texts))

    def _read(self, content: bytes, count: int) -> list[Vector]:
        """The vectors of an answer, in the order of what was asked. Raises WrongShape."""
        items = decoded(content).get("data")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise WrongShape("data is no list of objects")
        if len(items) != count:
            raise WrongShape(f"{len(items)} vectors for {count} texts")
        # The reference gives each its place; some services leave it out, and keep the order.
        places = [item.get("index", place) for place, item in enumerate(items)]
        if sorted(places, key=str) != sorted(range(count), key=str):
            raise WrongShape("the places of the vectors are not those of the texts")
        vectors = dict(zip(places, (self._vector(item.get("embedding")) for item in items), strict=True))
        return [vectors[place] for place in range(count)]

    def _vector(self, values: object) -> Vector:
        if not isinstance(values, list) or not all(type(value) in (float, int) for value in values):
            raise WrongShape("an embedding is no list of numbers")
        if len(values) != self.dimensions:
            raise WrongShape(f"an embedding has {len(values)} dimensions, not {self.dimensions}")
        try:
            return unit(values)
        except (ValueError, OverflowError):
            raise WrongShape("an embedding has no direction") from None
