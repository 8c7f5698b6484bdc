"""What a repeat gets: the first outcome, user errors included, with its rows as they are and may be seen now."""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from domain.base.actor import Actor
from domain.base.clock import frozen, now
from domain.base.database import acting_for, fetch
from domain.base.errors import Conflict, NotFound, Unavailable
from domain.base.permissions import Permission
from domain.base.sql import Row, sql
from domain.idempotency import service
from domain.idempotency.service import Attempt, Kept
from domain.labels import service as labels_service
from domain.organizations import api_keys
from domain.tasks import labeling
from graph.base.ids import global_id
from tests.client import GraphQL
from tests.factories import Tenant, events, execute, rows
from tests.idempotency.keyed import CREATE_LABEL, kept, labels, new_key, under
from tests.isolation.world import make_session
from tests.sockets import opened
from tests.tasks.board import ARCHIVE, CREATE, DELETE, MOVE, UPDATE, Board, id_of, make_label, restrict, unchanged

CREATE_PLAIN = (
    "mutation ($input: LabelCreateInput!) { labelCreate(input: $input) { label { id } errors { code path } } }"
)
CONFLICT = ("CONFLICT", ["@idempotent", "key"])


def refusals(payload: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Code and path of each error."""
    return [(error["code"], error["path"]) for error in payload["errors"]]


async def test_a_repeat_changes_nothing_and_shows_the_row_as_it_is_now(board: Board) -> None:
    document = under(new_key(), CREATE)
    values = {"projectId": board.id, "title": "Write the page"}

    first = await board.client.done(document, input=values)
    await board.client.done(UPDATE, id=first["task"]["id"], input={"title": "Rewrite the page"})
    async with unchanged(board.tenant):
        again = await board.client.done(document, input=values)

    assert again["task"]["id"] == first["task"]["id"]
    assert (again["task"]["title"], again["task"]["version"]) == ("Rewrite the page", 2)


async def test_a_repeat_may_select_something_else(acme: Tenant) -> None:
    key, other = new_key(), "mutation ($input: LabelCreateInput!) { labelCreate(input: $input) { label { color } } }"
    first = await acme.admin.client.done(CREATE_LABEL, org=acme.id, name="bug", key=key)

    again = await acme.admin.client.ok(
        under(key, other), input={"organizationId": acme.id, "name": "bug", "color": "#123456"}
    )

    assert first["label"]["name"] == "bug"
    assert again == {"labelCreate": {"label": {"color": "#123456"}}}
    assert await labels(acme.org_id) == ["bug"]


async def stale(board: Board) -> tuple[str, dict[str, Any]]:
    """A change of a version that is gone."""
    task = await board.task()
    await board.client.done(UPDATE, id=id_of(task), input={"title": "New"})
    return UPDATE, {"id": id_of(task), "input": {"title": "Newer"}, "ifVersion": 1}


async def forbidden_move(board: Board) -> tuple[str, dict[str, Any]]:
    """A move that the workflow does not have."""
    await restrict(board, "Todo", "In progress")
    return MOVE, {"id": id_of(await board.task(state="Todo")), "input": {"stateId": board.state("Done")}}


async def too_many_labels(board: Board) -> tuple[str, dict[str, Any]]:
    """More labels than a task can have."""
    ids = [await make_label(board.tenant, name) for name in ("one", "two")]
    return CREATE, {"input": {"projectId": board.id, "title": "Labeled", "labelIds": ids}}


async def bad_values(board: Board) -> tuple[str, dict[str, Any]]:
    """Several faults at once."""
    return CREATE, {"input": {"projectId": board.id, "title": "", "estimate": -1}}


@pytest.mark.parametrize(
    ("make", "types"),
    [
        (stale, ["StaleVersionError"]),
        (forbidden_move, ["TransitionError"]),
        (too_many_labels, ["LimitError"]),
        (bad_values, ["InputError", "InputError"]),
    ],
)
async def test_a_repeat_of_a_refused_change_gets_the_same_errors(
    board: Board,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Board], Awaitable[tuple[str, dict[str, Any]]]],
    types: list[str],
) -> None:
    monkeypatch.setattr(labeling, "MOST_LABELS", 1)
    document, variables = await make(board)
    document = under(new_key(), document)

    async with unchanged(board.tenant):
        first = await board.client.refused(document, **variables)
    # What was in the way is gone, and still the first outcome counts.
    monkeypatch.setattr(labeling, "MOST_LABELS", 50)
    await execute("DELETE FROM workflow_transition WHERE org_id = $1", board.org_id)
    async with unchanged(board.tenant):
        again = await board.client.refused(document, **variables)

    assert [error["__typename"] for error in first] == types
    assert again == first


async def test_a_stale_version_shows_the_row_as_it_is_now(board: Board) -> None:
    document, variables = await stale(board)
    document = under(new_key(), document)

    (first,) = await board.client.refused(document, **variables)
    await board.client.done(UPDATE, id=variables["id"], input={"title": "Newest"})
    (again,) = await board.client.refused(document, **variables)

    assert (first["currentVersion"], first["current"]["title"]) == (2, "New")
    assert again == first | {"current": {"id": variables["id"], "title": "Newest", "version": 3}}


async def test_what_a_refused_change_had_done_is_undone_and_its_refusal_kept(acme: Tenant) -> None:
    key = new_key()

    async def add_and_refuse(actor: Actor) -> str:
        await labels_service.create(actor, acme.org_id, name="undone", color="#123456")
        actor.leave(acme.org_id)
        raise Conflict("no")

    async with acme.admin.acting() as actor:
        before = dict(actor.standings)
        attempt = Attempt(actor, "field", key, b"digest")
        first = await service.once(attempt, lambda: add_and_refuse(actor), keep=str, refuse=lambda refusal: "refused")
        standings = dict(actor.standings)
        again = await service.once(attempt, lambda: add_and_refuse(actor), keep=str, refuse=lambda refusal: "again")

    assert (first, again) == ("refused", Kept("refused"))
    assert standings == before
    assert (await labels(acme.org_id), await events(acme.org_id)) == ([], [])


@pytest.mark.parametrize("failure", [NotFound("label"), RuntimeError("a bug")])
async def test_any_other_failure_keeps_nothing_and_the_next_try_counts(acme: Tenant, failure: Exception) -> None:
    key = new_key()

    async def add_and_fail(actor: Actor) -> str:
        await labels_service.create(actor, acme.org_id, name="undone", color="#123456")
        actor.leave(acme.org_id)
        raise failure

    async with acme.admin.acting() as actor:
        attempt = Attempt(actor, "field", key, b"digest")
        with pytest.raises(type(failure)):
            await service.once(attempt, lambda: add_and_fail(actor), keep=str, refuse=str)
        assert acme.org_id in actor.standings
        assert (await labels(acme.org_id), await events(acme.org_id), await kept(key)) == ([], [], [])

        async def add() -> str:
            return (await labels_service.create(actor, acme.org_id, name="done", color="#123456")).name

        assert await service.once(attempt, add, keep=str, refuse=str) == "done"

    assert await events(acme.org_id) == ["LABEL_CREATED"]


async def test_what_cannot_be_kept_is_not_done(acme: Tenant) -> None:
    key = new_key()

    async def add_and_leave() -> str:
        await labels_service.create(actor, acme.org_id, name="undone", color="#123456")
        actor.leave(acme.org_id)
        return "done"

    def keep(result: str) -> str:
        raise TypeError(f"{result} cannot be kept")

    async with acme.admin.acting() as actor:
        with pytest.raises(TypeError, match="done cannot be kept"):
            await service.once(Attempt(actor, "field", key, b"digest"), add_and_leave, keep=keep, refuse=str)

        assert acme.org_id in actor.standings
    assert (await labels(acme.org_id), await events(acme.org_id), await kept(key)) == ([], [], [])


async def test_a_request_error_is_not_kept(board: Board) -> None:
    key, task = new_key(), await board.task()
    document = under(key, ARCHIVE)

    refused = await board.tenant.guest.client.run(document, id=id_of(task))
    assert (refused.codes, await kept(key)) == (["FORBIDDEN"], [])
    await execute("UPDATE membership SET role = 'MEMBER' WHERE user_id = $1", board.tenant.guest.user_id)
    done = await board.tenant.guest.client.done(document, id=id_of(task))

    assert done["task"]["id"] == id_of(task)


@pytest.mark.parametrize(
    "others", [{"name": "chore"}, {"color": "#654321"}, {"description": None}, {"description": ""}]
)
async def test_other_arguments_under_the_same_key_are_a_conflict(acme: Tenant, others: dict[str, Any]) -> None:
    document = under(new_key(), CREATE_PLAIN)
    values = {"organizationId": acme.id, "name": "bug", "color": "#123456"}
    await acme.admin.client.done(document, input=values)

    async with unchanged(acme):
        (refused,) = await acme.admin.client.refused(document, input=values | others)
        again = await acme.admin.client.done(document, input=values)

    assert (refused["code"], refused["path"]) == CONFLICT
    assert again["errors"] == []


async def test_arguments_are_equal_however_they_are_written(acme: Tenant) -> None:
    key = new_key()
    by_variable = under(
        key, "mutation ($id: ID!, $v: Int) { organizationUpdate(id: $id, input: {}, ifVersion: $v) {X} }"
    )
    literal = under(key, f'mutation {{ organizationUpdate(input: {{}}, id: "{acme.id}") {{X}} }}')
    X = "organization { id } errors { code }"

    first = await acme.admin.client.done(by_variable.replace("X", X), id=acme.id)
    again = await acme.admin.client.done(literal.replace("X", X))
    null = await acme.admin.client.done(by_variable.replace("X", X), id=acme.id, v=None)

    assert first == again == null


async def test_keys_belong_to_their_actor_and_field(acme: Tenant, globex: Tenant) -> None:
    key = new_key()
    async with acme.admin.acting() as actor:
        made = await api_keys.create(actor, acme.org_id, name="Program", permissions=list(Permission))
    callers = {"admin": acme.admin.client, "member": acme.member.client, "program": GraphQL(made.secret)}

    for name, client in callers.items():
        await client.done(CREATE_LABEL, org=acme.id, name=name, key=key)
    await globex.admin.client.done(CREATE_LABEL, org=globex.id, name="stranger", key=key)
    project = (
        "mutation ($input: ProjectCreateInput!) { projectCreate(input: $input) { project { name } errors { code } } }"
    )
    other = await acme.admin.client.done(under(key, project), input={"organizationId": acme.id, "name": "Website"})

    assert await labels(acme.org_id) == ["admin", "member", "program"]
    assert await labels(globex.org_id) == ["stranger"]
    assert other["project"]["name"] == "Website"
    found = [(row["actor_kind"], row["actor_id"], row["field"]) for row in await kept(key)]
    assert sorted(found, key=str) == sorted(
        [
            ("USER", acme.admin.user_id, "labelCreate"),
            ("USER", acme.member.user_id, "labelCreate"),
            ("API_KEY", made.key.id, "labelCreate"),
            ("USER", globex.admin.user_id, "labelCreate"),
            ("USER", acme.admin.user_id, "projectCreate"),
        ],
        key=str,
    )


async def test_another_session_of_the_same_person_repeats_too(acme: Tenant) -> None:
    key = new_key()
    await acme.admin.client.done(CREATE_LABEL, org=acme.id, name="bug", key=key)
    token = f"pws_{new_key()}"
    digest = hashlib.sha256(token.encode()).digest()
    await execute("UPDATE session SET token_digest = $1 WHERE id = $2", digest, await make_session(acme.admin))

    await GraphQL(token).done(CREATE_LABEL, org=acme.id, name="bug", key=key)

    assert await labels(acme.org_id) == ["bug"]


async def test_what_was_deleted_meanwhile_is_null_in_a_repeat(board: Board) -> None:
    document = under(new_key(), CREATE)
    values = {"projectId": board.id, "title": "Write the page"}
    first = await board.client.done(document, input=values)
    await board.client.done(DELETE, id=first["task"]["id"])

    async with unchanged(board.tenant):
        again = await board.client.done(document, input=values)

    assert again == {"task": None, "errors": []}


async def test_a_repeat_after_the_membership_ended_shows_nothing_of_the_organization(board: Board) -> None:
    document, variables = await stale(board)
    document, creation = under(new_key(), document), under(new_key(), CREATE)
    values = {"projectId": board.id, "title": "Write the page"}
    await board.client.done(creation, input=values)
    (first,) = await board.client.refused(document, **variables)
    await execute("UPDATE membership SET ended_at = now() WHERE user_id = $1", board.tenant.member.user_id)

    async with unchanged(board.tenant):
        again = await board.client.done(creation, input=values)
        (refused,) = await board.client.refused(document, **variables)

    assert again == {"task": None, "errors": []}
    assert refused == first | {"current": None}


async def test_a_deletion_repeats_though_there_is_nothing_left(board: Board) -> None:
    task, document = await board.task(), under(new_key(), DELETE)

    first = await board.client.done(document, id=id_of(task))
    async with unchanged(board.tenant):
        again = await board.client.done(document, id=id_of(task))

    assert again == first == {"deletedId": id_of(task), "errors": []}


async def test_a_key_counts_for_24_hours(acme: Tenant) -> None:
    # Each new row drops only some of the old ones, and those of other tests would come first.
    await execute("DELETE FROM idempotency")
    key, other, begun = new_key(), new_key(), now()
    rename = "organizationUpdate(id: $id, input: {name: $name}) { organization { version } errors { code path } }"
    document = under(key, f"mutation ($id: ID!, $name: String!) {{ {rename} }}")

    async def version(after: timedelta, name: str = "Alpha") -> Any:
        with frozen(begun + after):
            (payload,) = (await acme.admin.client.ok(document, id=acme.id, name=name)).values()
        return payload["organization"]["version"] if payload["organization"] else refusals(payload)

    assert await version(timedelta()) == 2
    with frozen(begun + timedelta(hours=1)):
        await acme.admin.client.done(CREATE_LABEL, org=acme.id, name="bug", key=other)
    assert await version(timedelta(hours=24, microseconds=-1)) == 2
    assert await version(timedelta(hours=24, microseconds=-1), "Other") == [CONFLICT]
    assert await version(timedelta(hours=24), "Other") == 3
    # It counts anew from then on, and what is as old by now is dropped with the next.
    assert await version(timedelta(hours=47), "Other") == 3
    (renewed,) = await kept(key)
    assert renewed["created_at"] == begun + timedelta(hours=24)
    with frozen(begun + timedelta(hours=25)):
        await acme.admin.client.done(CREATE_LABEL, org=acme.id, name="chore", key=new_key())
    assert (await kept(other), len(await kept(key))) == ([], 1)


REVOKE = "sessionRevoke(id: $id) @idempotent(key: $key) { deletedId errors { code } }"


def session_of(tenant: Tenant) -> str:
    """The id of the session that the admin's client comes with."""
    return global_id("session", tenant.admin.session_id)


async def test_a_session_that_was_not_ended_after_all_keeps_its_cookie_and_its_caller(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(service, "_insert", away)
    after = 'after: preferencesUpdate(input: {locale: "de"}) { viewer { email } }'
    document = f"mutation ($id: ID!, $key: String!) {{ {REVOKE} {after} }}"

    answer = await acme.admin.client.run(document, id=session_of(acme), key=new_key())

    assert answer.codes == ["UNAVAILABLE"]
    assert answer.data == {"sessionRevoke": None, "after": {"viewer": {"email": acme.admin.email}}}
    assert "set-cookie" not in answer.response.headers
    assert await acme.admin.client.ok("{ viewer { email } }") == {"viewer": {"email": acme.admin.email}}


@pytest.mark.parametrize("keyed", [True, False])
async def test_a_session_that_was_ended_loses_its_cookie_and_its_caller(acme: Tenant, keyed: bool) -> None:
    after = 'after: preferencesUpdate(input: {locale: "de"}) { viewer { email } }'
    document = f"mutation ($id: ID!, $key: String!) {{ {REVOKE} {after} }}"
    if not keyed:
        document = document.replace(" @idempotent(key: $key)", "").replace(", $key: String!", "")

    answer = await acme.admin.client.run(document, id=session_of(acme), **({"key": new_key()} if keyed else {}))

    assert answer.codes == ["UNAUTHENTICATED"]
    assert answer.data == {"sessionRevoke": {"deletedId": session_of(acme), "errors": []}, "after": None}
    assert 'planwire_session=""' in answer.response.headers["set-cookie"]
    assert (await acme.admin.client.run("{ viewer { email } }")).codes == ["UNAUTHENTICATED"]


async def test_a_membership_that_was_not_ended_after_all_still_stands(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(service, "_insert", away)
    leave = "organizationLeave(id: $org) @idempotent(key: $key) { deletedId errors { code } }"
    after = 'after: profileUpdate(input: {name: "Mo"}) { viewer { organizations { nodes { id } } } }'

    answer = await acme.member.client.run(
        f"mutation ($org: ID!, $key: String!) {{ {leave} {after} }}", org=acme.id, key=new_key()
    )

    assert answer.codes == ["UNAVAILABLE"]
    assert answer.data is not None
    assert answer.data["after"] == {"viewer": {"organizations": {"nodes": [{"id": acme.id}]}}}


async def test_a_repeat_over_a_socket_is_one_of_a_request(acme: Tenant, address: str) -> None:
    key = new_key()

    async with opened(address, acme.admin.token) as socket:
        over_socket = [
            await (await socket.run(CREATE_LABEL, org=acme.id, name="bug", key=key)).data() for _ in range(2)
        ]
    over_http = await acme.admin.client.done(CREATE_LABEL, org=acme.id, name="bug", key=key)

    assert over_socket == [over_http] * 2
    assert (await labels(acme.org_id), await events(acme.org_id)) == (["bug"], ["LABEL_CREATED"])


async def test_two_fields_of_one_operation_have_a_key_each(acme: Tenant) -> None:
    field = '%s: labelCreate(input: {organizationId: $org, name: "%s", color: "#123456"}) @idempotent(key: "%s") {%s}'
    first, second = new_key(), new_key()
    selected = "label { name } errors { code path }"
    pieces = [
        field % ("a", "bug", first, selected),
        field % ("b", "chore", second, selected),
        # The same again: a repeat within the operation.
        field % ("c", "bug", first, selected),
        field % ("d", "idea", second, selected),
    ]

    found = await acme.admin.client.ok(f"mutation ($org: ID!) {{ {' '.join(pieces)} }}", org=acme.id)

    assert [found[alias]["label"] for alias in "abcd"] == [{"name": "bug"}, {"name": "chore"}, {"name": "bug"}, None]
    assert refusals(found["d"]) == [CONFLICT]
    assert await labels(acme.org_id) == ["bug", "chore"]


@pytest.mark.parametrize("column", ["actor_id", "actor_kind", "field", "key"])
async def test_whose_an_outcome_is_stays_as_it_is(acme: Tenant, column: str) -> None:
    with acting_for([acme.org_id]), pytest.raises(asyncpg.InsufficientPrivilegeError):
        await fetch(sql(f"UPDATE idempotency SET {column} = {column}"), Row)


async def test_a_mutation_without_a_key_keeps_nothing(acme: Tenant) -> None:
    (before,) = await rows("SELECT count(*) FROM idempotency")

    await acme.admin.client.done(CREATE_PLAIN, input={"organizationId": acme.id, "name": "bug", "color": "#123456"})

    assert await rows("SELECT count(*) FROM idempotency") == [before]
