"""Embeddings by models that are not the one of the settings: those of vectors that were made before a change of it."""

import importlib
from typing import Any

from domain.adapters.embeddings import Embeddings
from domain.adapters.embeddings_local import LocalEmbeddings
from domain.base.settings import Settings


class OtherEmbeddings:
    """Whoever else can be asked with these settings. Each is made once, and when it is asked for first."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._made: dict[str, Embeddings] = {}

    def named(self, model: str) -> Embeddings | None:
        """Who has the model of that name (`Embeddings.model`); None when nobody that the settings name has it."""
        if model not in self._made:
            made = self._make(model)
            if made is None or made.model != model:
                return None
            self._made[model] = made
        return self._made[model]

    async def close(self) -> None:
        """Close what is open."""
        for each in self._made.values():
            await each.close()

    def _make(self, model: str) -> Embeddings | None:
        if model == LocalEmbeddings.model:
            return LocalEmbeddings()
        _, _, rest = model.partition("/")
        name, _, dimensions = rest.rpartition("/")
        if self._settings.openai_api_key is None or not (name and dimensions.isdecimal()):
            return None
        # By name, as in `wiring`: most processes have no key.
        wiring: Any = importlib.import_module("domain.adapters.openai_wiring")
        made: Embeddings = wiring.embeddings_of(self._settings, model=name, dimensions=int(dimensions))
        return made
