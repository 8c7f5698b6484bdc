"""Documents: parsed and validated once each, in a cache whose memory is bounded."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    Undefined,
    get_nullable_type,
    specified_rules,
    validate,
)
from graphql.execution.collect_fields import FragmentDetails
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource, get_variable_values
from graphql.utilities import coerce_input_value
from graphql.validation.rules import overlapping_fields_can_be_merged
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from domain.base.errors import TooComplex
from graph.base.errors import coded
from graph.base.idempotency import NAME, OnlyOnMutations
from graph.base.limits import LIMITS, Limits, Measured, measured, parsed
from graph.base.operations import asks_for_cursor, bad_literal
from graph.base.scalars import PLAIN

CACHED_DOCUMENTS = 1000
# A longer one is parsed each time. 1,000 of this length take about 150 MB.
LONGEST_CACHED = 8_000
# Each tells a name or two of the schema; who needs more of them than this has another document.
MOST_FAULTS = 5
# Steps of comparing fields that meet under one name. Within the limits nearly no document takes as many; graphql-core
# would go on to five times as many, which took 440 ms.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 100_000
# Those of the specification, and Strawberry's for what it adds to it.
_RULES = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)


class Refusal:
    """A document that is not run, and why: the errors as clients get them."""

    name: str | None = None
    kind = "refused"
    shows_cursor = False

    def __init__(self, *faults: Exception) -> None:
        self.errors = [_unsuggested(coded(fault)) for fault in faults[:MOST_FAULTS]]


class Ready:
    """An operation that was parsed and validated and may run at once, but for its variables."""

    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, measured: Measured
    ) -> None:
        self.operation = operation
        self.measured = measured
        self.name = operation.name.value if operation.name else None
        self.kind = operation.operation.value
        self.shows_cursor = document.loc is not None and asks_for_cursor(document.loc.source.body)
        self.fragment_definitions = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self.fragments = {name: FragmentDetails(each, None) for name, each in self.fragment_definitions.items()}
        self._schema = schema
        self._definitions = operation.variable_definitions or ()
        self._signatures = self._known_signatures()

    def variables(self, given: dict[str, Any]) -> VariableValues | list[GraphQLError]:
        """The variables' values, or what is wrong with them."""
        sources, values = {}, {}
        try:
            for name, signature, is_plain in self._signatures:
                sent = value = given.get(name, Undefined)
                if not is_plain(sent):
                    value = Undefined if sent is Undefined else coerce_input_value(sent, signature.type)
                    if value is Undefined:
                        break
                values[name] = value
                sources[name] = VariableValueSource(signature, sent)
            else:
                return VariableValues(sources, values)
        except RecursionError:
            pass
        # With all care: defaults, and what is wrong.
        found = get_variable_values(
            self._schema, self._definitions, given, max_errors=MOST_FAULTS, hide_suggestions=True
        )
        return found[:MOST_FAULTS] if isinstance(found, list) else found

    def _known_signatures(self) -> list[tuple[str, GraphQLVariableSignature, Callable[[Any], bool]]]:
        """The variables, each with the test for what is taken as it is."""
        found = []
        for definition in self._definitions:
            signature = get_variable_signature(self._schema, definition)
            if isinstance(signature, GraphQLError):
                # Validation lets no such variable through.
                raise signature
            found.append((signature.name, signature, PLAIN.get(get_nullable_type(signature.type), _never)))
        return found


def _never(_value: Any) -> bool:
    return False


class Documents:
    """The operations of the texts that clients send, ready to run or refused, by text and name. Bounded."""

    def __init__(self, schema: GraphQLSchema, *, introspection: bool = True, limits: Limits = LIMITS) -> None:
        self._schema = schema
        self._limits = limits
        self._rules = _RULES if introspection else (*_RULES, NoSchemaIntrospectionCustomRule)
        self._kept: OrderedDict[tuple[str, str | None], Ready | Refusal] = OrderedDict()

    def of(self, text: str, name: str | None) -> Ready | Refusal:
        """The operation of that name, or the only one."""
        if len(text) + len(name or "") > LONGEST_CACHED:
            return self._made(text, name)
        key = (text, name)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        found = self._kept[key] = self._made(text, name)
        if len(self._kept) > CACHED_DOCUMENTS:
            self._kept.popitem(last=False)
        return found

    def _made(self, text: str, name: str | None) -> Ready | Refusal:
        try:
            document = parsed(text, self._limits)
            costs = measured(self._schema, document, self._limits)
            # First: Python does not read each number that validation looks at.
            if (fault := bad_literal(document)) is not None:
                return Refusal(fault)
            if faults := self._faults(document, text):
                return Refusal(*faults)
            operations = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
            chosen = [each for each in operations if name is None or (each.name and each.name.value == name)]
            if len(chosen) != 1:
                return Refusal(GraphQLError(_no_choice(operations, name)))
            _unlink(document)
            (operation,) = chosen
            cost = costs[operation.name.value if operation.name else None]
            return Ready(self._schema, document, operation, cost)
        except (TooComplex, GraphQLError) as fault:
            return Refusal(fault)

    def _faults(self, document: DocumentNode, text: str) -> list[GraphQLError]:
        # GraphQL has no escapes in names: a document without the word has no such directive, and pays for no rule.
        rules = (*self._rules, OnlyOnMutations) if NAME in text else self._rules
        return validate(self._schema, document, rules, max_errors=MOST_FAULTS, hide_suggestions=True)


def _unsuggested(error: dict[str, Any]) -> dict[str, Any]:
    """The error without what a rule proposes though it was told to hide that."""
    error["message"] = error["message"].partition(" Did you mean ")[0]
    return error


def _no_choice(operations: list[OperationDefinitionNode], name: str | None) -> str:
    if not operations:
        return "The document holds no operation."
    if name is None:
        return "The document holds several operations; operationName says which to run."
    return "The document holds no operation of that name."


def _unlink(document: DocumentNode) -> None:
    """Part the tokens, each of which points at its neighbors: a document that goes is then freed without the collector,
    which seldom looks at what is old. Places in the text are told by numbers and not by tokens."""
    token = document.loc.start_token if document.loc else None
    while token is not None:
        following, token.prev, token.next = token.next, None, None
        token = following
