"""Attachments: announced, sent, completed, deleted, and every wrong turn on the way."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from domain.adapters.storage import attachment_key
from domain.attachments import service
from domain.attachments.service import MOST_ATTACHMENTS
from domain.base.clock import frozen, new_id, now
from domain.billing.plans import Plan
from graph.base.ids import global_id
from tests.attachments.uploading import COMPLETE, CREATE, DELETE, HANDLERS, LIST, NOTES, Desk, File, uuid_of
from tests.factories import Tenant, execute, set_plan, statements
from tests.tasks.board import id_of, refusals, unchanged
from tests.tasks.races import uncommitted, waiting


async def test_a_file_is_announced_sent_and_completed(desk: Desk) -> None:
    with frozen(at := now()):
        payload = await desk.announced()
    waits = payload["attachment"]
    sent = await desk.send(payload["upload"], NOTES.body)
    ready = (await desk.member.client.done(COMPLETE, id=waits["id"]))["attachment"]
    found = await desk.get(ready["downloadUrl"])

    assert waits == {
        "id": waits["id"],
        "filename": "notes.txt",
        "contentType": None,
        "sizeBytes": len(NOTES.body),
        "sha256": NOTES.sha256,
        "status": "REQUESTED",
        "rejectionReason": None,
        "downloadUrl": None,
        "thumbnailUrl": None,
        "createdAt": at.isoformat().replace("+00:00", "Z"),
        "task": {"id": id_of(desk.task)},
        "uploadedBy": {"__typename": "User", "id": desk.member.id},
    }
    expires_at = (at + timedelta(minutes=15)).isoformat().replace("+00:00", "Z")
    assert (payload["upload"]["method"], payload["upload"]["expiresAt"][:19]) == ("PUT", expires_at[:19])
    assert sent.status_code == 200
    assert ready == waits | {"status": "READY", "contentType": "text/plain", "downloadUrl": ready["downloadUrl"]}
    assert (found.status_code, found.content) == (200, NOTES.body)
    assert found.headers["content-disposition"].startswith('attachment; filename="notes.txt"')
    assert found.headers["content-type"].startswith("text/plain")
    assert await desk.facts() == ["ATTACHMENT_CREATED", "ATTACHMENT_UPDATED"]
    assert await desk.used() == len(NOTES.body)


async def test_what_happened_is_in_the_log_without_names_of_files(desk: Desk) -> None:
    await desk.completed()

    created, updated = await desk.told()

    assert created == {"task_id": str(desk.task.id), "size_bytes": len(NOTES.body), "filename": "notes.txt"}
    assert updated == {
        "task_id": str(desk.task.id),
        "status": {"was": "REQUESTED", "now": "READY"},
        "content_type": {"was": None, "now": "text/plain"},
    }


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"filename": ""}, "filename"),
    ({"filename": "x" * 256}, "filename"),
    ({"filename": "a/b.txt"}, "filename"),
    ({"filename": "..\\..\\boot.ini"}, "filename"),
    ({"filename": "../../etc/passwd"}, "filename"),
    ({"filename": "."}, "filename"),
    ({"filename": ".. . "}, "filename"),
    ({"filename": "   "}, "filename"),
    ({"filename": "a\x07.txt"}, "filename"),
    ({"filename": "a\r\nSet-Cookie: b"}, "filename"),
    ({"filename": "a\u2028b"}, "filename"),
    ({"filename": "invoice\u202excod.pdf"}, "filename"),
    ({"filename": "setup.EXE"}, "filename"),
    ({"filename": "holiday.jpg.scr. "}, "filename"),
    ({"filename": "run.bat"}, "filename"),
    ({"filename": "setup.exe\u00a0"}, "filename"),
    ({"filename": "setup.exe\u3000. \u2003."}, "filename"),
    ({"filename": "setup.exe\ufeff"}, "filename"),
    ({"filename": "\u00a0.\u3000"}, "filename"),
    ({"contentType": ""}, "contentType"),
    ({"contentType": "text"}, "contentType"),
    ({"contentType": "text/plain\r\nX: y"}, "contentType"),
    ({"contentType": "text/ plain"}, "contentType"),
    ({"contentType": "téxt/plain"}, "contentType"),
    ({"contentType": "a/" + "b" * 300}, "contentType"),
    ({"sizeBytes": 0}, "sizeBytes"),
    ({"sizeBytes": -1}, "sizeBytes"),
    ({"sizeBytes": 5 * 1024**3 + 1}, "sizeBytes"),
    ({"sha256": NOTES.sha256.upper()}, "sha256"),
    ({"sha256": NOTES.sha256[:-1]}, "sha256"),
    ({"sha256": NOTES.sha256 + "\n"}, "sha256"),
]


@pytest.mark.parametrize(("instead", "place"), WRONG, ids=lambda value: repr(value)[:40])
async def test_what_no_file_can_be_called_is_refused(desk: Desk, instead: dict[str, Any], place: str) -> None:
    async with unchanged(desk.board.tenant):
        errors = await desk.member.client.refused(CREATE, input=desk.input(NOTES, **instead))

    assert refusals(errors) == [("INVALID", ["input", place])]
    assert await desk.listed() == []


@pytest.mark.parametrize(
    "name",
    [
        "x",
        "x" * 255,
        "Übersicht der Länder.txt",
        "报告 🎉.txt",
        "تقرير.txt",
        'say "hi"; rm -rf *.txt',
        "CON",
        "a%00b%2f..%5c.txt",
        "<img src=x onerror=alert(1)>",
        ".htaccess",
        "$(reboot).txt",
    ],
)
async def test_any_other_name_is_kept_and_sent_back_safely(desk: Desk, name: str) -> None:
    made = await desk.completed(NOTES, filename=name)

    answer = await desk.get(made["downloadUrl"])

    assert made["filename"] == name
    assert answer.status_code == 200
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment; filename=")
    assert disposition.isascii()
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_all_faults_are_told_at_once(desk: Desk) -> None:
    wrong = desk.input(NOTES, filename="a/b", contentType="?", sizeBytes=0, sha256="")

    errors = await desk.member.client.refused(CREATE, input=wrong)

    assert [error["path"][1] for error in errors] == ["filename", "contentType", "sizeBytes", "sha256"]


async def test_one_upload_is_no_larger_than_the_plan_allows(desk: Desk) -> None:
    async with unchanged(desk.board.tenant):
        errors = await desk.member.client.refused(CREATE, input=desk.input(NOTES, sizeBytes=25 * 1024**2 + 1))

    assert [(each["code"], each["path"], each["feature"], each["limit"], each["used"]) for each in errors] == [
        ("LIMIT_REACHED", ["input", "sizeBytes"], "upload_bytes", 25 * 1024**2, 25 * 1024**2 + 1)
    ]


async def test_twenty_at_once_do_not_pass_what_the_plan_stores(desk: Desk) -> None:
    # Forty uploads of the largest size fill the plan; there is room for seven more.
    largest, per_plan = 25 * 1024**2, 1024**3
    await _fill(desk, per_plan - 7 * largest - 100)
    tasks = await desk.board.tasks(*(f"Task {number}" for number in range(20)))

    answers = await asyncio.gather(
        *(desk.member.client.ok(CREATE, input=desk.of(task).input(NOTES, sizeBytes=largest)) for task in tasks)
    )

    payloads = [answer["attachmentUploadCreate"] for answer in answers]
    refused = [payload["errors"][0] for payload in payloads if payload["errors"]]
    assert [payload["attachment"]["status"] for payload in payloads if not payload["errors"]] == ["REQUESTED"] * 7
    assert {(each["code"], each["feature"], each["limit"], each["used"]) for each in refused} == {
        ("LIMIT_REACHED", "storage_bytes", per_plan, per_plan - 100)
    }
    assert await desk.used() == per_plan - 100


async def _fill(desk: Desk, size_bytes: int) -> None:
    """Let the organization store so many bytes."""
    await desk.announced()
    await execute("UPDATE attachment SET size_bytes = $1 WHERE org_id = $2", size_bytes, desk.org_id)


async def test_what_is_deleted_or_rejected_gives_its_room_back(desk: Desk) -> None:
    kept = await desk.completed()
    rejected = await desk.completed(File(b"not a picture at all", "a.png", "image/png"))
    size = await desk.used()

    await desk.member.client.done(DELETE, id=kept["id"])

    assert rejected["status"] == "REJECTED"
    assert (size, await desk.used()) == (len(NOTES.body), 0)


async def test_a_task_has_at_most_so_many(desk: Desk) -> None:
    (id,) = [uuid_of((await desk.announced())["attachment"]["id"])]
    await execute(
        "INSERT INTO attachment SELECT (jsonb_populate_record(attachment, jsonb_build_object('id', gen_random_uuid()))"
        ").* FROM attachment, generate_series(2, $1::int) WHERE id = $2",
        MOST_ATTACHMENTS,
        id,
    )

    async with unchanged(desk.board.tenant):
        errors = await desk.member.client.refused(CREATE, input=desk.input(NOTES))

    assert [(each["code"], each["path"], each["limit"]) for each in errors] == [
        ("LIMIT_REACHED", ["input", "taskId"], MOST_ATTACHMENTS)
    ]
    assert len(await desk.listed()) == MOST_ATTACHMENTS


async def test_nothing_is_attached_in_an_archived_project(desk: Desk) -> None:
    made = await desk.completed()
    await desk.board.archive()

    async with unchanged(desk.board.tenant):
        created = await desk.member.client.refused(CREATE, input=desk.input(NOTES))
        deleted = await desk.member.client.refused(DELETE, id=made["id"])

    assert refusals(created) == [("CONFLICT", ["input", "taskId"])]
    assert refusals(deleted) == [("CONFLICT", ["id"])]


async def test_an_upload_that_was_begun_before_its_project_was_archived_can_end(desk: Desk) -> None:
    id = await desk.sent()
    await desk.board.archive()

    payload = await desk.member.client.done(COMPLETE, id=id)

    assert payload["attachment"]["status"] == "READY"


@pytest.mark.parametrize("role", ["guest", "billing"])
async def test_who_may_not_attach_may_not_do_anything(desk: Desk, role: str) -> None:
    id = await desk.sent()
    client = getattr(desk.board.tenant, role).client

    async with unchanged(desk.board.tenant):
        answers = [
            await client.run(CREATE, input=desk.input(NOTES)),
            await client.run(COMPLETE, id=id),
            await client.run(DELETE, id=id),
        ]
    shown = await client.ok(LIST, id=id_of(desk.task))

    assert [answer.codes for answer in answers] == [["FORBIDDEN"]] * 3
    assert [each["status"] for each in shown["task"]["attachments"]] == ["REQUESTED"]


async def test_a_stranger_finds_nothing(desk: Desk, globex: Tenant) -> None:
    id = await desk.sent()

    async with unchanged(desk.board.tenant, globex):
        answers = [
            await globex.admin.client.run(CREATE, input=desk.input(NOTES)),
            await globex.admin.client.run(COMPLETE, id=id),
            await globex.admin.client.run(DELETE, id=id),
        ]

    assert [answer.codes for answer in answers] == [["NOT_FOUND"]] * 3


async def test_only_who_began_an_upload_completes_it(desk: Desk) -> None:
    id = await desk.sent()

    async with unchanged(desk.board.tenant):
        answer = await desk.board.tenant.admin.client.run(COMPLETE, id=id)

    assert answer.codes == ["FORBIDDEN"]


async def test_without_an_upload_there_is_nothing_to_complete(desk: Desk) -> None:
    id = (await desk.announced())["attachment"]["id"]

    async with unchanged(desk.board.tenant):
        errors = await desk.member.client.refused(COMPLETE, id=id)

    assert refusals(errors) == [("CONFLICT", ["id"])]
    assert "Send the bytes" in errors[0]["message"]


@pytest.mark.parametrize("file", [NOTES, File(b"no picture", "a.png", "image/png")], ids=["right", "wrong"])
async def test_completed_twice_is_the_same(desk: Desk, file: File) -> None:
    made = await desk.completed(file)

    with frozen(now()):
        first = (await desk.member.client.done(COMPLETE, id=made["id"]))["attachment"]
        async with unchanged(desk.board.tenant):
            again = (await desk.member.client.done(COMPLETE, id=made["id"]))["attachment"]

    assert first == again
    assert again == made | {"downloadUrl": again["downloadUrl"]}


async def test_two_who_complete_at_once_get_one_outcome(desk: Desk) -> None:
    id = await desk.sent()

    answers = await asyncio.gather(*(desk.member.client.done(COMPLETE, id=id) for _ in range(8)))

    assert {answer["attachment"]["status"] for answer in answers} == {"READY"}
    assert await desk.facts() == ["ATTACHMENT_CREATED", "ATTACHMENT_UPDATED"]


async def test_after_a_day_it_is_too_late(desk: Desk) -> None:
    id = await desk.sent()
    await execute("UPDATE attachment SET created_at = now() - interval '24 hours' WHERE id = $1", uuid_of(id))

    async with unchanged(desk.board.tenant):
        errors = await desk.member.client.refused(COMPLETE, id=id)

    assert refusals(errors) == [("EXPIRED", ["id"])]


async def test_what_is_deleted_while_it_is_completed_is_gone(desk: Desk) -> None:
    id = await desk.sent()

    async def delete(actor: Any) -> None:
        await service.delete(actor, uuid_of(id))

    async with uncommitted(desk.member, delete):
        completing = await waiting(desk.member.client.run(COMPLETE, id=id))
    answer = await completing

    assert answer.codes == ["NOT_FOUND"]
    assert await desk.facts() == ["ATTACHMENT_CREATED", "ATTACHMENT_DELETED"]


async def test_bytes_that_were_not_announced_are_rejected(desk: Desk) -> None:
    """The store refuses them; this is for one that would not."""
    longer, other, shorter = [(await desk.announced())["attachment"]["id"] for _ in range(3)]
    bodies = {longer: NOTES.body + b"!", other: NOTES.body[:-1] + b"?", shorter: NOTES.body[:-1]}
    for id, body in bodies.items():
        await desk.put(id, body)

    ended = [(await desk.member.client.done(COMPLETE, id=id))["attachment"] for id in bodies]
    await desk.work()

    assert [each["status"] for each in ended] == ["REJECTED"] * 3
    assert [each["rejectionReason"] for each in ended] == [
        "19 bytes were announced, and more than 19 are there.",
        f"Its bytes have the SHA-256 {File(bodies[other]).sha256}, and {NOTES.sha256} was announced.",
        "19 bytes were announced, and 18 are there.",
    ]
    assert [await desk.stored(id) for id in bodies] == [(False, False)] * 3


async def test_the_store_takes_no_other_bytes(desk: Desk) -> None:
    payload = await desk.announced()

    answers = [await desk.send(payload["upload"], body) for body in (NOTES.body[:-1] + b"?", NOTES.body + b"!")]

    assert [answer.is_success for answer in answers] == [False, False]
    assert await desk.stored(payload["attachment"]["id"]) == (False, False)


async def test_a_deleted_attachment_leaves_nothing(desk: Desk) -> None:
    made = await desk.completed()

    payload = await desk.board.tenant.admin.client.done(DELETE, id=made["id"])
    await desk.work()

    assert payload == {"deletedId": made["id"], "errors": []}
    assert await desk.listed() == []
    assert await desk.stored(made["id"]) == (False, False)
    assert (await desk.get(made["downloadUrl"])).status_code == 404
    assert await desk.facts() == ["ATTACHMENT_CREATED", "ATTACHMENT_UPDATED", "ATTACHMENT_DELETED"]


async def test_what_is_sent_after_the_end_is_nobodys_and_ends_with_the_night(desk: Desk) -> None:
    """The address of an upload cannot be taken back."""
    deleted = await desk.announced()
    await desk.member.client.done(DELETE, id=deleted["attachment"]["id"])
    rejected = await desk.announced(picture := File(b"no picture", "a.png", "image/png"))
    await desk.send(rejected["upload"], picture.body)
    await desk.member.client.done(COMPLETE, id=rejected["attachment"]["id"])
    await desk.work()

    answers = [await desk.send(deleted["upload"], NOTES.body), await desk.send(rejected["upload"], picture.body)]
    completed = await desk.member.client.run(COMPLETE, id=deleted["attachment"]["id"])
    again = (await desk.member.client.done(COMPLETE, id=rejected["attachment"]["id"]))["attachment"]
    ids = [each["attachment"]["id"] for each in (deleted, rejected)]
    there = [await desk.stored(id) for id in ids]
    await desk.sweep(now() + timedelta(days=1, seconds=5))

    assert [answer.status_code for answer in answers] == [200, 200]
    assert completed.codes == ["NOT_FOUND"]
    assert (again["status"], again["downloadUrl"]) == ("REJECTED", None)
    assert there == [(True, False)] * 2
    assert [await desk.stored(id) for id in ids] == [(False, False)] * 2


async def test_what_is_sent_after_the_end_goes_once_the_address_lets_nobody_in(desk: Desk) -> None:
    deleted = await desk.announced()
    await desk.member.client.done(DELETE, id=deleted["attachment"]["id"])
    rejected = await desk.announced(picture := File(b"no picture", "a.png", "image/png"))
    await desk.send(rejected["upload"], picture.body)
    await desk.member.client.done(COMPLETE, id=rejected["attachment"]["id"])
    kept = await desk.completed()
    await desk.work("attachments.remove")
    for payload, body in ((deleted, NOTES.body), (rejected, picture.body)):
        assert (await desk.send(payload["upload"], body)).status_code == 200
    ids = [deleted["attachment"]["id"], rejected["attachment"]["id"], kept["id"]]
    assert [await desk.stored(id) for id in ids] == [(True, False)] * 3

    await desk.work("attachments.remove_again")

    assert [await desk.stored(id) for id in ids] == [(False, False), (False, False), (True, False)]
    assert HANDLERS.delays["attachments.remove_again"] == timedelta(seconds=service.UPLOAD_ADDRESS_S)


async def test_the_room_of_a_task_that_is_deleted_is_free_at_once(desk: Desk) -> None:
    made = await desk.completed()
    document = "mutation ($id: ID!) { taskDelete(id: $id) { deletedId errors { code } } }"

    await desk.member.client.done(document, id=id_of(desk.task))

    assert await desk.used() == 0
    # Its bytes end with the night.
    assert await desk.stored(made["id"]) == (True, False)


async def test_lists_of_tasks_read_attachments_and_addresses_at_once(desk: Desk) -> None:
    tasks = await desk.board.tasks("Two", "Three", "Four")
    for task in (desk.task, *tasks):
        for _ in range(2):
            await desk.of(task).completed()
    document = """
    query ($id: ID!) {
      project(id: $id) { tasks { nodes { attachmentCount attachments { id downloadUrl thumbnailUrl } } } }
    }
    """

    with statements() as seen:
        data = await desk.member.client.ok(document, id=desk.board.id)

    nodes = data["project"]["tasks"]["nodes"]
    assert [(node["attachmentCount"], len(node["attachments"])) for node in nodes] == [(2, 2)] * 4
    assert len([text for text in seen if "FROM attachment" in text]) == 2


async def test_a_repeat_under_a_key_announces_nothing_new(desk: Desk) -> None:
    document = CREATE.replace("(input: $input)", '(input: $input) @idempotent(key: "attach")')

    first = await desk.member.client.done(document, input=desk.input(NOTES))
    again = await desk.member.client.done(document, input=desk.input(NOTES))

    assert first == again
    assert len(await desk.listed()) == 1


async def test_a_plan_that_stores_more_takes_more(desk: Desk) -> None:
    await set_plan(desk.org_id, Plan.PRO)

    payload = await desk.announced(NOTES, sizeBytes=1024**3)

    assert payload["attachment"]["sizeBytes"] == await desk.used() == 1024**3


async def test_an_unknown_attachment_is_not_found(desk: Desk) -> None:
    id = global_id("attachment", new_id())

    answers = [await desk.member.client.run(document, id=id) for document in (COMPLETE, DELETE)]

    assert [answer.codes for answer in answers] == [["NOT_FOUND"]] * 2
    assert await desk.storage.stat(attachment_key(desk.org_id, uuid_of(id))) is None
