"""Inviting, sending again, taking back, and the list of it all."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from domain.adapters.throttle import Limit
from domain.base.clock import frozen, now
from domain.base.database import tx
from domain.base.permissions import Permission, Role
from domain.events import queries as log_queries
from domain.invitations import mails, service
from domain.organizations import api_keys, memberships
from graph.base.ids import global_id
from tests.client import GraphQL, served
from tests.events.log import changes
from tests.factories import Tenant, events, execute, rows, statements
from tests.identity.mail import everything_stored, some_address, somewhere
from tests.invitations.inviting import (
    ACCEPT,
    CREATE,
    LIST,
    PREVIEW,
    RESEND,
    REVOKE,
    invited,
    make_verified,
    state_of,
)
from tests.links import make_invitation, token_of

pytestmark = pytest.mark.usefixtures("adapters")


def given(tenant: Tenant, email: str, role: str = "MEMBER") -> dict[str, Any]:
    return {"input": {"organizationId": tenant.id, "email": email, "role": role}}


async def invitations_of(tenant: Tenant) -> list[dict[str, Any]]:
    return await rows("SELECT email, role, status FROM invitation WHERE org_id = $1 ORDER BY id", tenant.org_id)


async def test_an_address_is_invited_for_seven_days(acme: Tenant) -> None:
    email, at = some_address(), now().replace(microsecond=0)

    with frozen(at):
        payload = await acme.admin.client.done(CREATE, **given(acme, f" {email.upper()} ", "GUEST"))

    made = payload["invitation"]
    stamp = at.isoformat().replace("+00:00", "Z")
    assert made == {
        "id": made["id"],
        "email": email,
        "role": "GUEST",
        "status": "PENDING",
        "invitedBy": {"id": acme.admin.id},
        "organization": {"id": acme.id},
        "respondedAt": None,
        "createdAt": stamp,
        "expiresAt": (at + timedelta(days=7)).isoformat().replace("+00:00", "Z"),
    }
    assert await events(acme.org_id) == ["INVITATION_CREATED"]


@pytest.mark.parametrize("email", ["", "eve", "eve@@example.test", "Eve <eve@example.test>"])
async def test_what_is_no_address_is_refused(acme: Tenant, email: str) -> None:
    errors = await acme.admin.client.refused(CREATE, **given(acme, email))

    assert errors == [{"code": "INVALID", "path": ["input", "email"]}]
    assert await invitations_of(acme) == []


async def test_a_member_is_not_invited_and_a_former_one_is(acme: Tenant) -> None:
    (row,) = await rows("SELECT id FROM membership WHERE user_id = $1", acme.guest.user_id)

    errors = await acme.admin.client.refused(CREATE, **given(acme, acme.guest.email.upper()))
    assert await invitations_of(acme) == []
    async with acme.admin.acting() as actor:
        await memberships.delete(actor, row["id"])
    await acme.admin.client.done(CREATE, **given(acme, acme.guest.email))

    assert errors == [{"code": "TAKEN", "path": ["input", "email"]}]


async def test_an_address_is_invited_once_at_a_time(acme: Tenant, globex: Tenant) -> None:
    email = some_address()
    first = await acme.admin.client.done(CREATE, **given(acme, email))

    errors = await acme.admin.client.refused(CREATE, **given(acme, email.title(), "GUEST"))
    await globex.admin.client.done(CREATE, **given(globex, email))
    await acme.admin.client.done(REVOKE, id=first["invitation"]["id"])
    await acme.admin.client.done(CREATE, **given(acme, email))

    assert errors == [{"code": "TAKEN", "path": ["input", "email"]}]
    assert [row["status"] for row in await invitations_of(acme)] == ["REVOKED", "PENDING"]


async def test_of_invitations_of_one_address_at_the_same_moment_one_is_made(acme: Tenant) -> None:
    email = some_address()

    answers = await asyncio.gather(*(acme.admin.client.ok(CREATE, **given(acme, email)) for _ in range(8)))

    taken = str([{"code": "TAKEN", "path": ["input", "email"]}])
    assert Counter(str(answer["invitationCreate"]["errors"]) for answer in answers) == {"[]": 1, taken: 7}
    assert len(await invitations_of(acme)) == 1
    assert await events(acme.org_id) == ["INVITATION_CREATED"]


async def test_one_that_nobody_answered_in_time_is_not_in_the_way(acme: Tenant) -> None:
    email = some_address()
    old = await make_invitation(acme.admin, acme, email)
    with frozen(old.expires_at):
        await acme.admin.client.done(CREATE, **given(acme, email))

    assert [row["status"] for row in await invitations_of(acme)] == ["EXPIRED", "PENDING"]
    assert await events(acme.org_id) == ["INVITATION_CREATED", "INVITATION_EXPIRED", "INVITATION_CREATED"]


@pytest.mark.parametrize("role", Role)
async def test_a_key_invites_to_no_more_than_it_may_do_itself(acme: Tenant, role: Role) -> None:
    async with acme.admin.acting() as actor:
        reading = [Permission.MEMBERS_READ, Permission.TASK_READ, Permission.ATTACHMENT_READ, Permission.SEARCH_READ]
        asked = [Permission.INVITATIONS_MANAGE, Permission.COMMENT_CREATE, *reading]
        key = await api_keys.create(actor, acme.org_id, name="Door", permissions=asked)
    client = GraphQL(key.secret)

    answer = await client.ok(CREATE, **given(acme, some_address(), role.value))

    refused = [] if role is Role.GUEST else [{"code": "INVALID", "path": ["input", "role"]}]
    assert answer["invitationCreate"]["errors"] == refused
    assert len(await invitations_of(acme)) == (role is Role.GUEST)


async def test_a_key_does_not_send_again_what_it_could_not_make(acme: Tenant) -> None:
    invitation = await make_invitation(acme.admin, acme, some_address(), Role.ADMIN)
    async with acme.admin.acting() as actor:
        key = await api_keys.create(actor, acme.org_id, name="Door", permissions=[Permission.INVITATIONS_MANAGE])

    errors = await GraphQL(key.secret).refused(RESEND, id=global_id("invitation", invitation.id))

    assert [(error["code"], error["path"]) for error in errors] == [("INVALID", ["id"])]
    assert await state_of(invitation.id) == ("PENDING", 1, False)


async def test_sending_again_ends_the_link_before_and_gives_seven_days_more(acme: Tenant) -> None:
    person = await make_verified()
    invitation_id, old = await invited(acme, person)
    at = now() + timedelta(days=6)

    with frozen(at):
        payload = await acme.admin.client.done(RESEND, id=global_id("invitation", invitation_id))

    new = await token_of(invitation_id)
    assert datetime.fromisoformat(payload["invitation"]["expiresAt"]) == at + timedelta(days=7)
    assert await somewhere().ok(PREVIEW, token=old) == {"invitationPreview": None}
    assert (await person.client.refused(ACCEPT, token=old))[0]["code"] == "INVALID"
    assert await state_of(invitation_id) == ("PENDING", 2, False)
    with frozen(at + timedelta(days=6)):
        await person.client.done(ACCEPT, token=new)
    assert (await events(acme.org_id))[:2] == ["INVITATION_CREATED", "INVITATION_RESENT"]


async def test_what_is_mailed_is_derived_anew_and_nothing_of_it_is_kept(
    acme: Tenant, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    email = some_address()
    made = await acme.admin.client.done(CREATE, **given(acme, email))
    await acme.admin.client.done(RESEND, id=made["invitation"]["id"])

    mailed = await mailings(acme)
    logged = caplog.text + "".join(capsys.readouterr())

    assert mailed[0] is None
    (last,) = mailed[1:]
    assert last is not None
    assert (last.kind, last.to) == ("invitation", email)
    assert {name: last.values[name] for name in ("organization_name", "inviter_name", "role")} == {
        "organization_name": "Acme",
        "inviter_name": "Admin Acme",
        "role": "MEMBER",
    }
    token = str(last.values["token"])
    assert len(token) == 43
    stored = await rows(
        "SELECT 1 FROM invitation WHERE org_id = $1 AND token_digest = sha256(convert_to($2, 'UTF8'))",
        acme.org_id,
        token,
    )
    assert len(stored) == 1
    for where in (await everything_stored(), logged):
        assert token not in where
        assert token.encode().hex() not in where


async def mailings(tenant: Tenant) -> list[Any]:
    """What the organization's events would have mailed now."""
    async with tenant.admin.acting() as actor:
        found = await served_events(actor, tenant)
        return [await mails.invitation(event, served()[0]) for event in found]


async def served_events(actor: Any, tenant: Tenant) -> list[Any]:
    """The events that say which link is to be mailed."""
    from_beginning = await log_queries.beyond({tenant.org_id: 0}, 100)
    return [event for event in from_beginning if "generation" in orjson.loads(event.data)]


@pytest.mark.parametrize("change", ["status = 'REVOKED'", "expires_at = now()", "generation = 2"])
async def test_what_waits_for_no_answer_is_not_mailed(acme: Tenant, change: str) -> None:
    invitation = await make_invitation(acme.admin, acme, some_address())
    assert [mail is None for mail in await mailings(acme)] == [False]

    await execute(f"UPDATE invitation SET {change} WHERE id = $1", invitation.id)

    assert await mailings(acme) == [None]


async def test_an_organization_sends_so_many_and_no_more(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAILS", Limit(tries=2, window_s=3600))
    made = await acme.admin.client.done(CREATE, **given(acme, some_address()))
    await acme.admin.client.done(RESEND, id=made["invitation"]["id"])

    answers = [
        await acme.admin.client.run(CREATE, **given(acme, some_address())),
        await acme.admin.client.run(RESEND, id=made["invitation"]["id"]),
    ]

    assert [answer.codes for answer in answers] == [["RATE_LIMITED"]] * 2
    assert len(await invitations_of(acme)) == 1
    assert await events(acme.org_id) == ["INVITATION_CREATED", "INVITATION_RESENT"]


async def test_the_list_is_newest_first_and_goes_by_the_state_of_now(acme: Tenant) -> None:
    at, emails = now(), [some_address() for _ in range(4)]
    ids = []
    for n, email in enumerate(emails):
        with frozen(at + timedelta(days=n)):
            ids.append((await make_invitation(acme.admin, acme, email)).id)
    await acme.admin.client.done(REVOKE, id=global_id("invitation", ids[2]))

    with frozen(at + timedelta(days=7, minutes=1)):
        whole = await acme.admin.client.ok(LIST, id=acme.id)
        pending = await acme.admin.client.ok(LIST, id=acme.id, status="PENDING")
        expired = await acme.admin.client.ok(LIST, id=acme.id, status="EXPIRED")
    later = await acme.admin.client.ok(LIST, id=acme.id, status="PENDING")

    assert nodes(whole) == list(zip(emails[::-1], ["PENDING", "REVOKED", "PENDING", "EXPIRED"], strict=True))
    assert nodes(pending) == [(emails[3], "PENDING"), (emails[1], "PENDING")]
    assert nodes(expired) == [(emails[0], "EXPIRED")]
    assert [found["organization"]["invitations"]["totalCount"] for found in (whole, pending, expired, later)] == [
        4,
        2,
        1,
        3,
    ]


def nodes(data: dict[str, Any]) -> list[tuple[str, str]]:
    return [(node["email"], node["status"]) for node in data["organization"]["invitations"]["nodes"]]


async def test_the_list_goes_page_by_page(acme: Tenant) -> None:
    emails = [(await make_invitation(acme.admin, acme, some_address())).email for _ in range(5)]
    found, after = [], None
    for _ in range(3):
        data = await acme.admin.client.ok(LIST, id=acme.id, first=2, after=after)
        found += [email for email, _ in nodes(data)]
        after = data["organization"]["invitations"]["pageInfo"]["endCursor"]

    assert found == emails[::-1]
    assert data["organization"]["invitations"]["pageInfo"]["hasNextPage"] is False


@pytest.mark.asked_once
async def test_a_list_takes_as_many_statements_whatever_its_length(acme: Tenant) -> None:
    document = """
    query ($id: ID!) { organization(id: $id) {
      invitations { nodes { email status organization { name } invitedBy { name } } totalCount }
    } }
    """
    counts = []
    for _ in range(2):
        with statements() as sent:
            await acme.admin.client.ok(document, id=acme.id)
        counts.append(len(sent))
        for _ in range(3):
            await make_invitation(acme.admin, acme, some_address())
    with statements() as sent:
        await acme.admin.client.ok(document, id=acme.id)

    # The caller, the organization, the page, the total; and of what is there its organization and who invited.
    assert [*counts, len(sent)] == [4, 6, 6]


async def test_who_may_not_invite_sees_no_list_no_invitation_and_no_event(acme: Tenant) -> None:
    invitation = await make_invitation(acme.admin, acme, some_address())
    id = global_id("invitation", invitation.id)
    document = "query ($id: ID!) { node(id: $id) { ... on Invitation { email status } } }"

    listed = await acme.member.client.run(LIST, id=acme.id)
    seen = [await person.client.ok(document, id=id) for person in (acme.admin, acme.member)]
    log = [(await changes(person.client, acme))["totalCount"] for person in (acme.admin, acme.member)]

    assert (listed.data, listed.codes) == ({"organization": {"invitations": None}}, ["FORBIDDEN"])
    assert seen == [{"node": {"email": invitation.email, "status": "PENDING"}}, {"node": None}]
    assert log == [1, 0]


async def test_lists_of_several_organizations_are_refused_one_by_one(acme: Tenant, globex: Tenant) -> None:
    """One reads the invitations of one organization and not of the other, in one query."""
    await execute("UPDATE users SET email_verified_at = now() WHERE id = $1", acme.admin.user_id)
    _, token = await invited(globex, acme.admin, role=Role.GUEST)
    await acme.admin.client.done(ACCEPT, token=token)

    answer = await acme.admin.client.run("{ viewer { organizations { nodes { name invitations { totalCount } } } } }")

    assert answer.codes == ["FORBIDDEN"]
    assert answer.data == {
        "viewer": {
            "organizations": {
                "nodes": [
                    {"name": "Acme", "invitations": {"totalCount": 0}},
                    {"name": "Globex", "invitations": None},
                ]
            }
        }
    }


async def test_what_happened_to_an_invitation_is_in_the_log_and_its_address_can_be_erased(acme: Tenant) -> None:
    email = some_address()
    made = await acme.admin.client.done(CREATE, **given(acme, email))
    await acme.admin.client.done(REVOKE, id=made["invitation"]["id"])
    document = """
    query ($id: ID!) { changes(organizationId: $id) { nodes {
      type subject { id } changes { field before after }
    } } }
    """

    told = (await acme.admin.client.ok(document, id=acme.id))["changes"]["nodes"]
    await execute("DELETE FROM event_values WHERE org_id = $1", acme.org_id)
    erased = (await acme.admin.client.ok(document, id=acme.id))["changes"]["nodes"]

    assert [node["type"] for node in told] == ["INVITATION_CREATED", "INVITATION_REVOKED"]
    assert [node["subject"] for node in told] == [{"id": made["invitation"]["id"]}] * 2
    first, second = ({each["field"]: (each["before"], each["after"]) for each in node["changes"]} for node in told)
    assert (first["email"], first["role"], first["generation"]) == ((None, email), (None, "MEMBER"), (None, 1))
    assert second == {"email": (email, None), "status": ("PENDING", "REVOKED")}
    assert email not in str(erased)
    assert email not in str(await rows("SELECT data FROM event WHERE org_id = $1", acme.org_id))


async def test_expiring_writes_down_what_is_overdue_and_nothing_else(acme: Tenant, globex: Tenant) -> None:
    at = now()
    old = await make_invitation(acme.admin, acme, some_address())
    with frozen(at + timedelta(days=1)):
        young = await make_invitation(acme.admin, acme, some_address())
        others = await make_invitation(globex.admin, globex, some_address())
    due = old.expires_at + timedelta(minutes=5)

    found = [row["id"] for row in await rows(service.OVERDUE, due)]
    async with acme.admin.acting() as actor:
        counts = [await service.expire(actor, due) for _ in range(2)]

    assert acme.org_id in found
    assert globex.org_id not in found
    assert counts == [1, 0]
    assert [(await state_of(each.id))[0] for each in (old, young, others)] == ["EXPIRED", "PENDING", "PENDING"]
    assert await events(acme.org_id) == ["INVITATION_CREATED"] * 2 + ["INVITATION_EXPIRED"]


async def test_expiring_writes_down_so_many_in_a_transaction_and_leaves_the_rest(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [await make_invitation(acme.admin, acme, some_address()) for _ in range(3)]
    monkeypatch.setattr(service, "EXPIRED_AT_ONCE", 2)
    counts = []

    for _ in range(3):
        # As a tick of cron does it.
        async with acme.admin.acting() as actor, tx():
            counts.append(await service.expire(actor, made[-1].expires_at))

    assert counts == [2, 1, 0]


async def test_expiring_at_the_same_moment_counts_each_once(acme: Tenant) -> None:
    made = [await make_invitation(acme.admin, acme, some_address()) for _ in range(6)]

    async def expire() -> int:
        async with acme.admin.acting() as actor:
            return await service.expire(actor, made[-1].expires_at)

    await asyncio.gather(*(expire() for _ in range(4)))
    await expire()

    assert Counter(await events(acme.org_id)) == {"INVITATION_CREATED": 6, "INVITATION_EXPIRED": 6}
