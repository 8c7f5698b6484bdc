"""Erasable values point at their organization's counter, as events do, and no longer at their event.

Both rows come in one statement, and the application may delete neither, so nothing is left to check; yet the check cost
every event a look at a table that is empty at first, where PostgreSQL plans to read it whole and keeps that plan while
it grows. Nothing else pointed at events, so the index for it goes as well.
"""

from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """A cheaper log."""

    dependencies = [("planwire", "0007_task_indexes")]

    operations = [
        ops.RunSQL(
            "ALTER TABLE event_values DROP CONSTRAINT event_values_org_id_event_id_fk",
            reverse_sql="ALTER TABLE event_values ADD CONSTRAINT event_values_org_id_event_id_fk "
            "FOREIGN KEY (org_id, event_id) REFERENCES event (org_id, id) ON DELETE CASCADE",
        ),
        ops.RunSQL(
            "ALTER TABLE event_values ADD CONSTRAINT event_values_org_id_fk "
            "FOREIGN KEY (org_id) REFERENCES event_counter (org_id) ON DELETE CASCADE",
            reverse_sql="ALTER TABLE event_values DROP CONSTRAINT event_values_org_id_fk",
        ),
        ops.RunSQL(
            "ALTER TABLE event DROP CONSTRAINT event_org_id",
            reverse_sql="ALTER TABLE event ADD CONSTRAINT event_org_id UNIQUE (org_id, id)",
        ),
    ]
