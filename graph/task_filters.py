"""What a list of tasks can be filtered and sorted by, and the arguments of the fields that list them."""

from datetime import date, datetime
from enum import Enum
from functools import cache, lru_cache
from typing import Any

import orjson
import strawberry
from strawberry.utils.str_converters import to_camel_case

from domain.base.errors import BadInput
from domain.base.paging import Key, KeyKind, Order, PageRequest, request
from domain.base.sql import Sql
from domain.projects.models import StateCategory
from domain.tasks import filters, queries
from domain.tasks.models import Priority
from graph.base.fields import optional, required
from graph.base.ids import NOTHING, split_id
from graph.base.ordering import OrderDirection

# Registered in the lowest file that uses them.
strawberry.enum(StateCategory, description="What a workflow state means, whatever its name.")
strawberry.enum(Priority, description="How urgent a task is.")

EQ = "Equal to this."
IN = "One of these, at most 100."
NOT_IN = "None of these, at most 100; where there is none at all, this holds."
IS_NULL = "Whether there is none."


@strawberry.input
class IDFilter:
    """By an id that is always there."""

    eq: strawberry.ID | None = optional(EQ)
    in_: list[strawberry.ID] | None = strawberry.field(name="in", description=IN, default=strawberry.UNSET)
    not_in: list[strawberry.ID] | None = optional(NOT_IN)


@strawberry.input
class NullableIDFilter:
    """By an id that may be missing."""

    eq: strawberry.ID | None = optional(EQ)
    in_: list[strawberry.ID] | None = strawberry.field(name="in", description=IN, default=strawberry.UNSET)
    not_in: list[strawberry.ID] | None = optional(NOT_IN)
    is_null: bool | None = optional(IS_NULL)


@strawberry.input
class StringFilter:
    """By a text."""

    eq: str | None = optional(EQ)
    in_: list[str] | None = strawberry.field(name="in", description=IN, default=strawberry.UNSET)
    contains: str | None = optional("Holds this somewhere, whatever the case.")
    starts_with: str | None = optional("Begins with this, whatever the case.")


@strawberry.input
class IntFilter:
    """By a number."""

    eq: int | None = optional(EQ)
    gt: int | None = optional("Greater than this.")
    gte: int | None = optional("This or greater.")
    lt: int | None = optional("Less than this.")
    lte: int | None = optional("This or less.")
    is_null: bool | None = optional(IS_NULL)


@strawberry.input
class DateFilter:
    """By a day."""

    eq: date | None = optional(EQ)
    gt: date | None = optional("After this day.")
    gte: date | None = optional("This day or after.")
    lt: date | None = optional("Before this day.")
    lte: date | None = optional("This day or before.")
    is_null: bool | None = optional(IS_NULL)


@strawberry.input
class DateTimeFilter:
    """By an instant."""

    gt: datetime | None = optional("After this instant.")
    gte: datetime | None = optional("This instant or after.")
    lt: datetime | None = optional("Before this instant.")
    lte: datetime | None = optional("This instant or before.")
    is_null: bool | None = optional(IS_NULL)


@strawberry.input
class PriorityFilter:
    """By priority."""

    eq: Priority | None = optional(EQ)
    in_: list[Priority] | None = strawberry.field(name="in", description=IN, default=strawberry.UNSET)


@strawberry.input
class StateCategoryFilter:
    """By what the task's state means."""

    eq: StateCategory | None = optional(EQ)
    in_: list[StateCategory] | None = strawberry.field(name="in", description=IN, default=strawberry.UNSET)


@strawberry.input
class TaskFilter:
    """Every given key must hold; `and`, `or` and `not` nest, at most 5 deep, with at most 100 conditions."""

    and_: list["TaskFilter"] | None = strawberry.field(
        name="and", description="All of these hold.", default=strawberry.UNSET
    )
    or_: list["TaskFilter"] | None = strawberry.field(
        name="or", description="At least one of these holds.", default=strawberry.UNSET
    )
    not_: "TaskFilter | None" = strawberry.field(
        name="not", description="This does not hold.", default=strawberry.UNSET
    )
    id: IDFilter | None = optional("By its own id.")
    project: IDFilter | None = optional("By its project.")
    state: IDFilter | None = optional("By its state.")
    state_category: StateCategoryFilter | None = optional("By what its state means.")
    assignee: NullableIDFilter | None = optional("By who it is assigned to.")
    creator: NullableIDFilter | None = optional("By the person or API key that made it; null: the system.")
    parent: NullableIDFilter | None = optional("By the task above it.")
    label: NullableIDFilter | None = optional("By the labels on it.")
    priority: PriorityFilter | None = optional("By its priority.")
    title: StringFilter | None = optional("By its title.")
    number: IntFilter | None = optional("By its number in the project.")
    estimate: IntFilter | None = optional("By its estimate.")
    archived: bool | None = optional("Archived tasks are left out unless this asks for them: true gives them alone.")
    due_date: DateFilter | None = optional("By the day it is due.")
    created_at: DateTimeFilter | None = optional("By when it was made.")
    updated_at: DateTimeFilter | None = optional("By when it last changed.")
    completed_at: DateTimeFilter | None = optional("By when it was completed.")


@strawberry.enum(description="What tasks can be sorted by.")
class TaskOrderField(Enum):
    """The names of the sorts in domain.tasks.queries.SORTS."""

    RANK = "RANK"
    CREATED_AT = "CREATED_AT"
    UPDATED_AT = "UPDATED_AT"
    DUE_DATE = "DUE_DATE"
    PRIORITY = "PRIORITY"
    NUMBER = "NUMBER"


@strawberry.input
class TaskOrder:
    """One thing to sort by. Tasks without it come last in both directions."""

    field: TaskOrderField = required("What to sort by.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Which way.")


_ID_KINDS = {
    "id": ("task",),
    "project": ("project",),
    "state": ("workflow_state",),
    "assignee": ("user",),
    "creator": ("user", "api_key"),
    "parent": ("task",),
    "label": ("label",),
}


def plain_filter(filter: TaskFilter) -> dict[str, Any]:
    """The filter as domain.tasks.filters takes it. A null key is one that was not given."""
    plain: dict[str, Any] = {}
    for attribute, value in vars(filter).items():
        name = attribute.rstrip("_")
        if value is None or value is strawberry.UNSET:
            continue
        if name in ("and", "or"):
            plain[name] = [plain_filter(part) for part in value]
        elif name == "not":
            plain[name] = plain_filter(value)
        elif name == "archived":
            plain[name] = value
        else:
            plain[name] = _operators(name, value)
    return plain


def _operators(name: str, operators: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for attribute, value in vars(operators).items():
        operator = attribute.rstrip("_")
        shown = to_camel_case(operator)
        path = ("filter", to_camel_case(name), shown)
        if value is strawberry.UNSET:
            continue
        if value is None:
            raise BadInput(f"`{shown}` takes no null. Where null can be, `isNull` asks for it.", path=list(path))
        if name in _ID_KINDS and operator != "is_null":
            listed = [_id(item, name, path) for item in (value if isinstance(value, list) else [value])]
            plain[operator] = listed if isinstance(value, list) else listed[0]
        else:
            plain[operator] = value
    return plain


def _id(text: str, name: str, path: tuple[str, ...]) -> Any:
    kind, id = split_id(text, *path)
    return id if kind in _ID_KINDS[name] else NOTHING


def _order(order_by: list[TaskOrder] | None) -> Order:
    return (
        _order_of(tuple((order.field, order.direction) for order in order_by))
        if order_by
        else queries.BY_STATE_AND_RANK
    )


@lru_cache(maxsize=500)
def _order_of(sorts: tuple[tuple[TaskOrderField, OrderDirection], ...]) -> Order:
    if len({field for field, _ in sorts}) < len(sorts):
        raise BadInput("Each field can be sorted by once.", path=["orderBy"])
    keys = [queries.SORTS[field.value].directed(direction is OrderDirection.DESC) for field, direction in sorts]
    return Order((*keys, Key("task.id", KeyKind.UUID)))


def task_predicate(filter: TaskFilter | None) -> Sql:
    """Holds for the tasks that the filter keeps; without one, for those that are not archived. Raises BadInput."""
    return filters.predicate(plain_filter(filter) if filter else {})


def task_request(order: Order, filter: TaskFilter | None, **place: Any) -> PageRequest:
    """A page of tasks in the order, under the filter. Raises BadInput for what either cannot be."""
    if filter is None:
        return request(order, scope="{}", where=_unfiltered, **place)
    plain = plain_filter(filter)
    kept = filters.predicate(plain)
    scope = orjson.dumps(plain, default=str, option=orjson.OPT_SORT_KEYS).decode()
    return request(order, scope=scope, where=lambda: kept, **place)


@cache
def _unfiltered() -> Sql:
    return filters.predicate({})


def project_task_page(
    first: int | None = 20,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
    filter: TaskFilter | None = None,
    order_by: list[TaskOrder] | None = None,
) -> PageRequest:
    """By state and rank, or as asked; in both directions."""
    return task_request(_order(order_by), filter, first=first, after=after, last=last, before=before)


def task_page(
    first: int | None = 20,
    after: str | None = None,
    filter: TaskFilter | None = None,
    order_by: list[TaskOrder] | None = None,
) -> PageRequest:
    """By state and rank, or as asked."""
    return task_request(_order(order_by), filter, first=first, after=after)


def state_task_page(first: int | None = 20, after: str | None = None, filter: TaskFilter | None = None) -> PageRequest:
    """A board's column, by rank."""
    return task_request(queries.BY_RANK, filter, first=first, after=after)


def subtask_page(first: int | None = 20, after: str | None = None) -> PageRequest:
    """By state and rank."""
    return task_request(queries.BY_STATE_AND_RANK, None, first=first, after=after)
