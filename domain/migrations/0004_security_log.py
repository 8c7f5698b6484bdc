"""An account's own log, found by account and read from the newest."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from domain.base.clock import new_id, now


class Migration(migrations.Migration):
    """The log of accounts."""

    dependencies = [("planwire", "0003_event_indexes")]

    initial = False

    operations = [
        ops.CreateModel(
            name="SecurityEntry",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("user_id", fields.UUIDField()),
                ("at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("action", fields.TextField(unique=False)),
                ("session_id", fields.UUIDField(null=True)),
                ("detail", fields.TextField(null=True, unique=False)),
                ("address_prefix", fields.TextField(null=True, unique=False)),
                ("user_agent", fields.TextField(null=True, unique=False)),
            ],
            options={
                "table": "security_entry",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "What happened to an account. `detail` names what was changed or denied; nothing of a secret is in it.",
            },
            bases=["Model"],
        ),
        ops.RunSQL(
            "ALTER TABLE security_entry ADD CONSTRAINT security_entry_user_id_fk "
            "FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE",
            reverse_sql=ops.RunSQL.noop,
        ),
        ops.RunSQL(
            "CREATE INDEX security_entry_owner ON security_entry (user_id, at, id)", reverse_sql=ops.RunSQL.noop
        ),
    ]
