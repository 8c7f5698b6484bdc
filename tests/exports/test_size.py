"""An archive of much takes little: memory does not grow with rows or bytes, and it is told how far it is."""

import tracemalloc
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from domain.adapters.storage import attachment_key
from domain.adapters.wiring import Adapters
from domain.base.clock import now
from domain.exports.archive import zipped
from domain.exports.contents import Contents
from tests.exports.archives import make_file
from tests.factories import Tenant, execute, make_project, make_task, states_of

MIB = 1024 * 1024
MOST_MEMORY = 8 * MIB


async def test_memory_stays_while_rows_and_files_grow(
    acme: Tenant, adapters: Adapters, request: pytest.FixtureRequest
) -> None:
    is_long = request.config.getoption("--long")
    tasks, file_bytes = (100_000, 50 * MIB) if is_long else (10_000, 10 * MIB)
    await _fill(acme, adapters, tasks=tasks, file_bytes=file_bytes)
    told: list[tuple[float, str | None]] = []

    async with acme.admin.acting() as actor:
        contents = Contents(actor, acme.org_id, adapters.storage, lambda *news: told.append(news))
        tracemalloc.start()
        try:
            size = sum([len(chunk) async for chunk in zipped(contents.fill, now())])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert size > file_bytes
    assert peak < MOST_MEMORY < tasks * 1000 < file_bytes * 2.5
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert (shares[0], round(shares[-1], 6)) == (0.0, 1.0)
    # Each step is small against the whole, so somebody who looks once a second sees it go on.
    assert max(later - before for before, later in pairwise(shares)) < 0.05
    assert [message for _, message in told if message][-1] == "File 1 of 1"


async def test_memory_stays_small_however_long_the_texts_are(acme: Tenant, adapters: Adapters) -> None:
    await _fill(acme, adapters, tasks=400, file_bytes=MIB, characters=100_000)

    async with acme.admin.acting() as actor:
        contents = Contents(actor, acme.org_id, adapters.storage, lambda *_: None)
        tracemalloc.start()
        try:
            async for _ in zipped(contents.fill, now()):
                pass
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    # Of 40 MB.
    assert peak < 2 * MOST_MEMORY


async def _fill(tenant: Tenant, adapters: Adapters, *, tasks: int, file_bytes: int, characters: int = 1000) -> None:
    """So many tasks, each with a description of so many characters, and a file of so many bytes."""
    project = await make_project(tenant.admin, tenant)
    task = await make_task(tenant.admin, project)
    state_id = (await states_of(project))["Todo"]
    await execute(
        "INSERT INTO task (id, org_id, project_id, number, identifier, title, description, state_id, priority, rank, "
        "creator_kind, version, created_at, updated_at) SELECT gen_random_uuid(), $1, $2, 1000 + n, 'BIG-' || n, "
        "'Task ' || n, repeat(md5(n::text), $5), $3, 0, 'a' || n, 'SYSTEM', 1, now(), now() "
        "FROM generate_series(1, $4::int) AS n",
        *(tenant.org_id, project.id, state_id, tasks, characters // 32),
    )
    file_id = await make_file(tenant, task.id, adapters, name="big.bin", data=b"a")
    await execute("UPDATE attachment SET size_bytes = $2 WHERE id = $1", file_id, file_bytes)
    key = attachment_key(tenant.org_id, file_id)
    await adapters.storage.write(key, _blocks(file_bytes), content_type="image/png")


async def _blocks(size: int) -> AsyncIterator[bytes]:
    block = bytes(range(256)) * 256
    for _ in range(size // len(block)):
        yield block
