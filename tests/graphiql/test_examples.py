"""The example tabs of GraphiQL run as they are on the demo data, after the sign-in that the first of them is."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graph.graphiql import page
from tests.processes import Started, started

EXAMPLES = sorted((Path(page.__file__).parent / "examples").glob("*.graphql"))


@pytest.fixture(scope="module")
def dev() -> Iterator[Started]:
    """A fresh start with demo data."""
    with tempfile.TemporaryDirectory() as data, started("dev", "--port", "0", "--data", data) as running:
        yield running


def answer_to(dev: Started, example: Path, token: str | None) -> Any:
    """What the tab shows."""
    variables = example.with_suffix(".json")
    given = json.loads(variables.read_text(encoding="utf-8")) if variables.exists() else {}
    return dev.ask(example.read_text(encoding="utf-8"), token, **given)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_tab_runs_as_it_is(dev: Started, example: Path) -> None:
    token = answer_to(dev, EXAMPLES[0], None)["data"]["signIn"]["token"]

    answer = answer_to(dev, example, token)

    assert "errors" not in answer, answer
    assert all(payload.get("errors", []) == [] for payload in answer["data"].values()), answer
