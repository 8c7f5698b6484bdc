"""The quality set of the search: that it is whole, and that its paraphrases are paraphrases. It needs no database."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

SET = Path(__file__).resolve().parents[2] / "bench" / "search_quality"
KINDS = {"exact", "words", "prefix", "paraphrase", "question", "typo", "other language", "comment", "broad"}
LEAST_QUERIES = 60
LONGEST_QUERY = 500
STOPWORDS = set(
    "a about after again also an and are as at be been before being but by can cannot could did do does every for "
    "from had has have having how i if in into is it its me must my no not of off on once one or our out so still "
    "than that the their them then there they this to too up was we went were what when where which who whose why "
    "will with without you".split()
)
# Words of which one begins like the other count as one: counted and counts, till and tills.
SHORTEST_STEM = 4
LONGEST_STEM = 5


def lines_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SET / name).read_text(encoding="utf-8").splitlines()]


def content_words(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.lower()) if word not in STOPWORDS and len(word) > 1}


def are_one(left: str, right: str) -> bool:
    length = min(len(left), len(right), LONGEST_STEM)
    return left == right or (length >= SHORTEST_STEM and left[:length] == right[:length])


DOCUMENTS = lines_of("corpus.jsonl")
QUERIES = lines_of("queries.jsonl")
TITLES = {document["id"]: document["title"] for document in DOCUMENTS}
PARAPHRASES = [(query["query"], query["judged"]) for query in QUERIES if query["kind"] == "paraphrase"]


def test_every_document_has_the_fields_of_its_kind() -> None:
    shared = {"id": str, "kind": str, "project": str, "title": str, "description": str}
    fields = {"task": {**shared, "comments": list}, "project": shared}

    for document in DOCUMENTS:
        assert {name: type(value) for name, value in document.items()} == fields[document["kind"]]
        assert document["title"]
        for comment in document.get("comments", []):
            assert set(comment) == {"author", "text"}
            assert all(comment.values())


def test_ids_are_unique_and_tasks_are_numbered_as_planwire_would_number_them() -> None:
    numbers: Counter[str] = Counter()

    for document in DOCUMENTS:
        project = document["project"]
        numbers[project] += document["kind"] == "task"
        assert document["id"] == (project if document["kind"] == "project" else f"{project}-{numbers[project]}")

    assert len(TITLES) == len(DOCUMENTS)
    assert len({query["id"] for query in QUERIES}) == len(QUERIES)
    assert len({query["query"].casefold() for query in QUERIES}) == len(QUERIES)


def test_no_two_descriptions_are_alike() -> None:
    descriptions = [document["description"] for document in DOCUMENTS if document["description"]]

    assert len(set(descriptions)) == len(descriptions)


def test_there_are_enough_queries_of_every_kind() -> None:
    kinds = Counter(query["kind"] for query in QUERIES)

    assert len(QUERIES) >= LEAST_QUERIES
    assert set(kinds) == KINDS
    assert 0.25 <= (kinds["paraphrase"] + kinds["question"]) / len(QUERIES) <= 0.45


def test_every_query_is_judged_by_grades_of_documents_that_exist() -> None:
    for query in QUERIES:
        assert set(query) == {"id", "query", "kind", "judged"}
        assert 1 <= len(query["query"]) <= LONGEST_QUERY
        assert set(query["judged"]) <= set(TITLES), query["id"]
        assert set(query["judged"].values()) <= {1, 2, 3}, query["id"]
        assert 3 in query["judged"].values(), query["id"]


@pytest.mark.parametrize(("text", "judged"), PARAPHRASES, ids=[text for text, _ in PARAPHRASES])
def test_a_paraphrase_shares_no_content_word_with_what_it_looks_for(text: str, judged: dict[str, int]) -> None:
    titles = [TITLES[document] for document, grade in judged.items() if grade == 3]

    shared = {(a, b) for title in titles for a in content_words(text) for b in content_words(title) if are_one(a, b)}

    assert shared == set()


def test_what_a_comment_query_looks_for_stands_in_a_comment_alone() -> None:
    by_id = {document["id"]: document for document in DOCUMENTS}

    for query in QUERIES:
        if query["kind"] == "comment":
            (task,) = [by_id[document] for document, grade in query["judged"].items() if grade == 3]
            said = content_words(" ".join(comment["text"] for comment in task["comments"]))
            told = content_words(f"{task['title']} {task['description']}")
            assert content_words(query["query"]) & (said - told), query["id"]
