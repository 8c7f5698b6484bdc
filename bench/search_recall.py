"""How much of what is nearest a search by meaning finds, and how long that takes: python -m bench.search_recall.

20 organizations of very different size share the tables and the index, as in production. Each passage is a text put
together from the words of a document of `search_quality`, with some of another's, and embedded by the local model; so
are the queries. Asked for are the 200 best documents, as each search does; the first ten are compared with all
distances of the organization. The time is that of `vectors.nearest` in one process that asks one after the other,
row-level security and all. PostgreSQL has 4 GB of buffers, which the first searches of each class fill uncounted, and
else its own settings.
"""

import argparse
import asyncio
import json
import random
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from bench.database import running_in
from domain.adapters.embeddings import Vector
from domain.adapters.embeddings_local import LocalEmbeddings
from domain.base import database
from domain.base.actor import Actor
from domain.base.clock import new_id
from domain.base.database import acting_for
from domain.base.database_address import owner_connected
from domain.base.migrate import migrate
from domain.base.settings import Settings
from domain.search import serving, vector_indexes, vectors
from domain.search.indexing import digest, written
from domain.search.models import Subject
from domain.search.ranking import MOST_RANKED
from domain.search.serving import Serving
from domain.search.vectors import MOST_COMPARED

ORGANIZATIONS = 20
# The largest has about half of everything, the smallest a thousandth.
STEEPNESS = 1.6
PASSAGES_OF_A_DOCUMENT = 3
COUNT = 10
SHARED_BUFFERS = "4GB"
AT_ONCE = 6_000
WARMING = 1_500
CORPUS = Path(__file__).parent / "search_quality" / "corpus.jsonl"
CLASSES = (
    (MOST_COMPARED + 1, f"more than {MOST_COMPARED:,}"),
    (2_001, f"2,001 to {MOST_COMPARED:,}"),
    (0, "up to 2,000"),
)


@dataclass
class Class:
    """Organizations of like size: how long each search took, and how much of what is nearest it found."""

    name: str
    organizations: int = 0
    took_ms: list[float] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)


class Texts:
    """Texts that are about something, and never the same."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311  # no secret
        lines = CORPUS.read_text(encoding="utf-8").splitlines()
        said = (" ".join(value for value in json.loads(line).values() if isinstance(value, str)) for line in lines)
        self._documents = [words for words in map(str.split, said) if len(words) >= 8]

    def made(self, least: int, most: int) -> str:
        """Words of one document, and a fifth of another's."""
        one, other = self._chance.choices(self._documents, k=2)
        length = self._chance.randint(least, most)
        return " ".join(self._chance.choices(one, k=length - length // 5) + self._chance.choices(other, k=length // 5))


def sizes(passages: int) -> list[int]:
    """How many passages each organization has, the largest first."""
    shares = [1 / (place + 1) ** STEEPNESS for place in range(ORGANIZATIONS)]
    return [max(50, round(passages * share / sum(shares))) for share in shares]


def half(vector: Vector) -> bytes:
    """A halfvec as pgvector sends and receives it."""
    return struct.pack(f">HH{len(vector)}e", len(vector), 0, *vector)


async def fill(owner: Any, model: Serving, passages: int, embeddings: LocalEmbeddings) -> None:
    """Write as many passages with their vectors."""
    texts, made = Texts(1), {new_id(): size for size in sizes(passages)}
    await owner.set_type_codec("halfvec", schema="public", encoder=half, decoder=lambda value: value, format="binary")
    # Documents are written as they would be, without their being noted as pending.
    await owner.execute("SET session_replication_role = replica")
    for org_id, size in made.items():
        await owner.execute(
            "INSERT INTO organization (id, name, slug, version, created_at, updated_at) "
            "VALUES ($1::uuid, 'Bench', $1::text, 1, now(), now())",
            org_id,
        )
        for start in range(0, size, AT_ONCE):
            await _fill_some(
                owner, org_id, model, [texts.made(15, 120) for _ in range(min(AT_ONCE, size - start))], embeddings
            )
    await owner.execute("SET session_replication_role = DEFAULT; ANALYZE")


async def _fill_some(owner: Any, org_id: UUID, model: Serving, texts: list[str], embeddings: LocalEmbeddings) -> None:
    documents = [new_id() for _ in range(-(-len(texts) // PASSAGES_OF_A_DOCUMENT))]
    ids = [new_id() for _ in texts]
    whose = [documents[place // PASSAGES_OF_A_DOCUMENT] for place in range(len(texts))]
    embedded = await embeddings.embed(texts)
    await owner.copy_records_to_table(
        "search_document",
        columns=("subject_id", "org_id", "kind", "project_id", "identifier", "title", "body"),
        records=[(each, org_id, Subject.TASK.value, org_id, "", "", "") for each in documents],
    )
    await owner.copy_records_to_table(
        "search_passage",
        columns=("id", "org_id", "subject_id", "ordinal", "text", "content_hash"),
        records=[(id, org_id, of, 0, text, digest(text)) for id, of, text in zip(ids, whose, texts, strict=True)],
    )
    await owner.copy_records_to_table(
        "search_vector",
        columns=("passage_id", "model_id", "org_id", "subject_id", "embedding"),
        records=[(id, model.model_id, org_id, of, vector) for id, of, vector in zip(ids, whose, embedded, strict=True)],
    )


async def nearest_of_all(owner: Any, org_id: UUID, model: Serving, wanted: Vector) -> set[UUID]:
    """The nearest documents, by all distances."""
    rows = await owner.fetch(
        # Without the inner SELECT the text would be read anew for each row.
        "SELECT subject_id FROM search_vector WHERE org_id = $1 AND model_id = $2 GROUP BY subject_id "
        "ORDER BY min(embedding <#> (SELECT $3::text::halfvec)) LIMIT $4",
        org_id,
        model.model_id,
        written(wanted),
        COUNT,
    )
    return {row["subject_id"] for row in rows}


async def measure(
    owner: Any, organizations: dict[UUID, int], model: Serving, searches: int, embeddings: LocalEmbeddings
) -> list[Class]:
    """Each class, from as many searches as given."""
    texts, found = Texts(2), [Class(name) for _, name in CLASSES]
    of_class: list[list[UUID]] = [[] for _ in CLASSES]
    for org_id, size in organizations.items():
        of_class[next(place for place, (least, _) in enumerate(CLASSES) if size >= least)].append(org_id)
    for each, org_ids in zip(found, of_class, strict=True):
        each.organizations = len(org_ids)
        wanted = await embeddings.embed([texts.made(4, 12) for _ in range(WARMING + searches)])
        asked = [(org_ids[place % len(org_ids)], vector) for place, vector in enumerate(wanted)] if org_ids else []
        for org_id, vector in asked[:WARMING]:
            await _timed(org_id, model, vector)
        near = [await _timed(org_id, model, vector) for org_id, vector in asked[WARMING:]]
        each.took_ms = [took_ms for took_ms, _ in near]
        # After all that is timed: a comparison reads all vectors, and would leave the processor's caches full of them.
        for (org_id, vector), (_, subjects) in zip(asked[WARMING:], near, strict=True):
            right = await nearest_of_all(owner, org_id, model, vector)
            each.recall.append(len(set(subjects) & right) / len(right))
    return found


async def _timed(org_id: UUID, model: Serving, wanted: Vector) -> tuple[float, list[UUID]]:
    """How long a search took, in milliseconds, and its best documents."""
    with acting_for([org_id]):
        began = time.perf_counter()
        near = await vectors.nearest(
            Actor.system(org_id), org_id, wanted, serving=model, kinds=list(Subject), count=MOST_RANKED
        )
        took_ms = (time.perf_counter() - began) * 1000
    return took_ms, [each.subject_id for each in near[:COUNT]]


def table(found: list[Class]) -> Iterator[str]:
    """Lines of Markdown."""
    yield "| passages of the organization | organizations | recall@10 | p50 ms | p99 ms |"
    yield "|---|---|---|---|---|"
    for each in found:
        if each.took_ms:
            cuts = quantiles(each.took_ms, n=100)
            recall = sum(each.recall) / len(each.recall)
            yield f"| {each.name} | {each.organizations} | {recall:.3f} | {cuts[49]:.1f} | {cuts[98]:.1f} |"


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[tuple[Any, LocalEmbeddings, Serving]]:
    """A connection of the owner's, the embedder, and its model, which serves."""
    embeddings = LocalEmbeddings()
    await database.connect(settings)
    try:
        async with owner_connected(settings) as owner:
            yield owner, embeddings, await serving.register(embeddings.model, embeddings.dimensions)
    finally:
        await database.disconnect()
        await embeddings.close()


async def prepare(settings: Settings, passages: int) -> None:
    """Fill and index, unless that was done before: as after `planwire reindex`, which makes the indexes last."""
    await migrate(settings)
    async with connected(settings) as (owner, embeddings, model):
        if not (found := await sizes_of(owner)):
            await fill(owner, model, passages, embeddings)
        elif list(found.values()) != sizes(passages):
            raise SystemExit(f"--data has {sum(found.values()):,} passages, and not what {passages:,} come to")
        await vector_indexes.make(owner, model, list(await sizes_of(owner)), print)
        await owner.execute("VACUUM ANALYZE search_vector")
        # At the next start. A walk that asks the kernel for each page takes twice as long.
        await owner.execute(f"ALTER SYSTEM SET shared_buffers = '{SHARED_BUFFERS}'")


async def run(settings: Settings, searches: int) -> None:
    """Measure, print."""
    async with connected(settings) as (owner, embeddings, model):
        organizations = await sizes_of(owner)
        of_indexes, of_table = await owner.fetchrow(
            "SELECT coalesce(sum(pg_relation_size(oid)), 0) / 1e6, pg_relation_size('search_vector') / 1e6 "
            "FROM pg_class WHERE relname LIKE 'search\\_vector\\_hnsw\\_%'"
        )
        print(  # noqa: T201
            f"{sum(organizations.values()):,} passages: indexes {of_indexes:,.0f} MB, vectors {of_table:,.0f} MB\n"
        )
        for line in table(await measure(owner, organizations, model, searches, embeddings)):
            print(line)  # noqa: T201


async def sizes_of(owner: Any) -> dict[UUID, int]:
    """Organization -> its passages, the largest first."""
    found = await owner.fetch("SELECT org_id, count(*) FROM search_vector GROUP BY org_id ORDER BY 2 DESC")
    return {row["org_id"]: row["count"] for row in found}


async def main() -> None:
    """Read the arguments, start the servers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--searches", type=int, default=500, help="of each class of size")
    parser.add_argument("--data", type=Path, help="keep what was filled in this directory for the next run")
    options = parser.parse_args()
    with TemporaryDirectory() as temporary:
        directory = options.data or Path(temporary)
        async with running_in(directory) as servers:
            await prepare(servers.settings, options.passages)
        async with running_in(directory) as servers:
            await run(servers.settings, options.searches)


if __name__ == "__main__":
    asyncio.run(main())
