"""Reads of labels."""

from datetime import datetime
from uuid import UUID

from domain.base.paging import Key, KeyKind, Order
from domain.base.permissions import Permission
from domain.base.reads import Many, One, Pages, Table, for_actor, orgs_with
from domain.base.sql import Row


class LabelRow(Row):
    """A label."""

    id: UUID
    org_id: UUID
    name: str
    color: str
    description: str | None
    created_at: datetime
    updated_at: datetime


LABELS = Table("label", LabelRow)
BY_NAME = Order((Key("lower(label.name)", KeyKind.TEXT), Key("label.id", KeyKind.UUID)))


visible = for_actor("label.org_id = ANY({}::uuid[])", orgs_with(Permission.PROJECT_READ))
"""The labels of the organizations whose projects the caller reads."""

by_ids = One(LABELS, visible)
of_organizations = Pages(LABELS, visible, key="label.org_id")
of_tasks = Many(
    LABELS,
    visible,
    key="task_label.task_id",
    order=BY_NAME,
    source="JOIN task_label ON task_label.label_id = label.id",
)
