"""The file of a report: its numbers read as its owner may read them, at one moment, and written to a file.

CSV is written row by row as it is read. For a PDF all that it shows is read first; a process of its own then makes it,
within limits, and is killed when the report is not wanted any more.
"""

import asyncio
from collections.abc import Callable
from io import BufferedWriter
from pathlib import Path
from uuid import UUID

import orjson
import structlog

from domain.base import confined
from domain.base.actor import Actor
from domain.base.clock import now
from domain.base.confined import Exceeded, Limits
from domain.base.errors import DomainError
from domain.base.snapshots import snapshot
from domain.identity import queries as identity
from domain.organizations import actors
from domain.organizations import queries as organizations
from domain.projects import queries as projects
from domain.reports import csv, documents, tables
from domain.reports.definitions import Asked, ReportFormat
from domain.reports.queries import Scope
from domain.reports.shapes import Document

MIB = 1024 * 1024
# Of the slowest that we saw, some ten times over. Address space is far more than what is used of it: fonts and
# libraries are mapped.
PDF_LIMITS = Limits(memory_bytes=1024 * MIB, cpu_s=120, wall_s=300.0, file_bytes=50 * MIB)
# What is told of the work: reading the numbers, then making the file.
_READ = 0.2

Tell = Callable[[float, str | None], None]
_log = structlog.get_logger("reports")


class TooLarge(DomainError):
    """The file cannot be made within the limits."""


async def write(actor: Actor, org_id: UUID, asked: Asked, folder: Path, tell: Tell) -> Path:
    """Make the report in the folder; where it lies. `tell` hears the share that is done, and what is being done.

    Raises NotFound; TooLarge; confined.Failed.
    """
    path = folder / "report"
    today = asked.period.local(now()).date()
    scope = Scope(actor, org_id, asked.project_id, asked.period, today)
    tell(0.0, "Reading the numbers.")
    if asked.format is ReportFormat.CSV:
        async with snapshot():
            await _visible(scope)
            await _write_csv(asked, scope, path, tell)
        return path
    async with snapshot():
        document = await _document(asked, scope)
    source = folder / "document.json"
    await asyncio.to_thread(source.write_bytes, orjson.dumps(document))
    tell(_READ, "Laying out the pages.")
    try:
        await confined.run(
            "domain.reports.pdf",
            (str(source), str(path)),
            PDF_LIMITS,
            tell=lambda share: tell(_READ + (1 - _READ) * float(share), None),
        )
    except Exceeded as fault:
        # It would be so again.
        _log.error("a PDF took too much", limit=fault.limit)
        raise TooLarge("This is too much for a PDF. Ask for it as CSV, or for fewer projects or days.") from fault
    return path


async def _visible(scope: Scope) -> None:
    """Raises NotFound for a project that the reader does not see."""
    if scope.project_id is not None:
        await projects.by_ids.get(scope.actor, scope.project_id)


async def _write_csv(asked: Asked, scope: Scope, path: Path, tell: Tell) -> None:
    written = 0
    with await asyncio.to_thread(path.open, "wb") as file:
        await _add(file, csv.MARK + csv.lines([tables.headings(asked.kind, asked.period)]))
        async for page in tables.pages(asked.kind, scope):
            await _add(file, csv.lines(page))
            written += len(page)
            # How many there will be is not known; each thousand is half of what is left.
            tell(1 - 0.5 ** (1 + written / 10_000), f"{written:,} rows are written.")


async def _add(file: BufferedWriter, text: str) -> None:
    await asyncio.to_thread(file.write, text.encode())


async def _document(asked: Asked, scope: Scope) -> Document:
    organization = await organizations.by_ids.get(scope.actor, scope.org_id)
    about = "All projects that are not archived"
    if scope.project_id is not None:
        project = await projects.by_ids.get(scope.actor, scope.project_id)
        about = f"{project.name} ({project.key})"
    ref = scope.actor.ref
    maker = await actors.name_of(scope.actor, (ref.kind.value, ref.id))
    facts = [
        ("Project" if scope.project_id else "Projects", about),
        ("Period", documents.span(asked.period)),
        ("Time zone", asked.period.time_zone),
        ("Made", f"{asked.period.local(now()):%Y-%m-%d %H:%M} by {maker or tables.UNKNOWN}"),
    ]
    return await documents.document(
        asked.kind, scope, facts, organization=organization.name, locale=await _locale(scope.actor)
    )


async def time_zone(actor: Actor) -> str:
    """The one that the person, or the maker of the key, has chosen."""
    found = await _preference(actor, "time_zone")
    return found or "UTC"


async def _locale(actor: Actor) -> str:
    return await _preference(actor, "locale") or "en"


async def _preference(actor: Actor, name: str) -> str | None:
    if actor.user_id is None:
        return None
    found = (await identity.preferences_of(actor, [actor.user_id], ("user_id", name))).get(actor.user_id)
    return None if found is None else str(getattr(found, name))
