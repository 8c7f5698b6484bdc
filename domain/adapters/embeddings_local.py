"""Embeddings of this machine: no key, no network. A table of word pieces, and a text is the mean of its pieces.

The model comes with the package. It is loaded at the first text, in the one thread that also does the work: 0.5 s of
processor time and 85 MB, which a process that embeds nothing does not pay. The event loop goes on meanwhile.
"""

import asyncio
import importlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

from domain.adapters.embeddings import Vector, batches, check, unit

CONFIGURATION = "l2_supercat"
DIMENSIONS = 256
# About 10 ms. Between two batches it is others' turn: a query does not wait for a whole reindex.
_BATCH_TEXTS = 64
_BATCH_CHARACTERS = 64_000


class LocalEmbeddings:
    """WordLlama's, as it stands in its wheel."""

    model = f"wordllama/{CONFIGURATION}/{DIMENSIONS}"
    dimensions = DIMENSIONS

    def __init__(self) -> None:
        # One thread: two would load the model twice, and take the processor from the event loop.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embeddings")

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """A vector for each text; see `Embeddings.embed`."""
        check(texts)
        loop = asyncio.get_running_loop()
        vectors: list[Vector] = []
        for batch in batches(texts, count=_BATCH_TEXTS, characters=_BATCH_CHARACTERS):
            vectors += await loop.run_in_executor(self._thread, self._embedded, batch)
        return vectors

    async def close(self) -> None:
        """Let the thread end after what it is at."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _embedded(self, texts: list[str]) -> list[Vector]:
        tokenizer, pieces = self._loaded.tokenizer, self._loaded.embedding
        # What the package's own `embed` does, but one by one: it fills all texts up to the longest, which takes memory
        # without bound, and cuts them into pieces on threads that a process which forks later is warned of.
        return [unit(pieces[tokenizer.encode(text, add_special_tokens=False).ids].mean(axis=0)) for text in texts]

    @cached_property
    def _loaded(self) -> Any:
        # By name and here, since the import alone brings numpy, and takes longer than the model.
        wordllama = importlib.import_module("wordllama")
        found = wordllama.WordLlama.load(
            CONFIGURATION, dim=DIMENSIONS, cache_dir=Path(str(wordllama.__file__)).parent, disable_download=True
        )
        found.tokenizer.no_padding()
        return found
