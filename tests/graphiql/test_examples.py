"""The example tabs of GraphiQL run as they are on the demo data, after the sign-in that the first of them is."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from graph.graphiql import page
from tests.processes import Started, started
from tests.sockets import opened

EXAMPLES = sorted((Path(page.__file__).parent / "examples").glob("*.graphql"))
EVENTS = next(example for example in EXAMPLES if example.stem == "5-events")
CURSOR = "query ($id: ID!) { organization(id: $id) { eventCursor } }"


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory, fill: Callable[[Path], Path]) -> Iterator[Started]:
    """A server with demo data as they are after the first start."""
    data = fill(tmp_path_factory.mktemp("graphiql") / "data")
    with started("dev", "--port", "0", "--data", str(data)) as running:
        yield running


def variables_of(example: Path) -> dict[str, Any]:
    """What is in the tab's Variables pane."""
    given = example.with_suffix(".json")
    return dict(json.loads(given.read_text(encoding="utf-8"))) if given.exists() else {}


def answer_to(dev: Started, example: Path, token: str | None) -> Any:
    """What the tab shows."""
    return dev.ask(example.read_text(encoding="utf-8"), token, **variables_of(example))


@pytest.mark.parametrize("example", [each for each in EXAMPLES if each != EVENTS], ids=lambda path: path.stem)
def test_the_tab_runs_as_it_is(dev: Started, example: Path) -> None:
    token = answer_to(dev, EXAMPLES[0], None)["data"]["signIn"]["token"]

    answer = answer_to(dev, example, token)

    assert "errors" not in answer, answer
    assert all(payload.get("errors", []) == [] for payload in answer["data"].values()), answer


async def test_the_subscription_shows_what_another_tab_does(dev: Started) -> None:
    token = answer_to(dev, EXAMPLES[0], None)["data"]["signIn"]["token"]
    given = variables_of(EVENTS)
    cursor = dev.ask(CURSOR, token, id=given["organizationId"])["data"]["organization"]["eventCursor"]

    async with opened(dev.origin.removeprefix("http://"), token) as client:
        stream = await client.run(EVENTS.read_text(encoding="utf-8"), **given, after=cursor)
        await asyncio.to_thread(answer_to, dev, EXAMPLES[2], token)
        event = await stream.data()

    assert event["type"] == "TASK_CREATED"
    assert event["subject"]["title"] == variables_of(EXAMPLES[2])["input"]["title"]
