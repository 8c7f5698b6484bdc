"""Labels of an organization."""

from tortoise import fields

from domain.base.models import OrgModel


class Label(OrgModel):
    """A name and a color that tasks are marked with."""

    name = fields.TextField()
    color = fields.TextField()
    description = fields.TextField(null=True)

    class Meta:
        table = "label"
