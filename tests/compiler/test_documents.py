"""The operations that are kept ready: how much of them is."""

from graph.base.documents import LONGEST_CACHED, ReadyOperations
from graph.schema import schema


def test_no_name_is_kept_that_is_longer_than_a_document_may_be() -> None:
    ready = ReadyOperations(schema._schema)

    assert ready.of("query Short { __typename }", "x" * LONGEST_CACHED) is None
    assert ready.of("query Short { __typename }", "Other") is None
    assert ready.of("query Short { __typename }", "Short") is not None

    assert [name for _, name in ready._kept] == ["Other", "Short"]
