"""The operations that are kept ready: how much of them is."""

from graph.base.documents import CACHED_DOCUMENTS, LONGEST_CACHED, Documents, Ready
from graph.schema import schema


def test_no_name_is_kept_that_is_longer_than_a_document_may_be() -> None:
    documents = Documents(schema)

    assert not isinstance(documents.of("query Short { __typename }", "x" * LONGEST_CACHED), Ready)
    assert not isinstance(documents.of("query Short { __typename }", "Other"), Ready)
    assert isinstance(documents.of("query Short { __typename }", "Short"), Ready)

    assert [name for _, name in documents._kept] == ["Other", "Short"]


def test_what_was_not_asked_for_longest_makes_room() -> None:
    documents = Documents(schema)

    for number in range(CACHED_DOCUMENTS):
        documents.of("{", str(number))
    documents.of("{", "0")
    documents.of("{", "one more")

    names = [name for _, name in documents._kept]
    assert len(names) == CACHED_DOCUMENTS
    assert (names[0], names[-2:]) == ("2", ["0", "one more"])
