"""@idempotent: the key of a mutation field, where it may stand, and the field run at most once under it.

The directive belongs to graphql-core alone. One of Strawberry's would run after the resolver, and would see only the
first of merged fields.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from graphql import (
    DirectiveLocation,
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLArgument,
    GraphQLDirective,
    GraphQLError,
    GraphQLNonNull,
    GraphQLString,
    OperationDefinitionNode,
    OperationType,
    ValidationRule,
    get_argument_values,
    get_directive_values,
)
from graphql.execution.values import VariableValues

from domain.base.errors import BadInput, UserError, UserErrors
from domain.idempotency import service
from domain.idempotency.service import PATH, Attempt, Kept, OutsideCall, Refusal
from graph.base import outcomes
from graph.base.context import Info

LONGEST_KEY = 255
NAME = "idempotent"
IDEMPOTENT = GraphQLDirective(
    NAME,
    [DirectiveLocation.FIELD],
    {"key": GraphQLArgument(GraphQLNonNull(GraphQLString), description="1 to 255 characters, new for each request.")},
    description="""\
Runs the mutation field at most once per actor, field and key for 24 hours. A repeat with equal arguments gets
the first outcome, user errors included, its selection resolved afresh; with other arguments CONFLICT; while the
first still runs it waits, then IN_PROGRESS. Secrets shown once are null in a repeat. Refused with BAD_USER_INPUT
on queries, without an actor, on sign-in and other credential fields, and where merged fields carry different keys.""",
)


class OnlyOnMutations(ValidationRule):
    """Refuses the directive on any field that is not a root field of a mutation."""

    def enter_directive(self, node: DirectiveNode, *place: Any) -> None:
        if node.name.value != NAME:
            return
        ancestors = [each for each in place[-1] if not isinstance(each, list | tuple)]
        fields = [each for each in ancestors if isinstance(each, FieldNode)]
        # Where it stands on no field at all another rule refuses it.
        if fields and (len(fields) > 1 or not self._is_of_mutations(ancestors)):
            message = f"@{NAME} goes on root fields of mutations alone."
            self.report_error(GraphQLError(message, node, extensions={"code": BadInput.code, "path": list(PATH)}))

    def _is_of_mutations(self, ancestors: list[Any]) -> bool:
        """Whether the definition around it selects from Mutation, which nothing but a mutation's root can spread."""
        for each in ancestors:
            if isinstance(each, OperationDefinitionNode):
                return each.operation is OperationType.MUTATION
            if isinstance(each, FragmentDefinitionNode):
                mutation = self.context.schema.mutation_type
                return mutation is not None and each.type_condition.name.value == mutation.name
        return False


def key_of(info: Info) -> str | None:
    """The key that the field carries, or None.

    Raises BadInput where merged fields carry different ones, and for one of another length than 1 to 255.
    """
    raw = info._raw_info
    if not any(node.directives for node in raw.field_nodes):
        return None
    variables = _variables(info)
    given = [get_directive_values(IDEMPOTENT, node, variables) for node in raw.field_nodes]
    keys = {values["key"] for values in given if values is not None}
    if not keys:
        return None
    if len(keys) > 1:
        raise BadInput("The same field carries different keys.", path=list(PATH))
    (key,) = keys
    if not 1 <= len(key) <= LONGEST_KEY:
        raise BadInput(f"A key has 1 to {LONGEST_KEY} characters; this has {len(key)}.", path=list(PATH))
    return str(key)


@dataclass(frozen=True)
class Once:
    """A mutation field under a key: whose attempt it is, its payload's type, and how that shows a user error."""

    info: Info
    attempt: Attempt
    payload: Any
    refuse: Callable[[Refusal], Any]

    def keep(self, result: Any) -> str:
        """What is kept of the payload."""
        return outcomes.kept(self.payload, result)

    async def run(self, do: Callable[[], Awaitable[Any]]) -> Any:
        """The payload of `do`, or of the attempt that was first. Raises InProgress; Conflict."""
        return await self._shown(await service.once(self.attempt, do, keep=self.keep, refuse=self.refuse))

    async def run_outside(self, make: Callable[[], OutsideCall[Any, Any]]) -> Any:
        """The payload of the call that `make` gives, or of the attempt that was first. Raises as `run`; Timeout."""
        try:
            wanted = make()
        except (UserError, UserErrors) as refusal:
            # Refused before the key was looked up, but whether this is the outcome is the key's to say.
            return await self.run(service.raising(refusal))
        done = await service.once_outside(self.attempt, wanted, keep=self.keep, refuse=self.refuse)
        return await self._shown(done)

    async def _shown(self, done: Any) -> Any:
        """The payload, with its rows as they are now where it is a repeat."""
        return await outcomes.rebuilt(self.info, self.payload, done.outcome) if isinstance(done, Kept) else done


def asked(info: Info, key: str, payload: Any, refuse: Callable[[Refusal], Any]) -> Once:
    """The running field under the key. Raises BadInput when nobody asks, and what was wrong with the credentials."""
    operation = info.context.operation
    if operation.caller is None and operation.refusal is None:
        raise BadInput(f"@{NAME} needs a signed-in caller: a key belongs to somebody.", path=list(PATH))
    return Once(info, Attempt(operation.actor, info.field_name, key, _digest(info)), payload, refuse)


def _variables(info: Info) -> VariableValues:
    """The variables as graphql-core takes them; Strawberry hands on the values without where they come from."""
    return VariableValues({}, info.variable_values)


def _digest(info: Info) -> bytes:
    """A digest of the field's arguments as the schema reads them: with defaults, and absent apart from null."""
    raw = info._raw_info
    field = raw.parent_type.fields[raw.field_name]
    # Merged fields have the same arguments, or validation has refused them.
    arguments = get_argument_values(field, raw.field_nodes[0], _variables(info))
    try:
        return hashlib.sha256(json.dumps(arguments, sort_keys=True, default=str).encode()).digest()
    except RecursionError:
        raise BadInput("The arguments nest too deep.", path=list(PATH)) from None
