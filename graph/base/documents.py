"""Documents: parsed and validated once each, in caches whose memory is bounded."""

from collections.abc import Iterator
from contextlib import suppress

from graphql import GraphQLError
from strawberry.extensions import ParserCache, ValidationCache

from graph.base.idempotency import NAME, OnlyOnMutations

CACHED_DOCUMENTS = 1000
# A longer one is parsed each time. 1,000 of this length take about 150 MB.
LONGEST_CACHED = 8_000


class Parsing(ParserCache):
    """The parsed document from the cache. What cannot be parsed is left to Strawberry, which parses it once more inside
    its own handling of errors; raised here it would reach the log with the document in it."""

    def __init__(self) -> None:
        super().__init__(maxsize=CACHED_DOCUMENTS)

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        if isinstance(context.query, str) and len(context.query) <= LONGEST_CACHED:
            with suppress(GraphQLError, RecursionError):
                context.graphql_document = self.cached_parse_document(context.query, **context.parse_options)
        yield


class Validation(ValidationCache):
    """The outcome of validation from the cache, for documents that are kept."""

    def __init__(self) -> None:
        super().__init__(maxsize=CACHED_DOCUMENTS)

    def on_validate(self) -> Iterator[None]:
        # GraphQL has no escapes in names: a document without the word has no such directive, and pays for no rule.
        if NAME in (self.execution_context.query or ""):
            self.execution_context.validation_rules += (OnlyOnMutations,)
        if len(self.execution_context.query or "") <= LONGEST_CACHED:
            yield from super().on_validate()
        else:
            yield
