"""What every row of an organization has, and the one way to change a row."""

from typing import Any

from tortoise import fields
from tortoise.expressions import F
from tortoise.models import Model

from domain.base.clock import new_id, now
from domain.base.errors import StaleVersion


class OrgModel(Model):
    """A row of one organization. Migrations give its table row-level security and composite foreign keys."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    org_id = fields.UUIDField()
    created_at = fields.DatetimeField(default=now)
    updated_at = fields.DatetimeField(default=now)

    class Meta:
        abstract = True


async def save(model: type[Model], row: Any, **changes: Any) -> None:
    """Write the changes of a locked row in one statement; its version, where it has one, and `updated_at` go along."""
    names = model._meta.fields_map
    if "version" in names:
        changes["version"] = F("version") + 1
    if "updated_at" in names:
        changes["updated_at"] = now()
    await model.filter(id=row.id).update(**changes)


def check_version(row: Any, if_version: int | None) -> None:
    """Raises StaleVersion with the row when a version was given and it is another one."""
    if if_version is not None and row.version != if_version:
        raise StaleVersion(row)
