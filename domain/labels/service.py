"""Labels: made, changed and deleted by who may change projects."""

from typing import Any
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import new_id
from domain.base.database import tx
from domain.base.database_faults import unique
from domain.base.errors import Faults, Taken
from domain.base.models import save
from domain.base.permissions import Permission
from domain.events.log import changes, emit
from domain.labels import queries
from domain.labels.events import LabelCreated, LabelDeleted, LabelUpdated
from domain.labels.models import Label
from domain.labels.queries import LabelRow


def _taken(name: str) -> Any:
    return unique("label_name", Taken(f"There is a label {name!r} already.", "name"))


def _check(values: dict[str, Any]) -> None:
    faults = Faults()
    faults.required(values, "name", "color")
    faults.text(values.get("name"), "name", least=1, most=50)
    faults.text(values.get("description"), "description", least=0, most=500)
    faults.color(values.get("color"), "color")
    faults.check()


async def create(actor: Actor, org_id: UUID, *, name: str, color: str, description: str | None = None) -> LabelRow:
    """Add a label; the row. Raises NotFound; Forbidden (PROJECT_UPDATE); UserErrors; Taken (name)."""
    actor.require(Permission.PROJECT_UPDATE, org_id=org_id)
    _check({"name": name, "color": color, "description": description})
    label_id = new_id()
    async with tx():
        with _taken(name):
            await Label.create(id=label_id, org_id=org_id, name=name, color=color, description=description)
        emit(actor, org_id, LabelCreated(subject_id=label_id, name=name, color=color))
        return await queries.by_ids.get(actor, label_id)


async def update(actor: Actor, label_id: UUID, **values: Any) -> LabelRow:
    """Change name, color or description; the row. Raises NotFound; Forbidden; UserErrors; Taken (name)."""
    async with tx():
        label = await queries.by_ids.get_for_update(actor, label_id, Permission.PROJECT_UPDATE)
        _check(values)
        if differing := changes(label, values):
            with _taken(values.get("name", label.name)):
                await save(Label, label, **{name: change.now for name, change in differing.items()})
            emit(actor, label.org_id, LabelUpdated(subject_id=label.id, **differing))
        return await queries.by_ids.get(actor, label_id)


async def delete(actor: Actor, label_id: UUID) -> None:
    """Remove a label, from its tasks too. Raises NotFound; Forbidden (PROJECT_UPDATE)."""
    async with tx():
        label = await queries.by_ids.get_for_update(actor, label_id, Permission.PROJECT_UPDATE)
        await Label.filter(id=label.id).delete()
        emit(actor, label.org_id, LabelDeleted(subject_id=label.id, name=label.name))
