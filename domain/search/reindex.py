"""`planwire reindex`: the index made anew while everybody goes on, and the one way from a model to another.

Every document is brought to what its text and the models say now; what is right already costs a look, so one that was
interrupted goes on quickly when it is begun again. Then, where the model of the settings does not serve yet:
- its vectors are all there: those of old documents were made just now, and jobs have written those of changed ones
  beside the old model's since it was registered; what workers that still have other settings wrote is noted after it;
- its indexes are made, while writes go on;
- one transaction lets it serve, and raises the version of every organization, so that no search finds older results;
- the old model's vectors and index go, once nobody can be in the midst of a search in them.
A crash before the switch leaves the old model serving; after it, the new one, and the next run removes the rest.

Another language of words is the one thing that others wait for: the column is made anew under its table's lock.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from uuid import UUID

from domain.adapters.wiring import Adapters
from domain.base.database import Door, acting_for, execute, fetch, system, system_fetch, tx
from domain.base.database_address import owner_connected
from domain.base.migrate import check_language
from domain.base.settings import Settings
from domain.base.sql import Row, sql
from domain.search import indexing, serving, vector_indexes
from domain.search.indexing import TOGETHER
from domain.search.serving import MODELS_LOCK
from domain.search.vector_indexes import Say
from domain.search.vectors import MOST_COMPARED

_LOCK = 5_021_998_018
TELL_EVERY_S = 2.0
# A search asks which model serves, embeds its query, and looks: it has ended by then, or has been ended.
SEARCH_ENDS_S = 15.0
_REMOVED_AT_ONCE = 5_000


class CannotReindex(Exception):
    """It cannot be done now. The message is for the person at the prompt."""


@dataclass
class _Progress:
    """What was done of how much, told now and then."""

    say: Say
    documents_all: int
    began: float = field(default_factory=monotonic)
    told: float = 0.0
    documents: int = 0
    vectors: int = 0
    refused: int = 0

    def tell(self, *, is_end: bool = False) -> None:
        """Say how far it is, unless that was said a moment ago."""
        now = monotonic()
        if not is_end and now - self.told < TELL_EVERY_S:
            return
        self.told = now
        rate = self.documents / max(now - self.began, 0.001)
        refused = f", {self.refused:,} refused by the model" if self.refused else ""
        self.say(
            f"{self.documents:,} of {self.documents_all:,} documents, {self.vectors:,} vectors made{refused}; "
            f"{rate:,.0f} documents a second"
        )


async def reindex(
    settings: Settings,
    adapters: Adapters,
    *,
    say: Say,
    slug: str | None = None,
    search_ends_s: float = SEARCH_ENDS_S,
    own_from: int = MOST_COMPARED,
) -> None:
    """Make the index anew, of all organizations or of one; `say` gets lines about it.

    One organization's is only brought up to date: a model serves all or none. Raises CannotReindex; Unavailable;
    Timeout; Unreachable; SettingsError.
    """
    async with _alone(settings) as owner:
        # Refuses a slug that nobody has, before anything is done.
        await _organizations(slug)
        if slug is None and await _change_language(owner, settings, say):
            await _raise_versions(await _organizations(None))
        model = await serving.register(adapters.embeddings.model, adapters.embeddings.dimensions)
        # What came before the model may have been indexed without it.
        organizations = await _organizations(slug)
        await _bring_all(organizations, adapters, say)
        if slug is None:
            await vector_indexes.make(owner, model, organizations, say, own_from=own_from)
            if await _switch(model.name):
                say(f"{model.name} serves from now on")
                await asyncio.sleep(search_ends_s)
                await _note_lacking(await _organizations(None), model.name)
            await _remove_retired(owner, organizations, say)
        elif await owner.fetchval("SELECT state <> 'SERVING' FROM search_model WHERE name = $1", model.name):
            say(f"{model.name} serves nobody until planwire reindex has run for all organizations")


@asynccontextmanager
async def _alone(settings: Settings) -> AsyncIterator[Any]:
    """A connection of the owner, as long as no other reindex runs: ending the session gives the lock back."""
    async with owner_connected(settings) as owner:
        if not await owner.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
            raise CannotReindex("another planwire reindex is running")
        yield owner


async def _organizations(slug: str | None) -> dict[UUID, int]:
    """Organization -> how many documents it has."""
    rows = await system_fetch(
        Door.REINDEX,
        "SELECT id, (SELECT count(*) FROM search_document WHERE org_id = organization.id) AS documents "
        "FROM organization WHERE $1::text IS NULL OR slug = $1 ORDER BY id",
        slug,
    )
    if slug is not None and not rows:
        raise CannotReindex(f"there is no organization {slug}")
    return {row["id"]: row["documents"] for row in rows}


async def _change_language(owner: Any, settings: Settings, say: Say) -> bool:
    """Find words in the language of the settings; whether they were found in another one."""
    await check_language(owner, settings)
    named = "SELECT format('%I.%I', nspname, cfgname) FROM pg_ts_config c JOIN pg_namespace n ON n.oid = cfgnamespace "
    present = await owner.fetchval(f"{named} WHERE c.oid = search_language()")
    wanted = await owner.fetchval(f"{named} WHERE c.oid = $1::text::regconfig", settings.search_language)
    if present == wanted:
        return False
    say(f"words are put in {wanted}; who writes waits meanwhile")
    began = monotonic()
    async with owner.transaction():
        body = await owner.fetchval("SELECT format('SELECT %L::pg_catalog.regconfig', $1::text)", wanted)
        await owner.execute(
            "CREATE OR REPLACE FUNCTION search_language() RETURNS regconfig LANGUAGE sql IMMUTABLE PARALLEL SAFE "
            f"AS $body${body}$body$"
        )
        made = await owner.fetchval("SELECT search_words_in($1)", wanted)
        # Which makes the column's index anew as well.
        await owner.execute(f"ALTER TABLE search_document ALTER COLUMN words SET EXPRESSION AS ({made})")
        # Plans of other sessions hold the old answer of a function that never changes. This grants nothing new, but
        # what is changed of a schema makes every session plan anew.
        await owner.execute("GRANT USAGE ON SCHEMA public TO CURRENT_USER")
    await owner.execute("ANALYZE search_document")
    say(f"words are found in {wanted} after {monotonic() - began:,.0f} s")
    return True


async def _raise_versions(organizations: Iterable[UUID]) -> None:
    """Let no search find results that are kept from before."""
    for org_id in organizations:
        with acting_for([org_id]):
            await fetch(sql("SELECT raise_search_version({})", org_id), Row)


async def _bring_all(organizations: Mapping[UUID, int], adapters: Adapters, say: Say) -> None:
    progress = _Progress(say, sum(organizations.values()))
    for org_id in organizations:
        with acting_for([org_id]):
            await _bring_organization(org_id, adapters, progress)
    progress.tell(is_end=True)


async def _bring_organization(org_id: UUID, adapters: Adapters, progress: _Progress) -> None:
    last = UUID(int=0)
    while True:
        rows = await fetch(
            sql(
                "SELECT subject_id FROM search_document WHERE org_id = {} AND subject_id > {} "
                "ORDER BY subject_id LIMIT {}",
                org_id,
                last,
                TOGETHER,
            ),
            Row,
        )
        if not rows:
            return
        brought = await indexing.bring_what_is_taken([row["subject_id"] for row in rows], adapters)
        last = rows[-1]["subject_id"]
        progress.documents += len(rows)
        progress.vectors += brought.vectors
        progress.refused += len(brought.refused)
        progress.tell()


async def _switch(name: str) -> bool:
    """Let the model serve, and no other; whether it did not yet. Whoever writes vectors has ended, or comes after."""
    async with system(Door.SEARCH_SWITCH) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", MODELS_LOCK)
        await connection.execute("UPDATE search_model SET state = 'RETIRED' WHERE name <> $1", name)
        status = await connection.execute(
            "UPDATE search_model SET state = 'SERVING' WHERE name = $1 AND state <> 'SERVING'", name
        )
        is_new = bool(status == "UPDATE 1")
        if is_new:
            await connection.execute("UPDATE search_version SET version = version + 1")
    return is_new


async def _note_lacking(organizations: Iterable[UUID], name: str) -> None:
    """Note what workers that cannot ask the model have written without its vectors; cron's next look finds it."""
    for org_id in organizations:
        with acting_for([org_id]):
            async with tx():
                await execute(
                    sql(
                        "INSERT INTO search_pending (subject_id, org_id, since) "
                        "SELECT subject_id, org_id, now() - interval '1 hour' FROM search_document AS document "
                        "WHERE org_id = {} AND EXISTS (SELECT FROM search_passage AS passage "
                        "WHERE passage.subject_id = document.subject_id AND NOT EXISTS (SELECT FROM search_vector "
                        "WHERE passage_id = passage.id AND model_id = (SELECT id FROM search_model WHERE name = {}))) "
                        "FOR KEY SHARE OF document ON CONFLICT DO NOTHING",
                        org_id,
                        name,
                    )
                )


async def _remove_retired(owner: Any, organizations: Iterable[UUID], say: Say) -> None:
    """Remove the models that are retired, with their vectors and indexes."""
    for model in await owner.fetch("SELECT id, name FROM search_model WHERE state = 'RETIRED'"):
        await vector_indexes.drop(owner, model["id"])
        removed = 0
        for org_id in organizations:
            with acting_for([org_id]):
                removed += await _remove_vectors(org_id, model["id"])
        await owner.execute("DELETE FROM search_model WHERE id = $1", model["id"])
        say(f"{removed:,} vectors of {model['name']} removed")


async def _remove_vectors(org_id: UUID, model_id: int) -> int:
    """In small transactions; how many."""
    removed = 0
    while True:
        async with tx():
            gone = await execute(
                sql(
                    "DELETE FROM search_vector WHERE model_id = {} AND passage_id = ANY(ARRAY("
                    "SELECT passage_id FROM search_vector WHERE org_id = {} AND model_id = {} LIMIT {}))",
                    model_id,
                    org_id,
                    model_id,
                    _REMOVED_AT_ONCE,
                )
            )
        removed += gone
        if gone < _REMOVED_AT_ONCE:
            return removed
