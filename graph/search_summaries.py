"""Searches that are answered in a few sentences, with their sources."""

from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

import strawberry

from domain.ai import search_queries, summaries
from domain.ai.search_queries import SearchQueryRow
from domain.ai.summaries import Summary
from domain.idempotency.service import OutsideCall
from domain.search.service import QUERY_LENGTH_MAX
from graph.base.context import Info
from graph.base.errors import UserError, mutation, no_errors
from graph.base.fields import column, computed
from graph.base.ids import parse_id
from graph.base.nodes import FromRow, Node
from graph.base.payloads import DonePayload
from graph.search import SearchHit, kept_hits


@strawberry.type
class SearchQuery(Node):
    """A search that the viewer had summarized."""

    row: ClassVar[type[Any]] = SearchQueryRow
    read: ClassVar = search_queries.by_ids

    text: str = column("What was asked.", long=True)
    summary: str | None = column("What was answered.", long=True)
    created_at: datetime = column("When it was asked.")


def _summary(root: SearchQueryRow) -> str:
    return root.summary


@strawberry.type
class SearchSummary(FromRow):
    """What was answered, and from what."""

    # The row of its search, so that a repeat shows it as far as its reader may see it by then.
    row: ClassVar[type[Any]] = SearchQueryRow
    read: ClassVar = search_queries.by_ids

    text: str = computed(_summary, needs=("summary",), description="The answer, as plain text.", long=True)
    sources: list[SearchHit] = computed(
        kept_hits,
        needs=("sources",),
        length=summaries.MOST_HITS,
        description="The hits that it is from, at most 8, without those that the viewer does not see any more.",
    )
    generated: bool = computed(
        lambda root: root.is_generated,
        needs=("is_generated",),
        description="Whether a language model has written it. Where none is set up, or it does not answer, the text is "
        "put together from the hits themselves.",
    )


@strawberry.type
class SearchSummaryPayload:
    """A search and its answer."""

    query: SearchQuery | None = strawberry.field(
        default=None, description="What was kept of it; null when it was refused."
    )
    summary: SearchSummary | None = strawberry.field(default=None, description="The answer; null when it was refused.")
    errors: list[UserError] = no_errors()


@strawberry.type
class SearchSummaryMutations:
    """Searches that are summarized."""

    @mutation(calls_outside=True)
    def search_summarize(
        self,
        info: Info,
        organization_id: strawberry.ID,
        query: Annotated[str, strawberry.argument(description=f"As for `search`: 1 to {QUERY_LENGTH_MAX} characters.")],
        project_id: Annotated[strawberry.ID | None, strawberry.argument(description="Only in this project.")] = None,
    ) -> OutsideCall[Summary, SearchSummaryPayload]:
        """Search, answer in a few sentences from what is found, and keep a record for the viewer.

        Needs AI_USE and SEARCH_READ, and a person: API keys keep no searches.
        """
        actor, adapters = info.context.actor, info.context.adapters
        org_id = parse_id(organization_id, "organization", "organizationId")
        within = None if project_id is None else parse_id(project_id, "project", "projectId")

        async def call(_call_id: UUID) -> Summary:
            return await summaries.summarize(
                actor,
                org_id,
                query,
                project_id=within,
                cache=adapters.cache,
                embedder=adapters.embeddings_for,
                model=adapters.language_model,
                throttle=adapters.throttle,
            )

        async def finish(summary: Summary) -> SearchSummaryPayload:
            row = await summaries.keep(actor, summary)
            return SearchSummaryPayload(query=SearchQuery.of(row), summary=SearchSummary.of(row))

        return OutsideCall(call, finish, summaries.TIMEOUT_S)

    @mutation
    async def search_queries_clear(self, info: Info) -> DonePayload | None:
        """Forget what was kept of the viewer's searches, in all of the viewer's organizations."""
        await search_queries.clear(info.context.actor)
        return DonePayload(done=True)
