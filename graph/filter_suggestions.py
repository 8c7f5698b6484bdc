"""Filters for tasks, made of words by a language model."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any
from uuid import UUID

import strawberry
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    Undefined,
    coerce_input_value,
)

from domain.ai import filters
from domain.base.errors import BadInput
from domain.idempotency.service import OutsideCall
from graph.base.context import Info
from graph.base.errors import UserError, mutation, no_errors
from graph.base.ids import parse_id
from graph.base.scalars import JSON
from graph.compiler.arguments import converter
from graph.task_filters import plain_filter, task_predicate

# What each scalar of a filter is in JSON.
_SCALARS: Mapping[str, Mapping[str, str]] = {
    "ID": {"type": "string"},
    "String": {"type": "string"},
    "Int": {"type": "integer"},
    "Boolean": {"type": "boolean"},
    "Date": {"type": "string", "format": "date"},
    "DateTime": {"type": "string", "format": "date-time"},
}


@strawberry.type
class TaskFilterSuggestionPayload:
    """A TaskFilter, for the caller to look at and then use in `tasks`."""

    filter: JSON | None = strawberry.field(default=None, description="The filter; null when there is none.")
    errors: list[UserError] = no_errors()


@strawberry.type
class FilterSuggestionMutations:
    """What a language model suggests."""

    @mutation(calls_outside=True)
    def task_filter_suggest(
        self,
        info: Info,
        organization_id: strawberry.ID,
        prompt: Annotated[str, strawberry.argument(description="What to keep, in 1 to 1,000 characters.")],
    ) -> OutsideCall[Any, TaskFilterSuggestionPayload]:
        """Put into a filter what the words say. Nothing is run. Needs AI_USE.

        It names projects, states, labels and members that the viewer sees, of each kind the first 50 by name, and is
        one that `tasks` takes; INVALID when the model makes none. FEATURE_DISABLED where no language model is set up.
        """
        actor, adapters, schema = info.context.actor, info.context.adapters, info._raw_info.schema
        org_id = parse_id(organization_id, "organization", "organizationId")

        async def call(_call_id: UUID) -> Any:
            return await filters.suggest(
                actor,
                org_id,
                prompt,
                plain=lambda said: _plain(schema, said),
                schema=json_schema(schema),
                model=adapters.language_model,
                throttle=adapters.throttle,
            )

        async def finish(filter: Any) -> TaskFilterSuggestionPayload:
            return TaskFilterSuggestionPayload(filter=filter)

        return OutsideCall(call, finish, filters.TIMEOUT_S)


def _plain(schema: GraphQLSchema, said: Any) -> Mapping[str, Any]:
    """What was said, read as `tasks` reads its filter. Raises BadInput."""
    made: Any = schema
    field = made.query_type.fields["tasks"]
    (argument,) = [each for each in field.extensions["strawberry-definition"].arguments if each.python_name == "filter"]
    given = coerce_input_value(said, field.args["filter"].type)
    if given is Undefined or given is None:
        raise BadInput("This is no TaskFilter.")
    _, convert = converter(argument, made._strawberry_schema.schema_converter)
    filter = convert(given)
    task_predicate(filter)
    return plain_filter(filter)


@cache
def json_schema(schema: GraphQLSchema) -> dict[str, Any]:
    """The JSON schema of TaskFilter."""
    defined: dict[str, Any] = {}
    return {**_of(schema.type_map["TaskFilter"], defined), "$defs": defined}  # type: ignore[arg-type]


def _of(type_: GraphQLInputType, defined: dict[str, Any]) -> dict[str, Any]:
    if isinstance(type_, GraphQLNonNull):
        return _of(type_.of_type, defined)
    if isinstance(type_, GraphQLList):
        return {"type": "array", "items": _of(type_.of_type, defined)}
    if isinstance(type_, GraphQLEnumType):
        return {"type": "string", "enum": list(type_.values)}
    if not isinstance(type_, GraphQLInputObjectType):
        return dict(_SCALARS[type_.name])
    if type_.name not in defined:
        # Before its fields: it may hold itself.
        made = defined[type_.name] = {"type": "object", "additionalProperties": False}
        made["description"] = type_.description or ""
        made["properties"] = {name: _of(field.type, defined) for name, field in type_.fields.items()}
    return {"$ref": f"#/$defs/{type_.name}"}
