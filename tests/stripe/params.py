"""Parameters as Stripe takes them: a form whose names have brackets, read into a tree."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.stripe.account import Refused
from tests.stripe.objects import Json

PAGE, PAGE_MOST = 10, 100
SEARCH_CLAUSE = re.compile(r"""(?:metadata\[["'](?P<key>[^"']+)["']\]|(?P<field>\w+)):["'](?P<value>[^"']*)["']""")


class Params:
    """Parameters of a request, or of a part of it; `within` is the name of that part."""

    def __init__(self, tree: Json, within: str = "") -> None:
        self.tree = tree
        self._within = within

    def name(self, name: str) -> str:
        """A parameter's whole name, as errors tell it."""
        return f"{self._within}[{name}]" if self._within else name

    def only(self, known: Iterable[str]) -> "Params":
        """Itself. Raises Refused for a parameter that is not known."""
        for name in self.tree.keys() - set(known):
            raise Refused(
                f"The fake knows no parameter {self.name(name)} here.", param=self.name(name), code="parameter_unknown"
            )
        return self

    def text(self, name: str) -> str | None:
        """A text, or None; an empty one is Stripe's way of saying null."""
        value = self.tree.get(name)
        if isinstance(value, dict | list):
            raise Refused(f"Invalid string: {value}", param=self.name(name))
        return value or None

    def required(self, name: str) -> str:
        """A text that has to be there."""
        if (value := self.text(name)) is None:
            raise Refused(f"{self.name(name)} is missing.", param=self.name(name), code="parameter_missing")
        return value

    def whole(self, name: str, default: int, *, most: int | None = None) -> int:
        """A whole number that is not negative."""
        if (value := self.text(name)) is None:
            return default
        if not (value.isascii() and value.isdigit()):
            raise Refused(f"Invalid integer: {value}", param=self.name(name), code="parameter_invalid_integer")
        if most is not None and not 1 <= int(value) <= most:
            raise Refused(f"This value must be from 1 to {most}.", param=self.name(name))
        return int(value)

    def flag(self, name: str) -> bool | None:
        """True, false or nothing."""
        if (value := self.text(name)) not in (None, "true", "false"):
            raise Refused(f"Invalid boolean: {value}", param=self.name(name))
        return None if value is None else value == "true"

    def url(self, name: str) -> str | None:
        """An address that a browser is sent to."""
        value = self.text(name)
        if value is not None and not (urlsplit(value).scheme in ("http", "https") and urlsplit(value).hostname):
            raise Refused("It is no address for a browser.", param=self.name(name), code="url_invalid")
        return value

    def part(self, name: str) -> "Params":
        """The parameters below a name."""
        value = self.tree.get(name) or {}
        if not isinstance(value, dict):
            raise Refused("Invalid object", param=self.name(name))
        return Params(value, self.name(name))

    def parts(self, name: str) -> "list[Params]":
        """The parameters below each number below a name."""
        value = self.tree.get(name) or []
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise Refused("Invalid array", param=self.name(name))
        return [Params(each, f"{self.name(name)}[{number}]") for number, each in enumerate(value)]

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        value = self.tree.get(name) or []
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise Refused("Invalid array", param=self.name(name))
        return value


def read(text: str) -> Params:
    """The parameters of a query string or a form."""
    tree: Json = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        path = name.replace("]", "").split("[")
        here = tree
        for step in path[:-1]:
            here = here.setdefault(step, {})
            if not isinstance(here, dict):
                raise Refused(f"Invalid parameter: {name}", param=name)
        # `expand[]=x` is a list, too.
        here[path[-1] or str(len(here))] = value
    return Params({name: _with_lists(value) for name, value in tree.items()})


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    parts = {name: _with_lists(part) for name, part in value.items()}
    return list(parts.values()) if parts and all(name.isdigit() for name in parts) else parts


def clauses(query: str) -> list[tuple[str, str, str]]:
    """What a search asks for: pairs of a field, or of `metadata` and its key, and a value, joined by AND."""
    found = []
    for clause in query.split(" AND "):
        if (match := SEARCH_CLAUSE.fullmatch(clause.strip())) is None:
            raise Refused(f"The fake cannot read the query {query}", param="query")
        found.append(("metadata" if match["key"] else match["field"], match["key"] or "", match["value"]))
    return found
