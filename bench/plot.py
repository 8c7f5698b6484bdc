"""The plots of the README, as SVG text."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.measure import Figures
from bench.report import best_peer, medians
from bench.servers import OURS, SERVERS
from bench.workloads import BY_NAME

HERE = Path(__file__).resolve().parent
WIDTH, MARGIN, BAR = 760, 190, 16
INK, PALE, ACCENT, GOAL = "#3b4252", "#b8c0cc", "#2f6fde", "#c0392b"
SERIES = ("#2f6fde", "#e08a1e", "#2e9e6b")


def _svg(height: float, body: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", fill: str = INK, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" font-weight="{weight}">{text}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, color: str, dash: str = "none") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" stroke-dasharray="{dash}"/>'


def write_bars(figures: Sequence[Figures]) -> None:
    """Answers a second by the best peer's, and where Planwire is to be."""
    found, y, body = medians(figures), 24.0, []
    for name in dict.fromkeys(each.workload for each in found):
        if (best := best_peer(found, name)) is None:
            continue
        here = sorted((each for each in found if each.workload == name), key=lambda each: -each.rps)
        goal = BY_NAME[name].goal
        scale = (WIDTH - MARGIN - 110) / max(goal, here[0].rps / best.rps)
        body.append(_text(8, y, f"{name}: answers a second, best peer = 1, to reach {goal}", weight="bold"))
        top = y + 8
        for row, each in enumerate(here):
            ratio, at = each.rps / best.rps, top + row * (BAR + 4)
            color = ACCENT if each.server == OURS else PALE
            body.append(_text(MARGIN - 8, at + 12, SERVERS[each.server], anchor="end"))
            body.append(f'<rect x="{MARGIN}" y="{at:.1f}" width="{ratio * scale:.1f}" height="{BAR}" fill="{color}"/>')
            body.append(_text(MARGIN + ratio * scale + 6, at + 12, f"{ratio:.2f} ({each.rps:,.0f})"))
        end = top + len(here) * (BAR + 4)
        body.append(_line(MARGIN + goal * scale, top - 2, MARGIN + goal * scale, end, GOAL, "4 3"))
        y = end + 28
    (HERE / "plot.svg").write_text(_svg(y, body))


def write_curve(found: Mapping[int, Sequence[Figures]]) -> None:
    """Processor time of a request, server and PostgreSQL together, by the number of tasks; both scales logarithmic."""
    costs: dict[str, dict[int, float]] = {}
    for tasks, figures in found.items():
        for each in medians(figures):
            costs.setdefault(each.workload, {})[tasks] = each.server_us + each.postgres_us
    every = [math.log10(cost) for points in costs.values() for cost in points.values()]
    low, high = math.floor(min(every)), math.ceil(max(every))
    left, right, top, bottom = 80.0, WIDTH - 60.0, 40.0, 300.0
    first, last = math.log10(min(found)), math.log10(max(found))

    def x(tasks: int) -> float:
        return left + (math.log10(tasks) - first) / max(last - first, 1e-9) * (right - left)

    def y(cost: float) -> float:
        return bottom - (math.log10(cost) - low) / (high - low) * (bottom - top)

    body = [_text(8, 20, "Planwire: µs of processor a request, server and PostgreSQL, by tasks", weight="bold")]
    for power in range(low, high + 1):
        body += [_line(left, y(10**power), right, y(10**power), PALE, "2 4")]
        body += [_text(left - 8, y(10**power) + 4, f"{10**power:,}", anchor="end")]
    body += [_text(x(tasks), bottom + 20, f"{tasks:,}", anchor="middle") for tasks in found]
    for color, (name, points) in zip(SERIES, costs.items(), strict=False):
        places = [(x(tasks), y(cost)) for tasks, cost in sorted(points.items())]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
        body.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        body += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{color}"/>' for px, py in places]
        body.append(_text(places[-1][0] + 8, places[-1][1] + 4, name, fill=color, weight="bold"))
    (HERE / "curve.svg").write_text(_svg(bottom + 36, body))
