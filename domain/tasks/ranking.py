"""Ranks: strings that sort byte by byte, with room for another between any two. Pure.

Source: fractional indexing as in https://observablehq.com/@dgreensp/implementing-fractional-indexing.
"""

from fractional_indexing import generate_key_between, generate_n_keys_between

# A rank grows by a character for about every six moves into one and the same gap; from here the state is spread anew.
LONGEST = 100


def between(before: str | None, after: str | None) -> str:
    """A rank after `before` and before `after`; None stands for the very end."""
    return str(generate_key_between(before, after))


def following(last: str | None, count: int) -> list[str]:
    """`count` ranks in order, all after `last`."""
    return [str(rank) for rank in generate_n_keys_between(last, None, count)]
