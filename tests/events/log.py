"""Reading the log over the API."""

from typing import Any
from uuid import UUID

from tests.client import GraphQL
from tests.factories import Tenant, rows

EVENT = """
id cursor type occurredAt subjectId
actor { __typename ... on User { id } ... on ApiKeyActor { id name } }
organization { id } project { id } subject { __typename id }
changes { field before after beforeNode { __typename id } afterNode { __typename id } }
"""
CHANGES = f"""
query ($id: ID!, $after: String, $first: Int, $filter: EventFilter) {{
  changes(organizationId: $id, after: $after, first: $first, filter: $filter) {{
    edges {{ cursor }} nodes {{ {EVENT} }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} totalCount
  }}
}}
"""
HISTORY = f"""
query ($id: ID!, $first: Int, $after: String) {{
  task(id: $id) {{ history(first: $first, after: $after) {{
    edges {{ cursor }} nodes {{ {EVENT} }} pageInfo {{ hasNextPage endCursor }} totalCount
  }} }}
}}
"""
CURSOR = "query ($id: ID!) { organization(id: $id) { eventCursor } }"


async def changes(client: GraphQL, tenant: Tenant, **variables: Any) -> dict[str, Any]:
    """The connection `changes`; 100 events unless `first` says otherwise."""
    found: dict[str, Any] = (await client.ok(CHANGES, id=tenant.id, **{"first": 100, **variables}))["changes"]
    return found


async def types(client: GraphQL, tenant: Tenant, **variables: Any) -> list[str]:
    """The types of the events that `changes` gives."""
    return [node["type"] for node in (await changes(client, tenant, **variables))["nodes"]]


async def history(client: GraphQL, task_id: str, **variables: Any) -> dict[str, Any]:
    """The connection `history` of a task."""
    found: dict[str, Any] = (await client.ok(HISTORY, id=task_id, **{"first": 100, **variables}))["task"]["history"]
    return found


async def cursor(client: GraphQL, tenant: Tenant) -> str:
    """The organization's position in its log."""
    found: str = (await client.ok(CURSOR, id=tenant.id))["organization"]["eventCursor"]
    return found


async def ids(org_id: UUID) -> list[str]:
    """The global ids of the organization's events, in order."""
    return [
        f"event_{row['id'].hex}" for row in await rows("SELECT id FROM event WHERE org_id = $1 ORDER BY seq", org_id)
    ]
