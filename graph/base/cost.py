"""What an operation may load, as a sum of products: points, times the page sizes around them.

An operation's parts hold what costs something, fragments as they are spread. What is known from the text is multiplied
once; what hangs on variables is kept as a product of their sizes, and worked out for each set of sizes that comes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from heapq import nlargest
from math import prod
from typing import Any, NamedTuple

from graphql import FieldNode, IntValueNode, ListValueNode, ValueNode, VariableNode

from graph.base.prices import Price

# Whatever is larger counts as this: enough to be refused, and a number that clients can read as an Int.
MOST = 10_000_000
_MOST_DIGITS = len(str(MOST))
# A client has a few page sizes; who sends others each time pays for the sum and not with the server's memory.
MOST_KEPT = 64
DEAREST = 3

Path = tuple[str, ...]
Known = int | tuple[int] | None
"""What a value says of a size: a number, the length of a list, or nothing."""


def capped(number: int) -> int:
    """The number, or as much as any may be."""
    return min(number, MOST)


def known(value: Any) -> Known:
    """What the value of a variable, as JSON has it, says of a size."""
    # JSON has one kind of number, so an Int may come as 20.0.
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int:
        return capped(value) if value >= 0 else None
    return (capped(len(value)),) if isinstance(value, list) else None


def written(value: ValueNode | None) -> Known:
    """What a literal says of a size."""
    if isinstance(value, IntValueNode):
        text = value.value
        return known(MOST if len(text) > _MOST_DIGITS and text[0] != "-" else int(text[: _MOST_DIGITS + 1]))
    return (capped(len(value.values)),) if isinstance(value, ListValueNode) else None


@dataclass(frozen=True, slots=True)
class Size:
    """How many, as variables say: what the first of the sources says, else `otherwise`."""

    sources: tuple[str | int, ...]
    by_list: bool
    otherwise: int

    def of(self, values: Mapping[str, Known]) -> int:
        """How many there are with these variables."""
        for source in self.sources:
            said = source if isinstance(source, int) else _fitting(values.get(source), self.by_list)
            if said is not None:
                return said
        return self.otherwise


def _fitting(said: Known, by_list: bool) -> int | None:
    if isinstance(said, tuple):
        return said[0] if by_list else None
    return None if by_list else said


def size_of(node: FieldNode, price: Price) -> int | Size:
    """How many a field is asked for."""
    given = {argument.name.value: argument.value for argument in node.arguments or ()}
    sources: list[str | int] = []
    for name in price.asked:
        value = given.get(name)
        if isinstance(value, VariableNode):
            sources.append(value.name.value)
        elif (said := _fitting(written(value), price.asked_by_list)) is not None:
            sources.append(said)
            break
    if not sources:
        return price.otherwise
    return sources[0] if isinstance(sources[0], int) else Size(tuple(sources), price.asked_by_list, price.otherwise)


class Kind(Enum):
    """What a field adds to."""

    LOAD = auto()
    WORK = auto()
    """What is paid whatever it loads."""
    TEXT = auto()
    """Long texts that may be shown. They are free."""


class Estimate(NamedTuple):
    """Points, at least one; how many of them are for work, whatever it loads; and how many long texts may be shown."""

    points: int
    work: int = 0
    texts: int = 0


@dataclass(slots=True, eq=False)
class Part:
    """A field that costs something, or has such below it."""

    key: str
    price: Price
    size: int | Size
    below: "list[Part | Spread]"


@dataclass(slots=True, eq=False)
class Spread:
    """What costs something in a fragment, at each place where it is spread."""

    parts: "list[Part | Spread]"


@dataclass(frozen=True, slots=True)
class Factor:
    """A number times sizes that only variables tell."""

    number: int = 1
    sizes: tuple[Size, ...] = ()

    def times(self, size: int | Size) -> "Factor":
        """This many times as much."""
        if isinstance(size, Size):
            return Factor(self.number, (*self.sizes, size))
        return Factor(capped(self.number * size), self.sizes)

    def of(self, values: Mapping[str, Known]) -> int:
        """The number with these variables."""
        return capped(self.number * prod(size.of(values) for size in self.sizes))


@dataclass(slots=True, eq=False)
class _Page:
    """A field that was asked for so many; `counted` once a part of the page was."""

    path: Path
    factor: Factor
    size: int | Size
    counted: bool = field(default=False)


def terms(parts: Iterable[Part | Spread]) -> Iterator[tuple[Path, Factor, Kind]]:
    """What each field adds by itself, without what is below it. Takes a step for each field with its fragments."""
    return _terms(parts, (), Factor(), None)


def _terms(
    parts: Iterable[Part | Spread], path: Path, factor: Factor, page: _Page | None
) -> Iterator[tuple[Path, Factor, Kind]]:
    for part in parts:
        if isinstance(part, Spread):
            yield from _terms(part.parts, path, factor, page)
            continue
        price, here, many = part.price, (*path, part.key), factor
        if price.points:
            own = factor.times(price.points)
            yield here, own.times(part.size) if price.points_each else own, Kind.WORK
        if price.of_page and page is not None and not page.counted:
            page.counted = True
            yield page.path, page.factor.times(page.size), Kind.LOAD
        if price.is_list:
            if price.as_asked and page is not None:
                many = factor.times(page.size)
            else:
                many = factor.times(part.size if price.asked else price.length)
        if price.objects:
            yield here, many, Kind.LOAD
        if price.text:
            yield here, factor, Kind.TEXT
        inner = _Page(here, factor, part.size) if price.asked and not price.is_list else None
        yield from _terms(part.below, here, many, inner)


class Sum:
    """The cost of an operation. `defaults`: what its variables say where they are not given."""

    def __init__(self, parts: list[Part | Spread], defaults: Mapping[str, Known]) -> None:
        self._parts = parts
        found: dict[Kind, dict[tuple[Size, ...], int]] = {kind: {} for kind in Kind}
        for _, factor, kind in terms(parts):
            products = found[kind]
            products[factor.sizes] = capped(products.get(factor.sizes, 0) + factor.number)
        sizes = {size for products in found.values() for each in products for size in each}
        names = {source for size in sizes for source in size.sources if isinstance(source, str)}
        self._asked = [(name, defaults.get(name)) for name in sorted(names)]
        self._factors = {
            kind: [Factor(number, each) for each, number in products.items()] for kind, products in found.items()
        }
        self._kept: dict[tuple[Known, ...], Estimate] = {}
        self._fixed = None if self._asked else self._total({})

    def of(self, variables: Mapping[str, Any]) -> Estimate:
        """The points. `variables` are as the client sent them."""
        if self._fixed is not None:
            return self._fixed
        key = self._key(variables)
        if (cost := self._kept.get(key)) is None:
            cost = self._total(self._values(key))
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[key] = cost
        return cost

    def dearest(self, variables: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The three paths that cost most by themselves: response keys, and the points of their own objects."""
        values, found = self._values(self._key(variables)), dict[Path, int]()
        for path, factor, kind in terms(self._parts):
            if kind is not Kind.TEXT:
                found[path] = capped(found.get(path, 0) + factor.of(values))
        return [
            {"path": list(path), "cost": cost} for path, cost in nlargest(DEAREST, found.items(), lambda item: item[1])
        ]

    def _key(self, variables: Mapping[str, Any]) -> tuple[Known, ...]:
        return tuple([known(variables[name]) if name in variables else default for name, default in self._asked])

    def _values(self, key: tuple[Known, ...]) -> dict[str, Known]:
        return {name: said for (name, _), said in zip(self._asked, key, strict=True)}

    def _total(self, values: Mapping[str, Known]) -> Estimate:
        sums = {kind: capped(sum(each.of(values) for each in factors)) for kind, factors in self._factors.items()}
        work = sums[Kind.WORK]
        return Estimate(max(1, capped(work + sums[Kind.LOAD])), work, sums[Kind.TEXT])
