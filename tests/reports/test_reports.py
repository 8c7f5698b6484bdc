"""reportCreate, and what the worker makes of it: files from the numbers as their owner may see them."""

import csv as standard
from collections.abc import AsyncIterator
from dataclasses import replace
from io import StringIO
from typing import Any
from uuid import UUID

import psutil
import pypdfium2
import pytest

from domain.adapters.storage import result_key
from domain.adapters.wiring import Adapters
from domain.base.permissions import Role
from domain.base.settings import Settings
from domain.reports import documents, files
from graph.base.ids import global_id, parse_id
from jobs import reports
from jobs.reactions import Reactions
from tests.base.test_confined import is_gone
from tests.factories import Person, Tenant, events, execute, make_member, make_project, make_task, rows
from tests.jobs.crew import until
from tests.jobs.working import working
from tests.reports import sample

REACTIONS = Reactions(events={}, accounts={}, listeners={}, rows=(reports.make,), inbound=(), lines=())
CREATE = """mutation ($input: ReportCreateInput!) {
  reportCreate(input: $input) { job { id kind status } errors { code message path } } }"""
TO_THE_END = ("SUCCEEDED", "FAILED", "CANCELED")


def asked(tenant: Tenant, **values: Any) -> dict[str, Any]:
    """The variables of CREATE."""
    given = {"kind": "PROJECT_STATUS", "format": "CSV", "from": "2026-11-01", "to": "2026-11-30", **values}
    return {"input": {"organizationId": tenant.id, **given}}


async def created(person: Person, tenant: Tenant, **values: Any) -> str:
    """The id of the job."""
    payload = await person.client.done(CREATE, **asked(tenant, **values))
    assert (payload["job"]["kind"], payload["job"]["status"]) == ("REPORT", "QUEUED")
    return str(parse_id(payload["job"]["id"], "job"))


async def job(job_id: str) -> dict[str, Any]:
    """Its row."""
    (found,) = await rows("SELECT * FROM job WHERE id = $1", job_id)
    return found


async def ended(job_id: str) -> dict[str, Any]:
    """Its row, once it has ended."""

    async def has_ended() -> bool:
        return (await job(job_id))["status"] in TO_THE_END

    await until(has_ended)
    return await job(job_id)


async def content(adapters: Adapters, row: dict[str, Any]) -> bytes:
    """The file that it has left."""
    return b"".join([part async for part in adapters.storage.read(result_key(row["org_id"], row["claim"]))])


@pytest.fixture
async def worker(settings: Settings, adapters: Adapters) -> AsyncIterator[None]:
    """A worker that makes reports."""
    async with working(settings, adapters, REACTIONS):
        yield


async def test_csv_has_every_task_as_text(acme: Tenant, adapters: Adapters, worker: None) -> None:
    project = await make_project(acme.admin, acme, name="=cmd|' /C calc'!A0")
    await execute("UPDATE preferences SET time_zone = 'Asia/Tokyo' WHERE user_id = $1", acme.member.user_id)
    for title in ("=1+1", 'Größe, "neu"\nund 山', "Plain"):
        await make_task(acme.member, project, title=title, assignee_id=acme.member.user_id, estimate=5)

    row = await ended(await created(acme.member, acme))

    assert (row["status"], row["message"]) == ("SUCCEEDED", None)
    assert row["result_filename"] == "project-status-2026-11-01-2026-11-30.csv"
    text = (await content(adapters, row)).decode("utf-8-sig")
    lines = list(standard.DictReader(StringIO(text, newline="")))
    assert [line["Title"] for line in lines] == ["'=1+1", 'Größe, "neu"\nund 山', "Plain"]
    assert {line["Project"] for line in lines} == {"'=cmd|' /C calc'!A0"}
    assert {(line["Assignee"], line["Estimate"], line["Overdue"]) for line in lines} == {("Member Acme", "5", "no")}
    assert "Created (Asia/Tokyo)" in lines[0]


@pytest.mark.parametrize("kind", ["PROJECT_STATUS", "THROUGHPUT", "WORKLOAD"])
@pytest.mark.parametrize("format", ["CSV", "PDF"])
async def test_each_kind_is_made_of_one_project_and_of_all(
    acme: Tenant, adapters: Adapters, worker: None, kind: str, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MOST_TASKS", 3)
    project = await make_project(acme.admin, acme, name="Website")
    empty = await make_project(acme.admin, acme, name="Nothing yet")
    for number in range(5):
        await make_task(acme.member, project, title=f"Task {number}", assignee_id=acme.member.user_id)
    ids = [await created(acme.member, acme, kind=kind, format=format)]
    for each in (project, empty):
        ids.append(await created(acme.member, acme, kind=kind, format=format, projectId=global_id("project", each.id)))

    made = [await ended(job_id) for job_id in ids]

    assert [(row["status"], row["message"]) for row in made] == [("SUCCEEDED", None)] * 3
    for row in made:
        data = await content(adapters, row)
        assert len(data) == row["result_size_bytes"]
        if format == "CSV":
            assert data.startswith(b"\xef\xbb\xbf")
            assert data.endswith(b"\r\n")
        else:
            assert row["result_type"] == "application/pdf"
            text = "".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(data))
            assert "Acme" in text
            assert "by Member Acme" in text
            assert ("2 more tasks are not shown here." in text) == (kind == "PROJECT_STATUS" and row is not made[2])


async def test_throughput_as_csv_has_a_line_for_each_week(acme: Tenant, adapters: Adapters, worker: None) -> None:
    row = await ended(await created(acme.member, acme, kind="THROUGHPUT"))

    lines = list(standard.reader(StringIO((await content(adapters, row)).decode("utf-8-sig"), newline="")))
    assert [line[0] for line in lines] == ["Week", *(f"2026-W{week}" for week in range(44, 50))]
    assert lines[1][1:5] == ["2026-11-01", "2026-11-01", "0", "0"]


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"from": "2026-12-01"}, ["input", "to"]),
        ({"from": "2025-11-29"}, ["input", "to"]),
        ({"from": "1969-12-31", "to": "1970-01-01"}, ["input", "from"]),
    ],
)
async def test_days_that_make_no_period_are_refused(acme: Tenant, values: dict[str, str], path: list[str]) -> None:
    (error,) = await acme.member.client.refused(CREATE, **asked(acme, **values))

    assert (error["code"], error["path"]) == ("INVALID", path)
    assert await rows("SELECT FROM job WHERE org_id = $1", acme.org_id) == []


async def test_a_project_of_another_organization_is_not_found(acme: Tenant, globex: Tenant) -> None:
    # Somebody of both, who sees the project.
    await execute(
        "INSERT INTO membership (id, org_id, user_id, role, created_at, updated_at) "
        "VALUES (gen_random_uuid(), $1, $2, 'MEMBER', now(), now())",
        globex.org_id, acme.member.user_id,
    )  # fmt: skip
    project = await make_project(globex.admin, globex)

    for person in (acme.member, acme.admin):
        answer = await person.client.run(CREATE, **asked(acme, projectId=global_id("project", project.id)))

        assert answer.codes == ["NOT_FOUND"]

    assert await rows("SELECT FROM job WHERE org_id = $1", acme.org_id) == []


async def test_a_guest_may_not(acme: Tenant) -> None:
    answer = await acme.guest.client.run(CREATE, **asked(acme))

    assert answer.codes == ["FORBIDDEN"]
    assert await rows("SELECT FROM job WHERE org_id = $1", acme.org_id) == []
    assert await events(acme.org_id) == []


async def test_who_lost_the_permission_or_has_left_gets_nothing(
    acme: Tenant, settings: Settings, adapters: Adapters
) -> None:
    leaver = await make_member(acme.org_id, Role.MEMBER, "Lea Leaver")
    ids = [await created(acme.member, acme), await created(leaver, acme)]
    await execute(
        "UPDATE membership SET role = 'GUEST' WHERE org_id = $1 AND user_id = $2", acme.org_id, acme.member.user_id
    )
    await execute(
        "UPDATE membership SET ended_at = now() WHERE org_id = $1 AND user_id = $2", acme.org_id, leaver.user_id
    )

    async with working(settings, adapters, REACTIONS):
        demoted, gone = [await ended(job_id) for job_id in ids]

    assert (demoted["status"], demoted["message"]) == ("FAILED", "This needs the permission REPORT_CREATE.")
    assert (gone["status"], gone["message"]) == ("FAILED", "There is no such member.")
    assert [each async for each in adapters.storage.list(f"org/{acme.org_id}/")] == []


async def test_a_project_that_is_gone_by_then_ends_the_job(
    acme: Tenant, settings: Settings, adapters: Adapters
) -> None:
    project = await make_project(acme.admin, acme)
    job_id = await created(acme.member, acme, projectId=global_id("project", project.id))
    await execute("DELETE FROM project WHERE id = $1", project.id)

    async with working(settings, adapters, REACTIONS):
        row = await ended(job_id)

    assert (row["status"], row["message"]) == ("FAILED", "There is no such project.")


async def test_what_is_too_much_for_a_pdf_fails_once_and_says_so(
    acme: Tenant, worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PDF_LIMITS", replace(files.PDF_LIMITS, cpu_s=1))

    async def much(*_arguments: Any, **_values: Any) -> Any:
        return sample.document(rows=20_000)

    monkeypatch.setattr(files, "_document", much)

    row = await ended(await created(acme.member, acme, format="PDF"))

    assert (row["status"], row["attempts"]) == ("FAILED", 1)
    assert row["message"] == "This is too much for a PDF. Ask for it as CSV, or for fewer projects or days."


async def test_cancelling_kills_the_process_that_draws(
    acme: Tenant, worker: None, monkeypatch: pytest.MonkeyPatch, adapters: Adapters
) -> None:
    async def endless(*_arguments: Any, **_values: Any) -> Any:
        return sample.document(rows=50_000)

    monkeypatch.setattr(files, "_document", endless)
    job_id = await created(acme.member, acme, format="PDF")
    found: list[int] = []

    async def is_drawing() -> bool:
        children = psutil.Process().children(recursive=True)
        found[:] = [child.pid for child in children if "domain.reports.pdf" in " ".join(child.cmdline())]
        return bool(found)

    await until(is_drawing)
    document = "mutation ($id: ID!) { jobCancel(id: $id) { job { status } errors { code } } }"
    payload = await acme.member.client.done(document, id=global_id("job", UUID(job_id)))
    assert payload["job"]["status"] == "CANCELED"

    async def has_gone() -> bool:
        return all(map(is_gone, found))

    await until(has_gone)
    assert [each async for each in adapters.storage.list(f"org/{acme.org_id}/")] == []
