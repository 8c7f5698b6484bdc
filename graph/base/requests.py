"""What a client asks: the JSON of a body or a socket's message, read strictly, and the request that it must be."""

import json
import math
from typing import Any, NamedTuple

import orjson

from graph.base.operations import LONGEST_NUMBER

# What reads or checks a value goes down into it; Python's stack takes a few hundred levels of that.
MOST_DEPTH = 100
# Values within values, which cost much more than their bytes: a mebibyte holds 350,000 empty lists.
MOST_VALUES = 50_000
# Of an integer that does not fit into 64 bits orjson makes a float; one of so few digits always fits.
FITTING_DIGITS = 18
LONGEST_NAME = 100
# Of a JSON text: digits, what may stand right before a number, and all else. Digits of an id or of a fraction, behind a
# letter or a point, begin no number.
_DIGITS, _BEFORE = b"0123456789", b" \t\r\n[:,-"
_OUTLINE = bytes(ord("0") if each in _DIGITS else ord(" ") if each in _BEFORE else ord("x") for each in range(256))
_LONG_NUMBER = b" " + b"0" * (FITTING_DIGITS + 1)


class NotARequest(Exception):
    """What was sent is no request. The message says why."""


class Asked(NamedTuple):
    """A request: a document or the name of one, and what goes with it."""

    query: str | None
    operation_name: str | None = None
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None
    document_id: str | None = None


def decoded(text: bytes) -> Any:
    """The JSON value. Raises NotARequest for what is none, or is more than a request ever needs."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        # It also refuses what is JSON, and is told better where it is met: an unpaired surrogate.
        found = _slowly(text)
    else:
        if _has_long_number(text):
            found = _slowly(text)
    brackets = text.count(b"[") + text.count(b"{")
    # Whatever has no more of these has not too much; of those that have, texts may hold them.
    if brackets > MOST_DEPTH or (len(text) > MOST_VALUES and brackets + text.count(b",") > MOST_VALUES):
        _check_size(found)
    return found


def asked(found: Any) -> Asked:
    """The request that a JSON value holds. Raises NotARequest naming what is wrong."""
    if type(found) is list:
        raise NotARequest("Batches are not taken. Send one request after the other, or several fields in one.")
    if type(found) is not dict:
        raise NotARequest("A request is a JSON object.")
    query, name, document_id = found.get("query"), found.get("operationName"), found.get("documentId")
    variables, extensions = found.get("variables"), found.get("extensions")
    if query is not None and type(query) is not str:
        raise NotARequest("query has to be a string.")
    if not is_name(name):
        raise NotARequest(f"operationName has to be a name of at most {LONGEST_NAME} characters, or null.")
    if variables is not None and type(variables) is not dict:
        raise NotARequest("variables has to be an object or null.")
    if extensions is not None and type(extensions) is not dict:
        raise NotARequest("extensions has to be an object or null.")
    if not is_name(document_id):
        raise NotARequest(f"documentId has to be a string of at most {LONGEST_NAME} characters.")
    names_document = document_id is not None or "persistedQuery" in (extensions or ())
    if query == "" and names_document:
        # The client of graphql-ws sends no message without one.
        query = None
    if query is not None and document_id is not None:
        raise NotARequest("query and documentId exclude each other.")
    if query is None and not names_document:
        raise NotARequest("There is no query.")
    return Asked(query, name, variables, extensions, document_id)


def is_name(found: object) -> bool:
    """Whether it can be the name of something, or none is given."""
    return found is None or (isinstance(found, str) and len(found) <= LONGEST_NAME and found.isprintable())


def _has_long_number(text: bytes) -> bool:
    """Whether an integer of too many digits may be among the numbers."""
    return _LONG_NUMBER in text.translate(_OUTLINE)


def _slowly(text: bytes) -> Any:
    try:
        return json.loads(
            text.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite, parse_int=_not_too_long
        )
    except NotARequest:
        raise
    except RecursionError:
        raise NotARequest(f"The JSON nests deeper than {MOST_DEPTH} levels.") from None
    except ValueError:
        raise NotARequest("It is not JSON in UTF-8.") from None


def _no_constant(name: str) -> None:
    raise NotARequest(f"{name} is not JSON.")


def _finite(digits: str) -> float:
    if not math.isfinite(found := float(digits)):
        raise NotARequest("A number is too large.")
    return found


def _not_too_long(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise NotARequest(f"A number has more than {LONGEST_NUMBER} digits.")
    return int(digits)


def _check_size(found: Any) -> None:
    """Raises NotARequest for what nests too deep or holds too much. Level by level: nesting costs no stack."""
    depth, values, level = 0, 0, [found] if type(found) in (dict, list) else []
    while level:
        values += sum(map(len, level))
        if values > MOST_VALUES:
            raise NotARequest(f"The JSON holds more than {MOST_VALUES} values.")
        # Tens of thousands take some milliseconds, so they are not looked at one by one.
        below = [inner.values() if type(inner) is dict else inner for inner in level]
        level = [each for inner in below for each in inner if type(each) in (dict, list)]
        depth += 1
        if depth > MOST_DEPTH:
            raise NotARequest(f"The JSON nests deeper than {MOST_DEPTH} levels.")
