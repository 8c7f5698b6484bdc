"""What is kept of any payload, and mutations that call an outside service, through schemas made for the tests."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Annotated, Any
from unittest.mock import Mock
from uuid import UUID

import orjson
import pytest
import strawberry
from strawberry.schema.config import StrawberryConfig
from strawberry.types.base import StrawberryList

from domain.base.database import transaction
from domain.base.errors import Conflict, Invalid, Taken, Unavailable
from domain.base.permissions import Role
from domain.idempotency.service import OutsideCall
from domain.identity import queries as identity
from domain.labels import service as labels_service
from graph.base import outcomes
from graph.base.context import Info
from graph.base.errors import ERROR_TYPES, InputError, LimitError, UserError, mutation, no_errors
from graph.base.idempotency import IDEMPOTENT
from graph.base.ids import parse_id
from graph.base.nodes import Node
from graph.base.outcomes import shown_once
from graph.base.scalars import JSON, SCALARS, BigInt
from graph.execution import Engine
from graph.identity import ApiKeyActor, SystemActor, User
from graph.labels import Label, LabelPayload
from graph.task_bulk import TaskBulkResult
from tests import client
from tests.factories import Tenant, events, execute, statements
from tests.idempotency.keyed import kept, labels, new_key

HIDDEN = "hush"
Doer = Annotated[User | ApiKeyActor | SystemActor, strawberry.union("Doer")]


@strawberry.type
class Item:
    """What came of one of many."""

    id: strawberry.ID
    label: Label | None = None
    errors: list[UserError] = no_errors()


@strawberry.type
class ManyPayload:
    """One field of each kind."""

    items: list[Item] = strawberry.field(default_factory=list)
    labels: list[Label] = strawberry.field(default_factory=list)
    holes: list[Label | None] = strawberry.field(default_factory=list)
    doer: Doer | None = None
    node: Node | None = None
    role: Role | None = None
    at: datetime | None = None
    day: date | None = None
    total: BigInt | None = None
    anything: JSON | None = None
    flags: list[bool] | None = None
    secret: str | None = shown_once("Shown once.")
    errors: list[UserError] = no_errors()


@strawberry.type
class Query:
    """Nothing."""

    nothing: int = 0


@dataclass
class Shop:
    """A service outside, and what it was asked for."""

    calls: list[UUID] = field(default_factory=list)
    fault: Exception | None = None
    is_closed: bool = False


SHOP = Shop()


@strawberry.type
class Mutation:
    """Mutations that the product does not have, or not yet."""

    @mutation
    async def many(self, info: Info, organization_id: strawberry.ID) -> ManyPayload | None:
        """Add two labels, and show everything that can be kept."""
        actor, org_id = info.context.actor, parse_id(organization_id, "organization")
        one, two = [await labels_service.create(actor, org_id, name=name, color="#123456") for name in ("one", "two")]
        person: Any = await identity.by_ids.get(actor, actor.user_id)
        refused = LimitError(
            code=Conflict.code, message="Enough.", path=["a"], feature="x", limit=BigInt(2**53 - 1), used=BigInt(1)
        )
        return ManyPayload(
            items=[
                Item(id=strawberry.ID("1"), label=Label.of(one)),
                Item(id=strawberry.ID("2"), errors=[refused, InputError(code=Taken.code, message="Taken.", path=[])]),
            ],
            labels=[Label.of(one), Label.of(two)],
            holes=[Label.of(one), None, Label.of(two)],
            doer=person,
            node=Label.of(two),
            role=Role.GUEST,
            at=datetime(2026, 11, 21, 1, 2, 3, 4, UTC),
            day=date(2026, 11, 21),
            total=BigInt(2**53 - 1),
            anything=JSON({"a": [1, None, {"as": "b"}]}),
            flags=[True, False],
            secret=HIDDEN,
        )

    @mutation(calls_outside=True)
    def buy(self, info: Info, organization_id: strawberry.ID, name: str) -> OutsideCall[str, LabelPayload]:
        """Call outside, then add a label."""
        if SHOP.is_closed:
            raise Invalid("The shop is closed.", "name")
        actor, org_id = info.context.actor, parse_id(organization_id, "organization")

        async def call(key: UUID) -> str:
            assert transaction() is None
            SHOP.calls.append(key)
            if SHOP.fault is not None:
                raise SHOP.fault
            return f"{name} bought"

        async def finish(bought: str) -> LabelPayload:
            made = await labels_service.create(actor, org_id, name=bought, color="#123456")
            return LabelPayload(label=Label.of(made))

        return OutsideCall(call, finish, timeout_s=5)


@pytest.fixture(autouse=True)
def small_schema(monkeypatch: pytest.MonkeyPatch) -> strawberry.Schema:
    """The clients ask this schema."""
    made = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        types=[*ERROR_TYPES, Label],
        config=StrawberryConfig(scalar_map=SCALARS),
    )
    made._schema.directives += (IDEMPOTENT,)
    monkeypatch.setattr(client, "engine", Engine(made._schema))
    SHOP.calls, SHOP.fault, SHOP.is_closed = [], None, False
    return made


_ERRORS = "errors { __typename code message path ... on LimitError { feature limit used } }"
MANY = f"""
mutation ($org: ID!, $key: String!) {{
  many(organizationId: $org) @idempotent(key: $key) {{
    items {{ id label {{ id name color }} {_ERRORS} }} labels {{ id name description }} holes {{ name }}
    doer {{ __typename ... on User {{ id name email }} }} node {{ id ... on Label {{ name }} }}
    role at day total anything flags secret {_ERRORS}
  }}
}}
"""
BUY = """
mutation ($org: ID!, $name: String!, $key: String!) {
  buy(organizationId: $org, name: $name) @idempotent(key: $key) { label { name } errors { code path } }
}
"""


async def test_a_payload_of_every_kind_is_made_again(acme: Tenant) -> None:
    key = new_key()

    first = await acme.admin.client.ok(MANY, org=acme.id, key=key)
    again = await acme.admin.client.ok(MANY, org=acme.id, key=key)

    assert first["many"]["secret"] == HIDDEN
    assert first["many"]["doer"]["email"] == acme.admin.email
    assert again == {"many": first["many"] | {"secret": None}}
    (row,) = await kept(key)
    assert HIDDEN not in row["outcome"]
    assert acme.admin.email not in row["outcome"]
    assert await labels(acme.org_id) == ["one", "two"]


async def test_all_rows_of_a_payload_are_read_together(acme: Tenant) -> None:
    key = new_key()
    await acme.admin.client.ok(MANY, org=acme.id, key=key)

    with statements() as sent:
        await acme.admin.client.ok(MANY, org=acme.id, key=key)

    assert len([each for each in sent if "FROM label" in each]) == 1
    assert len([each for each in sent if "FROM users" in each]) == 1


async def test_rows_that_are_gone_are_null_and_left_out_of_lists_that_allow_no_null(acme: Tenant) -> None:
    key = new_key()
    await acme.admin.client.ok(MANY, org=acme.id, key=key)
    await execute("DELETE FROM label WHERE org_id = $1 AND name = 'one'", acme.org_id)

    found = (await acme.admin.client.ok(MANY, org=acme.id, key=key))["many"]

    assert [item["label"] for item in found["items"]] == [None, None]
    assert [label["name"] for label in found["labels"]] == ["two"]
    assert found["holes"] == [None, None, {"name": "two"}]


async def test_what_the_code_has_more_or_less_of_by_now_is_no_fault(acme: Tenant) -> None:
    key = new_key()
    await acme.admin.client.ok(MANY, org=acme.id, key=key)
    (row,) = await kept(key)
    outcome = orjson.loads(row["outcome"])
    del outcome["role"]
    outcome["formerly"] = 1
    await execute("UPDATE idempotency SET outcome = $1 WHERE id = $2", orjson.dumps(outcome).decode(), row["id"])

    found = (await acme.admin.client.ok(MANY, org=acme.id, key=key))["many"]

    assert (found["role"], found["day"]) == (None, "2026-11-21")


async def test_what_an_older_version_called_otherwise_is_null_and_no_fault(acme: Tenant) -> None:
    key = new_key()
    await acme.admin.client.ok(MANY, org=acme.id, key=key)
    (row,) = await kept(key)
    outcome = orjson.loads(row["outcome"])
    outcome["doer"]["as"] = outcome["node"]["as"] = "Formerly"
    outcome["role"] = "FORMERLY"
    # In a list that allows no null it is left out, and so is what an item has more of by now.
    outcome["items"][1]["errors"][0]["as"] = "Formerly"
    del outcome["items"][0]["errors"], outcome["items"][0]["label"]
    await execute("UPDATE idempotency SET outcome = $1 WHERE id = $2", orjson.dumps(outcome).decode(), row["id"])

    found = (await acme.admin.client.ok(MANY, org=acme.id, key=key))["many"]

    assert (found["doer"], found["node"], found["role"]) == (None, None, None)
    assert [error["code"] for error in found["items"][1]["errors"]] == ["TAKEN"]
    assert found["items"][0] == {"id": "1", "label": None, "errors": []}


async def test_a_field_that_a_newer_version_added_needs_no_default(acme: Tenant) -> None:
    async with acme.admin.acting():
        (made,) = await outcomes.rebuilt(
            Mock(), StrawberryList(TaskBulkResult), orjson.dumps([{"id": "task_1"}]).decode()
        )

    assert made == TaskBulkResult(id=strawberry.ID("task_1"), task=None, errors=[])


def test_a_row_that_cannot_be_read_again_is_a_fault_before_anything_is_kept() -> None:
    with pytest.raises(TypeError, match="ApiKeyActor"):
        outcomes.kept(ApiKeyActor, object())


async def test_a_mutation_that_calls_outside_does_so_once(acme: Tenant) -> None:
    key = new_key()

    first = await acme.admin.client.done(BUY, org=acme.id, name="chair", key=key)
    again = await acme.admin.client.done(BUY, org=acme.id, name="chair", key=key)
    (conflict,) = await acme.admin.client.refused(BUY, org=acme.id, name="table", key=key)

    assert first == again == {"label": {"name": "chair bought"}, "errors": []}
    assert conflict == {"code": "CONFLICT", "path": ["@idempotent", "key"]}
    (row,) = await kept(key)
    assert SHOP.calls == [row["id"]]
    assert await events(acme.org_id) == ["LABEL_CREATED"]


async def test_a_refusal_from_outside_is_repeated_and_a_fault_is_tried_again(acme: Tenant) -> None:
    key, other = new_key(), new_key()

    SHOP.fault = Invalid("Declined.", "name")
    (first,) = await acme.admin.client.refused(BUY, org=acme.id, name="chair", key=key)
    SHOP.fault = Unavailable("away")
    away = await acme.admin.client.run(BUY, org=acme.id, name="table", key=other)
    SHOP.fault = None
    (again,) = await acme.admin.client.refused(BUY, org=acme.id, name="chair", key=key)
    done = await acme.admin.client.done(BUY, org=acme.id, name="table", key=other)

    assert first == again == {"code": "INVALID", "path": ["name"]}
    assert (away.data, away.codes) == ({"buy": None}, ["UNAVAILABLE"])
    assert done["label"] == {"name": "table bought"}
    assert (len(SHOP.calls), len(set(SHOP.calls))) == (3, 2)


async def test_a_refusal_before_the_call_is_an_outcome_and_a_repeat_gets_its_own_outcome_first(acme: Tenant) -> None:
    closed, opened = new_key(), new_key()
    first = await acme.admin.client.done(BUY, org=acme.id, name="chair", key=opened)

    SHOP.is_closed = True
    (refused,) = await acme.admin.client.refused(BUY, org=acme.id, name="table", key=closed)
    again = await acme.admin.client.done(BUY, org=acme.id, name="chair", key=opened)
    SHOP.is_closed = False
    (still,) = await acme.admin.client.refused(BUY, org=acme.id, name="table", key=closed)

    assert first == again
    assert refused == still == {"code": "INVALID", "path": ["name"]}
    assert len(SHOP.calls) == 1
    assert await labels(acme.org_id) == ["chair bought"]


def test_a_mutation_that_calls_outside_has_its_payload_for_a_type(small_schema: strawberry.Schema) -> None:
    assert "buy(organizationId: ID!, name: String!): LabelPayload\n" in small_schema.as_str()


async def test_a_mutation_that_calls_outside_works_without_a_key(acme: Tenant) -> None:
    document = BUY.replace(", $key: String!", "").replace("@idempotent(key: $key)", "")

    payload = await acme.admin.client.done(document, org=acme.id, name="chair")

    assert payload["label"] == {"name": "chair bought"}
    assert len(SHOP.calls) == 1
