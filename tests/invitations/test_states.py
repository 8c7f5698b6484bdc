"""The table of moves: pure, and then each act held against each state, through the whole API."""

from collections.abc import Callable
from datetime import timedelta
from itertools import product
from uuid import UUID

import pytest

from domain.base.clock import now
from domain.base.errors import TransitionNotAllowed
from domain.invitations.states import MOVES, Status, check_move, check_pending, standing
from graph.base.ids import global_id
from tests.factories import Tenant, events, execute, rows
from tests.invitations.inviting import (
    ACCEPT,
    DECLINE,
    RESEND,
    REVOKE,
    invited,
    make_verified,
    members,
    transition,
)

ANSWERS = {Status.ACCEPTED, Status.DECLINED, Status.EXPIRED, Status.REVOKED}


def test_only_what_is_pending_moves_and_never_back() -> None:
    assert {(source, target) for source in Status for target in MOVES[source]} == {
        (Status.PENDING, target) for target in ANSWERS
    }
    assert set(MOVES) == set(Status)


@pytest.mark.parametrize(("source", "target"), list(product(Status, Status)))
def test_a_move_is_made_exactly_when_the_table_has_it(source: Status, target: Status) -> None:
    if source is Status.PENDING and target in ANSWERS:
        check_move(source, target, "id")
        return

    with pytest.raises(TransitionNotAllowed) as refused:
        check_move(source, target, "id")

    assert (refused.value.source, refused.value.allowed, refused.value.path) == (source, MOVES[source], ("id",))


@pytest.mark.parametrize("source", Status)
def test_only_what_is_pending_is_sent_again(source: Status) -> None:
    if source is Status.PENDING:
        check_pending(source)
        return

    with pytest.raises(TransitionNotAllowed):
        check_pending(source)


@pytest.mark.parametrize("status", Status)
def test_what_waits_for_too_long_has_expired(status: Status) -> None:
    at = now()

    assert standing(status, at + timedelta(microseconds=1), at) is status
    assert standing(status, at, at) is (Status.EXPIRED if status is Status.PENDING else status)


ACTS = {"accept": ACCEPT, "decline": DECLINE, "resend": RESEND, "revoke": REVOKE}
BECOMES = {"accept": "ACCEPTED", "decline": "DECLINED", "resend": "PENDING", "revoke": "REVOKED"}
SETS: dict[str, Callable[[], str]] = {
    **{status.value: (lambda value=status.value: f"status = '{value}'") for status in Status},  # type: ignore[misc]
    "OVERDUE": lambda: "status = 'PENDING', expires_at = now() - interval '1 second'",
}


async def everything(tenant: Tenant, invitation_id: UUID) -> list[object]:
    return [
        await rows("SELECT invitation::text AS row FROM invitation WHERE id = $1", invitation_id),
        await rows("SELECT membership::text AS row FROM membership WHERE org_id = $1 ORDER BY id", tenant.org_id),
        await events(tenant.org_id),
    ]


@pytest.mark.parametrize(("act", "state"), list(product(ACTS, SETS)))
async def test_each_act_is_done_only_to_what_is_pending(acme: Tenant, act: str, state: str) -> None:
    person = await make_verified()
    invitation_id, token = await invited(acme, person)
    await execute(f"UPDATE invitation SET {SETS[state]()} WHERE id = $1", invitation_id)
    is_link = act in ("accept", "decline")
    client = person.client if is_link else acme.admin.client
    given = {"token": token} if is_link else {"id": global_id("invitation", invitation_id)}
    before = await everything(acme, invitation_id)

    if state == "PENDING":
        await client.done(ACTS[act], **given)
        (row,) = await rows("SELECT status FROM invitation WHERE id = $1", invitation_id)
        assert row["status"] == BECOMES[act]
        return
    errors = await client.refused(ACTS[act], **given)

    source = "EXPIRED" if state == "OVERDUE" else state
    assert errors == transition(source, path="token" if is_link else "id")
    assert await everything(acme, invitation_id) == before
    assert await members(acme, person) == []
