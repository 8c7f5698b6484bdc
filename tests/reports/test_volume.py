"""What many tasks take. `--long` has the 100,000 that we promise."""

import asyncio
import pickle
import sys
from itertools import product
from pathlib import Path

import pytest

from domain.base.settings import Settings
from domain.reports.definitions import ReportFormat, ReportKind
from tests.factories import Tenant, execute, make_project, states_of

SHORT, LONG = 1_000, 100_000
MOST_MB = 300

_TASKS = """
INSERT INTO task (id, org_id, project_id, number, identifier, title, state_id, priority, assignee_id, due_date,
  estimate, rank, creator_kind, completed_at, version, created_at, updated_at)
SELECT gen_random_uuid(), $1, $2, n, 'WEB-' || n, repeat('Title of a task that is rather long ', 4) || n,
  CASE n % 3 WHEN 0 THEN $3::uuid WHEN 1 THEN $4::uuid ELSE $5::uuid END, n % 5, CASE n % 2 WHEN 0 THEN $6::uuid END,
  date '2026-01-01' + n % 400, n % 13, 'z' || lpad(n::text, 9, '0'), 'SYSTEM',
  CASE n % 3 WHEN 2 THEN timestamptz '2026-06-01' + n % 100 * interval '1 day' END, 1,
  timestamptz '2026-01-01' + n % 150 * interval '1 day', now() FROM generate_series(1, $7::int) AS n
"""
_EVENTS = """
INSERT INTO event (id, org_id, seq, type, occurred_at, actor_kind, project_id, subject_kind, subject_id, data, digest)
SELECT gen_random_uuid(), org_id, 1000 + 3 * number + step,
  CASE step WHEN 0 THEN 'TASK_CREATED' ELSE 'TASK_TRANSITIONED' END,
  created_at + step * interval '3 days', 'SYSTEM', project_id, 'task', id, CASE step
    WHEN 0 THEN json_build_object('identifier', identifier, 'state_id', $2::uuid)
    WHEN 1 THEN json_build_object('state_id', json_build_object('was', $2::uuid, 'now', $3::uuid))
    ELSE json_build_object('state_id', json_build_object('was', $3::uuid, 'now', state_id)) END, ''
FROM task CROSS JOIN generate_series(0, 2) AS step WHERE org_id = $1
"""


async def test_the_process_stays_small(
    acme: Tenant, settings: Settings, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    is_long = request.config.getoption("--long")
    number = LONG if is_long else SHORT
    project = await make_project(acme.admin, acme)
    states = await states_of(project)
    todo, doing, done = states["Todo"], states["In progress"], states["Done"]
    await execute(_TASKS, acme.org_id, project.id, todo, doing, done, acme.member.user_id, number)
    await execute(_EVENTS, acme.org_id, todo, doing)
    await execute("ANALYZE task")
    await execute("ANALYZE event")
    what = tmp_path / "what"
    wanted = list(product(ReportKind, reversed(ReportFormat) if is_long else (ReportFormat.CSV,)))
    what.write_bytes(pickle.dumps((settings, acme.org_id, acme.member.user_id, tmp_path, wanted)))

    maker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.reports.making", str(what)), stdout=asyncio.subprocess.PIPE
    )
    told, _ = await maker.communicate()

    assert maker.returncode == 0
    lines = [line.split() for line in told.decode().splitlines()]
    assert [(kind, format) for kind, format, *_ in lines] == [(kind.value, format.value) for kind, format in wanted]
    for kind, format, own_mb, childrens_mb, size in lines:
        print(f"{number:,} tasks, {kind} as {format}: {own_mb} MB here, {childrens_mb} MB beside, {size} bytes")  # noqa: T201
        assert int(own_mb) < MOST_MB
        assert int(childrens_mb) < MOST_MB
    (whole,) = [int(size) for kind, format, *_, size in lines if (kind, format) == ("PROJECT_STATUS", "CSV")]
    assert whole > number * 150
