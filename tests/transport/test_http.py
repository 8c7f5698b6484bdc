"""GraphQL over HTTP: which requests are taken, and which status and media type their answers have."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import structlog

from domain.base.settings import Settings
from graph.base import deadlines
from graph.base.requests import decoded
from graph.execution import Engine
from graph.http import BODY_BYTES, JSON, RESPONSE
from tests.attacks.raw import exchange, nothing_unhandled, post, raw, still_serves
from tests.events.live import until
from tests.factories import Person, Tenant, execute, make_person, rows
from tests.ports import http_client
from tests.transport.servers import ask, codes, served

TYPENAME = "{ __typename }"
VIEWER = "{ viewer { user { id name } } }"
RENAME = 'mutation { profileUpdate(input: {name: "Renamed"}) { viewer { user { name } } errors { code } } }'
SETTINGS = """
mutation ($settings: JSON) {
  preferencesUpdate(input: {settings: $settings}) {
    viewer { preferences { settings } } errors { code message }
  }
}
"""
ANSWERED = {"data": {"__typename": "Query"}}
SHORT_S = 0.2


@pytest.fixture
async def http(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the server."""
    async with http_client(base_url=f"http://{address}") as client:
        yield client


async def in_parts(*parts: bytes) -> AsyncIterator[bytes]:
    """A body of a length that is not told."""
    for part in parts:
        yield part


def bearer(person: Person) -> str:
    """The Authorization header of a person."""
    return f"Bearer {person.token}"


def media_type(answer: httpx.Response) -> str:
    """What the answer is said to be."""
    return answer.headers["content-type"].removesuffix("; charset=utf-8")


# What is asked, and the status for who knows the newer media type; the older one's is 200 wherever there is a request.
OUTCOMES: dict[str, tuple[dict[str, Any], int]] = {
    "right": ({"query": TYPENAME}, 200),
    "failed field": ({"query": '{ node(id: "x") { id } }'}, 200),
    "syntax": ({"query": "{"}, 400),
    "validation": ({"query": "{ nothing }"}, 400),
    "variables": ({"query": "query($id: ID!) { node(id: $id) { id } }"}, 400),
    "no such operation": ({"query": "query A { __typename }", "operationName": "B"}, 400),
    "too complex": ({"query": "{ " + "a: __typename " * 31 + "}"}, 400),
    "subscription": ({"query": "subscription { viewerEvents { id } }"}, 400),
}


@pytest.mark.parametrize("asked", OUTCOMES)
async def test_status_tells_whether_anything_was_run(http: httpx.AsyncClient, asked: str) -> None:
    request, status = OUTCOMES[asked]

    newer = await http.post("/graphql", json=request, headers={"accept": RESPONSE})
    older = await http.post("/graphql", json=request, headers={"accept": JSON})

    assert (newer.status_code, media_type(newer)) == (status, RESPONSE)
    assert (older.status_code, media_type(older)) == (200, JSON)
    assert newer.json().get("errors") == older.json().get("errors")
    assert ("data" in newer.json()) == (status == 200)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("*/*;q=0.1", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (RESPONSE, RESPONSE),
        (RESPONSE.upper(), RESPONSE),
        (f"{JSON}; charset=utf-8", JSON),
        (f'{JSON};charset="UTF-8"', JSON),
        (f"{RESPONSE}, {JSON};q=0.9", RESPONSE),
        (f"{RESPONSE};q=0.1, {JSON}", JSON),
        (f"{RESPONSE};q=0.5, */*;q=0.4", RESPONSE),
        (f"{RESPONSE};q=0, */*", JSON),
        (f"{JSON};q=0, {RESPONSE};q=0.001", RESPONSE),
        (f"text/html, {JSON};q=0.5", JSON),
        (f", , {JSON} ,", JSON),
        (f"{JSON};q=0", None),
        ("*/*;q=0", None),
        ("*/*;q=0.0, text/html", None),
        (f"{JSON};q=0, */*;q=0.5", None),
        (f"{JSON};q=2", None),
        (f"{JSON};q=nan", None),
        (f"{JSON};q=-1", None),
        (f"{JSON}; charset=utf-16", None),
        ("text/html", None),
        ("image/*", None),
        ("application/jsonp", None),
        ("nonsense", None),
    ],
)
async def test_the_answer_is_of_a_media_type_that_is_accepted(
    http: httpx.AsyncClient, accept: str | None, expected: str | None
) -> None:
    del http.headers["accept"]

    answer = await http.post("/graphql", json={"query": TYPENAME}, headers={} if accept is None else {"accept": accept})

    assert answer.status_code == (406 if expected is None else 200)
    assert media_type(answer) == (expected or JSON)
    assert "Accept" in answer.headers["vary"].split(", ")


async def test_headers_that_are_sent_twice_are_one_list(http: httpx.AsyncClient) -> None:
    body = json.dumps({"query": TYPENAME}).encode()
    twice = [(b"content-type", JSON.encode()), (b"accept", b"text/html"), (b"accept", RESPONSE.encode())]

    accepted = await http.post("/graphql", content=body, headers=twice)
    two_types = await http.post("/graphql", content=body, headers=[twice[0], (b"content-type", b"text/plain")])
    encoded = await http.post(
        "/graphql", content=body, headers=[twice[0], *[(b"content-encoding", each) for each in (b"identity", b"gzip")]]
    )

    assert (accepted.status_code, media_type(accepted)) == (200, RESPONSE)
    assert [two_types.status_code, encoded.status_code] == [415, 415]


@pytest.mark.parametrize(
    "content_type",
    [
        JSON,
        "Application/JSON",
        f"{JSON};charset=utf-8",
        f"{JSON} ; Charset=UTF-8 ;",
        f'{JSON}; charset="utf-8"',
        f"{JSON}; profile=x",
    ],
)
async def test_a_body_of_json_is_taken(http: httpx.AsyncClient, content_type: str) -> None:
    body = json.dumps({"query": TYPENAME}).encode()

    answer = await http.post("/graphql", content=body, headers={"content-type": content_type})

    assert (answer.status_code, answer.json()["data"]) == (200, ANSWERED["data"])


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "text/plain; application/json",
        "text/plain, application/json",
        "application/jsonp",
        "application/graphql",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        f"{JSON}; charset=latin-1",
        f"{JSON}; charset=utf-16",
        f"{JSON}; charset=utf-8; charset=utf-16",
        f"{JSON}, {JSON}",
    ],
)
async def test_a_body_of_another_media_type_is_415(http: httpx.AsyncClient, content_type: str) -> None:
    person = await make_person("Tilda Type")
    body = json.dumps({"query": RENAME}).encode()

    for content in (body, in_parts(body)):
        headers = {"content-type": content_type, "authorization": bearer(person)}
        answer = await http.post("/graphql", content=content, headers=headers)
        assert (answer.status_code, answer.headers["accept-post"]) == (415, JSON)
    assert await rows("SELECT name FROM users WHERE id = $1", person.user_id) == [{"name": "Tilda Type"}]


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, identity", "x"])
async def test_an_encoded_body_is_415(http: httpx.AsyncClient, encoding: str) -> None:
    answer = await http.post("/graphql", json={"query": TYPENAME}, headers={"content-encoding": encoding})

    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")


BODIES = [
    b"",
    b"5",
    b"null",
    b'"x"',
    b"[]",
    b'[{"query": "{ __typename }"}]',
    b"{}",
    b'{"query": "{ __typename }"',
    b"\xff\xfe",
    b'\xef\xbb\xbf{"query": "{ __typename }"}',
    '{"query": "{ __typename }"}'.encode("utf-16"),
    '{"query": "{ __typename }"}'.encode("utf-16-le"),
    b'{"query": "{ __typename } # \xe9"}',
    b"[" * 200_000,
    b'{"query": "{ viewer { email } }", "variables": {"n": ' + b"9" * 5_000 + b"}}",
    b'{"query": "{ viewer { email } }", "variables": {"n": NaN}}',
    b'{"query": "{ viewer { email } }", "variables": {"n": -Infinity}}',
    b'{"query": "{ viewer { email } }", "variables": {"n": 1e999}}',
    b'{"query": 5}',
    b'{"query": null}',
    b'{"query": "{ viewer { email } }", "variables": []}',
    b'{"query": "{ viewer { email } }", "variables": "{}"}',
    b'{"query": "{ viewer { email } }", "extensions": []}',
    b'{"query": "{ viewer { email } }", "operationName": 5}',
    b'{"query": "{ viewer { email } }", "operationName": "\\ud800"}',
    b'{"query": "{ viewer { email } }", "operationName": "' + b"n" * 101 + b'"}',
    b'{"query": "{ viewer { email } }", "documentId": "sha256:00"}',
    b'{"documentId": 5}',
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:70]))
async def test_a_body_that_is_no_request_is_400(http: httpx.AsyncClient, body: bytes) -> None:
    for accept in (JSON, RESPONSE):
        headers = {"content-type": JSON, "accept": accept}
        answer = await http.post("/graphql", content=body, headers=headers)
        assert (answer.status_code, media_type(answer), codes(answer)) == (400, accept, ["BAD_USER_INPUT"])


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30])
async def test_an_integer_beyond_64_bits_is_not_rounded(http: httpx.AsyncClient, acme: Tenant, number: int) -> None:
    request = {"query": SETTINGS, "variables": {"settings": {"n": [number]}}}
    body = json.dumps(request, separators=(",", ":")).encode()

    for content in (body, json.dumps(request).encode()):
        headers = {"content-type": "application/json", "authorization": bearer(acme.member)}
        answer = await http.post("/graphql", content=content, headers=headers)
        fault = {"code": "INVALID", "message": "Integers must fit into 64 bits."}
        assert answer.json()["data"] == {"preferencesUpdate": {"viewer": None, "errors": [fault]}}


@pytest.mark.parametrize(
    "before", ["[", "[1,", "[-", "[ ", "[\t", "[1,\r\n", '[{"task_019b76dab71c7009800000000000f1c":']
)
def test_a_long_integer_is_exact_wherever_a_number_may_begin(before: str) -> None:
    for digits in ("1" * 19, "9" * 20, "1" * 399):
        text = f"{before}{digits}{'}' * before.count('{')}]"

        assert decoded(text.encode()) == json.loads(text)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
async def test_another_method_is_405_and_told_which_there_are(http: httpx.AsyncClient, method: str) -> None:
    answer = await http.request(method, "/graphql", params={"query": TYPENAME})

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


async def test_a_mutation_and_a_subscription_are_refused_over_get(http: httpx.AsyncClient) -> None:
    person = await make_person("Greta Get")
    headers = {"authorization": bearer(person), "x-requested-with": "x"}

    for document in (RENAME, 'subscription { events(organizationId: "none") { id } }'):
        both = f"query Q {TYPENAME} {document.replace(' ', ' X ', 1)}"
        for params in ({"query": document}, {"query": both, "operationName": "X"}):
            answer = await http.get("/graphql", params=params, headers=headers)
            assert (answer.status_code, answer.headers.get("allow")) == (405, "POST")
            assert "data" not in answer.json()

    assert await rows("SELECT name FROM users WHERE id = $1", person.user_id) == [{"name": "Greta Get"}]


async def test_a_query_comes_by_get_with_all_its_parts(http: httpx.AsyncClient) -> None:
    document = "query A { __typename } query B($shown: Boolean!) { b: __typename @include(if: $shown) c: __typename }"
    params = {"query": document, "operationName": "B", "variables": '{"shown": true}', "extensions": "{}", "utm": "1"}

    named = await http.get("/graphql", params=params)
    empty = await http.get(
        "/graphql", params={"query": TYPENAME, "operationName": "", "variables": "", "extensions": ""}
    )

    assert named.json()["data"] == {"b": "Query", "c": "Query"}
    assert empty.json()["data"] == ANSWERED["data"]


@pytest.mark.parametrize(
    "query_string",
    [
        "query=%7B__typename%7D&query=%7B__typename%7D",
        "query=%7B__typename%7D&variables=%7B",
        "query=%7B__typename%7D&variables=[]",
        "query=%7B__typename%7D&variables=NaN",
        "query=%7B__typename%7D&extensions=5",
        "query=%7B__typename%7D&documentId=x",
        "query=%FF",
        "query=%ED%A0%80",
        "&".join(f"p{n}=1" for n in range(30)),
        "variables=%7B%7D",
        "query=%7B__typename%7D&operationName=" + "n" * 101,
    ],
)
async def test_a_query_string_that_is_no_request_is_400(http: httpx.AsyncClient, query_string: str) -> None:
    answer = await http.get(f"/graphql?{query_string}")

    assert (answer.status_code, codes(answer)) == (400, ["BAD_USER_INPUT"])


async def test_what_stands_in_the_other_place_is_not_read(http: httpx.AsyncClient) -> None:
    posted = await http.post("/graphql", params={"query": "{ nothing }"}, json={"query": TYPENAME})
    got = await http.request("GET", "/graphql", params={"query": TYPENAME}, json={"query": "{ nothing }"})

    assert [each.json()["data"] for each in (posted, got)] == [ANSWERED["data"]] * 2


async def test_a_body_of_more_than_a_mebibyte_is_413(http: httpx.AsyncClient, address: str) -> None:
    most = json.dumps({"query": TYPENAME}).encode().ljust(BODY_BYTES)

    fits = await http.post("/graphql", content=most, headers={"content-type": JSON})
    by_length = await http.post("/graphql", content=most + b" ", headers={"content-type": JSON})
    head = b"POST /graphql HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with raw(address) as client:
        await client.send(head + b"%x\r\n%s\r\n" % (len(most), most) + b"1\r\n \r\n")
        by_chunks = await client.answer()

    assert fits.json()["data"] == ANSWERED["data"]
    assert (by_length.status_code, by_chunks.status) == (413, 413)
    assert (codes(by_length), by_chunks.code) == (["BAD_USER_INPUT"], "BAD_USER_INPUT")


async def test_a_body_in_chunks_is_taken(http: httpx.AsyncClient) -> None:
    parts = in_parts(b'{"query": ', b'"{ __typename }"', b"}")

    answer = await http.post("/graphql", content=parts, headers={"content-type": JSON})

    assert answer.json()["data"] == ANSWERED["data"]


async def test_who_expects_to_be_told_to_go_on_is_told(address: str) -> None:
    request = post(json.dumps({"query": TYPENAME}).encode(), "Expect: 100-continue", "Connection: close")
    head, _, body = request.partition(b"\r\n\r\n")

    async with raw(address) as client:
        await client.send(head + b"\r\n\r\n")
        told = await client.answer()
        await client.send(body)
        answer = await client.answer()

    assert (told.status, answer.status) == (100, 200)


async def test_a_body_that_does_not_come_is_408(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("graph.http.BODY_DEADLINE_S", SHORT_S)
    monkeypatch.setattr(deadlines, "LOOK_EVERY_S", SHORT_S / 2)

    with nothing_unhandled(caplog):
        async with served(settings) as server, raw(server.address) as client:
            await client.send(post(b'{"query": "{ __typename }"}')[:-1])
            answer = await client.answer()
            await still_serves(server.address)

    assert (answer.status, answer.code) == (408, "BAD_USER_INPUT")


async def test_who_leaves_while_the_body_comes_leaves_nothing(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with nothing_unhandled(caplog):
        async with served(settings) as server:
            for _ in range(3):
                async with raw(server.address) as client:
                    await client.send(post(b'{"query": "{ __typename }"}')[:-1])
                    await until(lambda: len(server.connections) == 1)
            await until(lambda: not server.connections)
            await still_serves(server.address)


async def test_a_fault_of_the_endpoint_is_masked_and_its_request_id_is_in_the_log(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(Engine, "found", fail)
    with structlog.testing.capture_logs() as lines:
        answer = await exchange(address, post(b'{"query": "{ a }"}', "X-Request-Id: seen-there", "Connection: close"))

    (error,) = answer.json()["errors"]
    assert (answer.status, error["extensions"]) == (500, {"code": "INTERNAL", "requestId": "seen-there"})
    assert b"secret" not in answer.body
    (line,) = [each for each in lines if each["log_level"] == "error"]
    assert (line["event"], line["request_id"]) == ("a request failed", "seen-there")


async def test_a_bug_of_a_field_is_masked_and_its_request_id_is_told(http: httpx.AsyncClient, acme: Tenant) -> None:
    await execute("UPDATE preferences SET settings = '\"x\"' WHERE user_id = $1", acme.member.user_id)
    await execute("ALTER TABLE preferences RENAME COLUMN locale TO broken")
    try:
        headers = {"x-request-id": "seen-in-the-log"}
        answer = await ask(http, "{ viewer { preferences { locale } } }", acme.member, headers=headers)
    finally:
        await execute("ALTER TABLE preferences RENAME COLUMN broken TO locale")

    (error,) = answer.json()["errors"]
    assert error["extensions"] == {"code": "INTERNAL", "requestId": "seen-in-the-log"}
    assert "locale" not in error["message"]


async def test_no_credentials_is_nobody_and_a_bad_token_is_unauthenticated(http: httpx.AsyncClient) -> None:
    nobody = (await ask(http, VIEWER)).json()
    stranger = (await ask(http, VIEWER, headers={"authorization": "Bearer pws_nothing"})).json()

    assert nobody["data"] == {"viewer": None}
    assert "errors" not in nobody
    assert stranger["data"] == {"viewer": None}
    assert stranger["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}


@pytest.mark.parametrize("value", ["", "Bearer", "Basic YTpi", "Bearer \xff\xfe", "Bearer " + "x" * 5000])
async def test_a_malformed_authorization_header_is_unauthenticated(http: httpx.AsyncClient, value: str) -> None:
    answer = await http.post("/graphql", json={"query": VIEWER}, headers=[(b"authorization", value.encode("latin-1"))])

    assert codes(answer) == ["UNAUTHENTICATED"]
