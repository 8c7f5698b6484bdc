"""A task filter -> one predicate with bound values. Pure: it reads no row and knows no caller.

A filter is a mapping: `and`, `or` (lists), `not`, or a field's name with a mapping of operators to values. Every given
key must hold.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from domain.base.errors import BadInput
from domain.base.sql import Sql, all_of, any_of, like_escaped, sql

DEEPEST = 5
MOST_LEAVES = 100
MOST_LISTED = 100

_COLUMNS = {
    "id": "task.id",
    "project": "task.project_id",
    "state": "task.state_id",
    "assignee": "task.assignee_id",
    "creator": "task.creator_id",
    "parent": "task.parent_id",
    "priority": "task.priority",
    "title": "task.title",
    "number": "task.number",
    "estimate": "task.estimate",
    "due_date": "task.due_date",
    "created_at": "task.created_at",
    "updated_at": "task.updated_at",
    "completed_at": "task.completed_at",
}
_TYPES = {
    "priority": "int",
    "title": "text",
    "number": "int",
    "estimate": "int",
    "due_date": "date",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
    "completed_at": "timestamptz",
}
_SIGNS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_CATEGORY = "(SELECT filtered.category FROM workflow_state AS filtered WHERE filtered.id = task.state_id)"
_LABELED = "EXISTS (SELECT FROM task_label WHERE task_label.task_id = task.id"


def predicate(filter: Mapping[str, Any]) -> Sql:
    """Holds for the tasks that the filter keeps. Archived ones only where the filter speaks of them.

    Raises BadInput when it nests more than 5 deep, has more than 100 leaves, or a list of more than 100.
    """
    leaves = _Leaves()
    kept = leaves.group(filter, 1)
    return kept if leaves.speaks_of_archived else all_of([kept, sql("task.archived_at IS NULL")])


class _Leaves:
    """Counts while it translates. What is empty counts too: it says nothing, but is work all the same."""

    def __init__(self) -> None:
        self.count = 0
        self.speaks_of_archived = False

    def group(self, filter: Mapping[str, Any], depth: int) -> Sql:
        if depth > DEEPEST:
            raise BadInput(f"A filter nests at most {DEEPEST} deep.", path=["filter"])
        if not filter:
            self._leaf()
        return all_of([self._key(name, value, depth) for name, value in filter.items()])

    def _key(self, name: str, value: Any, depth: int) -> Sql:
        if value in ({}, []) and name != "not":
            self._leaf()
        if name == "and":
            return all_of([self.group(part, depth + 1) for part in value])
        if name == "or":
            return any_of([self.group(part, depth + 1) for part in value])
        if name == "not":
            # Not plain NOT: what is unknown because a column is null does not hold, so its opposite does.
            return sql("({} IS NOT TRUE)", self.group(value, depth + 1))
        if name == "archived":
            self._leaf()
            self.speaks_of_archived = True
            return sql(f"task.archived_at IS {'NOT ' if value else ''}NULL")
        return all_of([self._operator(name, operator, operand) for operator, operand in value.items()])

    def _operator(self, name: str, operator: str, operand: Any) -> Sql:
        self._leaf()
        if isinstance(operand, Sequence) and not isinstance(operand, str) and len(operand) > MOST_LISTED:
            raise BadInput(f"A list in a filter has at most {MOST_LISTED} values.", path=["filter"])
        if name == "label":
            return _label(operator, operand)
        if name == "state_category":
            return sql(f"{_CATEGORY} = ANY({{}}::text[])", operand if operator == "in" else [operand])
        return _compare(_COLUMNS[name], _TYPES.get(name, "uuid"), operator, operand)

    def _leaf(self) -> None:
        self.count += 1
        if self.count > MOST_LEAVES:
            raise BadInput(f"A filter has at most {MOST_LEAVES} conditions.", path=["filter"])


def _compare(column: str, type_: str, operator: str, operand: Any) -> Sql:
    if operator == "is_null":
        return sql(f"{column} IS {'' if operand else 'NOT '}NULL")
    if operator == "in":
        return sql(f"{column} = ANY({{}}::{type_}[])", operand)
    if operator == "not_in":
        return sql(f"({column} IS NULL OR {column} <> ALL({{}}::{type_}[]))", operand)
    if operator in ("contains", "starts_with"):
        return sql(f"{column} ILIKE {{}}", ("%" if operator == "contains" else "") + like_escaped(operand) + "%")
    return sql(f"{column} {_SIGNS[operator]} {{}}::{type_}", operand)


def _label(operator: str, operand: Any) -> Sql:
    if operator == "is_null":
        return sql(f"{'NOT ' if operand else ''}{_LABELED})")
    listed = operand if operator in ("in", "not_in") else [operand]
    return sql(
        f"{'NOT ' if operator == 'not_in' else ''}{_LABELED} AND task_label.label_id = ANY({{}}::uuid[]))", listed
    )
