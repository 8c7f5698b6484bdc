"""The sweep: what one tenant gets and does with the ids of another, as a list of leaks.

A probe asks one thing as the tenant `mine` and compares what comes back for an id of `theirs` with what comes back for
an id of nothing. It says what is wrong in a sentence each, and leaves the rows as it found them.
"""

import base64
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson
from graphql import GraphQLInterfaceType, GraphQLObjectType

from domain.base.clock import frozen, now
from graph.base.nodes import kind_of as kind_of_type
from tests.client import Answer, GraphQL
from tests.isolation.calls import (
    SCHEMA,
    VIEWER,
    Call,
    Field,
    Path,
    call,
    fields_with_ids,
    of_nothing,
    own,
    places,
    with_one,
)
from tests.isolation.ledger import Ledger
from tests.isolation.selections import Seen, selection
from tests.isolation.world import World, bought

# An unknown id is no error in these: a filter finds nothing by it, a label that is not there is taken off.
QUIET = (
    "nodes.ids",
    "tasks.filter",
    "changes.filter",
    "search.projectId",
    "Project.tasks.filter",
    "WorkflowState.tasks.filter",
    "Viewer.assignedTasks.filter",
    "Viewer.aiThreads.organizationId",
    "taskUpdate.input.removedLabelIds",
    "taskBulkUpdate.items.input.removedLabelIds",
)
_ASKED = "<what was asked for>"
# Says whether the viewer's own organization was asked the same before.
_FROM_CACHE = re.compile(r'"fromCache": (true|false)')
_CURSOR = re.compile(r'(?<=[cC]ursor": ")([\w-]+)(?=")')


@dataclass(frozen=True)
class Tenants:
    """Who asks, whose things must not show, and the rows of both."""

    mine: World
    theirs: World
    ledger: Ledger

    @property
    def client(self) -> GraphQL:
        """GraphQL as the admin of `mine`."""
        return self.mine.admin.client

    def foreign(self, text: str) -> list[str]:
        """What of `theirs` shows in the text."""
        ids = [id for id in self.ledger.ids(self.theirs.tenant.org_id) if id in text]
        return ids + ([self.theirs.marker] if self.theirs.marker in text.lower() else [])


class Probe(ABC):
    """One thing to ask."""

    name: str

    @abstractmethod
    async def leaks(self, tenants: Tenants) -> list[str]:
        """What is wrong, a sentence each; nothing when the tenants are kept apart."""


async def leaks(tenants: Tenants, probes: Iterable[Probe], *, first: bool = False) -> list[str]:
    """What the probes find: all of it, or with `first` what the first finds that finds something."""
    found: list[str] = []
    for probe in probes:
        found += [f"{probe.name}: {leak}" for leak in await probe.leaks(tenants)]
        if found and first:
            break
    return found


@dataclass(frozen=True)
class SwappedId(Probe):
    """A call that is right with ids of mine, and then has an id of theirs in one place."""

    field: Field
    place: Path
    thing: str

    @property
    def name(self) -> str:  # type: ignore[override]
        return ".".join((str(self.field), *self.place))

    async def leaks(self, tenants: Tenants) -> list[str]:
        strange, unknown = tenants.theirs.id(self.thing), of_nothing(self.thing)
        with_strange, with_unknown = (self.with_id(tenants.mine, id) for id in (strange, unknown))
        await bought(self.field.name, tenants.mine)
        found = await _faults(tenants, call(self.field, own(tenants.mine), self.place))
        return found + await _differences(
            tenants, (with_strange, strange), (with_unknown, unknown), must_refuse=not self.name.startswith(QUIET)
        )

    def with_id(self, world: World, id: str) -> Call:
        """The call with ids of the world, and this one in the place."""
        return call(self.field, with_one(world, self.place, id), self.place)


@dataclass(frozen=True)
class SwappedText(Probe):
    """A call in which a text names a thing: one of mine, one of theirs, and nothing."""

    name: str
    document: str
    right: dict[str, str]
    place: str
    strange: str
    unknown: str

    async def leaks(self, tenants: Tenants) -> list[str]:
        found = await _faults(tenants, Call(self.name, self.document, self.right))
        with_strange, with_unknown = (
            (Call(self.name, self.document, self.right | {self.place: text}), text)
            for text in (self.strange, self.unknown)
        )
        return found + await _differences(tenants, with_strange, with_unknown, must_refuse=True)


@dataclass(frozen=True)
class NodeById(Probe):
    """node and nodes with the id of a thing of theirs."""

    type_: str
    thing: str

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"node of {self.thing}"

    async def leaks(self, tenants: Tenants) -> list[str]:
        mine, strange, unknown = tenants.mine.id(self.thing), tenants.theirs.id(self.thing), of_nothing(self.thing)
        picked = f"{{ id ... on {self.type_} {selection(SCHEMA, SCHEMA.type_map[self.type_], 0)} }}"
        document = f"query ($ids: [ID!]!, $id: ID!) {{ nodes(ids: $ids) {picked} node(id: $id) {picked} }}"
        # Signed addresses in the two answers end at the same instant.
        with frozen(now()):
            seen = await tenants.client.run(document, ids=[mine, strange, mine], id=strange)
            nothing = await tenants.client.run(document, ids=[mine, unknown, mine], id=unknown)
        data = seen.data or {"nodes": [], "node": None}
        found = [f"node gives {data['node']}"] if data["node"] is not None else []
        if [node and node["id"] for node in data["nodes"]] != [mine, None, mine]:
            found.append(f"nodes gives {data['nodes']}")
        if _text(seen, strange) != _text(nothing, unknown):
            found.append("another tenant's id and an unknown one get different answers")
        return found


@dataclass(frozen=True)
class EveryField(Probe):
    """All fields below a field of Query, below a single thing, or below a field that takes an id, to a depth."""

    root: str
    depth: int
    thing: str | None = None
    field: Field | None = None

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"every field of {self.root}" + (f" of {self.thing}" if self.thing else "")

    async def leaks(self, tenants: Tenants) -> list[str]:
        asked = self.asked(tenants.mine)
        answer = await tenants.client.run(asked.document, **asked.variables)
        found = [f"{error['path']}: {error['message']}" for error in answer.errors[:5]]
        if not answer.data or None in answer.data.values():
            found.append("gives null")
        return found + [f"shows {what}" for what in tenants.foreign(json.dumps(answer.data, default=str))]

    def asked(self, world: World, seen: Seen | None = None) -> Call:
        """The query; `seen` gets the fields that are in it."""
        assert SCHEMA.query_type is not None
        ids = own(world) if self.thing is None else lambda _thing, _path: world.id(str(self.thing))
        if seen is not None and self.field is not None:
            seen.add((self.field.parent.name, self.field.name))
        return call(self.field or Field(SCHEMA.query_type, self.root), ids, depth=self.depth, seen=seen)


async def _faults(tenants: Tenants, valid: Call) -> list[str]:
    """What is wrong with the answer to a call that must succeed. What it changed is taken back."""
    answer = await tenants.client.run(valid.document, **valid.variables)
    if valid.is_mutation:
        await tenants.ledger.restore()
    wrong = refusals(answer)
    return [f"fails with ids of one's own, {valid.variables}: {wrong}"] if wrong else []


Asked = tuple[Call, str]
"""A call, and the text in it that names a thing."""


async def _differences(tenants: Tenants, strange: Asked, unknown: Asked, *, must_refuse: bool) -> list[str]:
    """How the answer to a call about another tenant's thing differs from that about nothing, and what it changed."""
    found = []
    whose = [world.tenant.org_id for world in (tenants.theirs, tenants.mine)]
    with frozen(now()):
        seen = await tenants.client.run(strange[0].document, **strange[0].variables)
        # What is not refused may change what is one's own.
        if changed := await tenants.ledger.changed(*(whose if must_refuse else whose[:1])):
            found.append(f"changes {', '.join(changed)}")
        if changed or not must_refuse:
            await tenants.ledger.restore()
        nothing = await tenants.client.run(unknown[0].document, **unknown[0].variables)
        if unknown[0].is_mutation:
            await tenants.ledger.restore()
    if must_refuse and not refusals(seen):
        found.append("is not refused")
    one, other = _text(seen, strange[1]), _text(nothing, unknown[1])
    if one != other:
        found.append(f"another tenant's thing gets {one}, an unknown one {other}")
    return found + [f"shows {what}" for what in tenants.foreign(one)]


def refusals(answer: Answer) -> list[Any]:
    """Why an operation with one root field was not done, or that it gave nothing."""
    if answer.errors or answer.data is None:
        return list(answer.errors) or ["no data"]
    (result,) = answer.data.values()
    if isinstance(result, dict):
        # What is done for several things at once says of each why it was not done.
        parts = [result, *(part for part in result.get("results") or () if isinstance(part, dict))]
        return [error for part in parts for error in part.get("errors") or ()]
    if isinstance(result, list):
        return [] if any(item is not None for item in result) else ["nothing but null"]
    return ["null"] if result is None else []


def _text(answer: Answer, asked: str) -> str:
    """The answer without what was asked for. Of a cursor its place alone: it holds a digest of its list's filter."""
    text = json.dumps([answer.data, answer.errors], default=str).replace(asked, _ASKED)
    text = _FROM_CACHE.sub("", text)
    return _CURSOR.sub(lambda match: _place(match[1]), text)


def _place(cursor: str) -> str:
    """The place that a cursor of a list holds; one of the log has no filter and stays as it is."""
    try:
        return str(orjson.loads(base64.urlsafe_b64decode(cursor + "=="))[1:])
    except ValueError:
        return cursor


def node_types() -> list[GraphQLObjectType]:
    """Every type that has an id of its own."""
    node = SCHEMA.type_map["Node"]
    assert isinstance(node, GraphQLInterfaceType)
    return list(SCHEMA.get_possible_types(node))


def node_probes(tenants: Tenants) -> list[NodeById]:
    """node and nodes for a thing of every type."""
    types = {kind_of_type(type_.name): type_.name for type_ in node_types()}
    if missing := set(types) - set(tenants.mine.ids):
        raise AssertionError(f"the worlds have no {', '.join(sorted(missing))}: make one in world.py")
    return [NodeById(type_, thing) for thing, type_ in types.items()]


def field_probes(tenants: Tenants) -> list[EveryField]:
    """Every field of every type that the fields of Query lead to, and what is nearest to every single thing."""
    assert SCHEMA.query_type is not None
    roots = [EveryField(name, 2) for name in SCHEMA.query_type.fields]
    # What takes an id is in no selection of all fields.
    asking = [EveryField(str(each), 2, field=each) for each in fields_with_ids() if each.host == VIEWER]
    return roots + asking + [EveryField("node", 1, thing) for thing in tenants.mine.ids]


def id_probes() -> list[SwappedId]:
    """Every place of an id in the arguments of every field."""
    return [SwappedId(field, place, thing) for field in fields_with_ids() for place, thing in places(field)]


_BY_SLUG = "query ($slug: String!) { organization(slug: $slug) { id name } }"
_BY_NAME = "query ($slug: String!, $name: String!) { task(organizationSlug: $slug, identifier: $name) { id title } }"
_COMMENT = (
    "mutation ($id: ID!, $body: String!) "
    "{ commentCreate(input: {taskId: $id, body: $body}) { errors { code message path } } }"
)
_EDIT = "mutation ($id: ID!, $body: String!) { commentUpdate(id: $id, body: $body) { errors { code message path } } }"


def text_probes(tenants: Tenants) -> list[SwappedText]:
    """Texts that name a thing: slugs, identifiers, mentions."""
    mine, theirs, nothing = tenants.mine, tenants.theirs, f"nothing-{uuid4().hex[-12:]}"
    slug, other_slug = mine.texts["slug"], theirs.texts["slug"]
    found = [SwappedText("organization.slug", _BY_SLUG, {"slug": slug}, "slug", other_slug, nothing)]
    for text in ("identifier", "former identifier"):
        right = {"slug": slug, "name": mine.texts[text]}
        found += [
            SwappedText(f"task.organizationSlug of {text}", _BY_NAME, right, "slug", other_slug, nothing),
            SwappedText(f"task.identifier of {text}", _BY_NAME, right, "name", theirs.texts[text], "NIL-1"),
        ]
    named, strange, unknown = (f"@({id})" for id in (mine.id("user"), theirs.id("user"), of_nothing("user")))
    for name, document, thing in (("commentCreate", _COMMENT, "task"), ("commentUpdate", _EDIT, "comment")):
        right = {"id": mine.id(thing), "body": named}
        found.append(SwappedText(f"{name} with a mention", document, right, "body", strange, unknown))
    return found


def schema_probes(tenants: Tenants) -> list[Probe]:
    """All that ask through the schema, the quick ones first."""
    return [*node_probes(tenants), *field_probes(tenants), *text_probes(tenants), *id_probes()]
