"""Payloads that more than one feature gives."""

import strawberry

from graph.base.errors import UserError, no_errors


@strawberry.type
class DonePayload:
    """Whether it was done."""

    done: bool = strawberry.field(default=False, description="Whether it was done.")
    errors: list[UserError] = no_errors()


@strawberry.type
class DeletePayload:
    """What was deleted."""

    deleted_id: strawberry.ID | None = strawberry.field(default=None, description="The id; null when it was refused.")
    errors: list[UserError] = no_errors()
