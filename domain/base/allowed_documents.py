"""The documents of DOCUMENTS_FILE: a JSON object of id -> document, read once when a process starts."""

import hashlib
import json
import re
from pathlib import Path

_HASH = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")
_PREFIX = "sha256:"


def allowed_documents(path: Path) -> dict[str, str]:
    """Documents by id.

    An id that is a SHA-256, with `sha256:` before it or bare, is a key as `sha256:` and 64 lower-case digits; any other
    is a key as it is written. Raises ValueError with the file's name when the file cannot be read, is no such object,
    or holds a document that does not fit its hash.
    Source: GraphQL over HTTP, appendix A, persisted documents.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_Entries)
    except OSError as fault:
        raise ValueError(f"{path} cannot be read: {fault.strerror}") from fault
    except (ValueError, RecursionError) as fault:
        raise ValueError(f"{path} is not JSON in UTF-8") from fault
    if not isinstance(entries, _Entries):
        raise ValueError(f"{path} has to be a JSON object of id and document")
    documents: dict[str, str] = {}
    for written, value in entries:
        name, text = _document(path, written, value)
        if name in documents:
            raise ValueError(f"{path} holds {written!r} twice")
        documents[name] = text
    return documents


class _Entries(list[tuple[str, object]]):
    """The names and values of an object, in order: a dict would hide a name that is there twice."""


def _document(path: Path, written: str, text: object) -> tuple[str, str]:
    """One entry's id, as it is a key, and text."""
    if not written.strip():
        raise ValueError(f"{path} holds an empty id")
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{path} holds no document under {written!r}")
    try:
        digest = hashlib.sha256(text.encode()).hexdigest()
    except UnicodeEncodeError:
        raise ValueError(f"{path} holds half a character under {written!r}") from None
    found = _HASH.fullmatch(written)
    if found is None:
        if written.startswith(_PREFIX):
            raise ValueError(f"{path} holds {written!r}, which has to be sha256: and 64 hexadecimal digits")
        return written, text
    if found[1].lower() != digest:
        raise ValueError(f"{path} holds a document under {written!r} whose hash is {digest}")
    return _PREFIX + digest, text
