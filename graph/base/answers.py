"""How large an answer may be. What is read is bounded by its points; texts are free and shown as often as asked."""

from typing import Any

from domain.base.errors import TooComplex
from graph.base.cost import Estimate

MOST_CHARACTERS = 16 * 1024 * 1024
# The longest that there is: the description of a task.
LONGEST_TEXT = 100_000
# So few objects cannot make an answer too large by short values alone: each has at most 300, of 500 characters.
UNMEASURED_POINTS = 2_000
# What a key, or a value that is no text, takes beside quotes and commas.
_SHORT = 16


def check_size(data: Any, estimate: Estimate, longest_text: int) -> None:
    """Raises TooComplex for an answer that is too large to be written. Looks only at those that may be.

    `longest_text` is that of the texts that are shown, each of them as often as the document says at most.
    """
    if estimate.texts * longest_text > MOST_CHARACTERS or estimate.points > UNMEASURED_POINTS:
        size = _size(data, {})
        if size > MOST_CHARACTERS:
            message = (
                f"The answer has {size:,} characters, at most {MOST_CHARACTERS:,}. What was to be changed is changed."
            )
            raise TooComplex("answer_characters", allowed=MOST_CHARACTERS, found=size, message=message)


def _size(value: Any, known: dict[int, int]) -> int:
    """About how many characters it is written with. An object that stands at many places is looked at once."""
    kind = type(value)
    if kind is str:
        return len(value)
    if kind is dict:
        size = known.get(id(value))
        if size is None:
            size = known[id(value)] = sum([_size(each, known) + _SHORT for each in value.values()])
        return size
    if kind is list:
        return sum([_size(each, known) for each in value])
    return _SHORT
