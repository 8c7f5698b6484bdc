"""The inbox as its owner asks for it, and entries to read there."""

from typing import Any

from domain.base.database import tx
from domain.events.log import Change, emit
from domain.events.queries import EventRow
from domain.tasks.events import TaskAssigned
from tests.client import GraphQL
from tests.factories import Person, Tenant, make_project, make_task
from tests.notifications.telling import events_of, tell

INBOX = """
query ($first: Int = 100, $after: String, $unreadOnly: Boolean = false) {
  viewer {
    unreadNotificationCount
    notifications(first: $first, after: $after, unreadOnly: $unreadOnly) {
      nodes { id readAt } totalCount pageInfo { hasNextPage endCursor }
    }
  }
}
"""
SHOWN = """
query {
  viewer {
    notifications(first: 100) {
      edges {
        cursor
        node {
          id kind cursor title readAt createdAt organization { name }
          actor { __typename ... on User { name } ... on SystemActor { name } }
          event { type } subject { __typename id }
        }
      }
    }
  }
}
"""
ERRORS = "errors { code message path }"
READ = f"mutation ($ids: [ID!]!) {{ notificationsMarkRead(ids: $ids) {{ unreadCount {ERRORS} }} }}"
UNREAD = f"mutation ($ids: [ID!]!) {{ notificationsMarkUnread(ids: $ids) {{ unreadCount {ERRORS} }} }}"
ALL_READ = f"mutation {{ notificationsMarkAllRead {{ unreadCount {ERRORS} }} }}"


async def assignments(tenant: Tenant, person: Person, count: int) -> list[EventRow]:
    """As many assignments of a task to the person by the admin, of which nobody is told yet."""
    project = await make_project(tenant.admin, tenant, name="Desk of papers")
    task = await make_task(tenant.admin, project, title="Sort the papers")
    before = len(await events_of(tenant.org_id))
    async with tenant.admin.acting() as actor, tx():
        for _ in range(count):
            change = Change(None, person.user_id)
            emit(actor, tenant.org_id, TaskAssigned(subject_id=task.id, project_id=project.id, assignee_id=change))
    return (await events_of(tenant.org_id))[before:]


async def assigned(tenant: Tenant, person: Person, count: int = 1) -> list[EventRow]:
    """As `assignments`, and the person was told."""
    events = await assignments(tenant, person, count)
    for event in events:
        await tell(event)
    return events


async def ids_of(client: GraphQL, **variables: Any) -> list[str]:
    """The ids of the inbox, the newest first. That the counts agree with it is looked at as well."""
    everything = (await client.ok(INBOX))["viewer"]
    unread = (await client.ok(INBOX, unreadOnly=True))["viewer"]
    listed = [node["id"] for node in everything["notifications"]["nodes"] if node["readAt"] is None]
    assert [node["id"] for node in unread["notifications"]["nodes"]] == listed
    assert unread["unreadNotificationCount"] == unread["notifications"]["totalCount"] == len(listed)
    assert everything["notifications"]["totalCount"] == len(everything["notifications"]["nodes"])
    found = everything if not variables else (await client.ok(INBOX, **variables))["viewer"]
    return [node["id"] for node in found["notifications"]["nodes"]]


async def unread_ids(client: GraphQL) -> list[str]:
    """The ids of what is unread, the newest first."""
    return await ids_of(client, unreadOnly=True)
