"""What is kept under keys found by its age alone: whoever keeps something drops what is old, whoever's it is."""

from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Old outcomes."""

    dependencies = [("planwire", "0005_idempotency")]

    operations = [
        ops.RunSQL(
            "CREATE INDEX idempotency_created_at ON idempotency (created_at)",
            reverse_sql="DROP INDEX idempotency_created_at",
        ),
        ops.RunSQL(
            "DROP INDEX idempotency_age",
            reverse_sql="CREATE INDEX idempotency_age ON idempotency (actor_kind, actor_id, created_at)",
        ),
    ]
