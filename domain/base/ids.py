"""Global ids, as clients and files that leave the product have them. They are read in graph/base/ids.py."""

from uuid import UUID


def global_id(kind: str, id: UUID) -> str:
    """The id as clients know it: the type's name in lower snake case, an underscore, 32 hex digits."""
    return f"{kind}_{id.hex}"
