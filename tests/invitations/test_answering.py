"""Answering an invitation by its link: who can, what comes of it, and what happens when several things do at once."""

import asyncio
import secrets
from collections import Counter
from typing import Any

import pytest

from domain.base.actor import Actor
from domain.base.permissions import Role
from domain.identity.account_tokens import Purpose
from domain.invitations import service
from domain.organizations import memberships
from graph.base.ids import global_id
from tests.client import GraphQL, served
from tests.events.live import EVENTS, begun, next_is_told
from tests.factories import Person, Tenant, events, execute, make_person, rows
from tests.idempotency.keyed import new_key, under
from tests.identity.mail import NEW_PASSWORD, RESET, VERIFY, some_address, somewhere, unchanged
from tests.invitations.inviting import (
    ACCEPT,
    DECLINE,
    PREVIEW,
    RESEND,
    REVOKE,
    UNKNOWN,
    invited,
    make_verified,
    members,
    state_of,
    transition,
)
from tests.links import issue, token_of
from tests.sockets import opened
from tests.tasks.races import uncommitted, waiting

pytestmark = pytest.mark.usefixtures("adapters")

JOINED = ["INVITATION_CREATED", "MEMBERSHIP_CREATED", "INVITATION_ACCEPTED"]
MEMBERS_CHANGED = "subscription ($id: ID!) { membershipChanged(organizationId: $id) { membership { user { id } } } }"


@pytest.fixture
async def eve(adapters: object) -> Person:
    """Somebody in no organization, with a verified address."""
    return await make_verified()


def holder() -> dict[str, Any]:
    """Whoever sends in a link, as services are told of them."""
    return {"client_address": somewhere().address, "throttle": served()[1].throttle}


async def test_accepting_makes_a_member_who_can_act_in_the_rest_of_the_operation(acme: Tenant, eve: Person) -> None:
    invitation_id, token = await invited(acme, eve)
    document = """
    mutation ($token: String!, $id: ID!) {
      invitationAccept(token: $token) {
        membership { role user { id } organization { id } } organization { id viewerRole } errors { code }
      }
      projectCreate(input: {organizationId: $id, name: "Mine"}) { project { name } errors { code } }
    }
    """

    data = await eve.client.ok(document, token=token, id=acme.id)

    assert data == {
        "invitationAccept": {
            "membership": {"role": "MEMBER", "user": {"id": eve.id}, "organization": {"id": acme.id}},
            "organization": {"id": acme.id, "viewerRole": "MEMBER"},
            "errors": [],
        },
        "projectCreate": {"project": {"name": "Mine"}, "errors": []},
    }
    assert await state_of(invitation_id) == ("ACCEPTED", 1, True)
    assert await members(acme, eve) == [("MEMBER", True)]
    assert (await events(acme.org_id))[:3] == JOINED


async def test_the_new_members_open_socket_and_those_of_others_see_it(address: str, acme: Tenant, eve: Person) -> None:
    _, token = await invited(acme, eve)
    query = "query ($id: ID!) { organization(id: $id) { name members { totalCount } } }"
    async with opened(address, eve.token) as socket, opened(address, acme.admin.token) as admins:
        changed = await begun(admins, MEMBERS_CHANGED, id=acme.id)
        log = await begun(admins, EVENTS, id=acme.id)
        before = await (await socket.run(query, id=acme.id)).data()

        await eve.client.done(ACCEPT, token=token)
        after = await (await socket.run(query, id=acme.id)).data()
        followed = await begun(socket, EVENTS, id=acme.id)
        async with acme.admin.acting() as actor:
            await service.create(actor, acme.org_id, email=some_address(), role=Role.GUEST, **sender())

        assert (before, after) == (None, {"name": "Acme", "members": {"totalCount": 5}})
        assert await changed.data() == {"membership": {"user": {"id": eve.id}}}
        assert [(await log.data())["type"] for _ in range(3)] == [*JOINED[1:], "INVITATION_CREATED"]
        await next_is_told(acme, followed)


def sender() -> dict[str, Any]:
    settings, adapters = served()
    return {"settings": settings, "throttle": adapters.throttle}


async def test_a_hundred_accepts_at_the_same_moment_make_one_membership(acme: Tenant, eve: Person) -> None:
    invitation_id, token = await invited(acme, eve)

    answers = await asyncio.gather(*(eve.client.ok(ACCEPT, token=token) for _ in range(100)))

    outcomes = Counter(str(answer["invitationAccept"]["errors"]) for answer in answers)
    assert outcomes == {"[]": 1, str(transition("ACCEPTED")): 99}
    assert await members(acme, eve) == [("MEMBER", True)]
    assert await state_of(invitation_id) == ("ACCEPTED", 1, True)
    assert await events(acme.org_id) == JOINED


async def test_a_former_member_comes_back_and_the_old_membership_keeps_its_end(acme: Tenant, eve: Person) -> None:
    _, token = await invited(acme, eve)
    payload = await eve.client.done(ACCEPT, token=token)
    assert payload["membership"]["role"] == "MEMBER"
    await eve.client.done("mutation ($id: ID!) { organizationLeave(id: $id) { errors { code } } }", id=acme.id)

    _, again = await invited(acme, eve, role=Role.GUEST)
    await eve.client.done(ACCEPT, token=again)

    assert await members(acme, eve) == [("MEMBER", False), ("GUEST", True)]


async def test_an_account_with_another_address_cannot_accept(acme: Tenant, eve: Person) -> None:
    invitation_id, token = await invited(acme, eve)
    other = await make_verified("Mallory")

    assert await other.client.refused(ACCEPT, token=token) == UNKNOWN

    assert await state_of(invitation_id) == ("PENDING", 1, False)
    assert await members(acme, other) == []
    assert (await other.client.ok("query ($id: ID!) { organization(id: $id) { id } }", id=acme.id)) == {
        "organization": None
    }


async def test_an_address_that_is_not_verified_does_not_count(acme: Tenant) -> None:
    person = await make_person()
    invitation_id, token = await invited(acme, person)

    assert await person.client.refused(ACCEPT, token=token) == UNKNOWN

    assert await state_of(invitation_id) == ("PENDING", 1, False)
    assert await members(acme, person) == []


async def test_who_is_a_member_already_keeps_the_role(acme: Tenant, eve: Person) -> None:
    invitation_id, token = await invited(acme, eve, role=Role.ADMIN)
    async with acme.admin.acting() as actor:
        await memberships.join(actor, acme.org_id, eve.user_id, role=Role.GUEST)

    errors = await eve.client.refused(ACCEPT, token=token)

    assert errors == [{"code": "CONFLICT", "path": ["token"]}]
    assert await members(acme, eve) == [("GUEST", True)]
    assert await state_of(invitation_id) == ("PENDING", 1, False)


async def test_a_refused_accept_leaves_no_standing_in_the_operation(acme: Tenant, eve: Person) -> None:
    _, token = await invited(acme, await make_verified("Other Person"), role=Role.ADMIN)
    document = """
    mutation ($token: String!, $id: ID!) {
      invitationAccept(token: $token) { errors { code } }
      organizationUpdate(id: $id, input: {name: "Mine"}) { errors { code } }
    }
    """

    answer = await eve.client.run(document, token=token, id=acme.id)

    assert answer.codes == ["NOT_FOUND"]
    (row,) = await rows("SELECT name FROM organization WHERE id = $1", acme.org_id)
    assert row["name"] == "Acme"


async def test_a_repeat_under_a_key_gets_the_first_answer(acme: Tenant, eve: Person) -> None:
    _, token = await invited(acme, eve)
    document = under(new_key(), ACCEPT)

    first, again = [await eve.client.done(document, token=token) for _ in range(2)]

    assert first == again
    assert await events(acme.org_id) == JOINED


@pytest.mark.parametrize("is_signed_in", [True, False])
async def test_whoever_holds_the_link_can_decline(acme: Tenant, eve: Person, is_signed_in: bool) -> None:
    invitation_id, token = await invited(acme, eve)
    client = eve.client if is_signed_in else somewhere()

    payload = await client.done(DECLINE, token=token)

    assert payload["invitation"] == {
        "organizationName": "Acme",
        "inviterName": "Admin Acme",
        "email": eve.email,
        "role": "MEMBER",
        "status": "DECLINED",
        "expiresAt": payload["invitation"]["expiresAt"],
    }
    assert await state_of(invitation_id) == ("DECLINED", 1, True)
    (event,) = await rows(
        "SELECT actor_kind, actor_id FROM event WHERE type = 'INVITATION_DECLINED' AND org_id = $1", acme.org_id
    )
    assert tuple(event.values()) == (("USER", eve.user_id) if is_signed_in else ("SYSTEM", None))


async def test_declining_gives_no_sight_of_the_organization(acme: Tenant, eve: Person) -> None:
    invitation_id, token = await invited(acme, eve)
    document = """
    mutation ($token: String!, $id: ID!) {
      invitationDecline(token: $token) { errors { code } }
      organizationUpdate(id: $id, input: {name: "Mine"}) { errors { code } }
    }
    """

    answer = await eve.client.run(document, token=token, id=acme.id)

    assert answer.codes == ["NOT_FOUND"]
    assert await state_of(invitation_id) == ("DECLINED", 1, True)


async def test_a_link_shows_no_more_than_it_says(acme: Tenant, eve: Person) -> None:
    _, token = await invited(acme, eve, role=Role.GUEST)

    shown = await somewhere().ok(PREVIEW, token=token)

    (row,) = await rows("SELECT expires_at FROM invitation WHERE org_id = $1", acme.org_id)
    assert shown == {
        "invitationPreview": {
            "organizationName": "Acme",
            "inviterName": "Admin Acme",
            "email": eve.email,
            "role": "GUEST",
            "status": "PENDING",
            "expiresAt": row["expires_at"].isoformat().replace("+00:00", "Z"),
        }
    }


async def test_a_link_shows_when_its_time_is_over(acme: Tenant, eve: Person) -> None:
    invitation_id, token = await invited(acme, eve)
    await execute("UPDATE invitation SET expires_at = now() WHERE id = $1", invitation_id)

    assert (await somewhere().ok(PREVIEW, token=token))["invitationPreview"]["status"] == "EXPIRED"


@pytest.mark.parametrize("token", ["", "nonsense", "a" * 43, "a" * 25_000])
async def test_an_unknown_token_is_nothing(token: str, eve: Person) -> None:
    assert await somewhere().ok(PREVIEW, token=token) == {"invitationPreview": None}
    assert await somewhere().refused(DECLINE, token=token) == UNKNOWN
    client = GraphQL(eve.token, somewhere().address)
    assert await client.refused(ACCEPT, token=token) == UNKNOWN


async def test_tokens_are_good_for_their_own_purpose_alone(acme: Tenant, eve: Person) -> None:
    invitation_id, token = await invited(acme, eve)
    others = [await issue(eve, purpose) for purpose in Purpose]

    async with unchanged(eve.user_id):
        refused = [
            await eve.client.refused(VERIFY, token=token),
            await eve.client.refused(RESET, token=token, password=NEW_PASSWORD),
            *[await eve.client.refused(document, token=each) for document in (ACCEPT, DECLINE) for each in others],
        ]

    assert refused == [UNKNOWN] * 8
    assert [await eve.client.ok(PREVIEW, token=each) for each in others] == [{"invitationPreview": None}] * 3
    assert await state_of(invitation_id) == ("PENDING", 1, False)


@pytest.mark.parametrize("document", [PREVIEW, DECLINE, ACCEPT], ids=["preview", "decline", "accept"])
async def test_guesses_are_counted_for_the_network_and_right_tokens_are_not(
    acme: Tenant, eve: Person, document: str
) -> None:
    invitation_id, token = await invited(acme, eve)
    client = GraphQL(eve.token, somewhere().address)
    for _ in range(30):
        await client.ok(PREVIEW, token=token)

    guesses = [(await client.run(document, token=secrets.token_urlsafe(32))).codes for _ in range(21)]
    stopped = await client.run(document, token=token)

    assert guesses == [[]] * 20 + [["RATE_LIMITED"]]
    assert stopped.codes == ["RATE_LIMITED"]
    assert await state_of(invitation_id) == ("PENDING", 1, False)


async def test_aliases_gain_no_guesses() -> None:
    fields = " ".join(f'g{n}: invitationPreview(token: "{n}") {{ email }}' for n in range(25))

    answer = await somewhere().run(f"{{ {fields} }}")

    assert set(answer.codes) == {"RATE_LIMITED"}
    assert len(answer.codes) >= 5
    assert answer.data == {f"g{n}": None for n in range(25)}


async def test_an_accept_that_waits_for_a_revocation_is_refused(acme: Tenant, eve: Person) -> None:
    invitation_id, token = await invited(acme, eve)

    async def revoke(actor: Actor) -> None:
        await service.revoke(actor, invitation_id)

    async with uncommitted(acme.admin, revoke):
        task = await waiting(eve.client.refused(ACCEPT, token=token))
    errors = await task

    assert errors == transition("REVOKED")
    assert await members(acme, eve) == []
    assert await events(acme.org_id) == ["INVITATION_CREATED", "INVITATION_REVOKED"]


async def test_a_revocation_that_waits_for_an_accept_is_refused(acme: Tenant, eve: Person) -> None:
    invitation_id, token = await invited(acme, eve)

    async def accept(actor: Actor) -> None:
        await service.accept(actor, token, **holder())

    async with uncommitted(eve, accept):
        task = await waiting(acme.admin.client.refused(REVOKE, id=global_id("invitation", invitation_id)))
    errors = await task

    assert errors == transition("ACCEPTED", path="id")
    assert await members(acme, eve) == [("MEMBER", True)]
    assert await events(acme.org_id) == JOINED


async def test_an_accept_that_waits_for_a_resend_finds_its_link_dead(acme: Tenant, eve: Person) -> None:
    invitation_id, token = await invited(acme, eve)

    async def resend(actor: Actor) -> None:
        await service.resend(actor, invitation_id, **sender())

    async with uncommitted(acme.admin, resend):
        task = await waiting(eve.client.refused(ACCEPT, token=token))
    errors = await task

    assert errors == UNKNOWN
    assert await members(acme, eve) == []
    await eve.client.done(ACCEPT, token=await token_of(invitation_id))


async def test_a_resend_that_waits_for_an_accept_is_refused(acme: Tenant, eve: Person) -> None:
    invitation_id, token = await invited(acme, eve)

    async def accept(actor: Actor) -> None:
        await service.accept(actor, token, **holder())

    async with uncommitted(eve, accept):
        task = await waiting(acme.admin.client.refused(RESEND, id=global_id("invitation", invitation_id)))
    errors = await task

    assert errors == transition("ACCEPTED", path="id")
    assert await state_of(invitation_id) == ("ACCEPTED", 1, True)


async def test_inviting_again_while_an_accept_is_not_committed_finds_a_member(acme: Tenant, eve: Person) -> None:
    _, token = await invited(acme, eve)
    document = "mutation ($input: InvitationCreateInput!) { invitationCreate(input: $input) { errors { code path } } }"

    async def accept(actor: Actor) -> None:
        await service.accept(actor, token, **holder())

    async with uncommitted(eve, accept):
        given = {"organizationId": acme.id, "email": eve.email, "role": "GUEST"}
        task = await waiting(acme.admin.client.refused(document, input=given))
    errors = await task

    assert errors == [{"code": "TAKEN", "path": ["input", "email"]}]
    assert len(await rows("SELECT 1 FROM invitation WHERE org_id = $1", acme.org_id)) == 1


async def test_expiring_passes_by_what_is_being_answered(acme: Tenant, eve: Person) -> None:
    invitation_id, token = await invited(acme, eve)
    (row,) = await rows("SELECT expires_at FROM invitation WHERE id = $1", invitation_id)

    async def accept(actor: Actor) -> None:
        await service.accept(actor, token, **holder())

    async with uncommitted(eve, accept), acme.admin.acting() as admin:
        assert await service.expire(admin, row["expires_at"]) == 0

    assert await state_of(invitation_id) == ("ACCEPTED", 1, True)
