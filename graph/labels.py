"""Labels of an organization."""

from typing import Any, ClassVar

import strawberry

from domain.base.paging import PageRequest, request
from domain.labels import queries
from domain.labels import service as labels
from domain.labels.queries import LabelRow
from graph.base.context import Info
from graph.base.errors import UserError, mutation, no_errors
from graph.base.fields import changes, column, optional, required
from graph.base.ids import parse_id
from graph.base.nodes import Node
from graph.base.payloads import DeletePayload


@strawberry.type
class Label(Node):
    """A mark on tasks, shared by all projects of an organization."""

    row: ClassVar[type[Any]] = LabelRow
    read: ClassVar = queries.by_ids

    name: str = column("Unique in the organization, whatever its case.")
    color: str = column("As #rrggbb.")
    description: str | None = column("What it is used for.")


def label_page(first: int | None = 50, after: str | None = None) -> PageRequest:
    """Labels A to Z."""
    return request(queries.BY_NAME, first=first, after=after)


@strawberry.input
class LabelCreateInput:
    """A new label."""

    organization_id: strawberry.ID = required("Where it is added.")
    name: str = required("1 to 50 characters.")
    color: str = required("As #rrggbb.")
    description: str | None = optional("At most 500 characters.")


@strawberry.input
class LabelUpdateInput:
    """Changes of a label."""

    name: str | None = optional("1 to 50 characters.")
    color: str | None = optional("As #rrggbb.")
    description: str | None = optional("At most 500 characters.")


@strawberry.type
class LabelPayload:
    """A label after the change."""

    label: Label | None = strawberry.field(default=None, description="The label; null when it was refused.")
    errors: list[UserError] = no_errors()


@strawberry.type
class LabelMutations:
    """Changes of labels."""

    @mutation
    async def label_create(self, info: Info, input: LabelCreateInput) -> LabelPayload | None:
        """Add a label. Needs PROJECT_UPDATE."""
        org_id = parse_id(input.organization_id, "organization", "input", "organizationId")
        values = changes(input, "organization_id")
        return LabelPayload(label=Label.of(await labels.create(info.context.actor, org_id, **values)))

    @mutation
    async def label_update(self, info: Info, id: strawberry.ID, input: LabelUpdateInput) -> LabelPayload | None:
        """Rename, recolor or describe a label. Needs PROJECT_UPDATE."""
        label = await labels.update(info.context.actor, parse_id(id, "label"), **changes(input))
        return LabelPayload(label=Label.of(label))

    @mutation
    async def label_delete(self, info: Info, id: strawberry.ID) -> DeletePayload | None:
        """Delete a label; its tasks lose it. Needs PROJECT_UPDATE."""
        await labels.delete(info.context.actor, parse_id(id, "label"))
        return DeletePayload(deleted_id=id)
