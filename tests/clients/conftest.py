"""What the drivers are given: an address, people, a board with tasks, and what Relay's compiler makes."""

import json
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from domain.adapters.wiring import Adapters
from domain.base.clock import now
from domain.identity import passwords
from graph.base.ids import global_id
from tests.clients.node import HERE, PATIENCE_S, told
from tests.factories import Tenant, execute, make_project, make_task
from tests.processes import NODE, ROOT

PASSWORD = "a password of somebody"  # noqa: S105
CURSOR = "query ($id: ID!) { organization(id: $id) { eventCursor } }"
Given = dict[str, Any]
Story = Callable[[str, str], Awaitable[list[Any]]]


def compiled(folder: Path, **wanted: Any) -> Path:
    """Where Relay's compiler has put what it made of relay.mjs and schema.graphql."""
    # The compiler looks into no .mjs, and names what it makes after the file.
    shutil.copy(HERE / "relay.mjs", folder / "relay.js")
    shutil.copy(ROOT / "schema.graphql", folder)
    made = folder / "made"
    made.mkdir()
    configuration = {"src": ".", "schema": "schema.graphql", "language": "javascript", "artifactDirectory": made.name}
    # CommonJS, as what it makes refers to one another without file endings.
    text = json.dumps({**configuration, "eagerEsModules": False, **wanted})
    (folder / "relay.config.json").write_text(text, encoding="utf-8")
    compiler = HERE / "node_modules" / "relay-compiler" / "cli.js"
    done = subprocess.run(  # noqa: S603
        [NODE, compiler, "--noWatchman"], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of Relay's artifacts."""
    return str(compiled(tmp_path_factory.mktemp("relay")))


@pytest.fixture
async def given(address: str, adapters: Adapters, acme: Tenant, globex: Tenant, artifacts: str) -> Given:
    """A member with a password, a project with five tasks, an admin who changes things, and a stranger's task."""
    await execute(
        "INSERT INTO credential (user_id, password_digest, updated_at) VALUES ($1, $2, $3) "
        "ON CONFLICT (user_id) DO UPDATE SET password_digest = excluded.password_digest",
        acme.member.user_id, await passwords.hashed(PASSWORD), now(),
    )  # fmt: skip
    project = await make_project(acme.admin, acme)
    tasks = [await make_task(acme.member, project, title=title) for title in ("One", "Two", "Three", "Four", "Five")]
    foreign = await make_task(globex.admin, await make_project(globex.admin, globex))
    organization = (await acme.member.client.ok(CURSOR, id=acme.id))["organization"]
    # The stories try a wrong password as well, and others have done so from this address.
    await adapters.throttle.clear(f"sign-in:network:{address.partition(':')[0]}")
    return {
        "url": f"http://{address}/graphql",
        "email": acme.member.email,
        "password": PASSWORD,
        "token": acme.member.token,
        "otherToken": acme.admin.token,
        "slug": acme.slug,
        "organizationId": acme.id,
        "projectId": global_id("project", project.id),
        "taskId": global_id("task", tasks[0].id),
        "foreignId": global_id("task", foreign.id),
        "cursor": organization["eventCursor"],
        "artifacts": artifacts,
    }


@pytest.fixture
def story(given: Given) -> Story:
    """Runs a story of a client to its end; gives what it told."""

    async def run(client: str, name: str) -> list[Any]:
        return await told(f"{client}.mjs", **given, story=name)

    return run
