"""The order of what was found. Pure: rankings of several kinds become one, and a place in it is found again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from domain.search.models import Subject

# What a list says of its places beyond these is noise, and nobody turns so many pages.
MOST_RANKED = 200
# How much the first places of one list stand out over agreement between the lists. Source: Cormack, Clarke and
# Buettcher, Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods, SIGIR 2009.
FUSION_K = 60
# Of a score of one: finer than any two places differ after a fusion.
POINTS = 10**9


class Mode(StrEnum):
    """What a search goes by."""

    KEYWORD = "KEYWORD"
    SEMANTIC = "SEMANTIC"
    HYBRID = "HYBRID"


@dataclass(frozen=True)
class Ranked:
    """One thing in a ranking.

    `passage_id` is the passage of it that is nearest, where it was found by meaning; `weight`, from 0 to 1, how much of
    the query it answers, as far as the list that it stands in can tell.
    """

    subject: Subject
    id: UUID
    score: float
    passage_id: UUID | None = None
    weight: float = 1.0


def fused(rankings: Sequence[Sequence[Ranked]]) -> list[Ranked]:
    """One ranking out of several, the best first: each place counts weight / (60 + place), and the sum is the score."""
    scores: dict[UUID, float] = {}
    found: dict[UUID, Ranked] = {}
    for ranking in rankings:
        for place, ranked in enumerate(ranking[:MOST_RANKED], start=1):
            scores[ranked.id] = scores.get(ranked.id, 0.0) + ranked.weight / (FUSION_K + place)
            if ranked.id not in found or found[ranked.id].passage_id is None:
                found[ranked.id] = ranked
    return in_order([Ranked(each.subject, id, scores[id], each.passage_id) for id, each in found.items()])


def led_by(first: Sequence[UUID], ranking: Sequence[Ranked]) -> list[Ranked]:
    """The ranking with these tasks before all others, in their order."""
    top = max((each.score for each in ranking), default=0.0)
    known = {each.id: each for each in ranking}
    leading = [
        replace(known.get(id, Ranked(Subject.TASK, id, 0.0)), score=top + len(first) - place)
        for place, id in enumerate(first)
    ]
    return in_order([*leading, *(each for each in ranking if each.id not in first)])


def in_order(found: Sequence[Ranked]) -> list[Ranked]:
    """The best first, at most MOST_RANKED; the id decides between equals, so that it is the same each time."""
    return sorted(found, key=_key)[:MOST_RANKED]


def place_of(ranked: Ranked) -> tuple[int, UUID]:
    """Where it stands, as cursors hold it: its score as a whole number, and its id."""
    return round(ranked.score * POINTS), ranked.id


def beyond(ranking: Sequence[Ranked], place: tuple[int, UUID]) -> list[Ranked]:
    """What comes after a place that `place_of` gave.

    What stood there may have another score by now, or be gone: where it stands counts first, and else where it stood.
    """
    points, id = place
    for number, ranked in enumerate(ranking):
        if ranked.id == id:
            return list(ranking[number + 1 :])
    return [ranked for ranked in ranking if _key(ranked) > (-points, id)]


def _key(ranked: Ranked) -> tuple[int, UUID]:
    points, id = place_of(ranked)
    return -points, id
