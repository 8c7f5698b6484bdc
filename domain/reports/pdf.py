"""Makes the PDF of a report, in a process of its own: `python -m domain.reports.pdf document.json report.pdf`.

What it costs is held by the limits of that process, and it ends with the job that asked for it. It knows neither
settings nor database: all that is shown stands in the document. Its lines on standard output tell the share that is
done, from 0 to 1.
"""

import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from fpdf.enums import XPos, YPos

from domain.reports import charts
from domain.reports.fonts.files import Weight
from domain.reports.shapes import Chart, Column, Document, Table
from domain.reports.typesetting import PAGES, Sheet

MARGIN_MM = 14.0
WIDTH_MM = 210.0 - 2 * MARGIN_MM
_CHART_MM = 52.0
_ROW_MM = 5.2
_NAMES_MM = 46.0
_INK, _QUIET = (34, 34, 34), (100, 100, 100)
_STRONG, _LINE, _FILL = (31, 78, 121), (201, 206, 214), (242, 244, 247)

Tell = Callable[[float], None]


class Report(Sheet):
    """The pages of one document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        super().__init__(_texts(document), _bold_texts(document), locale=document["locale"])
        self.set_margins(MARGIN_MM, MARGIN_MM)
        self.set_auto_page_break(False)
        self.set_title(document["title"])
        self.set_creator("Planwire")

    def footer(self) -> None:
        """What this is, and which page."""
        self.set_y(-MARGIN_MM + 3)
        self._in(8, _QUIET)
        # Set apart from each other: a name that is written to the left turns nothing else.
        self.line_of(self._document["title"], 30, 4)
        self.line_of(self._document["organization"], WIDTH_MM - 60, 4)
        self.cell(30, 4, f"Page {self.page_no()} of {PAGES}", align="R")

    def make(self, tell: Tell) -> None:
        """Lay out all pages."""
        self.add_page()
        self._head()
        self._figures()
        charts.prepare()
        rows = sum(len(table["rows"]) for table in self._document["tables"])
        steps, done = len(self._document["charts"]) * 20 + rows + 1, 0
        for chart in self._document["charts"]:
            self._chart(chart)
            done += 20
            tell(done / steps)
        for table in self._document["tables"]:
            for _ in self._table(table):
                done += 1
                if done % 100 == 0:
                    tell(done / steps)
        self._in(8, _QUIET)
        for note in self._document["notes"]:
            self._room(5 * _ROW_MM)
            self.ln(2)
            self.multi_cell(WIDTH_MM, 4, note, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _in(
        self, size_pt: float, color: tuple[int, int, int] = _INK, weight: Weight = Weight.REGULAR, inset_mm: float = 0
    ) -> None:
        self.write_in(size_pt, weight)
        self.set_text_color(*color)
        self.c_margin = inset_mm

    def _room(self, height_mm: float) -> bool:
        """Begin a page where there is less room than this; whether it did."""
        if self.get_y() + height_mm <= self.h - MARGIN_MM - 2:
            return False
        self.add_page()
        return True

    def _next(self, height_mm: float) -> None:
        self.set_xy(MARGIN_MM, self.get_y() + height_mm)

    def _head(self) -> None:
        self._in(20, _STRONG, Weight.BOLD)
        self.line_of(self._document["title"], WIDTH_MM, 10)
        self._next(10)
        self._in(13, _INK, Weight.BOLD)
        self.line_of(self._document["organization"], WIDTH_MM, 7)
        self._next(8.5)
        for label, value in self._document["facts"]:
            self._in(9, _QUIET)
            self.line_of(label, 24, 4.8)
            self._in(9)
            self.line_of(value, WIDTH_MM - 24, 4.8)
            self._next(4.8)
        self.set_draw_color(*_STRONG)
        self.set_line_width(0.5)
        self.line(MARGIN_MM, self.get_y() + 2, MARGIN_MM + WIDTH_MM, self.get_y() + 2)
        self._next(5.5)

    def _figures(self) -> None:
        figures = self._document["figures"]
        if not figures:
            return
        in_row = min(len(figures), 6)
        width = (WIDTH_MM - (in_row - 1) * 3) / in_row
        self.set_fill_color(*_FILL)
        for number, (label, value) in enumerate(figures):
            if number and number % in_row == 0:
                self._next(17)
            x, y = MARGIN_MM + (number % in_row) * (width + 3), self.get_y()
            self.rect(x, y, width, 14, style="F")
            self.set_xy(x, y + 1.5)
            self._in(14, _STRONG, Weight.BOLD, inset_mm=2)
            self.line_of(value, width, 6.5)
            self.set_xy(x, y + 8)
            self._in(7.5, _QUIET, inset_mm=2)
            self.line_of(label, width, 4.5)
            self.set_xy(MARGIN_MM, y)
        self._next(18)

    def _title(self, text: str) -> None:
        self._in(11, _INK, Weight.BOLD)
        self.line_of(text, WIDTH_MM, 6)
        self._next(7)

    def _chart(self, chart: Chart) -> None:
        is_ranks = chart["kind"] == "ranks"
        height = charts.ranks_height_mm(chart) if is_ranks else _CHART_MM
        left = _NAMES_MM if is_ranks else 12.0
        self._room(height + 9)
        self._title(chart["title"])
        y = self.get_y()
        svg = charts.drawn(chart, width_mm=WIDTH_MM, height_mm=height, left_mm=left)
        self.image(io.BytesIO(svg), MARGIN_MM, y, WIDTH_MM, height)
        if is_ranks:
            self._in(8)
            first = y + charts.room_above_mm(chart)
            for number, label in enumerate(chart["labels"]):
                self.set_xy(MARGIN_MM, first + number * charts.RANK_MM)
                self.line_of(label, left - 1, charts.RANK_MM, "right")
        self.set_xy(MARGIN_MM, y)
        self._next(height + 4)

    def _table(self, table: Table) -> Iterator[None]:
        """Set the table; comes back at each row."""
        self._room(7 + 4 * _ROW_MM)
        self._title(table["title"])
        self._headings(table["columns"])
        for number, row in enumerate(table["rows"]):
            if self._room(_ROW_MM):
                self._headings(table["columns"])
            if number % 2:
                self.set_fill_color(*_FILL)
                self.rect(MARGIN_MM, self.get_y(), WIDTH_MM, _ROW_MM, style="F")
            self._in(8, inset_mm=1)
            for column, value in zip(table["columns"], row, strict=True):
                self.line_of(value, column["width_mm"], _ROW_MM, column["side"])
            self._next(_ROW_MM)
            yield
        if table["note"]:
            self._room(2 * _ROW_MM)
            self._next(1)
            self._in(8.5, _INK, Weight.BOLD)
            self.line_of(table["note"], WIDTH_MM, 5)
            self._next(5)
        self._next(5)

    def _headings(self, columns: Sequence[Column]) -> None:
        self._in(8, _STRONG, Weight.BOLD, inset_mm=1)
        for column in columns:
            self.line_of(column["title"], column["width_mm"], _ROW_MM, column["side"])
        self._next(_ROW_MM)
        self.set_draw_color(*_STRONG)
        self.set_line_width(0.3)
        self.line(MARGIN_MM, self.get_y(), MARGIN_MM + WIDTH_MM, self.get_y())
        self._next(0.4)


def _bold_texts(document: Document) -> list[str]:
    """What is set in bold, and may be of any script."""
    return [
        document["title"],
        document["organization"],
        *(value for _, value in document["figures"]),
        *(chart["title"] for chart in document["charts"]),
        *(table["title"] for table in document["tables"]),
        *(column["title"] for table in document["tables"] for column in table["columns"]),
    ]


def _texts(document: Document) -> list[str]:
    return [
        *_bold_texts(document),
        *(value for _, value in document["facts"]),
        *(label for chart in document["charts"] for label in chart["labels"]),
        *(value for table in document["tables"] for row in table["rows"] for value in row),
    ]


def main() -> None:
    """The document of the first argument as a PDF in the second."""
    source, target = map(Path, sys.argv[1:])
    with closing(Report(json.loads(source.read_text(encoding="utf-8")))) as report:
        report.make(lambda share: print(f"{share:.3f}", flush=True))  # noqa: T201  # for whoever started this
        report.output(str(target))


if __name__ == "__main__":
    main()
