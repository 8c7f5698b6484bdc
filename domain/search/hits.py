"""What a search shows: the rows behind a ranking, read live, and what is kept of a hit to show it again later."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from domain.base.actor import Actor
from domain.base.database import fetch
from domain.base.reads import One
from domain.base.sql import Row, sql
from domain.comments import queries as comments
from domain.comments.queries import CommentRow
from domain.projects import queries as projects
from domain.projects.queries import ProjectRow
from domain.search.models import Subject
from domain.search.ranking import Ranked
from domain.search.snippets import matched, snippet, words_of
from domain.tasks import queries as tasks
from domain.tasks.queries import TaskRow

# Of what a model is given to read of a hit, in characters.
TEXT_LENGTH = 1_200

Shown = TaskRow | CommentRow | ProjectRow
# What was found: its kind and its id.
Found = tuple[Subject, UUID]

READS: dict[Subject, One[Any]] = {
    Subject.TASK: tasks.by_ids,
    Subject.COMMENT: comments.by_ids,
    Subject.PROJECT: projects.by_ids,
}


@dataclass(frozen=True)
class Hit:
    """Something that was found. Scores compare within one search, higher is better."""

    subject: Subject
    id: UUID
    score: float
    snippet: str
    """The part that matched, as plain text, at most 240 characters."""
    row: Shown
    """It, with every column, as it stood when it was shown."""
    text: str
    """More around what matched, at most 1,200 characters, for a model to read."""


async def rows_of(actor: Actor, found: Iterable[Found]) -> dict[Found, Shown]:
    """Each that the caller may see, with its row; what is gone or hidden is left out."""
    ids: dict[Subject, list[UUID]] = {}
    for subject, id in dict.fromkeys(found):
        ids.setdefault(subject, []).append(id)
    rows: dict[Found, Shown] = {}
    for subject, wanted in ids.items():
        read = READS[subject]
        rows.update(((subject, id), row) for id, row in (await read(actor, wanted, read.table.columns)).items())
    return rows


def with_rows(ranked: Sequence[Ranked], rows: Mapping[Found, Shown]) -> list[tuple[Ranked, Shown]]:
    """Each that has a row, with it."""
    return [(each, row) for each in ranked if (row := rows.get((each.subject, each.id))) is not None]


async def made(found: Sequence[tuple[Ranked, Shown]], query: str) -> list[Hit]:
    """The hits of what was found, with the part of each that matched."""
    # A hundred texts may have a hundred thousand characters each, and the loop has others to serve.
    return await asyncio.to_thread(_cut, found, await _passages(found), words_of(query))


def _cut(found: Sequence[tuple[Ranked, Shown]], passages: Mapping[UUID | None, str], words: Sequence[str]) -> list[Hit]:
    hits = []
    for ranked, row in found:
        text, passage = text_of(row), passages.get(ranked.passage_id)
        # By meaning the passage was found, unless more of the words stand elsewhere.
        if passage is not None and matched(passage, words) >= matched(text, words):
            text = passage
        hits.append(
            Hit(
                ranked.subject,
                ranked.id,
                ranked.score,
                snippet=snippet(text, words),
                row=row,
                text=snippet(text, words, most=TEXT_LENGTH),
            )
        )
    return hits


async def _passages(found: Sequence[tuple[Ranked, Shown]]) -> dict[UUID | None, str]:
    """Passage -> its text; one that there is not any more is left out."""
    ids = [ranked.passage_id for ranked, _ in found if ranked.passage_id is not None]
    if not ids:
        return {}
    # The rows are the caller's to see, and so are the passages of their organizations.
    orgs = list({row.org_id for _, row in found})
    statement = "SELECT id, text FROM search_passage WHERE id = ANY({}::uuid[]) AND org_id = ANY({}::uuid[])"
    return {row["id"]: row["text"] for row in await fetch(sql(statement, ids, orgs), Row)}


def text_of(row: Shown) -> str:
    """All that it says."""
    if isinstance(row, TaskRow):
        return f"{row.title}\n\n{row.description or ''}"
    if isinstance(row, ProjectRow):
        return f"{row.name}\n\n{row.description or ''}"
    return row.body


def kept(hit: Hit) -> dict[str, Any]:
    """What is kept of a hit, as JSON holds it. `shown` makes a hit of it again."""
    return {"subject": hit.subject.value, "id": hit.id.hex, "score": hit.score, "snippet": hit.snippet}


async def shown(actor: Actor, kept: Sequence[str]) -> dict[str, list[Hit]]:
    """Lists of hits as they are kept, as JSON text -> the hits again, with their rows of today.

    What the caller does not see any more is left out. Their `text` is the snippet: it was made for a model, and was
    read.
    """
    lists = {text: orjson.loads(text) for text in kept}
    rows = await rows_of(actor, (_found(each) for listed in lists.values() for each in listed))
    return {
        text: [
            Hit(*found, score=each["score"], snippet=each["snippet"], row=rows[found], text=each["snippet"])
            for each in listed
            if (found := _found(each)) in rows
        ]
        for text, listed in lists.items()
    }


def _found(each: Mapping[str, Any]) -> Found:
    return Subject(each["subject"]), UUID(each["id"])
