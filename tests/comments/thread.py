"""What tests do with comments."""

from domain.tasks.queries import TaskRow
from tests.factories import Person
from tests.tasks.board import COMMENT, ERRORS, id_of

EDIT = f"""
mutation ($id: ID!, $body: String!, $ifVersion: Int) {{
  commentUpdate(id: $id, body: $body, ifVersion: $ifVersion) {{ comment {{ id body version editedAt }} {ERRORS} }}
}}
"""
DELETE = f"mutation ($id: ID!) {{ commentDelete(id: $id) {{ deletedId {ERRORS} }} }}"


async def write(person: Person, task: TaskRow, body: str = "Hello", reply_to: str | None = None) -> str:
    """The id of a new comment."""
    payload = await person.client.done(COMMENT, input={"taskId": id_of(task), "body": body, "replyToId": reply_to})
    return str(payload["comment"]["id"])
