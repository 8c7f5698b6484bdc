"""Migrations: what an operation finds of the models as they were before it."""

from tortoise import fields
from tortoise.migrations.operations import AddField, CreateModel
from tortoise.migrations.schema_generator.state import State
from tortoise.migrations.schema_generator.state_apps import StateApps

from domain.base.migrate import _State


def columns(state: State) -> list[str]:
    """The fields of the one model."""
    return sorted(state.apps.get_model("planwire.Thing")._meta.fields_map)


def test_a_copy_that_is_looked_at_late_shows_what_was_when_it_was_made() -> None:
    state = _State({}, StateApps())
    CreateModel("Thing", [("id", fields.IntField(primary_key=True))]).state_forward("planwire", state)

    copy = state.clone()
    AddField("Thing", "name", fields.TextField()).state_forward("planwire", state)

    assert columns(state) == ["id", "name"]
    assert columns(copy) == ["id"]
