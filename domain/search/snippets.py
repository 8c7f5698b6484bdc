"""The part of a text that a search is about, as plain text for one line. Pure: it reads no row and knows no language.

A word of the text counts for one that was looked for when both begin alike, which is what most endings leave as it is:
so no dictionary is needed, and at worst a snippet begins elsewhere.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

SNIPPET_LENGTH = 240
CUT = "\u2026"
"""Stands where the text goes on."""

# Less in common, and nearly everything begins alike.
_LEAST_ALIKE = 3
_MOST_WORDS = 32
# Where words stand so often, the best place is found before the last.
_MOST_PLACES = 1_000
_WORD = re.compile(r"\w+")
_MENTION = re.compile(r"@\(user_[0-9a-f]{32}\)")


def words_of(text: str) -> list[str]:
    """The words of a text, as `snippet` takes them; each once."""
    return list(dict.fromkeys(found.casefold() for found in _WORD.findall(text)))[:_MOST_WORDS]


def plain(text: str) -> str:
    """The text in one line, without the marks that stand for people."""
    return " ".join(_MENTION.sub(" ", text).split())


def snippet(text: str, words: Sequence[str], *, most: int = SNIPPET_LENGTH) -> str:
    """At most so many characters of the text around the words that were looked for, or of its beginning.

    Words stay whole, but for one that is longer than all that there is room for.
    """
    line = plain(text)
    if len(line) <= most:
        return line
    begin = _best_place(line, words, most - 2)
    end = begin + most - 2
    if begin:
        # A word that is cut in two is left out, unless it is all that there is.
        following = line.find(" ", begin - 1, end)
        begin = following + 1 if following >= 0 else begin
    if end < len(line):
        preceding = line.rfind(" ", begin + 1, end + 1)
        end = preceding if preceding >= 0 else end
    cut = line[begin:end].strip()
    return f"{CUT if begin else ''}{cut}{CUT if end < len(line) else ''}"


def matched(text: str, words: Sequence[str]) -> int:
    """How many of the words that were looked for stand in the text."""
    found: set[str] = set()
    for _, _, word in _places(text, words):
        found.add(word)
        if len(found) == len(words):
            break
    return len(found)


def _best_place(line: str, words: Sequence[str], room: int) -> int:
    """Where the part of `room` characters begins that has most of the words, the first of those that have as many."""
    places = list(islice(_places(line, words), _MOST_PLACES))
    best, most, first = 0, 0, 0
    inside: Counter[str] = Counter()
    for last, (begin, length, word) in enumerate(places):
        inside[word] += 1
        while begin + length - places[first][0] > room and first < last:
            left = places[first][2]
            inside[left] -= 1
            if not inside[left]:
                del inside[left]
            first += 1
        if len(inside) > most:
            best, most = first, len(inside)
    if not most:
        return 0
    # Some of what stands before it tells what it is about; near the end there is more room for that.
    return max(0, min(places[best][0] - room // 4, len(line) - room))


def _places(line: str, words: Sequence[str]) -> Iterable[tuple[int, int, str]]:
    """Where words of the line stand that are among those that were looked for: place, length, and which it is."""
    if not words:
        return
    by_beginning: dict[str, list[str]] = {}
    for word in words:
        by_beginning.setdefault(word[:_LEAST_ALIKE], []).append(word)
    known: dict[str, str | None] = {}
    for match in _WORD.finditer(line):
        found = match[0].casefold()
        if found not in known:
            candidates = by_beginning.get(found[:_LEAST_ALIKE], ())
            known[found] = next((word for word in candidates if alike(found, word)), None)
        if (word_of_query := known[found]) is not None:
            yield match.start(), len(match[0]), word_of_query


def alike(one: str, other: str) -> bool:
    """Whether two words begin alike for most of the shorter one, or are the same."""
    if one == other:
        return True
    shorter = min(len(one), len(other))
    common = next((n for n in range(shorter) if one[n] != other[n]), shorter)
    return common >= _LEAST_ALIKE and 4 * common >= 3 * shorter
