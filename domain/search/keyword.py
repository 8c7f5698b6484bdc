"""Finding by words: what PostgreSQL's index of words has, and tasks by their identifiers."""

from collections.abc import Sequence
from uuid import UUID

from domain.base.database import fetch
from domain.base.sql import Row, Sql, sql
from domain.search.models import Subject
from domain.search.ranking import MOST_RANKED, Ranked, in_order
from domain.search.scope import Scope
from domain.search.wanted import Wanted, quoted, stems

# When all of the words find fewer, what has some of them is worth showing too.
LITTLE = 10
# How many are looked at that have one of several words: what a word finds beyond them it says little of.
MOST_OF_A_WORD = 1_000
# The beginning of nearly everything: it would be looked for among all words of all organizations.
_LEAST_BEGINNING = 2


class _Found(Row):
    subject_id: UUID
    kind: str
    score: float


async def by_words(scope: Scope, wanted: Wanted) -> list[Ranked]:
    """What has all of the words, the best first; where that is little, what has some of them follows.

    Scores of what has all are from 1 to 2, of what has some from 0 to 1: rare words count for more than frequent ones.
    """
    if not wanted.terms and wanted.beginning is None:
        return []
    found = await _ranked(
        sql(
            "SELECT found.subject_id, found.kind, 1 + found.score / (1 + found.score) AS score "
            "FROM (SELECT {} AS query) AS asked CROSS JOIN LATERAL {} AS found WHERE {}",
            _whole(wanted),
            _looked_up(scope, sql("asked.query"), MOST_RANKED),
            # Words that say nothing, such as `the`, are in no index: without any other everything would be found.
            sql("EXISTS (SELECT FROM unnest({}) AS term WHERE numnode(term) > 0)", _terms(wanted)),
        )
    )
    if len(found) >= LITTLE:
        return found
    known = {each.id for each in found}
    return in_order([*found, *(each for each in await _by_any_word(scope, wanted) if each.id not in known)])


async def _by_any_word(scope: Scope, wanted: Wanted) -> list[Ranked]:
    return await _ranked(
        sql(
            "WITH term AS (SELECT number, query FROM unnest({}) WITH ORDINALITY AS term(query, number) "
            "WHERE numnode(query) > 0), "
            "found AS MATERIALIZED (SELECT term.number, found.* FROM term CROSS JOIN LATERAL {} AS found), "
            "weight AS (SELECT number, 1 + ln({} / greatest(count(found.number), 1)) AS weight "
            "FROM term LEFT JOIN found USING (number) GROUP BY number) "
            "SELECT subject_id, kind, "
            "sum(weight * (0.75 + 0.25 * score / (1 + score))) / (SELECT sum(weight) FROM weight) AS score "
            "FROM found JOIN weight USING (number) GROUP BY subject_id, kind ORDER BY 3 DESC, 1 LIMIT {}",
            _terms(wanted),
            _looked_up(scope, sql("term.query && {}", _without(wanted)), MOST_OF_A_WORD),
            float(MOST_OF_A_WORD),
            MOST_RANKED,
        )
    )


async def by_identifier(scope: Scope, identifiers: Sequence[str]) -> list[UUID]:
    """The tasks that bear one of the identifiers, and then those that bore one before; none that is put away."""
    if not identifiers or Subject.TASK not in scope.kinds:
        return []
    statement = sql(
        "SELECT task.id, false AS former FROM task "
        "WHERE task.org_id = {} AND task.identifier = ANY({}::text[]) AND {} "
        "UNION ALL SELECT task.id, true FROM task_identifier JOIN task ON task.id = task_identifier.task_id "
        "WHERE task_identifier.org_id = {} AND task_identifier.identifier = ANY({}::text[]) AND {} ORDER BY former, id",
        *(scope.org_id, list(identifiers), _kept_tasks(scope)) * 2,
    )
    return list(dict.fromkeys(row["id"] for row in await fetch(statement, Row)))


def _kept_tasks(scope: Scope) -> Sql:
    return sql("task.archived_at IS NULL AND ({}::uuid IS NULL OR task.project_id = {}::uuid)", *[scope.project_id] * 2)


def _looked_up(scope: Scope, query: Sql, most: int) -> Sql:
    kinds = [kind.value for kind in scope.kinds]
    return sql(
        "search_words({}::uuid, {}, {}::text[], {}::uuid, {})", scope.org_id, query, kinds, scope.project_id, most
    )


def _whole(wanted: Wanted) -> Sql:
    whole = sql("websearch_to_tsquery(search_language(), {}::text)", wanted.whole)
    if wanted.beginning is None:
        return whole
    return sql(f"({{}} {'||' if wanted.is_choice else '&&'} {{}})", whole, _beginning(wanted.beginning))


def _beginning(word: str) -> Sql:
    mark = ":*" if len(word) >= _LEAST_BEGINNING else ""
    return sql("to_tsquery(search_language(), {}::text)", quoted(word) + mark)


def _terms(wanted: Wanted) -> Sql:
    """The words and phrases, each by itself; for an unfinished one counts what dictionaries may have left of it too."""
    terms = sql("ARRAY(SELECT phraseto_tsquery(search_language(), word) FROM unnest({}::text[]) AS word)", wanted.terms)
    if wanted.beginning is None:
        return terms
    left = " | ".join(map(quoted, stems(wanted.beginning)))
    return sql(
        "array_append({}, {} || to_tsquery('pg_catalog.simple', {}::text))", terms, _beginning(wanted.beginning), left
    )


def _without(wanted: Wanted) -> Sql:
    """Holds for what has none of what is to be left out."""
    return sql("!! websearch_to_tsquery(search_language(), {}::text)", " or ".join(map(_phrase, wanted.without)))


def _phrase(text: str) -> str:
    return '"' + text.replace('"', " ") + '"'


async def _ranked(statement: Sql) -> list[Ranked]:
    rows = await fetch(statement, _Found)
    # The first thing that has one word of five says little of the query, however far up it stands.
    return in_order([Ranked(Subject(row.kind), row.subject_id, row.score, weight=min(row.score, 1.0)) for row in rows])
