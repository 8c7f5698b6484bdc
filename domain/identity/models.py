"""Accounts. None of these rows belongs to an organization, so row-level security does not reach them.

The application role reads every column but the digests; those go through the system connection.
"""

from tortoise import fields
from tortoise.models import Model

from domain.base.clock import new_id, now


class User(Model):
    """A person. `email` is stored trimmed and lower-cased."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    name = fields.TextField()
    email = fields.TextField()
    email_verified_at = fields.DatetimeField(null=True)
    avatar_url = fields.TextField(null=True)
    created_at = fields.DatetimeField(default=now)
    updated_at = fields.DatetimeField(default=now)

    class Meta:
        table = "users"


class Credential(Model):
    """A person's password, as argon2id keeps it."""

    user_id = fields.UUIDField(primary_key=True)
    password_digest = fields.TextField()
    updated_at = fields.DatetimeField(default=now)

    class Meta:
        table = "credential"


class Preferences(Model):
    """What a person chose for themselves."""

    user_id = fields.UUIDField(primary_key=True)
    locale = fields.TextField(default="en")
    time_zone = fields.TextField(default="UTC")
    email_on_assignment = fields.BooleanField(default=True)
    email_on_mention = fields.BooleanField(default=True)
    email_on_invitation = fields.BooleanField(default=True)
    settings = fields.JSONField(default=dict)  # type: ignore[var-annotated]
    updated_at = fields.DatetimeField(default=now)

    class Meta:
        table = "preferences"


class Session(Model):
    """A sign-in on one device. Only the digest of its token is kept."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    user_id = fields.UUIDField()
    token_digest = fields.BinaryField()
    user_agent = fields.TextField(null=True)
    created_at = fields.DatetimeField(default=now)
    last_used_at = fields.DatetimeField(default=now)
    expires_at = fields.DatetimeField()

    class Meta:
        table = "session"


class AccountToken(Model):
    """What a link in a mail to the account's holder proves. Only the digest of the token is kept.

    One for each account and purpose: `generation` goes up when it is made anew, which ends the one before.
    `entry_id` is the entry of the security log that asks for the mail, `email` the address that it goes to.
    """

    id = fields.UUIDField(primary_key=True, default=new_id)
    user_id = fields.UUIDField()
    purpose = fields.TextField()
    generation = fields.IntField()
    token_digest = fields.BinaryField()
    email = fields.TextField()
    entry_id = fields.UUIDField()
    expires_at = fields.DatetimeField()
    created_at = fields.DatetimeField(default=now)
    updated_at = fields.DatetimeField(default=now)

    class Meta:
        table = "account_token"


class SecurityEntry(Model):
    """What happened to an account. `detail` names what was changed or denied; nothing of a secret is in it."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    user_id = fields.UUIDField()
    at = fields.DatetimeField(default=now)
    action = fields.TextField()
    session_id = fields.UUIDField(null=True)
    detail = fields.TextField(null=True)
    address_prefix = fields.TextField(null=True)
    user_agent = fields.TextField(null=True)
    # When the relay has made of it what is to be done.
    relayed_at = fields.DatetimeField(null=True)

    class Meta:
        table = "security_entry"
