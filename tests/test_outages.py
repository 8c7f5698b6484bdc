"""A server under the system goes away, or somebody holds it up: what clients get meanwhile, and that all comes back."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from domain.base import embedded
from domain.base.data_directory import POSTGRES, REDIS, account_for
from domain.base.database import LOCK_TIMEOUT_MS
from domain.base.embedded import Running, Server, running
from tests.processes import Started, planwire, started

DEADLINE_S = 10.0
VIEWER = "{ viewer { email organizations(first: 1) { nodes { slug } } } }"
SIGN_UP = """mutation ($email: String!) {
  signUp(input: {email: $email, password: "long enough", name: "A"}) { token errors { code } }
}"""
SIGN_IN = """mutation ($email: String!) {
  signIn(input: {email: $email, password: "long enough"}) { token errors { code } }
}"""
ORGANIZE = """mutation ($slug: String!) {
  organizationCreate(input: {name: "Org", slug: $slug}) { organization { id } errors { code } }
}"""
LABEL = """mutation ($org: ID!, $name: String!) {
  labelCreate(input: {organizationId: $org, name: $name, color: "#123456"}) { label { name } errors { code } }
}"""


@dataclass
class System:
    """The API as a process of its own, over servers that a test may stop and start again."""

    directory: Path
    servers: Running
    api: Started
    restarted: dict[str, Server] = field(default_factory=dict)

    async def ask(self, document: str, token: str | None = None, **variables: Any) -> Any:
        """The answer to an operation."""
        return await asyncio.to_thread(self.api.ask, document, token, **variables)

    async def stop(self, name: str) -> None:
        """End the server as its operator would."""
        first = {server.name: server for server in self.servers.started}
        process = self.restarted.get(name, first[name]).process
        process.send_signal(signal.SIGINT)
        await asyncio.to_thread(process.wait, DEADLINE_S)

    async def start(self, name: str) -> None:
        """Start the server again where it was."""
        sockets, account = self.servers.sockets, account_for(self.directory)
        if name == POSTGRES:
            server = await embedded._start_postgres(self.directory, sockets, account)
        else:
            server = embedded._start_redis(self.directory, sockets, account)
        self.restarted[name] = server
        await embedded._until_ready([server], self.directory, sockets)


@dataclass(frozen=True)
class Tenant:
    """Somebody signed in, and the organization that is theirs."""

    email: str
    token: str
    org: str


@asynccontextmanager
async def system_in(directory: Path, **environ: str) -> AsyncIterator[System]:
    """The API over servers of its own, which nobody else misses. `environ` has more of its settings."""
    async with running(directory) as servers:
        environ |= {
            "DATABASE_URL": servers.database_url,
            "REDIS_URL": servers.redis_url,
            "SECRET_KEY": "only-for-this-test-" + "k" * 32,
            "PLANWIRE_DATA": str(directory / "unused"),
        }
        migrated = await asyncio.to_thread(planwire, "migrate", **environ)
        assert migrated.returncode == 0, migrated.stderr
        with started("serve", "--port", "0", **environ) as api:
            made = System(directory, servers, api)
            yield made
        for name in made.restarted:
            await made.stop(name)


@pytest.fixture(scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with system_in(tmp_path_factory.mktemp("outages")) as made:
        yield made


async def make_tenant(system: System, name: str) -> Tenant:
    """A person and an organization, made as anybody makes them."""
    email = f"{name}@example.test"
    signed_up = await system.ask(SIGN_UP, email=email)
    token = signed_up["data"]["signUp"]["token"]
    made = await system.ask(ORGANIZE, token, slug=name)
    return Tenant(email, token, made["data"]["organizationCreate"]["organization"]["id"])


def codes(answer: Any) -> list[str]:
    """The codes of the top-level errors."""
    return [error["extensions"]["code"] for error in answer.get("errors", ())]


async def test_without_postgres_all_is_unavailable_and_with_it_all_works_again(system: System) -> None:
    ada = await make_tenant(system, "ada")

    await system.stop(POSTGRES)
    read = await system.ask(VIEWER, ada.token)
    changed = await system.ask(LABEL, ada.token, org=ada.org, name="lost")
    signed_in = await system.ask(SIGN_IN, email=ada.email)
    await system.start(POSTGRES)
    read_again = await system.ask(VIEWER, ada.token)
    changed_again = await system.ask(LABEL, ada.token, org=ada.org, name="kept")
    signed_in_again = await system.ask(SIGN_IN, email=ada.email)

    assert [codes(read), codes(changed), codes(signed_in)] == [["UNAVAILABLE"]] * 3
    assert read_again["data"]["viewer"]["organizations"]["nodes"] == [{"slug": "ada"}]
    assert changed_again["data"]["labelCreate"] == {"label": {"name": "kept"}, "errors": []}
    assert signed_in_again["data"]["signIn"]["errors"] == []


async def test_who_waits_for_a_lock_gets_a_timeout_and_others_are_served_meanwhile(system: System) -> None:
    held, other = await make_tenant(system, "held"), await make_tenant(system, "other")
    holder = await asyncpg.connect(system.servers.database_url)
    try:
        async with holder.transaction():
            await holder.execute("SELECT FROM organization WHERE slug = 'held' FOR UPDATE")
            begun = time.monotonic()
            waiting = [
                asyncio.create_task(system.ask(LABEL, held.token, org=held.org, name=f"held {number}"))
                for number in range(4)
            ]
            served = await system.ask(LABEL, other.token, org=other.org, name="served")
            served_after_s = time.monotonic() - begun
            refused = await asyncio.gather(*waiting)
            refused_after_s = time.monotonic() - begun
    finally:
        await holder.close()
    after = await system.ask(LABEL, held.token, org=held.org, name="after")

    assert served["data"]["labelCreate"]["errors"] == []
    assert served_after_s < LOCK_TIMEOUT_MS / 1000
    assert [codes(answer) for answer in refused] == [["TIMEOUT"]] * 4
    assert LOCK_TIMEOUT_MS / 1000 <= refused_after_s < DEADLINE_S
    assert after["data"]["labelCreate"]["label"] == {"name": "after"}


async def test_without_redis_reads_go_on_and_sign_in_is_unavailable(system: System) -> None:
    rita = await make_tenant(system, "rita")

    await system.stop(REDIS)
    read = await system.ask(VIEWER, rita.token)
    signed_in = await system.ask(SIGN_IN, email=rita.email)
    await system.start(REDIS)
    signed_in_again = await system.ask(SIGN_IN, email=rita.email)

    assert read["data"]["viewer"]["email"] == rita.email
    assert codes(signed_in) == ["UNAVAILABLE"]
    assert signed_in_again["data"]["signIn"]["errors"] == []
