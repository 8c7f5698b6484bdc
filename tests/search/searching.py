"""Searches for tests: as GraphQL, and what they found in a line each."""

from typing import Any

from domain.base.database import acting_for
from domain.search import indexing
from tests.client import GraphQL, served
from tests.factories import Person, Tenant, rows

SEARCH = """
query ($organization: ID!, $query: String!, $project: ID, $subjects: [SearchSubject!], $mode: SearchMode! = KEYWORD,
    $first: Int = 10, $after: String, $told: Boolean! = false) {
  search(organizationId: $organization, query: $query, projectId: $project, subjects: $subjects, mode: $mode,
      first: $first, after: $after) {
    edges { cursor node { score snippet node { __typename
      ... on Task { id identifier title } ... on Comment { id body } ... on Project { id key name } } } }
    nodes { score }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } servedBy fromCache @include(if: $told)
  }
}
"""


async def index(tenant: Tenant) -> None:
    """Embed at once all of the tenant's texts that still wait for it."""
    _, adapters = served()
    waiting = await rows("SELECT subject_id FROM search_pending WHERE org_id = $1", tenant.org_id)
    with acting_for([tenant.org_id]):
        brought = await indexing.bring([row["subject_id"] for row in waiting], adapters)
    assert brought.documents == len(waiting)


async def searched(person: Person | GraphQL, tenant: Tenant, query: str, **asked: Any) -> dict[str, Any]:
    """The page that a search gives. With `told` it says whether it came from the cache, as it may the second time."""
    client = person.client if isinstance(person, Person) else person
    data = await client.ok(SEARCH, organization=tenant.id, query=query, **asked)
    found: dict[str, Any] = data["search"]
    return found


def named(found: dict[str, Any]) -> list[str]:
    """What was found: identifiers of tasks, bodies of comments, keys of projects, in order."""
    nodes = [edge["node"]["node"] for edge in found["edges"]]
    return [node.get("identifier") or node.get("body") or node["key"] for node in nodes]


async def names(person: Person | GraphQL, tenant: Tenant, query: str, **asked: Any) -> list[str]:
    """What a search finds, as `named` tells it."""
    return named(await searched(person, tenant, query, **asked))
