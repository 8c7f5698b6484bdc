"""Persisted documents: the text behind a name that a client sends in its place.

Two ways to say it: `documentId` with "sha256:" and the digest, as the appendix of GraphQL over HTTP has it, and
`extensions.persistedQuery` as Apollo's clients send it. The second also registers: a text that comes with its digest is
kept, once it was found to be right. With DOCUMENTS=persisted nothing runs that the allow-list does not hold.
"""

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from domain.adapters.documents import StoredDocuments
from domain.base.errors import BadInput, RequestError, Unavailable
from graph.base.requests import Asked

SHA256 = "sha256:"
_DIGEST = re.compile("[0-9a-f]{64}")


class DocumentNotFound(RequestError):
    """Nothing is kept under the name. Apollo's clients know the message, and send the text then."""

    code = "PERSISTED_QUERY_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotFound")


class DocumentNotAllowed(RequestError):
    """It is not on the allow-list, and nothing else runs here."""

    code = "BAD_USER_INPUT"

    def __init__(self) -> None:
        super().__init__("This server runs the documents of its allow-list alone.")


class Persisted:
    """The texts behind names. `allowed` is the allow-list, by name; with `only` nothing else runs."""

    def __init__(self, stored: StoredDocuments, allowed: Mapping[str, str], *, only: bool) -> None:
        self._stored = stored
        self._allowed = {_bare(name): text for name, text in allowed.items()}
        self._texts = frozenset(allowed.values())
        self.only = only

    async def text(self, asked: Asked) -> str:
        """The document of the request.

        Raises DocumentNotFound; DocumentNotAllowed; BadInput for a digest that is none, or not the text's; Unavailable.
        """
        digest = _digest(asked)
        if asked.query is not None:
            if digest is not None and digest != hashlib.sha256(asked.query.encode("utf-8", "replace")).hexdigest():
                raise BadInput("The digest is not that of the query.")
            if self.only and asked.query not in self._texts:
                raise DocumentNotAllowed
            return asked.query
        name = digest if asked.document_id is None else _bare(asked.document_id)
        if (text := self._allowed.get(name or "")) is not None:
            return text
        if self.only:
            raise DocumentNotAllowed
        if name is None or not _DIGEST.fullmatch(name):
            raise DocumentNotFound
        return await self._kept(name, can_send_text=asked.document_id is None)

    async def _kept(self, digest: str, *, can_send_text: bool) -> str:
        try:
            text = await self._stored.get(digest)
        except Unavailable:
            # Who can send the text shall do so: it runs without being kept.
            if not can_send_text:
                raise
            text = None
        if text is None:
            raise DocumentNotFound
        return text

    async def keep(self, asked: Asked) -> None:
        """Keep the text of a request that came with its digest. It was found to be right, and the digest to be its."""
        digest = _digest(asked)
        if digest is None or asked.query is None or self.only:
            return
        # What is not kept is sent again, and that Redis is away is in the log.
        with suppress(Unavailable):
            await self._stored.put(digest, asked.query)


def _bare(name: str) -> str:
    return name.removeprefix(SHA256)


def _digest(asked: Asked) -> str | None:
    """What `extensions.persistedQuery` names; None without it. Raises BadInput."""
    if asked.extensions is None or "persistedQuery" not in asked.extensions:
        return None
    told: Any = asked.extensions["persistedQuery"]
    if not isinstance(told, dict) or told.get("version") != 1:
        raise BadInput("extensions.persistedQuery has to be an object of version 1.")
    digest = told.get("sha256Hash")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise BadInput("extensions.persistedQuery.sha256Hash has to be 64 hexadecimal digits in lower case.")
    return digest
