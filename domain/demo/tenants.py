"""The two organizations of the demo, with all that is in them."""

from domain.demo import mobile_app, operations, warehouse, website
from domain.demo.ids import numbered
from domain.demo.people import HELENA, LUCAS, NGOZI, PRIYA, TOMASZ
from domain.demo.shapes import Label, Relation, Tenant
from domain.tasks.models import RelationKind

BLOCKS, RELATES_TO, DUPLICATES = RelationKind.BLOCKS, RelationKind.RELATES_TO, RelationKind.DUPLICATES

ACME = Tenant(
    id=numbered(11),
    slug="acme",
    name="Acme",
    founded="09-18",
    people=(HELENA, TOMASZ, PRIYA, LUCAS),
    labels=(
        Label("bug", "#d73a4a", "It does not do what it should."),
        Label("feature", "#1f883d", "Something that people could not do before."),
        Label("design", "#bf3989", "Needs somebody who draws."),
        Label("content", "#9a6700", "Texts and pictures."),
        Label("documentation", "#0969da", "For customers or for ourselves."),
        Label("accessibility", "#8250df", "Keyboard, screen reader, contrast, large type."),
        Label("performance", "#bc4c00", "Faster, smaller, cheaper."),
        Label("security", "#82071e", "Keys, passwords, personal data."),
        Label("infrastructure", "#57606a", "Servers, databases, builds."),
        Label("research", "#1b7c83", "Find out before building."),
    ),
    projects=(website.PROJECT, mobile_app.PROJECT, operations.PROJECT),
    relations=(
        Relation("09-22", TOMASZ, "OPS-2", BLOCKS, "OPS-3"),
        Relation("09-22", TOMASZ, "OPS-3", BLOCKS, "OPS-4"),
        Relation("09-23", TOMASZ, "WEB-3", BLOCKS, "WEB-4"),
        Relation("09-24", TOMASZ, "WEB-7", BLOCKS, "WEB-9"),
        Relation("09-24", TOMASZ, "WEB-8", BLOCKS, "WEB-9"),
        Relation("09-24", HELENA, "OPS-5", BLOCKS, "OPS-4"),
        Relation("10-01", TOMASZ, "APP-6", BLOCKS, "APP-7"),
        Relation("10-02", TOMASZ, "OPS-9", RELATES_TO, "OPS-8"),
        Relation("10-08", TOMASZ, "APP-2", BLOCKS, "APP-10"),
        Relation("10-20", HELENA, "WEB-9", BLOCKS, "WEB-14"),
        Relation("10-22", TOMASZ, "APP-19", DUPLICATES, "APP-18"),
        Relation("10-23", TOMASZ, "WEB-20", RELATES_TO, "OPS-19"),
        Relation("10-26", HELENA, "WEB-23", RELATES_TO, "WEB-22"),
        Relation("10-26", HELENA, "WEB-23", RELATES_TO, "WEB-24"),
        Relation("10-27", TOMASZ, "OPS-24", BLOCKS, "OPS-28"),
        Relation("10-27", HELENA, "APP-24", RELATES_TO, "APP-14"),
        Relation("10-28", HELENA, "APP-25", RELATES_TO, "APP-13"),
        Relation("10-29", TOMASZ, "WEB-29", RELATES_TO, "WEB-6"),
        Relation("11-02", HELENA, "APP-7", BLOCKS, "APP-29"),
        Relation("11-02", HELENA, "APP-25", BLOCKS, "APP-29"),
        Relation("11-04", TOMASZ, "APP-33", RELATES_TO, "OPS-12"),
        Relation("11-09", TOMASZ, "OPS-4", BLOCKS, "OPS-34"),
        Relation("11-09", TOMASZ, "APP-37", RELATES_TO, "OPS-30"),
        Relation("11-10", HELENA, "WEB-25", BLOCKS, "WEB-39"),
        Relation("11-10", HELENA, "WEB-29", BLOCKS, "WEB-39"),
        Relation("11-10", TOMASZ, "OPS-19", BLOCKS, "WEB-39"),
        Relation("11-11", HELENA, "WEB-2", BLOCKS, "WEB-40"),
        Relation("11-12", TOMASZ, "APP-33", BLOCKS, "APP-39"),
        Relation("11-12", TOMASZ, "APP-39", BLOCKS, "APP-29"),
        Relation("11-16", TOMASZ, "WEB-41", RELATES_TO, "WEB-19"),
        Relation("11-16", TOMASZ, "OPS-36", RELATES_TO, "OPS-35"),
        Relation("11-17", TOMASZ, "WEB-42", DUPLICATES, "WEB-41"),
    ),
)

GLOBEX = Tenant(
    id=numbered(12),
    slug="globex",
    name="Globex",
    founded="10-09",
    people=(NGOZI,),
    labels=(
        Label("defect", "#d73a4a", "Something is broken."),
        Label("process", "#0969da", "How we work."),
        Label("research", "#1b7c83", "Find out first."),
    ),
    projects=(warehouse.PROJECT,),
)

TENANTS = (ACME, GLOBEX)
