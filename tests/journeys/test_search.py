"""Searching over a real bin/dev with no key and no network: by meaning, and what was changed a moment ago."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.processes import Started, started

SIGN_IN = 'mutation { signIn(input: {email: "member@acme.test", password: "planwire-demo"}) { token errors { code } } }'
FOUND = 'mutation { organizationCreate(input: {name: "Shop", slug: "shop"}) { organization { id } errors { code } } }'
PROJECT = """mutation ($id: ID!) { projectCreate(input: {organizationId: $id, name: "Web", key: "WEB"}) {
  project { id } errors { code } } }"""
CREATE = """mutation ($id: ID!, $title: String!) { taskCreate(input: {projectId: $id, title: $title}) {
  task { id } errors { code } } }"""
UPDATE = """mutation ($id: ID!, $title: String!) { taskUpdate(id: $id, input: {title: $title}) {
  task { id } errors { code } } }"""
SEARCH = """query ($id: ID!, $query: String!, $mode: SearchMode! = HYBRID) {
  search(organizationId: $id, query: $query, mode: $mode, subjects: [TASK]) {
    nodes { snippet node { ... on Task { identifier } } } servedBy } }"""

TITLES = (
    "The warehouse roof leaks",
    "Users cannot sign in after resetting their password",
    "Invoices show a wrong tax",
)
# It takes 2 s; the machine may be busy.
PATIENCE_S = 60.0


def done(dev: Started, document: str, token: str | None = None, **variables: Any) -> Any:
    """What a mutation gives that was not refused."""
    answer = dev.ask(document, token, **variables)
    assert "errors" not in answer, answer
    (payload,) = answer["data"].values()
    assert payload.pop("errors") == []
    (value,) = payload.values()
    return value


def search(dev: Started, token: str, org_id: str, query: str, **asked: Any) -> tuple[list[str], str]:
    """The identifiers that are found, in order, and what served."""
    answer = dev.ask(SEARCH, token, id=org_id, query=query, **asked)
    assert "errors" not in answer, answer
    found = answer["data"]["search"]
    return [hit["node"]["identifier"] for hit in found["nodes"]], found["servedBy"]


def until_found(dev: Started, token: str, org_id: str, query: str, *first: str) -> None:
    """Search by meaning until these tasks are found before all others, in this order."""
    ends_at = time.monotonic() + PATIENCE_S
    while True:
        found, served_by = search(dev, token, org_id, query, mode="SEMANTIC")
        if tuple(found[: len(first)]) == first and served_by == "SEMANTIC":
            return
        assert time.monotonic() < ends_at, (found, served_by)
        time.sleep(0.1)


def test_what_is_meant_is_found_and_a_change_at_once(tmp_path: Path, fill: Callable[[Path], Path]) -> None:
    with started("--port", "0", "--data", str(fill(tmp_path / "data")), script="bin/dev") as dev:
        token = done(dev, SIGN_IN)
        org_id = done(dev, FOUND, token)["id"]
        project = done(dev, PROJECT, token, id=org_id)
        tasks = [done(dev, CREATE, token, id=project["id"], title=title) for title in TITLES]

        # By words at once, and by meaning as soon as the worker has been there.
        assert search(dev, token, org_id, "resetting passw", mode="KEYWORD") == (["WEB-2"], "KEYWORD")
        until_found(dev, token, org_id, "people can't get in", "WEB-2", "WEB-3", "WEB-1")
        assert search(dev, token, org_id, "people can't get in") == (["WEB-2", "WEB-3", "WEB-1"], "HYBRID")

        done(dev, UPDATE, token, id=tasks[0]["id"], title="Customers are locked out of their accounts")

        assert search(dev, token, org_id, "locked", mode="KEYWORD") == (["WEB-1"], "KEYWORD")
        assert search(dev, token, org_id, "roof", mode="KEYWORD") == ([], "KEYWORD")
        until_found(dev, token, org_id, "the account does not open any more", "WEB-1")
