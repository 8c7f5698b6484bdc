"""The shape of what a PDF shows, as JSON takes it to the process that makes the file."""

from collections.abc import Sequence
from typing import Literal, TypedDict

Side = Literal["left", "right"]


class Series(TypedDict):
    """What is drawn in one shade: a value for each label, None where there is none."""

    name: str
    values: Sequence[float | None]


class Chart(TypedDict):
    """What one chart shows.

    bars: beside each other at each label. lines: over the labels. areas: on top of each other over days, which the
    labels tell as ISO dates. ranks: a bar for each label that lies, its series behind each other.
    """

    kind: Literal["bars", "lines", "areas", "ranks"]
    title: str
    unit: str
    labels: Sequence[str]
    series: Sequence[Series]


class Column(TypedDict):
    """A column of a table: its heading, its share of the width, and where its text stands."""

    title: str
    width_mm: float
    side: Side


class Table(TypedDict):
    """A table that goes on over pages. `note` stands below it."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    note: str


class Document(TypedDict):
    """All that a report shows. `facts` are lines of label and value, `figures` the numbers to begin with."""

    title: str
    organization: str
    locale: str
    facts: Sequence[tuple[str, str]]
    figures: Sequence[tuple[str, str]]
    charts: Sequence[Chart]
    tables: Sequence[Table]
    notes: Sequence[str]
