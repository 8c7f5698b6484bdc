"""Apollo Client: its automatic persisted queries."""

import pytest

from tests.clients.conftest import Given
from tests.clients.node import told


@pytest.mark.parametrize(("by_get", "method"), [(False, "POST"), (True, "GET")])
async def test_a_document_is_sent_once_and_then_its_hash(given: Given, by_get: bool, method: str) -> None:
    unique = given["slug"].replace("-", "_")

    lines = await told("apollo_persisted.mjs", **given, story="persisted", unique=unique, useGETForHashedQueries=by_get)

    assert lines == [
        {"name": "Acme", "requests": [f"{method} hash", "POST text and hash"]},
        {"name": "Acme", "requests": [f"{method} hash"]},
        {"title": "Renamed", "requests": ["POST hash", "POST text and hash"]},
        {"title": "Renamed again", "requests": ["POST hash"]},
    ]
