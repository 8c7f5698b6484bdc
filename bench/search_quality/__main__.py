"""How good a search is: nDCG@10 of the judged queries, by words, by meaning and by both.

`python -m bench.search_quality` starts embedded servers, writes the corpus through the services, indexes it with the
embedder of this machine, asks every query, and prints the table; `--write` keeps it in bench/README.md. The README.md
beside this says what the set is and how it counts.
"""

import argparse
import asyncio
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any
from uuid import UUID

from bench.report import keep
from domain.adapters.wiring import Adapters
from domain.base import database, telemetry
from domain.base.embedded import running
from domain.base.migrate import migrate
from domain.base.settings import load
from domain.billing.plans import Plan
from domain.comments import service as comments
from domain.comments.queries import CommentRow
from domain.projects.queries import ProjectRow
from domain.search import indexing
from domain.search.ranking import Mode
from domain.search.service import search
from tests import factories

SET = Path(__file__).resolve().parent
PLACES = 10
# Several hits may be one task's: itself and its comments.
HITS = 100


@dataclass(frozen=True)
class Corpus:
    """The firm, as it was written: whose it is, and what each row is called in the set."""

    tenant: factories.Tenant
    names: Mapping[UUID, str]


def lines_of(name: str) -> list[dict[str, Any]]:
    """The lines of a file of the set."""
    return [json.loads(line) for line in (SET / name).read_text(encoding="utf-8").splitlines()]


def ndcg(found: Sequence[str], judged: Mapping[str, int]) -> float:
    """How much of what was looked for stands how far up, from 0 to 1. Source: Järvelin and Kekäläinen, 2002."""
    best = sorted(judged.values(), reverse=True)[:PLACES]
    return _gain([judged.get(name, 0) for name in found[:PLACES]]) / _gain(best)


def _gain(grades: Sequence[int]) -> float:
    return math.fsum((2**grade - 1) / math.log2(place + 2) for place, grade in enumerate(grades))


async def write_corpus() -> Corpus:
    """Write the corpus as people would have, comments after all tasks."""
    tenant = await factories.make_tenant("quality")
    await factories.set_plan(tenant.org_id, Plan.BUSINESS)
    names: dict[UUID, str] = {}
    keys: dict[str, ProjectRow] = {}
    for line in lines_of("corpus.jsonl"):
        text = {"description": line["description"] or None}
        if line["kind"] == "project":
            row = await factories.make_project(tenant.member, tenant, key=line["id"], name=line["title"], **text)
            keys[line["id"]], names[row.id] = row, line["id"]
            continue
        task = await factories.make_task(tenant.member, keys[line["project"]], title=line["title"], **text)
        if task.identifier != line["id"]:
            raise ValueError(f"{line['id']} became {task.identifier}")
        names[task.id] = line["id"]
        async with tenant.member.acting() as actor:
            for comment in line["comments"]:
                await comments.create(actor, task.id, body=comment["text"])
    return Corpus(tenant, names)


async def index(corpus: Corpus, adapters: Adapters) -> None:
    """Embed all of it at once."""
    waiting = [row["subject_id"] for row in await factories.rows("SELECT subject_id FROM search_pending")]
    async with corpus.tenant.member.acting():
        for start in range(0, len(waiting), indexing.TOGETHER):
            await indexing.bring(waiting[start : start + indexing.TOGETHER], adapters)


async def found_by(corpus: Corpus, adapters: Adapters, query: str, mode: Mode) -> list[str]:
    """What the search finds, by the names of the set. A comment counts for its task; each counts once."""
    async with corpus.tenant.member.acting() as actor:
        found = await search(
            actor,
            corpus.tenant.org_id,
            query,
            cache=adapters.cache,
            embedder=adapters.embeddings_for,
            mode=mode,
            first=HITS,
        )
    if found.served_by is not mode:
        raise RuntimeError(f"{mode} was served by {found.served_by}")
    ids = [hit.row.task_id if isinstance(hit.row, CommentRow) else hit.id for hit in found.hits]
    return list(dict.fromkeys(corpus.names[id] for id in ids))


async def measure(adapters: Adapters) -> dict[str, dict[Mode, list[float]]]:
    """Kind of query -> mode -> what each query of the kind gets."""
    corpus = await write_corpus()
    await index(corpus, adapters)
    scores: dict[str, dict[Mode, list[float]]] = {}
    for line in lines_of("queries.jsonl"):
        of_kind = scores.setdefault(line["kind"], {mode: [] for mode in Mode})
        for mode in Mode:
            found = await found_by(corpus, adapters, line["query"], mode)
            of_kind[mode].append(ndcg(found, line["judged"]))
    return scores


def table(scores: Mapping[str, Mapping[Mode, Sequence[float]]]) -> str:
    """The means by kind, and of all queries, in Markdown."""
    everything = {mode: [score for of_kind in scores.values() for score in of_kind[mode]] for mode in Mode}
    lines = [f"| queries | | {' | '.join(mode.value for mode in Mode)} |", "|---|---:|---:|---:|---:|"]
    for kind, of_kind in [*scores.items(), ("**all**", everything)]:
        cells = " | ".join(f"{fmean(of_kind[mode]):.3f}" for mode in Mode)
        lines.append(f"| {kind} | {len(of_kind[Mode.HYBRID])} | {cells} |")
    return "\n".join(lines)


async def run() -> str:
    """The table, from servers of its own."""
    with tempfile.TemporaryDirectory() as name:
        async with running(Path(name)) as servers:
            settings = replace(
                load({}, data_dir=Path(name)),
                database_url=servers.database_url,
                redis_url=servers.redis_url,
                log_level="warning",
            )
            telemetry.configure(settings)
            await migrate(settings)
            await database.connect(settings)
            await factories.connect(settings)
            adapters = Adapters.of(settings)
            try:
                return table(await measure(adapters))
            finally:
                await adapters.close()
                await factories.disconnect()
                await database.disconnect()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.search_quality", description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the table in bench/README.md")
    asked = parser.parse_args()
    text = asyncio.run(run())
    if asked.write:
        keep("quality", text)
    print(text)  # noqa: T201


if __name__ == "__main__":
    main()
