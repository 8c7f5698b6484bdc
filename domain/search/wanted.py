"""What a query asks for by its words: read from its text alone, before any dictionary is.

As web searches read it: words that must all be there, "words in this order", -without, this or that. The last word may
be unfinished. What looks like the identifier of a task may be one.
"""

import re
from dataclasses import dataclass

# Of those that are looked for one by one: more say nothing more, and each is work.
MOST_TERMS = 24
# Of a phrase, or of a word that signs cut into several. To rank a text that repeats them by 150 takes seconds.
MOST_IN_PHRASE = 32
_LEAST_STEM = 4
_LONGEST_ENDING = 7
_PART = re.compile(r'(?P<sign>-?)"(?P<phrase>[^"]*)"?|(?P<word>\S+)')
_WORD = re.compile(r"[^\W_]+")
_IDENTIFIER = re.compile(r"[A-Za-z0-9]{2,6}-[0-9]{1,9}")
_OR = "or"


@dataclass(frozen=True)
class Wanted:
    """`whole` in the syntax of PostgreSQL's websearch_to_tsquery, to which the word that `beginning` begins is added.

    With `is_choice` that word is another way to be found, else it must be there too. `terms` are the words and phrases
    each by itself, with what `beginning` has last; `without` are those that nothing may have.
    """

    whole: str
    beginning: str | None
    is_choice: bool
    terms: tuple[str, ...]
    without: tuple[str, ...]
    identifiers: tuple[str, ...]


def wanted(query: str) -> Wanted:
    """What the query asks for."""
    query = _PART.sub(_shortened, query)
    parts = list(_PART.finditer(query))
    words = [part for part in parts if part["word"] is not None and part["word"].casefold() != _OR]
    excluded = [part["phrase"] for part in parts if part["phrase"] is not None and part["sign"]]
    excluded += [part["word"][1:] for part in words if _is_excluded(part)]
    terms = [part["phrase"] for part in parts if part["phrase"] is not None and not part["sign"]]
    terms += [part["word"] for part in words if not _is_excluded(part)]
    identifiers = [term.upper() for term in terms if _IDENTIFIER.fullmatch(term)]
    whole, beginning, is_choice = query, None, False
    if (
        words
        and (last := words[-1]) is parts[-1]
        and not _is_excluded(last)
        and last["word"].upper() not in identifiers
    ):
        whole, beginning = query[: last.start()], last["word"]
        is_choice = len(parts) > 2 and parts[-2]["word"] is not None and parts[-2]["word"].casefold() == _OR
        terms.remove(beginning)
    return Wanted(
        whole,
        beginning,
        is_choice,
        *(tuple(dict.fromkeys(each))[:MOST_TERMS] for each in (terms, excluded, identifiers)),
    )


def _shortened(part: re.Match[str]) -> str:
    """The phrase or word with no more words than are looked for in a row."""
    words = list(_WORD.finditer(part[0]))
    if len(words) <= MOST_IN_PHRASE:
        return part[0]
    return part[0][: words[MOST_IN_PHRASE - 1].end()] + ('"' if part["phrase"] is not None else "")


def _is_excluded(part: re.Match[str]) -> bool:
    return len(part["word"]) > 1 and part["word"].startswith("-")


def stems(word: str) -> list[str]:
    """What dictionaries may have left of a word that begins with this, where they took more than is missing.

    The index has `organ` for organization, which no unfinished `organiza` is the beginning of.
    """
    if not word.isalpha():
        return []
    least = max(_LEAST_STEM, len(word) - _LONGEST_ENDING)
    return [word[:length].casefold() for length in range(len(word) - 1, least - 1, -1)]


def quoted(word: str) -> str:
    """The word as an operand of to_tsquery, whatever characters it has."""
    escaped = word.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
