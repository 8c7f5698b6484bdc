"""aiImageCreate, and the picture that the job leaves in our storage: for whoever asked, as long as the job lasts."""

import base64
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.adapters.storage import result_key
from domain.adapters.wiring import Adapters
from domain.ai import budget, images
from domain.ai.images import KEPT_FOR
from domain.base.actor import Actor
from domain.base.clock import now
from domain.base.database import acting_for
from domain.base.permissions import Role
from domain.base.settings import Settings
from domain.work import service as work
from domain.work import upkeep
from graph.base.ids import parse_id
from jobs import images as image_jobs
from jobs.reactions import Reactions
from tests.ai.answering import Service, used
from tests.client import GraphQL
from tests.factories import Person, Tenant, execute, make_member, rows
from tests.jobs.crew import hurry, until
from tests.jobs.working import working
from tests.openai.pictures import PNG, drawn
from tests.organizations.test_api_keys import make_key
from tests.ports import http_client
from tests.transport.files import own

REACTIONS = Reactions(events={}, accounts={}, listeners={}, rows=(image_jobs.draw,), inbound=(), lines=())
CREATE = """mutation ($org: ID!, $prompt: String!) { aiImageCreate(organizationId: $org, prompt: $prompt) {
  image { id prompt url createdAt job { id kind status } } errors { code message path ... on LimitError { feature } }
} }"""
IMAGES = """{ viewer { generatedImages(first: 10) { totalCount nodes {
  id prompt url job { status message resultUrl } } } } }"""
TO_THE_END = ("SUCCEEDED", "FAILED", "CANCELED")


async def asked(person: Person, tenant: Tenant, prompt: str = "A red dot") -> UUID:
    """The id of the job of a picture that the person asks for."""
    payload = await person.client.done(CREATE, org=tenant.id, prompt=prompt)
    assert payload["image"]["url"] is None
    return parse_id(payload["image"]["job"]["id"], "job")


async def listed(person: Person) -> list[dict[str, Any]]:
    """The person's pictures as a client sees them."""
    found: list[dict[str, Any]] = (await person.client.ok(IMAGES))["viewer"]["generatedImages"]["nodes"]
    return found


async def job(job_id: UUID) -> dict[str, Any]:
    """The row."""
    (found,) = await rows("SELECT * FROM job WHERE id = $1", job_id)
    return found


async def ended(settings: Settings, service: Service, job_id: UUID) -> dict[str, Any]:
    """The row of the job, once a worker has done it."""

    async def has_ended() -> bool:
        return (await job(job_id))["status"] in TO_THE_END

    async with working(settings, service.adapters, REACTIONS):
        await until(has_ended)
    return await job(job_id)


async def nothing_came_of_it(tenant: Tenant, service: Service) -> bool:
    """Whether there is no picture, no job, no charge and no question to the model."""
    found = await rows("SELECT id FROM generated_image WHERE org_id = $1", tenant.org_id)
    found += await rows("SELECT id FROM job WHERE org_id = $1", tenant.org_id)
    return found == [] and await used(tenant.org_id) == 0 and service.asked == []


@pytest.mark.parametrize(("format", "type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
async def test_a_picture_is_drawn_and_lies_in_our_storage(
    acme: Tenant, settings: Settings, service: Service, format: str, type: str
) -> None:
    service.fake.picture = {"b64_json": base64.b64encode(drawn(format)).decode()}
    job_id = await asked(acme.member, acme, " A red dot ")

    row = await ended(settings, service, job_id)

    assert (row["status"], row["message"], row["result_type"]) == ("SUCCEEDED", None, type)
    (image,) = await listed(acme.member)
    assert (image["prompt"], image["job"]["status"]) == ("A red dot", "SUCCEEDED")
    assert f"results/{row['claim']}" in image["url"]
    stored = service.adapters.storage.read(result_key(acme.org_id, row["claim"]))
    assert b"".join([part async for part in stored]) == drawn(format)
    assert [each.body["prompt"] for each in service.asked] == ["A red dot"]
    assert await used(acme.org_id) == budget.IMAGE_TOKENS + 3


async def test_a_picture_is_shown_in_place_and_what_the_job_left_is_saved(
    acme: Tenant, settings: Settings, service: Service, address: str
) -> None:
    await ended(settings, service, await asked(acme.member, acme))
    (image,) = await listed(acme.member)

    async with http_client(base_url=f"http://{address}", trust_env=False) as http:
        shown, saved = [await http.get(own(url)) for url in (image["url"], image["job"]["resultUrl"])]

    assert (shown.content, shown.headers["content-disposition"].split(";")[0]) == (PNG, "inline")
    assert saved.headers["content-disposition"].split(";")[0] == "attachment"


async def test_a_picture_is_its_makers_alone(acme: Tenant, settings: Settings, service: Service) -> None:
    await ended(settings, service, await asked(acme.admin, acme))
    (image,) = await listed(acme.admin)
    key = GraphQL((await make_key(acme)).secret)

    assert await listed(acme.member) == []
    assert (await key.ok(IMAGES))["viewer"]["generatedImages"]["nodes"] == []
    node = "query ($id: ID!) { node(id: $id) { id } }"
    assert (await acme.member.client.ok(node, id=image["id"]))["node"] is None
    assert (await acme.admin.client.ok(node, id=image["id"]))["node"] == {"id": image["id"]}

    # What they may do less today shows at once, and who has left sees nothing any more.
    membership = "UPDATE membership SET {} WHERE user_id = $1"
    await execute(membership.format("role = 'GUEST'"), acme.admin.user_id)
    assert [each["url"] for each in await listed(acme.admin)] == [None]
    await execute(membership.format("ended_at = now()"), acme.admin.user_id)
    assert await listed(acme.admin) == []


async def test_a_picture_lasts_90_days_and_its_job_with_it(acme: Tenant, settings: Settings, service: Service) -> None:
    row = await ended(settings, service, await asked(acme.member, acme))
    system, storage = Actor.system(acme.org_id), service.adapters.storage

    with acting_for([acme.org_id]):
        before = await upkeep.clean(system, now() + KEPT_FOR - timedelta(hours=1), storage)
        (image,) = await listed(acme.member)
        after = await upkeep.clean(system, now() + KEPT_FOR + timedelta(hours=1), storage)

    assert (before, after) == ((0, 0), (1, 1))
    assert image["url"] is not None
    assert await listed(acme.member) == []
    assert await storage.stat(result_key(acme.org_id, row["claim"])) is None


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"how": "fail", "status": 400, "code": "moderation_blocked"}, "the image service answers 400"),
        ({"how": "answer", "body": b'{"data": [{"b64_json": "PHN2Zz4="}]}', "times": 3}, "The image service gave a"),
    ],
    ids=["refused", "no picture"],
)
async def test_what_is_not_drawn_says_why_and_costs_nothing(
    acme: Tenant, settings: Settings, service: Service, how: dict[str, Any], message: str
) -> None:
    service.fake.fault(path="generations", **how)
    job_id = await asked(acme.member, acme)

    # Not to be waited for: the pauses between attempts.
    async def hurried() -> bool:
        await hurry(acme.org_id)
        return str((await job(job_id))["status"]) == "FAILED"

    async with working(settings, service.adapters, REACTIONS):
        await until(hurried)

    assert (await job(job_id))["message"].startswith(message)
    assert [(each["url"], each["job"]["resultUrl"]) for each in await listed(acme.member)] == [(None, None)]
    assert await used(acme.org_id) == 0


async def test_a_picture_that_is_canceled_while_it_is_drawn_is_charged(
    acme: Tenant, settings: Settings, service: Service
) -> None:
    stalled = service.fake.fault("stall", path="generations")
    job_id = await asked(acme.member, acme)

    async with working(settings, service.adapters, REACTIONS):
        await stalled.struck.wait()
        async with acme.member.acting() as actor:
            await work.cancel(actor, job_id)
        await service.asked[0].hung_up.wait()

    assert await used(acme.org_id) == budget.IMAGE_TOKENS + 3


@pytest.mark.parametrize("change", ["role = 'GUEST'", "ended_at = now()"], ids=["no AI_USE", "left"])
async def test_nothing_is_drawn_for_who_may_not_any_more(
    acme: Tenant, settings: Settings, service: Service, change: str
) -> None:
    job_id = await asked(acme.member, acme)
    await execute(f"UPDATE membership SET {change} WHERE user_id = $1", acme.member.user_id)

    row = await ended(settings, service, job_id)

    assert (row["status"], row["claim"] is None or row["result_filename"] is None) == ("FAILED", True)
    assert (service.asked, await used(acme.org_id)) == ([], 0)


async def test_nothing_is_drawn_when_the_tokens_were_spent_meanwhile(
    acme: Tenant, settings: Settings, service: Service
) -> None:
    job_id = await asked(acme.member, acme)
    await execute(
        "INSERT INTO ai_usage (id, org_id, month, tokens) "
        "VALUES (gen_random_uuid(), $1, date_trunc('month', now() AT TIME ZONE 'UTC'), 50000)",
        acme.org_id,
    )

    row = await ended(settings, service, job_id)

    assert (row["status"], service.asked) == ("FAILED", [])
    assert row["message"].startswith("The plan has 50,000 AI tokens a month")


async def test_where_no_model_is_set_up_nothing_is_asked_for(acme: Tenant, adapters: Adapters) -> None:
    errors = await acme.member.client.refused(CREATE, org=acme.id, prompt="A red dot")

    assert [each["code"] for each in errors] == ["FEATURE_DISABLED"]
    assert await rows("SELECT id FROM job WHERE org_id = $1", acme.org_id) == []


async def test_what_may_not_be_asked_for_leaves_nothing(acme: Tenant, globex: Tenant, service: Service) -> None:
    key = GraphQL((await make_key(acme)).secret)
    refused = [await who.run(CREATE, org=acme.id, prompt="x") for who in (acme.guest.client, key, globex.admin.client)]

    assert [answer.codes for answer in refused] == [["FORBIDDEN"], ["UNAUTHENTICATED"], ["NOT_FOUND"]]
    for prompt in ("", "  ", "x" * (images.LONGEST_PROMPT + 1)):
        (error,) = await acme.member.client.refused(CREATE, org=acme.id, prompt=prompt)
        assert (error["code"], error["path"]) == ("INVALID", ["prompt"])
    assert await nothing_came_of_it(acme, service)


async def test_spent_tokens_and_too_many_turns_leave_nothing(acme: Tenant, service: Service) -> None:
    another = await make_member(acme.org_id, Role.MEMBER)
    for _ in range(budget.TURNS.tries):
        async with acme.member.acting() as actor:
            await budget.require_turn(actor, service.adapters.throttle)
    turned_away = await acme.member.client.run(CREATE, org=acme.id, prompt="A red dot")
    await execute(
        "INSERT INTO ai_usage (id, org_id, month, tokens) "
        "VALUES (gen_random_uuid(), $1, date_trunc('month', now() AT TIME ZONE 'UTC'), 50000)",
        acme.org_id,
    )
    (spent,) = await another.client.refused(CREATE, org=acme.id, prompt="A red dot")

    assert turned_away.codes == ["RATE_LIMITED"]
    assert (spent["code"], spent["feature"]) == ("LIMIT_REACHED", "ai_tokens_month")
    await execute("DELETE FROM ai_usage WHERE org_id = $1", acme.org_id)
    assert await nothing_came_of_it(acme, service)


async def test_a_job_that_is_not_begun_for_want_of_a_place_leaves_no_picture(acme: Tenant, service: Service) -> None:
    for _ in range(10):
        await asked(acme.member, acme)

    (error,) = await acme.member.client.refused(CREATE, org=acme.id, prompt="one too many")

    assert (error["code"], error["feature"]) == ("LIMIT_REACHED", "open_jobs")
    assert len(await listed(acme.member)) == 10
