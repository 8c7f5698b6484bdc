"""The charts of a PDF report, drawn by matplotlib as vectors. Only the process that makes a PDF imports this.

The shades differ in lightness as much as in color, so that they can be told apart in grey print. Names that people
wrote are not drawn here, but by the PDF, which knows how to set every script: `ranks` leaves room for them.
"""

import io
from collections.abc import Sequence
from datetime import date
from typing import Any

import matplotlib
from matplotlib import font_manager, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from domain.reports.fonts.files import COMMON, Weight
from domain.reports.shapes import Chart, Series

INK, PALE = "#333333", "#d9dde2"
SHADES = ("#1f4e79", "#e3a02f", "#8fb8de", "#6b6b6b", "#c9ced6")
_MM = 1 / 25.4
RANK_MM = 6.0
"""The height of one bar of `ranks`."""


def prepare() -> None:
    """Choose the font and how text gets into the drawing: as outlines, since a PDF knows nothing of SVG's fonts."""
    font_manager.fontManager.addfont(str(COMMON.file(Weight.REGULAR)))
    matplotlib.rcParams.update(
        {
            "font.family": "Noto Sans",
            "font.size": 7.5,
            "text.color": INK,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "axes.linewidth": 0.6,
            "xtick.color": INK,
            "ytick.color": INK,
            "xtick.major.width": 0.6,
            "ytick.major.size": 0,
            "svg.fonttype": "path",
            "svg.hashsalt": "planwire",
        }
    )


def drawn(chart: Chart, *, width_mm: float, height_mm: float, left_mm: float) -> bytes:
    """The chart as SVG of this size, with `left_mm` of room before its axis."""
    figure = Figure(figsize=(width_mm * _MM, height_mm * _MM))
    top_mm = 7.0 if len(chart["series"]) > 1 else 2.0
    bottom_mm = 7.0 if chart["kind"] != "ranks" else 5.0
    axes = figure.add_axes(
        (
            left_mm / width_mm,
            bottom_mm / height_mm,
            1 - (left_mm + 2.0) / width_mm,
            1 - (bottom_mm + top_mm) / height_mm,
        )
    )
    _DRAW[chart["kind"]](axes, chart)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)
    if len(chart["series"]) > 1:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=len(chart["series"]), frameon=False, borderaxespad=0.2,
            borderpad=0.1, handlelength=1.1, handleheight=0.9, columnspacing=1.6,
        )  # fmt: skip
    found = io.BytesIO()
    # Nothing about the drawing itself: fpdf2 would warn of it.
    figure.savefig(found, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return found.getvalue()


def room_above_mm(chart: Chart) -> float:
    """How far below the upper edge the first bar of `ranks` begins."""
    return 7.0 if len(chart["series"]) > 1 else 2.0


def ranks_height_mm(chart: Chart) -> float:
    """How high `ranks` has to be for its labels."""
    return room_above_mm(chart) + len(chart["labels"]) * RANK_MM + 5.0


def _values(series: Series) -> list[float]:
    return [float("nan") if value is None else value for value in series["values"]]


def _whole_numbers(axis: Any) -> None:
    axis.set_major_locator(ticker.MaxNLocator(nbins=5, integer=True, min_n_ticks=1))


def _upright(axes: Axes, chart: Chart) -> None:
    """Grid, unit and a zero line for what is read from below."""
    axes.grid(axis="y", color=PALE, linewidth=0.6)
    axes.set_ylabel(chart["unit"])
    axes.set_ylim(0, max(axes.get_ylim()[1] * 1.02, 1))
    axes.spines["left"].set_visible(False)


def _places(axes: Axes, labels: Sequence[str]) -> range:
    """The places of the labels; of many only some are named."""
    places = range(len(labels))
    step = -(-len(labels) // 14) or 1
    axes.set_xticks(list(places[::step]), list(labels[::step]))
    axes.set_xlim(-0.6, len(labels) - 0.4)
    return places


def _bars(axes: Axes, chart: Chart) -> None:
    places = _places(axes, chart["labels"])
    width = 0.8 / len(chart["series"])
    for number, series in enumerate(chart["series"]):
        left = [place - 0.4 + (number + 0.5) * width for place in places]
        axes.bar(left, _values(series), width * 0.92, color=SHADES[number], label=series["name"])
    _upright(axes, chart)
    _whole_numbers(axes.yaxis)


def _lines(axes: Axes, chart: Chart) -> None:
    places = _places(axes, chart["labels"])
    for number, series in enumerate(chart["series"]):
        shade = SHADES[number // 2]
        style = ("-", (0, (3, 1.5)))[number % 2]
        axes.plot(
            places, _values(series), color=shade, linestyle=style, linewidth=1.3, marker="os"[number % 2],
            markersize=3, label=series["name"],
        )  # fmt: skip
    _upright(axes, chart)
    axes.yaxis.set_major_locator(ticker.MaxNLocator(nbins=5))


def _areas(axes: Axes, chart: Chart) -> None:
    days = [date.fromisoformat(label) for label in chart["labels"]]
    # A single day is drawn as one that lasts.
    places = list(range(max(len(days), 2)))
    rows = [_values(series) * (2 if len(days) == 1 else 1) for series in chart["series"]]
    names = [series["name"] for series in chart["series"]]
    axes.stackplot(places, rows, labels=names, colors=SHADES[: len(rows)], edgecolor="white", linewidth=0.4)
    step = -(-len(days) // 10)
    axes.set_xticks(list(range(0, len(days), step)), [f"{day.day} {day:%b}" for day in days[::step]])
    axes.set_xlim(places[0], places[-1])
    _upright(axes, chart)
    _whole_numbers(axes.yaxis)


def _ranks(axes: Axes, chart: Chart) -> None:
    places = list(range(len(chart["labels"])))
    behind = [0.0] * len(places)
    for number, series in enumerate(chart["series"]):
        values = _values(series)
        axes.barh(places, values, 0.66, left=behind, color=SHADES[number], label=series["name"])
        behind = [before + value for before, value in zip(behind, values, strict=True)]
    for place, whole in zip(places, behind, strict=True):
        axes.annotate(f"{whole:,.0f}", (whole, place), (2, -0.3), textcoords="offset points", va="center")
    axes.set_ylim(len(places) - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_xlim(0, max([*behind, 1]) * 1.08)
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="x", length=0)
    _whole_numbers(axes.xaxis)


_DRAW = {"bars": _bars, "lines": _lines, "areas": _areas, "ranks": _ranks}
