"""Indexes for reads of the log by subject, project and type; by number there is one already.

Ids of subjects and projects are unique over all organizations, so these need no org_id before them.
"""

from tortoise import migrations
from tortoise.migrations import operations as ops

INDEXES = (
    ("event_subject", "(subject_id, seq)"),
    ("event_project", "(project_id, seq)"),
    ("event_type", "(org_id, type, seq)"),
)


class Migration(migrations.Migration):
    """Reads of the log."""

    dependencies = [("planwire", "0002_constraints")]

    operations = [
        ops.RunSQL(f"CREATE INDEX {name} ON event {columns}", reverse_sql=f"DROP INDEX {name}")
        for name, columns in INDEXES
    ]
