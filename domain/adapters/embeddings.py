"""Embeddings: texts as vectors whose nearness is nearness in meaning. The interface, and what its makers share."""

import math
from array import array
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeAlias

# A passage, not a document: the models of the services read 8,191 tokens, and a token may be a single character.
TEXT_LENGTH_MAX = 8_000

Vector: TypeAlias = "array[float]"
"""Numbers of 32 bits, of length one together, so that the product of two is the cosine between them."""


class Embeddings(Protocol):
    """Whoever embeds texts."""

    @property
    def model(self) -> str:
        """Provider, model and dimensions. Kept with each vector: those of two models are never compared."""

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """A vector for each text, in their order.

        Raises ValueError for a text that is blank, too long or not to be written in UTF-8; Unavailable when it is to be
        tried again; ModelRefused when that is no use. Who cannot wait as long as it may take cancels it.
        """

    async def close(self) -> None:
        """Close what is open."""


def check(texts: Sequence[str]) -> None:
    """Raises ValueError, which holds nothing of the text."""
    for place, text in enumerate(texts):
        if not text.strip():
            raise ValueError(f"text {place} is blank")
        if len(text) > TEXT_LENGTH_MAX:
            raise ValueError(f"text {place} has {len(text)} characters; at most {TEXT_LENGTH_MAX} are embedded at once")
        if any("\ud800" <= each <= "\udfff" for each in text):
            raise ValueError(f"text {place} cannot be written in UTF-8")


def batches(texts: Sequence[str], *, count: int, characters: int) -> Iterator[list[str]]:
    """The texts in their order, at most so many at a time. A text that is longer than `characters` comes alone."""
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and (len(batch) == count or size + len(text) > characters):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch


def unit(values: Sequence[float]) -> Vector:
    """The vector at length one. Raises ValueError when it has no direction: all zero, or something is no number."""
    length = math.hypot(*values)
    if not 0 < length < math.inf:
        raise ValueError("it has no direction")
    return array("f", [value / length for value in values])
