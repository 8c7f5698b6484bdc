"""The tokens of mailed links, derived as the jobs that mail them do it."""

from uuid import UUID

from domain.base.clock import new_id
from domain.base.crypto import mailed_token
from domain.base.database import acting_for, tx
from domain.base.permissions import Role
from domain.identity import account_tokens
from domain.identity.account_tokens import Purpose
from domain.invitations import service as invitations
from domain.invitations.queries import InvitationRow
from tests.client import served
from tests.factories import Person, Tenant, rows


async def make_invitation(person: Person, tenant: Tenant, email: str, role: Role = Role.MEMBER) -> InvitationRow:
    """An invitation, made as the person."""
    settings, adapters = served()
    async with person.acting() as actor:
        return await invitations.create(
            actor, tenant.org_id, email=email, role=role, settings=settings, throttle=adapters.throttle
        )


async def token_of(invitation_id: UUID) -> str:
    """The token in the invitation's link of now."""
    (row,) = await rows("SELECT generation FROM invitation WHERE id = $1", invitation_id)
    return mailed_token(served()[0], invitations.PURPOSE, invitation_id, row["generation"])


async def issue(person: Person, purpose: Purpose, *, email: str | None = None) -> str:
    """The token of a link for the person's account, to be mailed to the address or else to the account's."""
    with acting_for([]):
        async with tx():
            await account_tokens.lock_account(person.user_id)
            await account_tokens.issue(
                served()[0], person.user_id, purpose, email=email or person.email, entry_id=new_id()
            )
    return await account_token(person.user_id, purpose)


async def account_token(user_id: UUID, purpose: Purpose) -> str:
    """The token in the account's link of now for the purpose."""
    (row,) = await rows(
        "SELECT id, generation FROM account_token WHERE user_id = $1 AND purpose = $2", user_id, purpose.value
    )
    return mailed_token(served()[0], purpose, row["id"], row["generation"])
