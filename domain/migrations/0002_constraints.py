"""What Tortoise's models cannot say: composite foreign keys, named unique constraints, indexes, collation.

A foreign key of a tenant table carries org_id, because foreign-key checks are not filtered by row-level security: a
row can then never point into another organization.
"""

from tortoise import migrations
from tortoise.migrations import operations as ops

# table: columns that other tables point at, beside org_id
PAIRS = ("membership", "api_key", "project", "workflow_state", "label", "task", "comment", "event")

# table, columns, target, its columns, what happens on delete
FOREIGN_KEYS = (
    ("credential", "user_id", "users", "id", "CASCADE"),
    ("preferences", "user_id", "users", "id", "CASCADE"),
    ("session", "user_id", "users", "id", "CASCADE"),
    ("membership", "org_id", "organization", "id", "CASCADE"),
    ("membership", "user_id", "users", "id", "NO ACTION"),
    ("subscription", "org_id", "organization", "id", "CASCADE"),
    ("api_key", "org_id", "organization", "id", "CASCADE"),
    ("api_key", "user_id", "users", "id", "NO ACTION"),
    ("event_counter", "org_id", "organization", "id", "CASCADE"),
    ("event", "org_id", "event_counter", "org_id", "CASCADE"),
    ("event_values", "org_id, event_id", "event", "org_id, id", "CASCADE"),
    ("label", "org_id", "organization", "id", "CASCADE"),
    ("project", "org_id", "organization", "id", "CASCADE"),
    ("project", "lead_id", "users", "id", "NO ACTION"),
    ("project_counter", "org_id, project_id", "project", "org_id, id", "CASCADE"),
    ("workflow_state", "org_id, project_id", "project", "org_id, id", "CASCADE"),
    ("workflow_transition", "org_id, from_id", "workflow_state", "org_id, id", "CASCADE"),
    ("workflow_transition", "org_id, to_id", "workflow_state", "org_id, id", "CASCADE"),
    ("task", "org_id, project_id", "project", "org_id, id", "CASCADE"),
    ("task", "org_id, project_id, state_id", "workflow_state", "org_id, project_id, id", "NO ACTION"),
    ("task", "org_id, parent_id", "task", "org_id, id", "CASCADE"),
    ("task", "assignee_id", "users", "id", "NO ACTION"),
    ("task_identifier", "org_id, task_id", "task", "org_id, id", "CASCADE"),
    ("task_label", "org_id, task_id", "task", "org_id, id", "CASCADE"),
    ("task_label", "org_id, label_id", "label", "org_id, id", "CASCADE"),
    ("task_relation", "org_id, from_id", "task", "org_id, id", "CASCADE"),
    ("task_relation", "org_id, to_id", "task", "org_id, id", "CASCADE"),
    ("comment", "org_id, task_id", "task", "org_id, id", "CASCADE"),
    ("comment", "org_id, reply_to_id", "comment", "org_id, id", "SET NULL (reply_to_id)"),
    ("comment_mention", "org_id, comment_id", "comment", "org_id, id", "CASCADE"),
    ("comment_mention", "user_id", "users", "id", "NO ACTION"),
)

# name, table, columns and condition
UNIQUE = (
    ("users_email", "users", "(email)"),
    ("session_token", "session", "(token_digest)"),
    ("organization_slug", "organization", "(slug)"),
    ("membership_active", "membership", "(org_id, user_id) WHERE ended_at IS NULL"),
    ("subscription_organization", "subscription", "(org_id)"),
    ("api_key_secret", "api_key", "(secret_digest)"),
    ("label_name", "label", "(org_id, lower(name))"),
    ("project_key", "project", "(org_id, key)"),
    ("workflow_state_name", "workflow_state", "(project_id, lower(name))"),
    ("workflow_transition_pair", "workflow_transition", "(from_id, to_id)"),
    ("task_number", "task", "(project_id, number)"),
    ("task_identifier_current", "task", "(org_id, identifier)"),
    ("task_rank", "task", "(state_id, rank)"),
    ("task_label_pair", "task_label", "(task_id, label_id)"),
    ("task_relation_pair", "task_relation", "(from_id, to_id, kind)"),
    ("comment_mention_pair", "comment_mention", "(comment_id, user_id)"),
    ("event_number", "event", "(org_id, seq)"),
)

INDEXES = (
    ("session_owner", "session", "(user_id)"),
    ("membership_user", "membership", "(user_id, org_id)"),
    ("api_key_organization", "api_key", "(org_id)"),
    ("workflow_transition_to", "workflow_transition", "(to_id)"),
    ("task_assignee", "task", "(assignee_id)"),
    ("task_parent", "task", "(parent_id)"),
    ("task_project", "task", "(project_id, state_id, rank)"),
    ("task_updated", "task", "(org_id, updated_at)"),
    ("task_identifier_former", "task_identifier", "(org_id, identifier)"),
    ("task_identifier_task", "task_identifier", "(task_id)"),
    ("task_label_label", "task_label", "(label_id)"),
    ("task_relation_to", "task_relation", "(to_id)"),
    ("comment_task", "comment", "(task_id, created_at, id)"),
    ("comment_reply", "comment", "(reply_to_id)"),
)


def _statements() -> list[str]:
    statements = ['ALTER TABLE task ALTER COLUMN rank TYPE text COLLATE "C"']
    statements += [f"ALTER TABLE {table} ADD CONSTRAINT {table}_org_id UNIQUE (org_id, id)" for table in PAIRS]
    statements.append(
        "ALTER TABLE workflow_state ADD CONSTRAINT workflow_state_project UNIQUE (org_id, project_id, id)"
    )
    for table, columns, target, target_columns, on_delete in FOREIGN_KEYS:
        name = f"{table}_{columns.replace(', ', '_')}_fk"
        statements.append(
            f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({columns}) "
            f"REFERENCES {target} ({target_columns}) ON DELETE {on_delete}"
        )
    statements += [f"CREATE UNIQUE INDEX {name} ON {table} {rest}" for name, table, rest in UNIQUE]
    statements += [f"CREATE INDEX {name} ON {table} {rest}" for name, table, rest in INDEXES]
    statements.append("ALTER TABLE task_relation ADD CONSTRAINT task_relation_self CHECK (from_id <> to_id)")
    return statements


class Migration(migrations.Migration):
    """Constraints of the first tables."""

    dependencies = [("planwire", "0001_initial")]

    operations = [ops.RunSQL(statement, reverse_sql=ops.RunSQL.noop) for statement in _statements()]
