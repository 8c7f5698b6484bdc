"""Signing up with an invitation: the account, its verified address and its membership in one transaction."""

from typing import Any

from domain.base.actor import Actor
from domain.base.database import Door, acting_for, system_tx
from domain.base.errors import Invalid
from domain.base.settings import Settings
from domain.identity import accounts
from domain.identity.sessions import Started
from domain.invitations import links, service
from domain.invitations.states import Status, check_move


async def sign_up(settings: Settings, *, invitation_token: str | None = None, **given: Any) -> Started:
    """Make an account and its first session; with the token of an invitation, accept that too.

    The link was mailed to the address, so whoever has it has the address. Without a token it is `accounts.sign_up`, and
    it raises as that does; besides Invalid (invitation_token, email) and TransitionNotAllowed (invitation_token).
    """
    if invitation_token is None:
        return await accounts.sign_up(settings, **given)
    path = "invitation_token"
    link = await links.get(invitation_token, path, client_address=given["client_address"], throttle=given["throttle"])
    check_move(link.standing, Status.ACCEPTED, path)
    person = await accounts.applicant(**given)
    if person.email != link.email:
        raise Invalid("The invitation is for another address.", "email")
    # The account is in no organization before this is done, so its transaction is one that sees them all.
    async with system_tx(Door.INVITED_SIGN_UP):
        started = await accounts.create(settings, person, is_verified=True)
        actor = Actor.of_user(started.user_id, {}, session_id=started.session_id)
        with acting_for(actor.standings):
            await service.take_up(actor, link, path)
    return started
