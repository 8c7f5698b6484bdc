"""How large a document may be: counted in one pass before validation, so that nothing that is refused costs much.

The pass takes whatever can be parsed. What is wrong with it otherwise, such as a field that is not there, counts as far
as it can be counted and is left to validation.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    GraphQLSchema,
    GraphQLSyntaxError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    Source,
    TokenKind,
    VariableDefinitionNode,
)
from graphql.language.ast import Token
from graphql.language.lexer import Lexer
from graphql.language.parser import Parser

from domain.base.errors import TooComplex
from graph.base.cost import Estimate, Known, Part, Spread, Sum, capped, size_of, written
from graph.base.prices import INTROSPECTION_FIELDS, Prices, prices_of


@dataclass(frozen=True)
class Limits:
    """The most that a document may have. The first four and `nesting` are for all of it, the others for each operation
    by itself, with its fragments wherever they are spread."""

    source_bytes: int = 30_000
    tokens: int = 2_000
    definitions: int = 20
    # Fields and fragments as they are written, in all definitions together. Validation compares those of a name with
    # each other, and takes up all operations, whichever is to run: several of 300 fields each took half a second.
    selections: int = 600
    # Of the brackets of a value, and of fields and fragments within each other: what reads a document calls itself for
    # each of them, and Python's stack ends. Fields alone may nest less, see `depth`.
    nesting: int = 60
    # The standard introspection query has 15.
    depth: int = 15
    fields: int = 300
    aliases: int = 30
    directives: int = 20
    root_fields: int = 20
    # Of `__schema` and `__type`: each may show the whole schema, and that grows with every feature.
    introspections: int = 5
    variables: int = 50
    cost: int = 10_000


LIMITS = Limits()
_OPENING = (TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L)
_CLOSING = (TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R)


def parsed(text: str, limits: Limits = LIMITS) -> DocumentNode:
    """The document of a text. Raises TooComplex for source, tokens, depth and nesting, and GraphQLSyntaxError."""
    # Most texts are ASCII, and those that are not may hold halves of surrogate pairs.
    size_bytes = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    _at_most(limits, "source_bytes", size_bytes)
    source = Source(text)
    # A comment is a token to the lexer, and takes as much memory.
    parser = Parser(source, max_lexical_tokens=limits.tokens, max_comments=limits.tokens)
    try:
        document = parser.parse_document()
    except GraphQLSyntaxError as error:
        if error.message.endswith("Parsing aborted."):
            # It has not counted a comment when it gives up at one.
            found = max(parser.token_count, limits.tokens + 1)
            raise TooComplex("tokens", allowed=limits.tokens, found=found) from None
        raise
    except RecursionError:
        document = None
    if document is None:
        # The parser gives up at 200 brackets within each other, or where little of the stack is left to it.
        selections, values = _nesting(_read(source))
        if selections > limits.depth:
            raise TooComplex("depth", allowed=limits.depth, found=selections)
        raise TooComplex("nesting", allowed=limits.nesting, found=max(values, limits.nesting + 1))
    _at_most(limits, "nesting", _nesting(_tokens(document))[1])
    return document


def _at_most(limits: Limits, name: str, found: int) -> None:
    allowed: int = getattr(limits, name)
    if found > allowed:
        raise TooComplex(name, allowed=allowed, found=found)


def _tokens(document: DocumentNode) -> Iterator[Token]:
    token = document.loc.start_token if document.loc else None
    while token is not None:
        yield token
        token = token.next


def _read(source: Source) -> Iterator[Token]:
    """The tokens of a text that was not parsed to its end. Ends where the text makes no sense."""
    lexer = Lexer(source)
    try:
        while (token := lexer.advance()).kind is not TokenKind.EOF:
            yield token
    except GraphQLSyntaxError:
        return


def _nesting(tokens: Iterable[Token]) -> tuple[int, int]:
    """How deep selections nest, and how deep other brackets do within one: values, and types."""
    level = braces = deepest = deepest_braces = 0
    for token in tokens:
        if token.kind in _OPENING:
            level += 1
            # Braces that are within nothing but braces are selections.
            braces += token.kind is TokenKind.BRACE_L and braces == level - 1
            deepest, deepest_braces = max(deepest, level - braces), max(deepest_braces, braces)
        elif token.kind in _CLOSING:
            level = max(level - 1, 0)
            braces = min(braces, level)
    return deepest_braces, deepest


class Measured:
    """What an operation costs. Kept with its document; it holds nothing of a request."""

    def __init__(self, counts: "Counts", defaults: Mapping[str, Known], limits: Limits) -> None:
        self.counts = counts
        self._sum = Sum(counts.parts, defaults)
        self._limits = limits

    def check(self, variables: Mapping[str, Any]) -> Estimate:
        """What it costs with these variables, which are as the client sent them.

        Raises TooComplex when that is too much, with the three dearest paths.
        """
        cost = self._sum.of(variables)
        if cost.points > self._limits.cost:
            found, dearest = cost.points, self._sum.dearest(variables)
            raise TooComplex("cost", allowed=self._limits.cost, found=found, cost=found, dearest=dearest)
        return cost


def measured(schema: GraphQLSchema, document: DocumentNode, limits: Limits = LIMITS) -> dict[str | None, Measured]:
    """The operations of a document by their names, None for one without. Raises TooComplex for all but cost.

    Every operation is held to the limits, whichever is to run, because validation looks at all of them. Fragments that
    none of them spreads are held to them together, as an operation would be that spreads each once.
    """
    _at_most(limits, "definitions", len(document.definitions))
    operations = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    counter = Counter(prices_of(schema), fragments)
    found: dict[str | None, Measured] = {}
    for operation in operations:
        variables = operation.variable_definitions or ()
        _at_most(limits, "variables", len(variables))
        counts = counter.operation(operation)
        _check(counts, limits)
        defaults = {each.variable.name.value: written(each.default_value) for each in variables}
        found[operation.name.value if operation.name else None] = Measured(counts, defaults, limits)
    _check(counter.unspread(), limits)
    _at_most(limits, "selections", counter.visits)
    return found


def _check(counts: "Counts", limits: Limits) -> None:
    for name in ("depth", "nesting", "fields", "aliases", "directives", "root_fields", "introspections"):
        _at_most(limits, name, getattr(counts, name))


def _inner_first(fragments: Mapping[str, FragmentDefinitionNode]) -> list[str]:
    """The fragments' names, each after those that it spreads. Where some spread each other in a circle, one of them
    comes before another that it spreads."""
    order, seen = list[str](), set[str]()
    for start in fragments:
        pending = [(start, True)]
        while pending:
            name, is_new = pending.pop()
            if not is_new:
                order.append(name)
            elif name not in seen and name in fragments:
                seen.add(name)
                pending.append((name, False))
                pending += [(each, True) for each in _spread_in(fragments[name].selection_set)]
    return order


def _spread_in(selections: SelectionSetNode) -> list[str]:
    names, pending = list[str](), [selections]
    while pending:
        for selection in pending.pop().selections:
            if isinstance(selection, FragmentSpreadNode):
                names.append(selection.name.value)
            elif isinstance(selection, FieldNode | InlineFragmentNode) and selection.selection_set is not None:
                pending.append(selection.selection_set)
    return names


@dataclass(slots=True, eq=False)
class Counts:
    """What a definition has, with the fragments that it spreads as often as it does. No number is above MOST."""

    fields: int = 0
    aliases: int = 0
    directives: int = 0
    root_fields: int = 0
    introspections: int = 0
    depth: int = 0
    nesting: int = 0
    parts: list[Part | Spread] = field(default_factory=list)

    def spread(self, inner: "Counts", depth: int, nesting: int) -> None:
        """Take up a fragment that stands so many fields deep, within so many fields and fragments."""
        self.fields = capped(self.fields + inner.fields)
        self.aliases = capped(self.aliases + inner.aliases)
        self.directives = capped(self.directives + inner.directives)
        self.depth = max(self.depth, depth + inner.depth)
        self.nesting = max(self.nesting, nesting + inner.nesting)
        if depth == 0:
            self.root_fields = capped(self.root_fields + inner.root_fields)
            self.introspections = capped(self.introspections + inner.introspections)


class Counter:
    """Counts each definition of a document once, however often it is spread: the fragments first, then operations."""

    def __init__(self, prices: Prices, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self.visits = 0
        """How many selections were looked at."""
        self._prices = prices
        self._schema = prices.schema
        self._fragments: dict[str, Counts] = {}
        self._spread: set[str] = set()
        # A fragment that is spread before it was counted leads back to itself, or is not there. It counts nothing.
        for name in _inner_first(fragments):
            definition = fragments[name]
            type_ = self._schema.get_type(definition.type_condition.name.value)
            self._fragments[name] = self._counted(definition, type_, ())

    def operation(self, definition: OperationDefinitionNode) -> Counts:
        """What an operation has, with its fragments."""
        root = self._schema.get_root_type(definition.operation)
        return self._counted(definition, root, definition.variable_definitions or ())

    def unspread(self) -> Counts:
        """What the fragments have that nothing spreads, together."""
        together = Counts()
        for name in self._fragments.keys() - self._spread:
            together.spread(self._fragments[name], 0, 0)
        # They are at no root.
        together.root_fields = together.introspections = 0
        return together

    def _counted(
        self,
        definition: OperationDefinitionNode | FragmentDefinitionNode,
        type_: GraphQLNamedType | None,
        variables: Iterable[VariableDefinitionNode],
    ) -> Counts:
        counts = Counts(directives=len(definition.directives or ()))
        counts.directives += sum(len(each.directives or ()) for each in variables)
        counts.parts = self._parts(counts, definition.selection_set, type_, 0, 1)
        return counts

    def _parts(
        self, counts: Counts, selections: SelectionSetNode, type_: GraphQLNamedType | None, depth: int, nesting: int
    ) -> list[Part | Spread]:
        """What costs something of the selections, which stand so many fields deep; the rest is counted alone.

        It calls itself for selections within selections, of which the parser takes no more than 200.
        """
        counts.nesting = max(counts.nesting, nesting)
        parts: list[Part | Spread] = []
        for selection in selections.selections:
            self.visits += 1
            counts.directives += len(selection.directives or ())
            if isinstance(selection, FieldNode):
                part = self._field(counts, selection, type_, depth, nesting)
                if part.price.counts or part.below:
                    parts.append(part)
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                narrowed = self._schema.get_type(condition.name.value) if condition else type_
                parts += self._parts(counts, selection.selection_set, narrowed, depth, nesting + 1)
            elif isinstance(selection, FragmentSpreadNode):
                self._spread.add(selection.name.value)
                if (inner := self._fragments.get(selection.name.value)) is not None:
                    counts.spread(inner, depth, nesting)
                    if inner.parts:
                        parts.append(Spread(inner.parts))
        return parts

    def _field(self, counts: Counts, node: FieldNode, type_: GraphQLNamedType | None, depth: int, nesting: int) -> Part:
        counts.fields += 1
        counts.aliases += node.alias is not None
        counts.root_fields += depth == 0
        counts.introspections += depth == 0 and node.name.value in INTROSPECTION_FIELDS
        counts.depth = max(counts.depth, depth + 1)
        price = self._prices.of(type_, node.name.value)
        below = node.selection_set and self._parts(counts, node.selection_set, price.type, depth + 1, nesting + 1)
        key = (node.alias or node.name).value
        return Part(key, price, size_of(node, price) if price.asked else 1, below or [])
