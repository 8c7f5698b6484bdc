"""Indexes of tasks: two that a page of an organization's is read from as it is, and none that nobody looks into."""

from tortoise import migrations
from tortoise.migrations import operations as ops

# With the id in them they are entered right behind a cursor, which is a pair, and nothing is left to sort.
PAGED = (
    ("task_updated_at", "(org_id, updated_at, id)"),
    ("task_created_at", "(org_id, created_at, id)"),
)
# Most tasks have no parent and many no assignee. They are looked up by those who are one.
SELDOM = (
    ("task_with_parent", "(parent_id) WHERE parent_id IS NOT NULL"),
    ("task_with_assignee", "(assignee_id) WHERE assignee_id IS NOT NULL"),
)
# By project tasks are found in the index of their numbers, by state in that of their ranks.
FORMER = (
    ("task_updated", "(org_id, updated_at)"),
    ("task_parent", "(parent_id)"),
    ("task_assignee", "(assignee_id)"),
    ("task_project", "(project_id, state_id, rank)"),
)


def _made(name: str, columns: str) -> tuple[str, str]:
    return f"CREATE INDEX {name} ON task {columns}", f"DROP INDEX {name}"


class Migration(migrations.Migration):
    """Pages of tasks."""

    dependencies = [("planwire", "0006_idempotency_age")]

    operations = [
        *(ops.RunSQL(made, reverse_sql=dropped) for made, dropped in (_made(*each) for each in (*PAGED, *SELDOM))),
        *(ops.RunSQL(dropped, reverse_sql=made) for made, dropped in (_made(*each) for each in FORMER)),
    ]
