"""Documents by name over HTTP: those that clients have sent before, and those of an allow-list."""

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from domain.base.settings import Settings
from tests.factories import make_person, rows
from tests.processes import free_port
from tests.transport.servers import ask, asking, codes

RENAME = 'mutation { profileUpdate(input: {name: "Renamed"}) { viewer { user { name } } errors { code } } }'
SIGN_IN = """mutation {
  signIn(input: {email: "nobody@persisted.test", password: "long enough"}) { token errors { code } }
}"""
NUMBERS = iter(range(10_000))


def digest(document: str) -> str:
    """Its SHA-256."""
    return hashlib.sha256(document.encode()).hexdigest()


def named(document: str, **changes: Any) -> dict[str, Any]:
    """Apollo's extension."""
    return {"persistedQuery": {"version": 1, "sha256Hash": digest(document), **changes}}


def fresh() -> str:
    """A document that nobody has sent before."""
    return f"{{ __typename }} # {next(NUMBERS)} of {__name__}"


async def got(http: httpx.AsyncClient, **parameters: Any) -> httpx.Response:
    """The answer to a GET."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()}
    return await http.get("/graphql", params=texts, headers={"accept": "application/graphql-response+json"})


async def test_a_document_that_came_with_its_digest_is_known_by_it(settings: Settings) -> None:
    document = fresh()

    async with asking(settings) as http, asking(settings) as another:
        unknown = await ask(http, None, extensions=named(document))
        kept = await ask(http, document, extensions=named(document))
        again = [
            await ask(http, None, extensions=named(document)),
            await ask(another, None, documentId=f"sha256:{digest(document)}"),
            await got(another, extensions=named(document)),
            await got(http, documentId=f"sha256:{digest(document)}", variables={}),
            # The client of graphql-ws sends no message without a query.
            await ask(http, "", extensions=named(document)),
        ]

    assert (unknown.status_code, codes(unknown)) == (400, ["PERSISTED_QUERY_NOT_FOUND"])
    assert unknown.json()["errors"][0]["message"] == "PersistedQueryNotFound"
    assert [each.json()["data"] for each in (kept, *again)] == [{"__typename": "Query"}] * 6


@pytest.mark.parametrize("document", ["{", "{ nothing }"])
async def test_a_document_that_is_not_right_is_not_kept(settings: Settings, document: str) -> None:
    async with asking(settings) as http:
        refused = await ask(http, document, extensions=named(document))
        unknown = await ask(http, None, extensions=named(document))

    assert (refused.status_code, codes(unknown)) == (400, ["PERSISTED_QUERY_NOT_FOUND"])


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256Hash": digest("another")},
        {"sha256Hash": digest("{ __typename }").upper()},
        {"sha256Hash": "x"},
        {"sha256Hash": None},
        {"sha256Hash": ["a"]},
        {"version": 2},
        {"version": "1"},
        {"version": None},
    ],
)
async def test_a_digest_that_is_not_the_documents_is_refused(settings: Settings, changes: dict[str, Any]) -> None:
    async with asking(settings) as http:
        answers = [
            await ask(http, "{ __typename }", extensions=named("{ __typename }", **changes)),
            await ask(http, "{ __typename }", extensions={"persistedQuery": 5}),
        ]

    assert [(each.status_code, codes(each)) for each in answers] == [(400, ["BAD_USER_INPUT"])] * 2


@pytest.mark.parametrize("name", ["", "x", "md5:" + "0" * 32, "sha256:", "sha256:" + "0" * 63, "SHA256:" + "0" * 64])
async def test_another_name_leads_nowhere(settings: Settings, name: str) -> None:
    async with asking(settings) as http:
        answer = await ask(http, None, documentId=name)

    assert (answer.status_code, codes(answer)) == (400, ["PERSISTED_QUERY_NOT_FOUND"])
    assert len(answer.json()["errors"]) == 1


async def test_a_mutation_by_its_name_is_refused_over_get(settings: Settings) -> None:
    person = await make_person("Gerd Get")
    headers = {"authorization": f"Bearer {person.token}"}

    async with asking(settings) as http:
        await ask(http, RENAME, extensions=named(RENAME))
        params = {"documentId": f"sha256:{digest(RENAME)}"}
        refused = await http.get("/graphql", params=params, headers=headers)
        unchanged = await rows("SELECT name FROM users WHERE id = $1", person.user_id)
        posted = await ask(http, None, person, documentId=f"sha256:{digest(RENAME)}")

    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert unchanged == [{"name": "Gerd Get"}]
    assert posted.json()["data"]["profileUpdate"]["viewer"] == {"user": {"name": "Renamed"}}


ALLOWED = {"viewer": "{ viewer { user { name } } }", f"sha256:{digest(RENAME)}": RENAME}


@pytest.fixture
def listed(settings: Settings, tmp_path: Path) -> dict[str, Any]:
    """Settings under which the documents of a list run alone."""
    file = tmp_path / "documents.json"
    file.write_text(json.dumps(ALLOWED))
    return {"documents": "persisted", "documents_file": file}


async def test_the_documents_of_the_list_run_by_name_and_by_text(settings: Settings, listed: dict[str, Any]) -> None:
    person = await make_person("Lisa Listed")
    read = ALLOWED["viewer"]

    async with asking(settings, **listed) as http:
        answers = [
            await ask(http, None, person, documentId="viewer"),
            await ask(http, read, person),
            await got(http, documentId="viewer"),
            await got(http, query=read),
        ]
        changed = await ask(http, None, person, documentId=f"sha256:{digest(RENAME)}")
        as_apollo = await ask(http, None, person, extensions=named(RENAME))

    viewer = {"viewer": {"user": {"name": "Lisa Listed"}}}
    assert [each.json()["data"] for each in answers] == [viewer, viewer, {"viewer": None}, {"viewer": None}]
    for each in (changed, as_apollo):
        assert each.json()["data"]["profileUpdate"]["viewer"] == {"user": {"name": "Renamed"}}


async def test_nothing_else_runs_where_only_the_list_does(settings: Settings, listed: dict[str, Any]) -> None:
    person = await make_person("Nils Not")
    other = RENAME.replace("Renamed", "Other")
    kept = fresh()

    async with asking(settings) as free:
        # Elsewhere it was kept, over the same Redis.
        assert codes(await ask(free, kept, extensions=named(kept))) == []
    async with asking(settings, **listed) as http:
        answers = [
            await ask(http, other, person),
            await ask(http, RENAME + " ", person),
            await ask(http, other, person, extensions=named(other)),
            await ask(http, None, person, extensions=named(other)),
            await ask(http, None, person, extensions=named(kept)),
            await ask(http, None, person, documentId=f"sha256:{digest(kept)}"),
            await ask(http, None, person, documentId="nothing"),
            await ask(http, "{ __schema { types { name } } }"),
            await ask(http, "{"),
            await got(http, query="{ __typename }"),
        ]
    async with asking(settings) as free:
        not_kept = await ask(free, None, extensions=named(other))

    assert [(each.status_code, codes(each)) for each in answers] == [(400, ["BAD_USER_INPUT"])] * 10
    assert {each.json()["errors"][0]["message"] for each in answers} == {
        "This server runs the documents of its allow-list alone."
    }
    assert codes(not_kept) == ["PERSISTED_QUERY_NOT_FOUND"]
    assert await rows("SELECT name FROM users WHERE id = $1", person.user_id) == [{"name": "Nils Not"}]


async def test_without_redis_texts_run_and_sign_in_is_refused_and_each_is_told_once(settings: Settings) -> None:
    person = await make_person("Rosa Redis")
    document = fresh()

    with structlog.testing.capture_logs() as lines:
        async with asking(settings, redis_url=f"redis://127.0.0.1:{free_port()}/0") as http:
            texts = [await ask(http, document, extensions=named(document)) for _ in range(3)]
            by_name = await ask(http, None, extensions=named(document))
            by_id = await ask(http, None, documentId=f"sha256:{digest(document)}")
            reads = [await ask(http, "{ viewer { user { id } } }", person) for _ in range(3)]
            changed = await ask(http, RENAME, person)
            signed_in = [await ask(http, SIGN_IN) for _ in range(2)]

    assert [each.json()["data"] for each in texts] == [{"__typename": "Query"}] * 3
    # Who can send the text shall do so; who has the name alone can only wait.
    assert (codes(by_name), codes(by_id)) == (["PERSISTED_QUERY_NOT_FOUND"], ["UNAVAILABLE"])
    assert [each.json()["data"]["viewer"]["user"]["id"] for each in reads] == [person.id] * 3
    assert [each.json()["extensions"]["cost"]["charged"] for each in reads] == [1] * 3
    assert changed.json()["data"]["profileUpdate"]["errors"] == []
    assert [codes(each) for each in signed_in] == [["UNAVAILABLE"]] * 2
    away = [line["purpose"] for line in lines if line["event"] == "redis does not answer"]
    assert {"points", "documents", "throttle"} <= set(away)
    assert len(away) == len(set(away))
    bad = {line["event"] for line in lines if line["log_level"] in ("warning", "error")}
    assert bad <= {"redis does not answer", "wake-ups are not heard"}
