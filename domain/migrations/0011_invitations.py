"""Tokens that are mailed to the holder of an account, and invitations: of either the digest of the token is kept.

Of the tokens one for each account and purpose; of an organization's invitations one that is pending for each address.
"""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from domain.base.clock import new_id, now
from domain.base.permissions import Role
from domain.invitations.states import Status

STATEMENTS = (
    "ALTER TABLE account_token ADD CONSTRAINT account_token_user_id_fk "
    "FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE",
    "CREATE UNIQUE INDEX account_token_purpose ON account_token (user_id, purpose)",
    "CREATE UNIQUE INDEX account_token_digest ON account_token (token_digest)",
    "CREATE INDEX account_token_entry ON account_token (entry_id)",
    "ALTER TABLE invitation ADD CONSTRAINT invitation_org_id_fk "
    "FOREIGN KEY (org_id) REFERENCES organization (id) ON DELETE CASCADE",
    "ALTER TABLE invitation ADD CONSTRAINT invitation_invited_by_id_fk FOREIGN KEY (invited_by_id) REFERENCES users (id)",
    "CREATE UNIQUE INDEX invitation_pending ON invitation (org_id, email) WHERE status = 'PENDING'",
    "CREATE UNIQUE INDEX invitation_digest ON invitation (token_digest)",
    "CREATE INDEX invitation_newest ON invitation (org_id, created_at, id)",
    "CREATE INDEX invitation_overdue ON invitation (expires_at) WHERE status = 'PENDING'",
)


class Migration(migrations.Migration):
    """Mailed tokens of accounts, and invitations."""

    dependencies = [("planwire", "0010_deliveries")]

    initial = False

    operations = [
        ops.CreateModel(
            name="AccountToken",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("user_id", fields.UUIDField()),
                ("purpose", fields.TextField(unique=False)),
                ("generation", fields.IntField()),
                ("token_digest", fields.BinaryField()),
                ("email", fields.TextField(unique=False)),
                ("entry_id", fields.UUIDField()),
                ("expires_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "account_token",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "What a link in a mail to the account's holder proves. Only the digest of the token is kept.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Invitation",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("org_id", fields.UUIDField()),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("email", fields.TextField(unique=False)),
                (
                    "role",
                    fields.CharEnumField(
                        description="ADMIN: ADMIN\nMEMBER: MEMBER\nBILLING_MANAGER: BILLING_MANAGER\nGUEST: GUEST",
                        enum_type=Role,
                        max_length=32,
                    ),
                ),
                (
                    "status",
                    fields.CharEnumField(
                        default=Status.PENDING,
                        description="PENDING: PENDING\nACCEPTED: ACCEPTED\nDECLINED: DECLINED\nEXPIRED: EXPIRED\nREVOKED: REVOKED",
                        enum_type=Status,
                        max_length=16,
                    ),
                ),
                ("invited_by_id", fields.UUIDField(null=True)),
                ("generation", fields.IntField()),
                ("token_digest", fields.BinaryField()),
                ("expires_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("responded_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "invitation",
                "app": "planwire",
                "pk_attr": "id",
                "table_description": "An address that was asked to join. `email` is stored as accounts store theirs.",
            },
            bases=["OrgModel"],
        ),
        *(ops.RunSQL(statement, reverse_sql=ops.RunSQL.noop) for statement in STATEMENTS),
    ]
