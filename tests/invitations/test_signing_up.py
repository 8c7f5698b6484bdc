"""Signing up with an invitation: account, verified address and membership, all of them or nothing."""

import asyncio
from typing import Any

import pytest

from domain.base.actor import Actor
from domain.base.permissions import Role
from domain.invitations import service
from tests.client import GraphQL
from tests.factories import Person, Tenant, events, execute, rows
from tests.identity.mail import entries_of, mailed, some_address, somewhere
from tests.invitations.inviting import (
    ACCEPT,
    invited,
    make_verified,
    state_of,
    transition,
)
from tests.links import make_invitation, token_of
from tests.tasks.races import uncommitted, waiting

pytestmark = pytest.mark.usefixtures("adapters")

SIGN_UP = """
mutation ($input: SignUpInput!) {
  signUp(input: $input) {
    viewer { email emailVerified organizations { nodes { id viewerRole } } } token
    errors { code path ... on TransitionError { from allowed } }
  }
}
"""
JOINED = ["INVITATION_CREATED", "MEMBERSHIP_CREATED", "INVITATION_ACCEPTED"]


@pytest.fixture
async def eve(adapters: object) -> Person:
    """Somebody in no organization, with a verified address."""
    return await make_verified()


def sign_up_input(email: str, token: str | None, **values: Any) -> dict[str, Any]:
    return {"email": email, "password": "correct horse", "name": "Eve", "invitationToken": token, **values}


async def test_signing_up_with_an_invitation_verifies_the_address_and_joins(acme: Tenant) -> None:
    email = some_address()
    invitation = await make_invitation(acme.admin, acme, email, Role.GUEST)

    payload = await somewhere().done(SIGN_UP, input=sign_up_input(email.upper(), await token_of(invitation.id)))

    joined = {"nodes": [{"id": acme.id, "viewerRole": "GUEST"}]}
    assert payload["viewer"] == {"email": email, "emailVerified": True, "organizations": joined}
    assert await state_of(invitation.id) == ("ACCEPTED", 1, True)
    assert await events(acme.org_id) == JOINED
    (user,) = await rows("SELECT id FROM users WHERE email = $1", email)
    assert await mailed(user["id"], "SIGNED_UP") == [None]
    found = "query ($id: ID!) { organization(id: $id) { viewerRole } }"
    assert await GraphQL(payload["token"]).ok(found, id=acme.id) == {"organization": {"viewerRole": "GUEST"}}


async def nobody_signed_up(email: str, tenant: Tenant) -> bool:
    """Whether nothing of a sign-up is there."""
    people = await rows("SELECT 1 FROM users WHERE email = $1", email)
    joined = await rows("SELECT 1 FROM membership WHERE org_id = $1", tenant.org_id)
    return people == [] and len(joined) == 4


@pytest.mark.parametrize("token", ["", "nonsense"])
async def test_signing_up_with_an_unknown_token_makes_no_account(acme: Tenant, token: str) -> None:
    email = some_address()

    errors = await somewhere().refused(SIGN_UP, input=sign_up_input(email, token))

    assert errors == [{"code": "INVALID", "path": ["input", "invitationToken"]}]
    assert await nobody_signed_up(email, acme)


async def test_signing_up_with_somebody_elses_invitation_makes_no_account(acme: Tenant) -> None:
    invitation, email = await make_invitation(acme.admin, acme, some_address()), some_address()

    errors = await somewhere().refused(SIGN_UP, input=sign_up_input(email, await token_of(invitation.id)))

    assert errors == [{"code": "INVALID", "path": ["input", "email"]}]
    assert await nobody_signed_up(email, acme)
    assert await state_of(invitation.id) == ("PENDING", 1, False)


@pytest.mark.parametrize("status", ["DECLINED", "EXPIRED", "REVOKED"])
async def test_signing_up_with_an_invitation_that_is_over_makes_no_account(acme: Tenant, status: str) -> None:
    email = some_address()
    invitation = await make_invitation(acme.admin, acme, email)
    await execute("UPDATE invitation SET status = $1 WHERE id = $2", status, invitation.id)

    errors = await somewhere().refused(SIGN_UP, input=sign_up_input(email, await token_of(invitation.id)))

    assert errors == [{**transition(status)[0], "path": ["input", "invitationToken"]}]
    assert await nobody_signed_up(email, acme)


async def test_a_sign_up_that_waits_for_a_revocation_makes_no_account(acme: Tenant) -> None:
    """The account and the membership are one transaction: what takes the one away takes the other along."""
    email = some_address()
    invitation = await make_invitation(acme.admin, acme, email)
    given = sign_up_input(email, await token_of(invitation.id))

    async def revoke(actor: Actor) -> None:
        await service.revoke(actor, invitation.id)

    async with uncommitted(acme.admin, revoke):
        task = await waiting(somewhere().refused(SIGN_UP, input=given))
    errors = await task

    assert errors == [{**transition("REVOKED")[0], "path": ["input", "invitationToken"]}]
    assert await nobody_signed_up(email, acme)
    assert await events(acme.org_id) == ["INVITATION_CREATED", "INVITATION_REVOKED"]


async def test_of_sign_ups_with_one_invitation_at_the_same_moment_one_joins(acme: Tenant) -> None:
    email = some_address()
    invitation = await make_invitation(acme.admin, acme, email)
    given = sign_up_input(email, await token_of(invitation.id))

    answers = await asyncio.gather(*(somewhere().ok(SIGN_UP, input=given) for _ in range(5)))

    assert sum(answer["signUp"]["errors"] == [] for answer in answers) == 1
    (user,) = await rows("SELECT id FROM users WHERE email = $1", email)
    assert len(await rows("SELECT 1 FROM membership WHERE user_id = $1", user["id"])) == 1
    assert len(await entries_of(user["id"], "SIGNED_UP")) == 1
    assert await events(acme.org_id) == JOINED


async def test_who_has_an_account_signs_in_to_accept(acme: Tenant, eve: Person) -> None:
    invitation_id, token = await invited(acme, eve)

    errors = await somewhere().refused(SIGN_UP, input=sign_up_input(eve.email, token))

    assert errors == [{"code": "TAKEN", "path": ["input", "email"]}]
    assert await state_of(invitation_id) == ("PENDING", 1, False)
    await eve.client.done(ACCEPT, token=token)
