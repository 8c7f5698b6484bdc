"""Searching an organization: by words, by meaning, or by both.

A search is a ranking and a page of it. The ranking, ids and scores of the best 200, comes from the cache as long as
nothing has changed that it may depend on: the organization's log and the version of its index are part of its key. What
is shown is read live, and what the caller does not see any more is left out before the page is cut.

Meaning takes a vector of the query, which a service far away may have to make. When that does not come in time, or
there is nothing to compare it with, words alone serve; what is found for want of the vector is not kept as an answer
to what was asked.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.adapters.cache import Cache, Codec, Kind
from domain.base.actor import Actor
from domain.base.database import fetch
from domain.base.errors import BadInput
from domain.base.paging import Key, KeyKind, Order, PageRequest, request
from domain.base.permissions import Permission
from domain.base.sql import Row, sql
from domain.events.cached import cached
from domain.search import hits, keyword, semantic, serving
from domain.search.hits import Hit
from domain.search.models import Subject
from domain.search.ranking import Mode, Ranked, beyond, fused, led_by, place_of
from domain.search.scope import Scope
from domain.search.semantic import Embedder, WithoutVector
from domain.search.serving import Serving
from domain.search.wanted import wanted

QUERY_LENGTH_MAX = 500
KEPT_S = 600.0
NEEDED = {
    Subject.TASK: Permission.TASK_READ,
    Subject.COMMENT: Permission.TASK_READ,
    Subject.PROJECT: Permission.PROJECT_READ,
}
"""What shows the things of a kind."""

_BEST_FIRST = Order((Key("score", KeyKind.NUMBER, descending=True), Key("id", KeyKind.UUID)))
# PostgreSQL holds no NUL, and UTF-8 no half of a character.
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class Asked:
    """A search that may be made. Hashable: equal ones are one."""

    query: str
    mode: Mode
    scope: Scope
    page: PageRequest


@dataclass(frozen=True)
class Found:
    """A page of what a search found. `cursors` are those of the hits."""

    hits: list[Hit]
    cursors: list[str]
    has_next: bool
    has_previous: bool
    served_by: Mode
    from_cache: bool


@dataclass(frozen=True)
class _Ranking:
    ranked: list[Ranked]
    served_by: Mode


async def search(
    actor: Actor,
    org_id: UUID,
    query: str,
    *,
    cache: Cache,
    embedder: Embedder,
    project_id: UUID | None = None,
    subjects: Sequence[Subject] | None = None,
    mode: Mode = Mode.HYBRID,
    first: int | None = 10,
    after: str | None = None,
) -> Found:
    """What the organization has for the query, the best first; nothing that is archived.

    Raises NotFound; Forbidden (SEARCH_READ); BadInput for a query that is blank or has more than 500 characters, and
    for what is no page. Without the service of embeddings the words alone serve, and `served_by` says so.
    """
    asked = checked(actor, org_id, query, project_id=project_id, subjects=subjects, mode=mode, first=first, after=after)
    return await found(actor, asked, cache=cache, embedder=embedder)


def checked(
    actor: Actor,
    org_id: UUID,
    query: str,
    *,
    project_id: UUID | None,
    subjects: Sequence[Subject] | None,
    mode: Mode,
    first: int | None,
    after: str | None,
) -> Asked:
    """The search that is asked for, of what the caller may see. Raises as `search` does."""
    actor.require(Permission.SEARCH_READ, org_id=org_id)
    query = " ".join(query.split())
    if not 1 <= len(query) <= QUERY_LENGTH_MAX:
        raise BadInput(f"`query` must have 1 to {QUERY_LENGTH_MAX} characters.", path=["query"])
    if _UNWRITABLE.search(query) is not None:
        raise BadInput("`query` holds a NUL or an unpaired surrogate.", path=["query"])
    allowed = actor.permissions(org_id)
    kinds = tuple(kind for kind in Subject if NEEDED[kind] in allowed and (subjects is None or kind in subjects))
    scope = Scope(org_id, kinds, project_id)
    page = request(_BEST_FIRST, first=first, after=after, scope=repr(("search", query, mode.value, scope)))
    return Asked(query, mode, scope, page)


async def found(actor: Actor, asked: Asked, *, cache: Cache, embedder: Embedder) -> Found:
    """A page of what `checked` let through."""
    ranking, from_cache = await _ranking(actor, asked, cache, embedder)
    ranked, size = ranking.ranked, asked.page.size
    if asked.page.place is not None:
        ranked = beyond(ranked, asked.page.place)
    shown: list[tuple[Ranked, hits.Shown]] = []
    while ranked and len(shown) <= size:
        some, ranked = ranked[: size + 1], ranked[size + 1 :]
        rows = await hits.rows_of(actor, ((each.subject, each.id) for each in some))
        shown += hits.with_rows(some, rows)
    shown, more = shown[:size], len(shown) > size
    return Found(
        hits=await hits.made(shown, asked.query),
        cursors=[asked.page.cursor(place_of(each)) for each, _ in shown],
        has_next=more,
        has_previous=asked.page.place is not None,
        served_by=ranking.served_by,
        from_cache=from_cache,
    )


async def _ranking(actor: Actor, asked: Asked, cache: Cache, embedder: Embedder) -> tuple[_Ranking, bool]:
    """The best 200, and whether they came from the cache."""
    model = None if asked.mode is Mode.KEYWORD else await serving.serving()
    version = await _version(asked.scope.org_id)
    if model is not None:
        try:
            return await _cached(actor, asked, cache, version, model, embedder)
        except WithoutVector:
            pass
    return await _cached(actor, asked, cache, version, None, embedder)


async def _cached(
    actor: Actor, asked: Asked, cache: Cache, version: int, model: Serving | None, embedder: Embedder
) -> tuple[_Ranking, bool]:
    async def load(_actor: Actor, org_ids: list[UUID]) -> dict[UUID, _Ranking]:
        return {org_id: await _ranked(actor, asked, model, embedder) for org_id in org_ids}

    mode = asked.mode if model is not None else Mode.KEYWORD
    arguments = (version, None if model is None else model.name, mode.value, asked.query, asked.scope)
    org_id = asked.scope.org_id
    rankings, loaded = await cached(cache, _KIND, actor, [org_id], load, arguments=arguments)
    ranking = rankings[org_id]
    if ranking is None:
        raise RuntimeError("a search gave no ranking")
    return ranking, not loaded


async def _ranked(actor: Actor, asked: Asked, model: Serving | None, embedder: Embedder) -> _Ranking:
    vector = None if model is None else await semantic.vector_of(asked.query, model, embedder)
    scope = asked.scope
    near: list[Ranked] = []
    if model is not None and vector is not None:
        near = await semantic.nearest(actor, scope, vector, model)
        if near and asked.mode is Mode.SEMANTIC:
            return _Ranking(near, Mode.SEMANTIC)
    words = wanted(asked.query)
    by_words = await keyword.by_words(scope, words)
    ranked = fused([by_words, near]) if near else by_words
    return _Ranking(
        led_by(await keyword.by_identifier(scope, words.identifiers), ranked), Mode.HYBRID if near else Mode.KEYWORD
    )


async def _version(org_id: UUID) -> int:
    rows = await fetch(sql("SELECT version FROM search_version WHERE org_id = {}", org_id), Row)
    return rows[0]["version"] if rows else 0


def _encode(ranking: _Ranking) -> Any:
    return [
        ranking.served_by.value,
        *(
            [each.subject.value, each.id.hex, each.score, each.passage_id and each.passage_id.hex]
            for each in ranking.ranked
        ),
    ]


def _decode(told: Any) -> _Ranking:
    served_by, *ranked = told
    return _Ranking(
        [
            Ranked(Subject(subject), UUID(id), score, None if passage is None else UUID(passage))
            for subject, id, score, passage in ranked
        ],
        Mode(served_by),
    )


_KIND = Kind("search", Codec(_encode, _decode), KEPT_S)
