"""Relay: what only it does, with its store and with the documents that its compiler has persisted."""

from pathlib import Path

from domain.base.settings import Settings
from tests.clients.conftest import Given, Story, compiled
from tests.clients.node import told
from tests.clients.test_clients import TITLES
from tests.ports import http_client
from tests.processes import free_port, serving


async def test_a_connection_grows_and_shrinks_by_mutations(story: Story) -> None:
    assert await story("relay", "connections") == [
        {"shown": TITLES, "more": False},
        {"shown": [*TITLES, "Appended"], "more": False},
        {"shown": TITLES, "more": False},
    ]


async def test_a_refusal_takes_back_what_was_hoped_for(story: Story) -> None:
    assert await story("relay", "optimism") == [
        {"shown": TITLES, "more": False},
        {"shown": ["Hoped for", *TITLES[1:]], "more": False},
        {"shown": TITLES, "more": False},
    ]


async def test_persisted_documents_are_all_that_an_application_needs(
    settings: Settings, given: Given, tmp_path: Path
) -> None:
    allowed = tmp_path / "allowed.json"
    allowed.write_text("{}", encoding="utf-8")
    artifacts = compiled(tmp_path, persistConfig={"file": allowed.name, "algorithm": "SHA256"})
    port = free_port()
    asked = {**given, "url": f"http://127.0.0.1:{port}/graphql", "otherUrl": given["url"], "story": "live"}

    with serving(settings, port, DOCUMENTS="persisted", DOCUMENTS_FILE=str(allowed)):
        by_name = await told("relay.mjs", **{**asked, "artifacts": str(artifacts)})
        async with http_client() as client:
            refused = (await client.post(asked["url"], json={"query": "{ __typename }"})).json()

    assert by_name == [
        {"shown": TITLES, "more": False},
        {"type": "TASK_UPDATED", "by": "Admin Acme", "title": "Renamed"},
        {"shown": ["Renamed", *TITLES[1:]], "more": False},
        {"requests": 1},
    ]
    assert [error["extensions"]["code"] for error in refused["errors"]] == ["BAD_USER_INPUT"]
    assert refused.get("data") is None
