"""What is to happen once happens once, whichever transports it is asked over, and whoever hangs up in the middle."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from domain.base.settings import Settings
from domain.identity.credentials import WRONG_TRIES
from tests.attacks.raw import nothing_unhandled, post, raw, still_serves
from tests.client import GraphQL
from tests.events.chain import first_fault
from tests.events.live import leaving_nothing, until
from tests.events.test_open_sockets import locked
from tests.factories import Tenant, events, make_project, make_task, rows
from tests.idempotency.keyed import CREATE_LABEL, kept, labels, new_key
from tests.ports import http_client
from tests.transport.talk import Talk, talking

SOCKETS = 10
BY_HTTP = 5
WAITS = "SELECT FROM pg_locks WHERE NOT granted"
TWICE = """
mutation ($org: ID!, $name: String!, $key: String!) {
  first: labelCreate(input: {organizationId: $org, name: $name, color: "#123456"}) @idempotent(key: $key) {
    label { id name } errors { code }
  }
  second: labelCreate(input: {organizationId: $org, name: $name, color: "#123456"}) @idempotent(key: $key) {
    label { id name } errors { code }
  }
}
"""
RETITLE = """
mutation ($id: ID!, $title: String!) {
  taskUpdate(id: $id, input: {title: $title}, ifVersion: 1) { task { title version } errors { code } }
}
"""
RETITLE_TWICE = """
mutation ($id: ID!, $title: String!) {
  first: taskUpdate(id: $id, input: {title: $title}, ifVersion: 1) { task { title } errors { code } }
  second: taskUpdate(id: $id, input: {title: $title}, ifVersion: 1) { task { title } errors { code } }
}
"""
SIGN_UP = """
mutation ($email: String!, $password: String!) {
  signUp(input: {email: $email, password: $password, name: "Tess"}) { errors { code } }
}
"""
SIGN_IN = "signIn(input: {email: $email, password: $password}) { token errors { code } }"
PASSWORD = "long enough to be right"  # noqa: S105  # of nobody


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[Any]]:
    """What was logged, of which nothing is a warning."""
    with nothing_unhandled(caplog) as found:
        yield found


class Transports:
    """One person over HTTP and over some sockets, or one nobody from a network."""

    def __init__(self, http: httpx.AsyncClient, sockets: list[Talk]) -> None:
        self._http = http
        self._sockets = sockets

    async def by_http(self, document: str, **variables: Any) -> Any:
        """The answer over HTTP."""
        answer = await self._http.post("/graphql", json={"query": document, "variables": variables})
        return answer.json()

    async def by_socket(self, number: int, document: str, **variables: Any) -> Any:
        """The answer over one of the sockets."""
        return await self._sockets[number].answer(document, variables=variables)

    async def at_once(self, document: str, **variables: Any) -> list[Any]:
        """The answers over each socket and several over HTTP, all asked at once."""
        by_socket = [self.by_socket(number, document, **variables) for number in range(len(self._sockets))]
        by_http = [self.by_http(document, **variables) for _ in range(BY_HTTP)]
        return await asyncio.gather(*by_socket, *by_http)


async def transports(
    stack: AsyncExitStack, address: str, token: str | None, *, sockets: int = SOCKETS, network: str | None = None
) -> Transports:
    """Both, open until the stack is left. `network` is where the proxy says that they come from."""
    headers = {} if network is None else {"x-forwarded-for": network}
    opened = [await stack.enter_async_context(talking(address, additional_headers=headers)) for _ in range(sockets)]
    for each in opened:
        await each.begin(token)
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    base = f"http://{address}"
    http = await stack.enter_async_context(http_client(base_url=base, headers=headers, timeout=30))
    return Transports(http, opened)


@pytest.fixture
async def both(address: str, acme: Tenant) -> AsyncIterator[Transports]:
    """The admin of acme, over both transports."""
    async with leaving_nothing(), AsyncExitStack() as stack:
        yield await transports(stack, address, acme.admin.token)


async def prove_once(tenant: Tenant, key: str) -> None:
    """One label, one event, one outcome."""
    assert (await labels(tenant.org_id), await events(tenant.org_id)) == (["bug"], ["LABEL_CREATED"])
    assert len(await kept(key)) == 1
    assert await first_fault(tenant.org_id) is None


async def test_under_one_key_it_is_done_once_over_all_transports(acme: Tenant, both: Transports) -> None:
    key = new_key()

    answers = await both.at_once(CREATE_LABEL, org=acme.id, name="bug", key=key)

    assert [answer.get("errors") for answer in answers] == [None] * (SOCKETS + BY_HTTP)
    assert [answer["data"] for answer in answers] == [answers[0]["data"]] * len(answers)
    assert answers[0]["data"]["labelCreate"]["label"]["name"] == "bug"
    await prove_once(acme, key)


async def test_under_one_key_it_is_done_once_with_aliases_too(acme: Tenant, both: Transports) -> None:
    key = new_key()

    answers = await both.at_once(TWICE, org=acme.id, name="bug", key=key)

    found = [answer["data"][alias] for answer in answers for alias in ("first", "second")]
    assert found == [found[0]] * 2 * (SOCKETS + BY_HTTP)
    assert found[0]["errors"] == []
    await prove_once(acme, key)


async def test_a_key_is_known_over_the_other_transport_and_with_other_arguments_it_is_a_conflict(
    acme: Tenant, both: Transports
) -> None:
    key = new_key()

    first = await both.by_socket(0, CREATE_LABEL, org=acme.id, name="bug", key=key)
    again = await both.by_http(CREATE_LABEL, org=acme.id, name="bug", key=key)
    other = await both.by_http(CREATE_LABEL, org=acme.id, name="chore", key=key)
    other_still = await both.by_socket(1, CREATE_LABEL, org=acme.id, name="chore", key=key)

    assert again["data"] == first["data"]
    for answer in (other, other_still):
        assert answer["data"]["labelCreate"]["label"] is None
        assert [error["code"] for error in answer["data"]["labelCreate"]["errors"]] == ["CONFLICT"]
    await prove_once(acme, key)


@asynccontextmanager
async def sent_over_http(address: str, token: str, variables: dict[str, Any]) -> AsyncIterator[None]:
    """The mutation is sent; behind the block the connection is cut."""
    body = json.dumps({"query": CREATE_LABEL, "variables": variables}).encode()
    async with raw(address) as client:
        await client.send(post(body, f"Authorization: Bearer {token}"))
        yield


@asynccontextmanager
async def sent_over_a_socket(address: str, token: str, variables: dict[str, Any]) -> AsyncIterator[None]:
    """The mutation is sent; behind the block the socket is cut."""
    async with talking(address) as socket:
        await socket.begin(token)
        await socket.ask("1", CREATE_LABEL, variables=variables)
        yield
        socket.connection.transport.abort()


Sent = Callable[[str, str, dict[str, Any]], AbstractAsyncContextManager[None]]


@pytest.mark.parametrize("sent", [sent_over_http, sent_over_a_socket])
async def test_who_hangs_up_in_the_middle_has_done_it_or_not_and_the_repeat_tells(
    address: str, acme: Tenant, sent: Sent
) -> None:
    names = [f"bug {number:02}" for number in range(24)]
    keys = {name: new_key() for name in names}

    async with leaving_nothing():
        for number, name in enumerate(names):
            async with sent(address, acme.admin.token, {"org": acme.id, "name": name, "key": keys[name]}):
                # Each is cut off a little later than the one before: before it is read, in a statement, after all.
                for _ in range(number * 4):
                    await asyncio.sleep(0)
        await until(nothing_runs)
    # An operation that was sent over HTTP goes on, and may do so between these looks.
    done_before = await labels(acme.org_id)
    outcomes = [name for name in names if await kept(keys[name])]
    done_after = await labels(acme.org_id)
    repeats = [await acme.admin.client.done(CREATE_LABEL, org=acme.id, name=name, key=keys[name]) for name in names]

    assert set(done_before) <= set(outcomes) <= set(done_after)
    assert [each["label"]["name"] for each in repeats] == names
    assert await labels(acme.org_id) == names
    assert await events(acme.org_id) == ["LABEL_CREATED"] * len(names)
    assert await first_fault(acme.org_id) is None
    await still_serves(address)


async def nothing_runs() -> bool:
    """Whether no connection is in a transaction or a statement, but for the one that looks."""
    busy = "SELECT FROM pg_stat_activity WHERE state <> 'idle' AND pid <> pg_backend_pid()"
    return await rows(busy) == []


async def test_who_leaves_a_socket_while_it_waits_for_a_lock_has_done_nothing(
    address: str, settings: Settings, acme: Tenant
) -> None:
    variables = {"org": acme.id, "name": "bug", "key": new_key()}

    async with leaving_nothing(), locked(settings, "label"):
        async with sent_over_a_socket(address, acme.admin.token, variables):
            await until(lambda: rows(WAITS))
        await until(nothing_waits)
    before = (await labels(acme.org_id), await events(acme.org_id), await kept(variables["key"]))
    again = await acme.admin.client.done(CREATE_LABEL, **variables)

    assert before == ([], [], [])
    assert again["label"]["name"] == "bug"
    await prove_once(acme, variables["key"])


async def test_who_hangs_up_a_request_while_it_waits_for_a_lock_is_told_by_the_repeat(
    address: str, settings: Settings, acme: Tenant
) -> None:
    variables = {"org": acme.id, "name": "bug", "key": new_key()}

    async with locked(settings, "label"):
        async with sent_over_http(address, acme.admin.token, variables):
            await until(lambda: rows(WAITS))
        # Nobody reads on while a request runs: it goes on, and a repeat beside it waits for it.
        repeat = asyncio.create_task(acme.admin.client.done(CREATE_LABEL, **variables))
    again = await repeat

    assert again["label"]["name"] == "bug"
    await prove_once(acme, variables["key"])


async def nothing_waits() -> bool:
    """Whether no statement waits for a lock."""
    return await rows(WAITS) == []


@pytest.fixture
async def task_id(acme: Tenant) -> str:
    """A task of version 1."""
    project = await make_project(acme.admin, acme)
    return f"task_{(await make_task(acme.admin, project)).id.hex}"


async def test_of_all_who_saw_one_version_one_wins(acme: Tenant, both: Transports, task_id: str) -> None:
    before = await events(acme.org_id)

    by_socket = [both.by_socket(number, RETITLE, id=task_id, title=f"socket {number}") for number in range(SOCKETS)]
    by_http = [both.by_http(RETITLE, id=task_id, title=f"http {number}") for number in range(BY_HTTP)]
    answers = [answer["data"]["taskUpdate"] for answer in await asyncio.gather(*by_socket, *by_http)]

    (won,) = [answer for answer in answers if answer["errors"] == []]
    lost = [answer for answer in answers if answer["errors"] != []]
    assert lost == [{"task": None, "errors": [{"code": "STALE_VERSION"}]}] * (len(answers) - 1)
    found = await rows("SELECT title, version FROM task WHERE org_id = $1", acme.org_id)
    assert found == [{"title": won["task"]["title"], "version": 2}]
    assert won["task"]["version"] == 2
    assert await events(acme.org_id) == [*before, "TASK_UPDATED"]


async def test_of_aliases_with_one_version_one_wins(acme: Tenant, both: Transports, task_id: str) -> None:
    before = await events(acme.org_id)

    answers = await both.at_once(RETITLE_TWICE, id=task_id, title="Changed")

    found = [answer["data"][alias]["errors"] for answer in answers for alias in ("first", "second")]
    assert sorted(found, key=len) == [[], *[[{"code": "STALE_VERSION"}]] * (len(found) - 1)]
    assert await rows("SELECT title, version FROM task WHERE org_id = $1", acme.org_id) == [
        {"title": "Changed", "version": 2}
    ]
    assert await events(acme.org_id) == [*before, "TASK_UPDATED"]


def tries(count: int) -> str:
    """So many sign-ins in one document."""
    fields = " ".join(f"try{number}: {SIGN_IN}" for number in range(count))
    return f"mutation ($email: String!, $password: String!) {{ {fields} }}"


def told(answer: Any) -> list[str]:
    """What each try of an answer was told, refusals of the throttle last."""
    payloads = [payload for payload in answer["data"].values() if payload is not None]
    codes = [error["code"] for payload in payloads for error in payload["errors"]]
    return codes + [error["extensions"]["code"] for error in answer.get("errors", ())]


@pytest.fixture
async def account(adapters: object) -> str:
    """The address of somebody who can sign in; the network is nobody else's."""
    email = f"tess-{new_key()}@example.test"
    answer = await GraphQL(address="203.0.113.77").run(SIGN_UP, email=email, password=PASSWORD)
    assert answer.data == {"signUp": {"errors": []}}
    return email


async def sessions_of(email: str) -> int:
    """How many sessions the person has."""
    return len(await rows("SELECT 1 FROM session JOIN users ON users.id = user_id WHERE email = $1", email))


WRONG, LIMITED = "WRONG_CREDENTIALS", "RATE_LIMITED"


async def test_wrong_passwords_count_together_over_aliases_sockets_and_http(address: str, account: str) -> None:
    assert WRONG_TRIES.tries == 10
    before = await sessions_of(account)
    wrong = {"email": account, "password": "wrong enough"}
    async with leaving_nothing(), AsyncExitStack() as stack:
        nobody = await transports(stack, address, None, sockets=4, network="198.51.100.1")
        found = [
            told(await nobody.by_socket(0, tries(4), **wrong)),
            told(await nobody.by_http(tries(3), **wrong)),
            told(await nobody.by_socket(1, tries(1), **wrong)),
            told(await nobody.by_socket(2, tries(1), **wrong)),
            told(await nobody.by_http(tries(1), **wrong)),
        ]
        eleventh = [await nobody.by_socket(3, tries(1), **wrong), await nobody.by_http(tries(1), **wrong)]
        right = [
            await nobody.by_http(tries(2), email=account, password=PASSWORD),
            await nobody.by_socket(0, tries(2), email=account, password=PASSWORD),
        ]
        elsewhere = await transports(stack, address, None, sockets=1, network="198.51.100.250")
        from_elsewhere = await elsewhere.by_socket(0, tries(1), email=account, password=PASSWORD)

    assert found == [[WRONG] * 4, [WRONG] * 3, [WRONG], [WRONG], [WRONG]]
    for answer in (*eleventh, *right, from_elsewhere):
        assert set(told(answer)) == {LIMITED}
        assert [error["extensions"]["retryAfter"] > 0 for error in answer["errors"]] == [True] * len(answer["data"])
    assert await sessions_of(account) == before


async def test_tries_at_one_moment_do_not_pass_together(address: str, account: str) -> None:
    before = await sessions_of(account)
    async with leaving_nothing(), AsyncExitStack() as stack:
        nobody = await transports(stack, address, None, sockets=5, network="198.51.100.2")
        answers = await nobody.at_once(tries(3), email=account, password="wrong enough")  # noqa: S106  # of nobody
        right = await nobody.by_socket(0, tries(1), email=account, password=PASSWORD)

    found = sorted(code for answer in answers for code in told(answer))
    assert found == [LIMITED] * 20 + [WRONG] * 10
    assert told(right) == [LIMITED]
    assert await sessions_of(account) == before
