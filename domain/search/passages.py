"""Documents in pieces that a model can tell the meaning of. Pure."""

import re
from collections.abc import Iterator

# Long enough to say what it is about, short enough to be about one thing.
LENGTH = 900
# A border that comes sooner would leave a scrap.
_SHORTEST = LENGTH // 3
# Where a text may be cut, the best first: behind a paragraph, a line, a sentence, a word.
_BORDERS = tuple(map(re.compile, (r"\n\s*\n", r"\n", r"[.!?…]+[\"')\]]*\s|[\u3002\uff01\uff1f]", r"\s")))


def cut(title: str, body: str) -> list[str]:
    """The passages of a document, in its order, without blank ones, and each once.

    The title is a passage by itself, because what is asked for is mostly said there, and it stands before each piece of
    the body, which may mean little without it. A piece has at most LENGTH characters.
    """
    title = title.strip()
    pieces = [f"{title}\n\n{piece}" if title else piece for piece in _pieces(body)]
    return list(dict.fromkeys([title, *pieces] if title else pieces))


def _pieces(text: str) -> Iterator[str]:
    while len(text := text.strip()) > LENGTH:
        end = _border(text)
        yield text[:end].rstrip()
        text = text[end:]
    if text:
        yield text


def _border(text: str) -> int:
    """Where the first piece of a text ends that is longer than one."""
    for border in _BORDERS:
        if ends := [match.end() for match in border.finditer(text, _SHORTEST, LENGTH)]:
            return ends[-1]
    return LENGTH
