"""Random valid operations against the whole schema, with everything that the language has for a query.

A response name stands for one field with one text of arguments throughout a document, so that selections that meet
under it can always be merged: they meet often, and in several fragments.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
    is_non_null_type,
    is_required_argument,
)

from tests.compiler.values import Draw, Material, one_of, percent, value_of, written
from tests.isolation.calls import SCHEMA

DEPTH = 5
# Their outcome hangs on what no ledger brings back: counters and what is kept in Redis, organizations that are in no
# world.
UNREPEATABLE = {
    "signUp",
    "signIn",
    "organizationCreate",
    "rateLimit",
    "fromCache",
    "emailVerify",
    "emailVerificationResend",
    "passwordResetRequest",
    "passwordReset",
    "passwordChange",
    "emailChangeRequest",
    "invitationCreate",
    "invitationResend",
    "invitationAccept",
    "invitationDecline",
    "invitationPreview",
}
MISSING = object()
_USED = re.compile(r"\$(v\d+)")


@dataclass
class Variable:
    """A variable of an operation."""

    name: str
    declared: str
    value: Any

    def __str__(self) -> str:
        return f"${self.name}: {self.declared}"


@dataclass(frozen=True)
class Fragment:
    """A named fragment, with the variables that it and those that it spreads use."""

    name: str
    type: str
    text: str
    uses: frozenset[str]


@dataclass(frozen=True)
class Operation:
    """A document, and the operation of it that is to run."""

    document: str
    variables: dict[str, Any]
    name: str | None


@dataclass
class Maker:
    """Makes one document."""

    draw: Draw
    material: Material
    room: float = math.inf
    """How many more selections there may be."""
    fragments: list[Fragment] = field(default_factory=list)
    variables: dict[str, Variable] = field(default_factory=dict)
    uses: list[set[str]] = field(default_factory=list)
    names: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    known: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def operation(self, root: GraphQLObjectType, kind: str, name: str | None) -> str:
        """The text of an operation."""
        self.uses.append(set())
        body = self.selections(root, DEPTH)
        used = self.uses.pop()
        declared = ", ".join(str(each) for each in self.variables.values() if each.name in used)
        head = " ".join(filter(None, [kind, name])) + (f"({declared})" if declared else "")
        return f"{head} {body}"

    # Selections.

    def selections(self, type_: GraphQLNamedType, depth: int) -> str:
        """What is asked of an object of the type."""
        pieces = [self._selection(type_, depth) for _ in range(self.draw.randint(1, 4 if depth > 1 else 3))]
        return "{ " + " ".join(pieces) + " }"

    def _selection(self, type_: GraphQLNamedType, depth: int) -> str:
        self.room -= 1
        if self.room < 0:
            return "__typename"
        chance = self.draw.randint(0, 99)
        is_root = type_ in (SCHEMA.mutation_type, SCHEMA.subscription_type)
        if chance >= 92 and not is_root:
            return f"{self._alias('__typename', '', '')}__typename{self._directives()}"
        if chance >= 84:
            return self._spread(type_, depth)
        if chance >= 74 or isinstance(type_, GraphQLUnionType) or (is_abstract(type_) and chance >= 30):
            inner = self._narrowed(type_)
            condition = "" if inner is type_ and percent(self.draw, 40) else f" on {inner.name}"
            return f"...{condition}{self._directives()} {self.selections(inner, depth)}"
        assert isinstance(type_, GraphQLObjectType | GraphQLInterfaceType)
        return self._field(type_, depth)

    def _narrowed(self, type_: GraphQLNamedType) -> GraphQLNamedType:
        """A type that a fragment in a selection of the type can be on."""
        choices: list[GraphQLNamedType] = [type_]
        if isinstance(type_, GraphQLInterfaceType | GraphQLUnionType):
            choices = [*SCHEMA.get_possible_types(type_), type_]
        elif isinstance(type_, GraphQLObjectType):
            choices += [each for each in ABSTRACT if SCHEMA.is_sub_type(each, type_)]
        return one_of(self.draw, choices)  # type: ignore[no-any-return]

    def _spread(self, type_: GraphQLNamedType, depth: int) -> str:
        target = self._narrowed(type_)
        fitting = [each for each in self.fragments if each.type == target.name]
        if fitting and percent(self.draw, 50):
            chosen = one_of(self.draw, fitting)
        else:
            self.uses.append(set())
            body = self.selections(target, depth)
            name = f"F{len(self.fragments)}"
            chosen = Fragment(name, target.name, f"fragment {name} on {target.name} {body}", frozenset(self.uses.pop()))
            self.fragments.append(chosen)
        self.uses[-1] |= chosen.uses
        return f"...{chosen.name}{self._directives()}"

    def _field(self, type_: GraphQLObjectType | GraphQLInterfaceType, depth: int) -> str:
        known = self.known.setdefault(type_.name, [])
        if known and percent(self.draw, 25):
            head, name = one_of(self.draw, known)
            self.uses[-1] |= set(_USED.findall(head))
        else:
            names = [
                each for each in type_.fields if depth > 1 or is_leaf_type(get_named_type(type_.fields[each].type))
            ]
            names = [each for each in names if each not in UNREPEATABLE]
            if not names:
                return "__typename"
            name = one_of(self.draw, names)
            definition = type_.fields[name]
            arguments = self._arguments(type_, name, definition)
            head = f"{self._alias(name, arguments, str(definition.type))}{name}{arguments}"
            if type_ is SCHEMA.mutation_type and percent(self.draw, 15):
                head += f' @idempotent(key: "{one_of(self.draw, ["one", "two", ""])}")'
            else:
                known.append((head, name))
        definition = type_.fields[name]
        named = get_named_type(definition.type)
        below = "" if is_leaf_type(named) else " " + self.selections(named, depth - (not is_plumbing(named)))
        return f"{head}{self._directives()}{below}"

    def _alias(self, name: str, arguments: str, type_: str) -> str:
        """What stands before the field's name."""
        meaning = (name, arguments, type_)
        wanted = self.draw.randint(0, 9)
        key = name if wanted < 6 else f"{name.strip('_')}{wanted}"
        number = 0
        while self.names.setdefault(key, meaning) != meaning:
            number += 1
            key = f"{name.strip('_')}_{number}"
        return "" if key == name else f"{key}: "

    def _directives(self) -> str:
        chance = self.draw.randint(0, 99)
        if chance < 82:
            return ""
        text = ""
        for name in one_of(self.draw, (["skip"], ["include"], ["include", "skip"])):
            # Mostly so that the field stays.
            value = (name == "include") != percent(self.draw, 30)
            text += f" @{name}(if: {self._flag(value)})"
        return text

    def _flag(self, value: bool) -> str:
        chance = self.draw.randint(0, 99)
        if chance < 50:
            return "true" if value else "false"
        if chance < 85:
            return self._variable("Boolean!", value)
        if chance < 96:
            return self._variable(f"Boolean = {'true' if value else 'false'}", MISSING)
        return self._variable("Boolean = true", None)  # null, where there may be none

    # Arguments.

    def _arguments(self, type_: GraphQLNamedType, name: str, definition: GraphQLField) -> str:
        pieces = []
        for argument_name, argument in definition.args.items():
            key = f"{type_.name}.{name}" if argument_name in ("after", "before") else f"{name}.{argument_name}"
            asked_for = key in ("task.id", "organization.id")
            if is_required_argument(argument) or percent(self.draw, 85 if asked_for else 22):
                pieces.append(f"{argument_name}: {self._argument(argument, key, argument_name)}")
        return f"({', '.join(pieces)})" if pieces else ""

    def _argument(self, argument: GraphQLArgument, key: str, name: str) -> str:
        value = value_of(self.draw, argument.type, key, name, self.material)
        declared = str(argument.type)
        chance = self.draw.randint(0, 99)
        if chance >= 97 and is_non_null_type(argument.type) and not is_required_argument(argument):
            return self._variable(str(argument.type.of_type), None)
        if chance >= 92 and not is_non_null_type(argument.type):
            return self._variable(declared, MISSING)
        if chance >= 88 and value is not None:
            literal = written(value, argument.type, lambda _value, _type: None)
            return self._variable(f"{declared} = {literal}", MISSING)
        if chance >= 86 and name in ("first", "last"):
            return self._variable(declared, one_of(self.draw, ["many", 2**31, 1.5]))  # no operation begins with it
        if chance >= 60:
            return self._variable(declared, value)
        return written(value, argument.type, self._inside)

    def _inside(self, value: Any, type_: GraphQLInputType) -> str | None:
        """A variable for something inside a literal, now and then."""
        return self._variable(str(type_), value) if percent(self.draw, 6) and _fits(value, type_) else None

    def _variable(self, declared: str, value: Any) -> str:
        same = [
            each for each in self.variables.values() if each.declared == declared and repr(each.value) == repr(value)
        ]
        if same and percent(self.draw, 50):
            found = same[0]
        else:
            found = Variable(f"v{len(self.variables)}", declared, value)
            self.variables[found.name] = found
        self.uses[-1].add(found.name)
        return f"${found.name}"


def _fits(value: Any, type_: GraphQLInputType) -> bool:
    return value is not None or not isinstance(type_, GraphQLNonNull)


ABSTRACT = [each for each in SCHEMA.type_map.values() if isinstance(each, GraphQLInterfaceType | GraphQLUnionType)]


def is_abstract(type_: GraphQLNamedType) -> bool:
    """Whether objects of several types may stand there."""
    return isinstance(type_, GraphQLInterfaceType | GraphQLUnionType)


def is_plumbing(type_: GraphQLNamedType) -> bool:
    """Whether its fields lead from a list to its items, which is no level of its own."""
    return isinstance(type_, GraphQLObjectType) and ("pageInfo" in type_.fields or type_.name.endswith("Edge"))


def operation(draw: Draw, material: Material, kind: str = "query", room: float = math.inf) -> Operation:
    """An operation of the kind; there may be another one beside it, and a name.

    Once the document has as many selections as there is room for, it asks for types' names alone.
    """
    root = {"query": SCHEMA.query_type, "mutation": SCHEMA.mutation_type}[kind]
    assert root is not None
    maker = Maker(draw, material, room)
    name = "A" if percent(draw, 30) else None
    texts = [maker.operation(root, kind, name)]
    if name is not None and percent(draw, 40):
        assert SCHEMA.query_type is not None
        texts.append(maker.operation(SCHEMA.query_type, "query", "B"))
        name = one_of(draw, ["A", "A", "A", "B", "C", None])
    values = {each.name: each.value for each in maker.variables.values() if each.value is not MISSING}
    return Operation("\n".join([*texts, *(each.text for each in maker.fragments)]), values, name)
