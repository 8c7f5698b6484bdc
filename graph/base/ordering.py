"""The direction of a sort."""

from enum import Enum

import strawberry


@strawberry.enum(description="Which way to sort.")
class OrderDirection(Enum):
    """Smallest first, or largest first."""

    ASC = "ASC"
    DESC = "DESC"
