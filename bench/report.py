"""What was measured, as text: the table, the curve, the memory, and on what they were measured.

A figure is the median of the rounds. What is missed is called missed.
"""

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from bench.data import Size, owner_of
from bench.database import Database
from bench.measure import Figures
from bench.servers import NODE, OURS, PEERS, SERVERS
from bench.workloads import BY_NAME
from graph.base.documents import CACHED_DOCUMENTS

README = Path(__file__).resolve().parent / "README.md"
PYTHON_PACKAGES = ("strawberry-graphql", "graphql-core", "tortoise-orm", "asyncpg", "uvicorn", "uvloop")
POSTGRES_SETTINGS = ("fsync", "synchronous_commit", "shared_buffers", "work_mem", "jit", "autovacuum")


def medians(figures: Sequence[Figures]) -> list[Figures]:
    """One of each server and workload: of every figure the median of its rounds."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for each in figures:
        groups.setdefault((each.server, each.workload), []).append(asdict(each))
    return [
        Figures(
            server=server,
            workload=workload,
            **{
                name: statistics.median(each[name] for each in group)
                for name in group[0]
                if name not in ("server", "workload")
            },
        )
        for (server, workload), group in groups.items()
    ]


def best_peer(found: Sequence[Figures], workload: str) -> Figures | None:
    """The peer with the most answers a second."""
    peers = [each for each in found if each.workload == workload and each.server != OURS]
    return max(peers, key=lambda each: each.rps, default=None)


def table(figures: Sequence[Figures]) -> str:
    """A table for each workload, in Markdown."""
    found = medians(figures)
    parts: list[str] = []
    for name in dict.fromkeys(each.workload for each in found):
        workload, best = BY_NAME[name], best_peer(found, name)
        parts.append(f"**{name}** {workload.what}; {workload.connections} connections\n")
        parts.append("| | rps | of best peer | p50 ms | p99 ms | server µs | PostgreSQL µs | server core | bytes |")
        parts.append("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
        for each in sorted((each for each in found if each.workload == name), key=lambda each: -each.rps):
            ratio = f"{each.rps / best.rps:.2f}" if best else ""
            parts.append(
                f"| {SERVERS[each.server]} | {each.rps:,.0f} | {ratio} | {each.p50_ms:.1f} | {each.p99_ms:.1f} "
                f"| {each.server_us:,.0f} | {each.postgres_us:,.0f} | {each.rps * each.server_us / 1e6:.0%} "
                f"| {each.answer_bytes:,.0f} |"
            )
        parts.append("\n" + _verdict(found, name) + "\n")
    return "\n".join(parts)


def _verdict(found: Sequence[Figures], name: str) -> str:
    ours = next((each for each in found if each.workload == name and each.server == OURS), None)
    best = best_peer(found, name)
    if ours is None or best is None:
        return "No ratio: it takes Planwire and a peer."
    ratio, goal = ours.rps / best.rps, BY_NAME[name].goal
    told = "Reached" if ratio >= goal else "**Missed**"
    return f"{told}: {ratio:.2f} times {SERVERS[best.server]}, {goal} was to be reached."


def curve(found: Mapping[int, Sequence[Figures]]) -> str:
    """Cost of a request by the number of tasks, in Markdown."""
    lines = [
        "| workload | tasks | projects | a project's | rps | p50 ms | server µs | PostgreSQL µs | both |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    rows = {tasks: {each.workload: each for each in medians(figures)} for tasks, figures in found.items()}
    first = rows[min(rows)]
    for name in first:
        for tasks, each in ((tasks, rows[tasks][name]) for tasks in sorted(rows)):
            size = Size(tasks)
            cost = (each.server_us + each.postgres_us) / (first[name].server_us + first[name].postgres_us)
            lines.append(
                f"| {name} | {tasks:,} | {size.projects:,} | {size.tasks_per_project:,} | {each.rps:,.0f} "
                f"| {each.p50_ms:.1f} | {each.server_us:,.0f} | {each.postgres_us:,.0f} | {cost:.2f} |"
            )
    return "\n".join(lines) + "\n"


def documents(memory: Sequence[tuple[int, int]]) -> str:
    """What the process held after so many distinct documents, in Markdown."""
    rows = "\n".join(f"| {count:,} | {held / 2**20:.1f} |" for count, held in memory)
    _, last = memory[-1]
    full = next((held for count, held in memory if count >= 2 * CACHED_DOCUMENTS), last)
    return (
        f"| distinct documents | MiB |\n|---:|---:|\n{rows}\n\n"
        f"{(last - full) / 2**20:+.1f} MiB since twice as many documents as the cache holds ({CACHED_DOCUMENTS:,}).\n"
    )


def disturbance(figures: Sequence[Figures]) -> str:
    """How much of the machine went to others while it was measured."""
    others = sorted(each.others for each in figures)
    return (
        f"What is no part of it took {statistics.median(others):.2f} cores meanwhile (median of all stretches; "
        f"{others[-1]:.2f} in the worst)."
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _node() -> str:
    return subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


async def machine(database: Database) -> str:
    """On what it was measured."""
    owner = await owner_of(database.settings, "postgres")
    try:
        version = await owner.fetchval("SHOW server_version")
        settings = [f"{name} {await owner.fetchval(f'SHOW {name}')}" for name in POSTGRES_SETTINGS]
    finally:
        await owner.close()
    peers = json.loads((PEERS / "package.json").read_text())["dependencies"]
    ours = [f"{name} {importlib.metadata.version(name)}" for name in PYTHON_PACKAGES]
    return (
        f"{_cpu()}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"{platform.system()} {platform.release()}. PostgreSQL {version} over a unix socket: {', '.join(settings)}. "
        f"Python {platform.python_version()}: {', '.join(ours)}. Node {_node()}: "
        f"{', '.join(f'{name} {version}' for name, version in peers.items())}."
    )


def keep(section: str, text: str) -> None:
    """Put the text into its place in the README, between the two marks that bear its name."""
    begin, end = f"<!-- {section} -->", f"<!-- end of {section} -->"
    head, found, rest = README.read_text().partition(begin)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{README.name} has no place for {section}")
    README.write_text(f"{head}{begin}\n{text.strip()}\n{end}{tail}")
