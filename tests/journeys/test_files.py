"""Files, from three uploads to an archive of everything, by a client that knows nothing but HTTP and the websocket."""

import asyncio
import hashlib
import io
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import PIL.Image

from tests.exports.archives import read
from tests.ports import http_client
from tests.processes import started
from tests.sockets import Client, Stream, opened

SIGN_IN = """mutation ($email: String!) { signIn(input: {email: $email, password: "planwire-demo"}) {
  token errors { message } } }"""
PLACE = """{ organization(slug: "acme") { id eventCursor storageUsedBytes }
  task(organizationSlug: "acme", identifier: "WEB-1") { id attachmentCount } }"""
ANNOUNCE = """mutation ($input: AttachmentUploadCreateInput!) { attachmentUploadCreate(input: $input) {
  attachment { id status contentType downloadUrl }
  upload { url method headers { name value } expiresAt } errors { code message path } } }"""
COMPLETE = """mutation ($id: ID!) { attachmentUploadComplete(id: $id) {
  attachment { id status contentType rejectionReason } errors { code message } } }"""
ATTACHMENTS = """query ($id: ID!) { task(id: $id) { attachmentCount attachments {
  id filename contentType sizeBytes sha256 status rejectionReason downloadUrl thumbnailUrl } } }"""
EVENTS = """subscription ($id: ID!, $after: String) { events(organizationId: $id, after: $after) {
  type subjectId subject { ... on Attachment { status thumbnailUrl } } } }"""
NOTIFIED = "subscription { notificationAdded { kind title subject { id } } }"
REPORT = """mutation ($input: ReportCreateInput!) { reportCreate(input: $input) {
  job { id kind status } errors { code message } } }"""
EXPORT = """mutation ($id: ID!) { organizationExport(organizationId: $id) {
  job { id kind status } errors { code message } } }"""
UPDATED = """subscription ($id: ID!) { jobUpdated(id: $id) {
  id kind status progress message resultUrl finishedAt } }"""
JOBS = "{ viewer { jobs { nodes { id kind status } } } }"

# A PDF is drawn and a picture made smaller in processes that begin anew, on a machine that may be busy.
PATIENCE_S = 120.0
PROGRAM = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\x3e\x00" + bytes(200)


def _picture() -> bytes:
    """A PNG that a thumbnail has to be made smaller of."""
    target = io.BytesIO()
    PIL.Image.linear_gradient("L").resize((640, 480)).convert("RGB").save(target, "PNG")
    return target.getvalue()


@dataclass(frozen=True)
class Visitor:
    """Somebody who has signed in."""

    http: httpx.AsyncClient
    socket: Client
    token: str

    async def ask(self, document: str, **variables: Any) -> Any:
        """The data of an operation that has no errors."""
        response = await self.http.post(
            "/graphql",
            json={"query": document, "variables": variables},
            headers={"authorization": f"Bearer {self.token}"},
        )
        answer = response.json()
        assert response.status_code == 200, answer
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    async def change(self, document: str, **variables: Any) -> Any:
        """The payload of a mutation that was not refused."""
        (payload,) = (await self.ask(document, **variables)).values()
        assert payload["errors"] == []
        return payload

    async def upload(self, task_id: str, filename: str, content_type: str, data: bytes) -> Any:
        """Announce the file, send its bytes where they belong, and complete it; the attachment."""
        announced = await self.change(
            ANNOUNCE,
            input={
                "taskId": task_id,
                "filename": filename,
                "contentType": content_type,
                "sizeBytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            },
        )
        target, id = announced["upload"], announced["attachment"]["id"]
        assert announced["attachment"] == {"id": id, "status": "REQUESTED", "contentType": None, "downloadUrl": None}
        headers = {header["name"]: header["value"] for header in target["headers"]}
        # The address alone says that it may: nothing of the sign-in goes along.
        async with http_client() as elsewhere:
            sent = await elsewhere.request(target["method"], target["url"], content=data, headers=headers)
        assert (sent.status_code, sent.text) == (200, "")
        return (await self.change(COMPLETE, id=id))["attachment"]

    async def result(self, job_id: str, kind: str) -> bytes:
        """What the job has left, followed until it ends."""
        states = [state async for state in _told(await self.socket.run(UPDATED, id=job_id))]
        last = states[-1]
        assert {state["id"] for state in states} == {job_id}
        assert (last["kind"], last["status"], last["progress"], last["message"]) == (kind, "SUCCEEDED", 1.0, None)
        assert [state["progress"] for state in states] == sorted(state["progress"] for state in states)
        assert [state["status"] for state in states if state["resultUrl"]] == ["SUCCEEDED"]
        response = await self._got(last["resultUrl"])
        assert response.headers["content-disposition"].startswith("attachment; ")
        return response.content

    async def _got(self, url: str) -> httpx.Response:
        async with http_client() as elsewhere:
            response = await elsewhere.get(url)
        assert response.status_code == 200, response.text
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in response.headers["content-security-policy"]
        return response

    async def download(self, url: str, *, content_type: str, filename: str, data: bytes) -> None:
        """The file comes as it was sent, and a browser can do nothing with it but save it."""
        response = await self._got(url)
        assert response.content == data
        assert response.headers["content-type"] == content_type
        assert response.headers["content-disposition"].startswith(f'attachment; filename="{filename}"')

    async def thumbnail(self, url: str) -> tuple[str | None, tuple[int, int]]:
        """Format and size of the picture."""
        response = await self._got(url)
        assert response.headers["content-type"] == "image/webp"
        with PIL.Image.open(io.BytesIO(response.content)) as picture:
            return picture.format, picture.size


@asynccontextmanager
async def _visit(origin: str, email: str) -> AsyncIterator[Visitor]:
    async with http_client(base_url=origin, timeout=60) as http:
        response = await http.post("/graphql", json={"query": SIGN_IN, "variables": {"email": email}})
        token = response.json()["data"]["signIn"]["token"]
        async with opened(origin.removeprefix("http://"), token) as socket:
            yield Visitor(http, socket, token)


async def _seen(socket: Client, org_id: str, after: str, wanted: list[tuple[str, str, Any]]) -> None:
    """Follow the organization's events until each of (type, subject, what its subject shows) has been there."""
    stream, left = await socket.run(EVENTS, id=org_id, after=after), list(wanted)
    async with aclosing(_told(stream)) as events:
        async for event in events:
            subject = event["subject"] or {}
            shown = {subject.get("status"), bool(subject.get("thumbnailUrl")), None}
            left = [
                (type_, subject_id, shows)
                for type_, subject_id, shows in left
                if (type_, subject_id) != (event["type"], event["subjectId"]) or shows not in shown
            ]
            if not left:
                break
    assert left == []
    await stream.stop()


async def _told(stream: Stream) -> AsyncGenerator[Any, None]:
    """The root field's value in each payload, to the end of the operation."""
    while True:
        async with asyncio.timeout(PATIENCE_S):
            message = await stream.received.get()
        assert message is not None, "the socket was closed"
        if message["type"] == "complete":
            return
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        (value,) = message["payload"]["data"].values()
        yield value


async def test_from_three_uploads_to_an_archive_of_everything(tmp_path: Path, fill: Callable[[Path], Path]) -> None:
    picture, text = _picture(), "Grüße aus der Werkstatt\n".encode() * 50

    with started("--port", "0", "--data", str(fill(tmp_path / "data")), script="bin/dev") as dev:
        async with _visit(dev.origin, "admin@acme.test") as admin:
            place = await admin.ask(PLACE)
            organization, task = place["organization"], place["task"]
            notified = await admin.socket.run(NOTIFIED)

            shown = await admin.upload(task["id"], "holiday.png", "image/png", picture)
            written = await admin.upload(task["id"], "Notizen.txt", "text/plain", text)
            spoofed = await admin.upload(task["id"], "sunset.png", "image/png", PROGRAM)

            assert (shown["status"], shown["contentType"]) == ("READY", "image/png")
            assert written["status"] == "READY"
            assert written["contentType"].startswith("text/plain")
            assert (spoofed["status"], spoofed["contentType"]) == ("REJECTED", None)
            assert spoofed["rejectionReason"]
            await _seen(
                admin.socket,
                organization["id"],
                organization["eventCursor"],
                [
                    *(("ATTACHMENT_CREATED", each["id"], None) for each in (shown, written, spoofed)),
                    ("ATTACHMENT_UPDATED", written["id"], "READY"),
                    ("ATTACHMENT_UPDATED", spoofed["id"], "REJECTED"),
                    # The second one of the picture: its thumbnail is there.
                    ("ATTACHMENT_UPDATED", shown["id"], True),
                ],
            )

            found = (await admin.ask(ATTACHMENTS, id=task["id"]))["task"]
            by_id = {each["id"]: each for each in found["attachments"]}
            assert found["attachmentCount"] == task["attachmentCount"] + 3
            of_picture, of_text, of_program = by_id[shown["id"]], by_id[written["id"]], by_id[spoofed["id"]]
            await admin.download(
                of_picture["downloadUrl"], content_type="image/png", filename="holiday.png", data=picture
            )
            await admin.download(
                of_text["downloadUrl"], content_type=written["contentType"], filename="Notizen.txt", data=text
            )
            assert await admin.thumbnail(of_picture["thumbnailUrl"]) == ("WEBP", (256, 192))
            assert (of_text["thumbnailUrl"], of_program["downloadUrl"]) == (None, None)
            assert of_program["rejectionReason"] == spoofed["rejectionReason"]
            used = (await admin.ask(PLACE))["organization"]["storageUsedBytes"]
            assert used == organization["storageUsedBytes"] + len(picture) + len(text)

            period = {"from": "2026-01-01", "to": "2026-12-31"}
            asked = await admin.change(
                REPORT,
                input={"organizationId": organization["id"], "kind": "THROUGHPUT", "format": "PDF", **period},
            )
            report = await admin.result(asked["job"]["id"], "REPORT")
            told = await anext(_told(notified))
            assert report.startswith(b"%PDF")
            assert (told["kind"], told["subject"]) == ("REPORT_READY", {"id": asked["job"]["id"]})

            asked = await admin.change(EXPORT, id=organization["id"])
            archive = read(await admin.result(asked["job"]["id"], "EXPORT"))
            assert archive.missing == {}
            assert archive.entries[f"files/{shown['id']}/holiday.png"] == picture
            assert archive.entries[f"files/{written['id']}/Notizen.txt"] == text
            assert [path for path in archive.entries if spoofed["id"] in path] == []
            in_archive = {line["id"]: line for line in archive.lines("attachments")}
            for id, attachment in by_id.items():
                for name in ("filename", "contentType", "sha256", "status", "rejectionReason"):
                    assert (name, in_archive[id][name]) == (name, attachment[name])
            assert task["id"] in {line["id"] for line in archive.lines("tasks")}

            jobs = (await admin.ask(JOBS))["viewer"]["jobs"]["nodes"]
            assert [(job["kind"], job["status"]) for job in jobs] == [("EXPORT", "SUCCEEDED"), ("REPORT", "SUCCEEDED")]
        async with _visit(dev.origin, "member@acme.test") as member:
            assert (await member.ask(JOBS))["viewer"]["jobs"]["nodes"] == []
