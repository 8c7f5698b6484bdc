"""A newcomer's first day, over HTTP against a real bin/dev: from signing up to a moved task, and a killed server."""

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Started, started


@pytest.fixture
def data(tmp_path: Path) -> str:
    """A data directory of its own."""
    return str(tmp_path / "data")


def payload(answer: dict[str, Any]) -> Any:
    """The payload of a single mutation that must have no error."""
    assert "errors" not in answer, answer
    (found,) = answer["data"].values()
    assert found["errors"] == []
    return found


def sign_up(dev: Started) -> str:
    """A new account; its token."""
    document = """
        mutation($input: SignUpInput!) { signUp(input: $input) { token viewer { email } errors { code path } } }
    """
    signed_up = payload(
        dev.ask(document, input={"email": " New@Day.test ", "password": "a long first one", "name": "Nora New"})
    )
    assert signed_up["viewer"] == {"email": "new@day.test"}
    return str(signed_up["token"])


def test_from_signing_up_to_a_moved_task_and_past_a_killed_server(data: str) -> None:
    with started("--port", "0", "--data", data, script="bin/dev") as dev:
        token = sign_up(dev)
        organization = payload(
            dev.ask(
                'mutation { organizationCreate(input: {name: "Day", slug: "day"}) '
                "{ organization { id viewerRole } errors { code } } }",
                token,
            )
        )["organization"]
        project = payload(
            dev.ask(
                'mutation($o: ID!) { projectCreate(input: {organizationId: $o, name: "Launch"}) '
                "{ project { id key states { id name } } errors { code } } }",
                token,
                o=organization["id"],
            )
        )["project"]
        states = {state["name"]: state["id"] for state in project["states"]}
        task = payload(
            dev.ask(
                'mutation($p: ID!) { taskCreate(input: {projectId: $p, title: "Say hello"}) '
                "{ task { id identifier state { name } version } errors { code } } }",
                token,
                p=project["id"],
            )
        )["task"]
        moved = payload(
            dev.ask(
                "mutation($t: ID!, $s: ID!) { taskMove(id: $t, input: {stateId: $s}, ifVersion: 1) "
                "{ task { state { name } completedAt version } errors { code } } }",
                token,
                t=task["id"],
                s=states["Done"],
            )
        )["task"]
        dev.end(signal.SIGKILL)

    assert organization["viewerRole"] == "ADMIN"
    assert list(states) == ["Backlog", "Todo", "In progress", "Done", "Canceled"]
    assert task == {"id": task["id"], "identifier": "LAU-1", "state": {"name": "Todo"}, "version": 1}
    assert moved["state"] == {"name": "Done"}
    assert moved["completedAt"] is not None
    assert moved["version"] == 2

    with started("--port", "0", "--data", data, script="bin/dev") as dev:
        after = dev.ask(
            '{ task(organizationSlug: "day", identifier: "lau-1") { id state { name } version } viewer { email } }',
            token,
        )
        stranger = dev.ask(
            'mutation { signIn(input: {email: "admin@globex.test", password: "planwire-demo"}) '
            "{ token errors { code } } }"
        )
        seen = dev.ask("query($t: ID!) { task(id: $t) { id } }", payload(stranger)["token"], t=task["id"])
        status, took_s = dev.end(signal.SIGTERM)

    assert after["data"] == {
        "task": {"id": task["id"], "state": {"name": "Done"}, "version": 2},
        "viewer": {"email": "new@day.test"},
    }
    assert seen["data"] == {"task": None}
    assert "errors" not in seen
    assert status == 0
    assert took_s < 5
