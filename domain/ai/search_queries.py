"""Searches that were summarized, as they are kept. A person sees and clears their own; an API key has none."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.ai.models import SearchQuery
from domain.base.actor import Actor
from domain.base.clock import new_id
from domain.base.database import tx
from domain.base.paging import PageRequest, newest_first, request
from domain.base.reads import One, Pages, Table, own_rows
from domain.base.sql import Row


class SearchQueryRow(Row):
    """A search and its summary. `sources` is JSON text."""

    id: UUID
    org_id: UUID
    user_id: UUID
    text: str
    summary: str
    sources: str
    is_generated: bool
    created_at: datetime
    updated_at: datetime


QUERIES = Table("search_query", SearchQueryRow)
NEWEST_FIRST = newest_first("search_query")

visible = own_rows("search_query")

by_ids = One(QUERIES, visible)
of_users = Pages(QUERIES, visible, key="search_query.user_id")


def asked(*, first: int | None, after: str | None) -> PageRequest:
    """A page of somebody's searches, the newest first. Raises BadInput for what request() refuses."""
    return request(NEWEST_FIRST, first=first, after=after, scope="search queries")


async def keep(
    actor: Actor, org_id: UUID, *, text: str, summary: str, sources: Sequence[Mapping[str, Any]], is_generated: bool
) -> SearchQueryRow:
    """Keep a search with its summary; the row. Raises Unauthenticated for an API key."""
    query_id = new_id()
    async with tx():
        await SearchQuery.create(
            id=query_id,
            org_id=org_id,
            user_id=actor.require_person(),
            text=text,
            summary=summary,
            sources=list(sources),
            is_generated=is_generated,
        )
        return await by_ids.get(actor, query_id)


async def clear(actor: Actor) -> None:
    """Remove the person's searches of all their organizations. Raises Unauthenticated for an API key."""
    user_id = actor.require_person()
    await SearchQuery.filter(user_id=user_id, org_id__in=list(actor.standings)).delete()
