"""Functions that build the objects of a selection, written as Python for each selection.

A call a field and object would cost more than all else. What such a function meets that it does not know (a null where
none may be, a value of another type) it gives to the slower function for the field's type, or raises.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from graphql import GraphQLBoolean, GraphQLEnumType, GraphQLID, GraphQLInt, GraphQLString, get_named_type

from domain.base.reads import Columns
from graph.base.nodes import kind_of
from graph.base.selection import told_column
from graph.compiler.plan import FieldPlan, Selection
from graph.compiler.respond import Leaf

Build = Callable[[Sequence[Any]], list[dict[str, Any]]]
# `v` is the value. What is told as it is costs no call.
_PLAIN: dict[Any, str] = {
    GraphQLString: "v.__class__ is str",
    GraphQLID: "v.__class__ is str",
    GraphQLBoolean: "v.__class__ is bool",
    GraphQLInt: "v.__class__ is int and -2147483648 <= v <= 2147483647",
}
# Instants and days as PostgreSQL writes them in UTC: whether it is the usual form, and what is told then.
# Source: PostgreSQL, date/time output, style ISO.
_TEXTS = {
    "DateTime": ("len(v) == 29", "v[:10] + 'T' + v[11:26] + 'Z'"),
    "Date": ("len(v) == 10", "v"),
}
Value = Callable[[FieldPlan], tuple[str, bool]]
"""The expression of a leaf's value, and whether that is as PostgreSQL writes it."""


class Detour(Exception):
    """Something is not as it is straight on, for example a null where none may be."""


class Written:
    """The source of one function, and the objects that it names."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}

    def object(self, selection: Selection, value: Value, inner: Callable[[FieldPlan], str]) -> str:
        """A dict display for an object of the selection.

        `value` gives the expression of a leaf's value, `inner` that of a field that is no leaf of the source's own.
        """
        parts = []
        for key, field in selection.fields:
            if field is None:
                told = repr(selection.type.name)
            elif field.is_told:
                told = self._leaf(field, *value(field))
            else:
                told = inner(field)
            parts.append(f"{key!r}: {told}")
        return "{" + ", ".join(parts) + "}"

    def function(self, parameter: str, result: str) -> Any:
        """The function of the parameter with that result."""
        # Response keys are names of GraphQL, all else is written here: nothing of a client's is code.
        exec(f"def build({parameter}):\n    return {result}\n", self.names)  # noqa: S102
        # It points at its names; were it one of them, both would be left to the collector with all of the plan.
        return self.names.pop("build")

    def _leaf(self, field: FieldPlan, value: str, is_text: bool) -> str:
        if is_text:
            test, usual = _TEXTS[get_named_type(field.type).name]
            return f"({usual} if (v := {value}).__class__ is str and {test} else {self._name(_other_text(field))}(v))"
        if field.declared.kind == "identifier":
            return f"{kind_of(field.parent.name) + '_'!r} + {value}.hex"
        named = get_named_type(field.type)
        told = _told(field)
        if isinstance(named, GraphQLEnumType):
            return f"{self._name(_Memo(told))}[{value}]"
        if (plain := _PLAIN.get(named)) is not None:
            # The order of evaluation binds `v` before it is looked at.
            return f"(v if ((v := {value}) is not None) and ({plain}) else {self._name(told)}(v))"
        return f"{self._name(told)}({value})"

    def _name(self, value: Any) -> str:
        name = f"f{len(self.names)}"
        self.names[name] = value
        return name


class _Memo(dict[Hashable, Any]):
    """What was told of the values of an enum so far. There are only so many of them."""

    def __init__(self, told: Leaf) -> None:
        super().__init__()
        self._told = told

    def __missing__(self, value: Hashable) -> Any:
        found = self[value] = self._told(value)
        return found


def _told(field: FieldPlan) -> Leaf:
    """How the field's value is told, null among them."""
    leaf: Any = field.leaf
    if not field.is_required:
        return lambda value: None if value is None else leaf(value)

    def told(value: Any) -> Any:
        if value is None:
            raise Detour
        return leaf(value)

    return told


def _other_text(field: FieldPlan) -> Leaf:
    """How a text is told that has not the usual form: null, or an instant whose last digits are zeros."""

    def told(value: str | None) -> str | None:
        if value is None:
            if field.is_required:
                raise Detour
            return None
        day, time, zone = value[:10], value[11:-3], value[-3:]
        if value[10:11] != " " or zone != "+00" or len(time) < len("00:00:00"):
            raise ValueError(f"PostgreSQL writes {value!r}")
        return f"{day}T{time.ljust(15, '0') if '.' in time else time}Z"

    return told


def builder(selection: Selection, names: Columns | None) -> Build:
    """Sources -> their objects, with null for each field that is not read yet. Raises whatever comes up.

    `names` are the columns of the sources where these are rows.
    """
    written = Written()

    def value(field: FieldPlan) -> tuple[str, bool]:
        if names is None:
            return f"s.{field.attribute}", False
        column = told_column(field.attribute, field.type)
        is_text = column != field.attribute and column in names
        return f"s[{(column if is_text else field.attribute)!r}]", is_text

    display = written.object(selection, value, lambda _: "None")
    build: Build = written.function("sources", f"[{display} for s in sources]")
    return build
