"""Lists of projects: their orders, pages and what they leave out."""

from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from domain.base.clock import frozen
from domain.base.errors import BadInput
from domain.base.paging import PageRequest
from domain.base.reads import KEYS
from domain.billing.plans import Plan
from domain.projects import queries
from domain.projects import service as projects
from tests.factories import Tenant, make_project, rows, set_plan, statements

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)

PAGE = """
query ($id: ID!, $first: Int, $after: String, $archived: Boolean, $orderBy: [ProjectOrder!]) {
  organization(id: $id) {
    projects(first: $first, after: $after, includeArchived: $archived, orderBy: $orderBy) {
      nodes { name }
      totalCount
      pageInfo { hasNextPage hasPreviousPage endCursor }
    }
  }
}
"""
BOARDS = """
query ($id: ID!) {
  organization(id: $id) {
    projects(first: 100) {
      nodes {
        key progress viewerPermissions
        organization { slug }
        lead { name }
        states { name taskCount allowedNext { name } tasks(first: 5) { nodes { title } totalCount } }
        taskCounts { count state { name color } }
        tasks(first: 5) { nodes { title } totalCount }
      }
      totalCount
    }
  }
}
"""


async def make_mixture(tenant: Tenant) -> None:
    """Six projects with equal names, equal days and none."""
    days = [date(2026, 3, 1), None, date(2026, 1, 1), None, date(2026, 3, 1), date(2026, 2, 1)]
    names = ["Zebra", "apple", "Mango", "APPLE", "mango", "Éclair"]
    for number, (name, day) in enumerate(zip(names, days, strict=True)):
        with frozen(NOON + timedelta(minutes=number % 3)):
            await make_project(tenant.member, tenant, name=name, target_date=day)


def asked(*, first: int = 2, after: str | None = None, sorts: list[tuple[str, bool]]) -> PageRequest:
    return queries.asked(first=first, after=after, include_archived=False, sorts=sorts)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("names", [(), *permutations(queries.SORTS, 1), *permutations(queries.SORTS, 2)])
async def test_pages_of_every_order_show_each_project_once_nulls_last(
    acme: Tenant, names: tuple[str, ...], descending: bool
) -> None:
    await make_mixture(acme)
    everything = await rows("SELECT * FROM project WHERE org_id = $1 ORDER BY id", acme.org_id)
    sorts = [(name, descending) for name in names]

    seen: list[Any] = []
    after = None
    async with acme.guest.acting() as actor:
        for _ in range(3):
            request = asked(after=after, sorts=sorts)
            page = (await queries.of_organizations(actor, [acme.org_id], ("id", KEYS), request))[acme.org_id]
            seen.extend(row.id for row in page.rows)
            after = page.cursor(page.rows[-1])

    assert not page.has_next
    expected = everything
    for name, down in reversed(sorts or [("NAME", False)]):
        if name == "NAME":
            expected = sorted(expected, key=lambda row: row["name"].lower().encode(), reverse=down)
            # Python keeps equals in order also in reverse; so does the database with the id behind.
        elif name == "TARGET_DATE":
            given = [row for row in expected if row["target_date"] is not None]
            missing = [row for row in expected if row["target_date"] is None]
            expected = [*sorted(given, key=lambda row: row["target_date"], reverse=down), *missing]
        else:
            expected = sorted(expected, key=lambda row: row[name.lower()], reverse=down)
    assert seen == [row["id"] for row in expected]


async def test_archived_projects_are_listed_only_when_asked_for(acme: Tenant) -> None:
    kept, away = [await make_project(acme.member, acme, name=name) for name in ("Kept", "Away")]
    async with acme.member.acting() as actor:
        await projects.archive(actor, away.id)

    plain = await acme.guest.client.ok(PAGE, id=acme.id, first=10)
    everything = await acme.guest.client.ok(PAGE, id=acme.id, first=10, archived=True)

    assert plain["organization"]["projects"]["nodes"] == [{"name": kept.name}]
    assert plain["organization"]["projects"]["totalCount"] == 1
    assert everything["organization"]["projects"]["nodes"] == [{"name": "Away"}, {"name": "Kept"}]
    assert everything["organization"]["projects"]["totalCount"] == 2


async def test_the_list_goes_on_after_its_cursor(acme: Tenant) -> None:
    for name in ("Alpha", "Beta", "Gamma"):
        await make_project(acme.member, acme, name=name)
    order = [{"field": "NAME", "direction": "DESC"}]

    first = (await acme.guest.client.ok(PAGE, id=acme.id, first=2, orderBy=order))["organization"]["projects"]
    end = first["pageInfo"].pop("endCursor")
    second = (await acme.guest.client.ok(PAGE, id=acme.id, first=2, after=end, orderBy=order))["organization"]

    assert first == {
        "nodes": [{"name": "Gamma"}, {"name": "Beta"}],
        "totalCount": 3,
        "pageInfo": {"hasNextPage": True, "hasPreviousPage": False},
    }
    assert second["projects"]["nodes"] == [{"name": "Alpha"}]
    assert second["projects"]["pageInfo"]["hasNextPage"] is False


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"first": 0}, ["first"]),
        ({"first": 101}, ["first"]),
        ({"after": "nonsense"}, ["after"]),
        ({"orderBy": [{"field": "NAME"}, {"field": "NAME", "direction": "DESC"}]}, ["orderBy"]),
    ],
)
async def test_a_list_that_cannot_be_is_refused(acme: Tenant, values: dict[str, Any], path: list[str]) -> None:
    answer = await acme.guest.client.run(PAGE, **{"id": acme.id, "first": 1, **values})

    assert answer.codes == ["BAD_USER_INPUT"]
    assert answer.errors[0]["extensions"]["path"] == path


async def test_a_cursor_of_another_list_is_refused(acme: Tenant) -> None:
    await make_project(acme.member, acme)
    async with acme.guest.acting() as actor:
        page = (await queries.of_organizations(actor, [acme.org_id], ("id", KEYS), asked(sorts=[])))[acme.org_id]
    cursor = page.cursor(page.rows[0])

    with pytest.raises(BadInput, match="another order or filter"):
        asked(after=cursor, sorts=[("NAME", True)])
    with pytest.raises(BadInput, match="another order or filter"):
        queries.asked(first=1, after=cursor, include_archived=True, sorts=[])


async def test_a_strangers_projects_are_in_no_list(acme: Tenant, globex: Tenant) -> None:
    await make_project(acme.member, acme)

    async with globex.admin.acting() as actor:
        pages = await queries.of_organizations(actor, [acme.org_id, globex.org_id], ("id",), asked(sorts=[]))
        totals = await queries.of_organizations.totals(actor, [acme.org_id, globex.org_id], asked(sorts=[]))

    assert {org_id: page.rows for org_id, page in pages.items()} == {acme.org_id: [], globex.org_id: []}
    assert totals == {}


async def test_boards_of_any_number_of_projects_take_the_same_statements(acme: Tenant) -> None:
    await set_plan(acme.org_id, Plan.BUSINESS)
    counts = []
    made = 0

    for number in (1, 10, 100):
        for _ in range(number - made):
            await make_project(acme.member, acme, lead_id=acme.admin.user_id)
        made = number
        with statements() as sent:
            data = await acme.member.client.ok(BOARDS, id=acme.id)
        counts.append(len(sent))
        assert len(data["organization"]["projects"]["nodes"]) == number

    assert counts[0] == counts[1] == counts[2]
