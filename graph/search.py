"""Searching an organization by words and by meaning."""

from collections.abc import Sequence
from typing import Annotated, Any, cast

import strawberry

from domain.adapters.cache import Cache
from domain.base.actor import Actor
from domain.search import hits, service
from domain.search.hits import Hit
from domain.search.models import Subject
from domain.search.ranking import Mode
from domain.search.semantic import Embedder
from domain.search.service import QUERY_LENGTH_MAX, Asked, Found
from graph.base.context import Info
from graph.base.fields import query
from graph.base.ids import parse_id
from graph.base.paging import PageInfo
from graph.base.prices import priced
from graph.comments import Comment
from graph.projects import Project
from graph.tasks import Task

strawberry.enum(
    Mode,
    name="SearchMode",
    description="What a search goes by: the words of the query, its meaning, or both.",
)
strawberry.enum(Subject, name="SearchSubject", description="What a search finds.")

# A search reads an index of words and one of meaning, and may ask a service for a vector.
SEARCH_COST = 10

SearchSubjectNode = Annotated[
    Task | Comment | Project, strawberry.union("SearchSubjectNode", description="What was found.")
]


@strawberry.type
class SearchHit:
    """Something that was found, and why."""

    row: SearchSubjectNode = strawberry.field(name="node", description="It, as it stands now.")
    score: float = strawberry.field(description="Higher is better; comparable within one search only.")
    snippet: str = strawberry.field(description="The part that matched, plain text, at most 240 characters.")

    @classmethod
    def of(cls, hit: Hit) -> "SearchHit":
        """The hit as the source of this type: nothing is copied, the fields read from it."""
        return cast(SearchHit, hit)


async def kept_hits(root: Any, info: Info) -> list[SearchHit]:
    """The hits that a row keeps as its `sources`, without those that the viewer does not see any more."""
    return [SearchHit.of(hit) for hit in await info.context.load(hits.shown, root.sources)]


@strawberry.type
class SearchEdge:
    """A hit and its place."""

    cursor: str = strawberry.field(description="Opaque place of the hit; pass it as `after`.")
    node: SearchHit = strawberry.field(description="The hit.")


@strawberry.type
class SearchConnection:
    """One page of what was found, the best first."""

    edges: list[SearchEdge] = strawberry.field(
        description="The hits with their cursors.", metadata=priced(as_asked=True)
    )
    nodes: list[SearchHit] = strawberry.field(description="The hits alone.", metadata=priced(as_asked=True))
    page_info: PageInfo = strawberry.field(description="Where the page begins and ends.")
    served_by: Mode = strawberry.field(
        description="What it went by: KEYWORD where there is nothing to compare meanings with, as when the embedding "
        "service is down."
    )
    from_cache: bool = strawberry.field(description="Whether its ranking had been made for an earlier search.")


async def _found(actor: Actor, asked: Sequence[Asked], cache: Cache, embedder: Embedder) -> dict[Asked, Found]:
    """Each search with what it found. What runs anew with care, after a detour, then finds it made."""
    return {each: await service.found(actor, each, cache=cache, embedder=embedder) for each in asked}


@strawberry.type
class SearchQueries:
    """Searches."""

    @query(cost=SEARCH_COST)
    async def search(
        self,
        info: Info,
        organization_id: strawberry.ID,
        query: Annotated[
            str,
            strawberry.argument(
                description=f'1 to {QUERY_LENGTH_MAX} characters. Words, "words in this order", -without, '
                "this or that; the last word may be unfinished. An identifier such as WEB-42 finds its task first."
            ),
        ],
        project_id: Annotated[strawberry.ID | None, strawberry.argument(description="Only in this project.")] = None,
        subjects: Annotated[
            list[Subject] | None, strawberry.argument(description="Only things of these kinds; all when absent.")
        ] = None,
        mode: Annotated[Mode, strawberry.argument(description="What to go by.")] = Mode.HYBRID,
        first: int | None = 10,
        after: str | None = None,
    ) -> SearchConnection:
        """What an organization has for a query, the best first, at most 200. Nothing archived. Needs SEARCH_READ."""
        adapters, operation = info.context.adapters, info.context.operation
        asked = service.checked(
            info.context.actor,
            parse_id(organization_id, "organization", "organizationId"),
            query,
            project_id=None if project_id is None else parse_id(project_id, "project", "projectId"),
            subjects=subjects,
            mode=mode,
            first=first,
            after=after,
        )
        found: Found = await info.context.load(_found, asked, adapters.cache, adapters.embeddings_for)
        operation.once(
            ("search", asked),
            lambda: operation.note_cached((str(info.path.key),), int(found.from_cache), int(not found.from_cache)),
        )
        hits = [SearchHit.of(hit) for hit in found.hits]
        return SearchConnection(
            edges=[SearchEdge(cursor=cursor, node=hit) for cursor, hit in zip(found.cursors, hits, strict=True)],
            nodes=hits,
            page_info=PageInfo(
                has_next_page=found.has_next,
                has_previous_page=found.has_previous,
                start_cursor=found.cursors[0] if hits else None,
                end_cursor=found.cursors[-1] if hits else None,
            ),
            served_by=found.served_by,
            from_cache=found.from_cache,
        )
