"""Documents: parsed and validated once each, in caches whose memory is bounded."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    Undefined,
    get_nullable_type,
    is_non_null_type,
    parse,
    specified_rules,
)
from graphql.execution.collect_fields import FragmentDetails
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource, get_variable_values
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.schema.schema import validate_document

from graph.base.idempotency import NAME, OnlyOnMutations
from graph.base.operations import asks_for_cursor, bad_literal
from graph.base.scalars import PLAIN

CACHED_DOCUMENTS = 1000
# A longer one is parsed each time. 1,000 of this length take about 150 MB.
LONGEST_CACHED = 8_000


class Parsing(ParserCache):
    """The parsed document from the cache. What cannot be parsed is left to Strawberry, which parses it once more inside
    its own handling of errors; raised here it would reach the log with the document in it."""

    def __init__(self) -> None:
        super().__init__(maxsize=CACHED_DOCUMENTS)

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        if isinstance(context.query, str) and len(context.query) <= LONGEST_CACHED:
            with suppress(GraphQLError, RecursionError):
                context.graphql_document = self.cached_parse_document(context.query, **context.parse_options)
        yield


class Validation(ValidationCache):
    """The outcome of validation from the cache, for documents that are kept."""

    def __init__(self) -> None:
        super().__init__(maxsize=CACHED_DOCUMENTS)

    def on_validate(self) -> Iterator[None]:
        # GraphQL has no escapes in names: a document without the word has no such directive, and pays for no rule.
        if NAME in (self.execution_context.query or ""):
            self.execution_context.validation_rules += (OnlyOnMutations,)
        if len(self.execution_context.query or "") <= LONGEST_CACHED:
            yield from super().on_validate()
        else:
            yield


_RULES = tuple(specified_rules)
_MOST_FAULTS = 50


class Ready:
    """An operation that was parsed and validated and may run at once, but for its variables."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> None:
        self.operation = operation
        self.name = operation.name.value if operation.name else None
        self.kind = operation.operation.value
        self.shows_cursor = document.loc is not None and asks_for_cursor(document.loc.source.body)
        self.fragment_definitions = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self.fragments = {name: FragmentDetails(each, None) for name, each in self.fragment_definitions.items()}
        self._schema = schema
        self._definitions = operation.variable_definitions or ()
        self._plain = self._plainly()

    def variables(self, given: dict[str, Any]) -> VariableValues | list[GraphQLError]:
        """The variables' values, or what is wrong with them."""
        if self._plain is not None:
            sources, values = {}, {}
            for name, signature, is_plain in self._plain:
                value = given.get(name, Undefined)
                if not is_plain(value) and (value is not None or is_non_null_type(signature.type)):
                    break
                values[name] = value
                sources[name] = VariableValueSource(signature, value)
            else:
                return VariableValues(sources, values)
        return get_variable_values(self._schema, self._definitions, given, max_errors=_MOST_FAULTS)

    def _plainly(self) -> list[tuple[str, GraphQLVariableSignature, Callable[[Any], bool]]] | None:
        """The variables with the tests for what is taken as it is; None where some type has no such test."""
        found = []
        for definition in self._definitions:
            signature = get_variable_signature(self._schema, definition)
            if isinstance(signature, GraphQLError):
                return None
            if (is_plain := PLAIN.get(get_nullable_type(signature.type))) is None:
                return None
            found.append((signature.name, signature, is_plain))
        return found


class ReadyOperations:
    """The operations that may run at once, by their texts and names. Bounded."""

    def __init__(self, schema: GraphQLSchema, most: int = CACHED_DOCUMENTS) -> None:
        self._schema = schema
        self._most = most
        self._kept: OrderedDict[tuple[str, str | None], Ready | None] = OrderedDict()

    def of(self, text: str, name: str | None) -> Ready | None:
        """The operation; None where something is wrong with it, or text and name are too long to be kept."""
        if len(text) + len(name or "") > LONGEST_CACHED:
            return None
        key = (text, name)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        found = self._kept[key] = self._made(text, name)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return found

    def _made(self, text: str, name: str | None) -> Ready | None:
        try:
            document = parse(text)
            rules = (*_RULES, OnlyOnMutations) if NAME in text else _RULES
            if validate_document(self._schema, document, rules) or bad_literal(document) is not None:
                return None
            operations = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
            chosen = [each for each in operations if name is None or (each.name and each.name.value == name)]
            _unlink(document)
            # Of several the first is not meant more than the others.
            return Ready(self._schema, document, chosen[0]) if len(chosen) == 1 else None
        except (GraphQLError, RecursionError):
            return None


def _unlink(document: DocumentNode) -> None:
    """Part the tokens, each of which points at its neighbors: a document that goes is then freed without the collector,
    which seldom looks at what is old. Places in the text are told by numbers and not by tokens."""
    token = document.loc.start_token if document.loc else None
    while token is not None:
        following, token.prev, token.next = token.next, None, None
        token = following
