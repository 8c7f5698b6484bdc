"""The README's example of a client that keeps a copy, run as it stands there, by Node, against a server that dies."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from domain.base.clock import frozen, now
from domain.base.settings import Settings
from domain.events import cursors
from domain.projects import service as projects
from domain.tasks import service as tasks
from tests.factories import Tenant, make_project, make_task
from tests.processes import NODE, ROOT, Started, free_port, serving

PATIENCE_S = 30
# What a test adds to the example: it tells its copy whenever that has changed.
TELL = """
let told;
setInterval(() => {
  if (!tasks) return;
  const copy = JSON.stringify({ tasks: [...tasks.values()], cursor });
  if (copy !== told) console.log((told = copy));
}, 20);
"""
TASKS = """query ($id: ID!) { tasks(organizationId: $id, first: 100) {
  nodes { id identifier title priority archivedAt state { id } assignee { id } project { id } version } } }"""


def example() -> str:
    """The example, as a reader of the README copies it."""
    (code,) = re.findall(r"^```js\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    return str(code)


class Copy:
    """The example while it runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def until(self, wanted: list[dict[str, Any]]) -> None:
        """Wait until the copy holds these tasks and no others."""
        found: Any = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while found is None or by_id(found["tasks"]) != by_id(wanted):
                    assert self._process.stdout is not None
                    line = await self._process.stdout.readline()
                    assert line, "the example ended by itself"
                    found = json.loads(line)
        except TimeoutError:
            raise AssertionError(f"the copy is {found}") from None


def by_id(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The tasks by id."""
    return {task["id"]: task for task in found}


@asynccontextmanager
async def running(code: str, tmp_path: Path, *arguments: str) -> AsyncIterator[Copy]:
    """The example, as a process of its own."""
    script = tmp_path / "copy.mjs"
    script.write_text(code + TELL, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        NODE, script, *arguments, stdout=asyncio.subprocess.PIPE, limit=1024 * 1024
    )
    try:
        yield Copy(process)
    finally:
        process.kill()
        # Not wait(), which never comes back while the pipe is full.
        await process.communicate()


async def present(server: Started, acme: Tenant) -> list[dict[str, Any]]:
    """The tasks as the server has them now."""
    answer = await asyncio.to_thread(server.ask, TASKS, acme.member.token, id=acme.id)
    found: list[dict[str, Any]] = answer["data"]["tasks"]["nodes"]
    return found


async def test_the_copy_follows_every_change_though_the_server_is_killed(
    settings: Settings, acme: Tenant, tmp_path: Path
) -> None:
    project = await make_project(acme.admin, acme)
    old, gone = [await make_task(acme.member, project, title=title) for title in ("Old", "Gone")]
    other = await make_project(acme.admin, acme, name="Given up")
    await make_task(acme.member, other, title="Goes with its project")
    port = free_port()
    url = f"http://127.0.0.1:{port}/graphql"

    with serving(settings, port) as server:
        async with running(example(), tmp_path, url, acme.member.token, acme.slug) as copy:
            await copy.until(await present(server, acme))
            async with acme.member.acting() as actor:
                await tasks.update(actor, old.id, title="Renamed", assignee_id=acme.guest.user_id)
                await tasks.delete(actor, gone.id)
            async with acme.admin.acting() as actor:
                await projects.delete(actor, other.id)
            await copy.until(await present(server, acme))

            server.end(signal.SIGKILL)
            new = await make_task(acme.member, project, title="While nobody served")
            async with acme.member.acting() as actor:
                await tasks.archive(actor, old.id)
            with serving(settings, port) as again:
                await copy.until(await present(again, acme))
                async with acme.member.acting() as actor:
                    await tasks.update(actor, new.id, title="Live again")
                await copy.until(await present(again, acme))
                last = await present(again, acme)

    assert [task["title"] for task in last] == ["Live again"]


async def test_a_copy_whose_cursor_is_too_old_is_made_anew(
    settings: Settings, address: str, acme: Tenant, tmp_path: Path
) -> None:
    project = await make_project(acme.admin, acme)
    task = await make_task(acme.member, project, title="Here all the time")
    with frozen(now() - timedelta(days=settings.event_cursor_days + 1)):
        old = cursors.write(settings, acme.org_id, 1)
    stale = f'tasks = new Map([["gone", {{ id: "gone" }}]]); id = "{acme.id}"; cursor = "{old}";'
    code = example().replace("\nrun();\n", f"\n{stale}\nrun();\n")
    assert stale in code

    async with running(code, tmp_path, f"http://{address}/graphql", acme.member.token, acme.slug) as copy:
        answer = (await acme.member.client.ok(TASKS, id=acme.id))["tasks"]["nodes"]
        await copy.until(answer)

    assert [each["title"] for each in answer] == [task.title]
