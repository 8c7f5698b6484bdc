"""A PostgreSQL of somebody else's: the owner is no superuser, every role needs its password."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from domain.base.embedded import running
from tests.processes import planwire, started

SECRET = "only-for-this-test-" + "k" * 32
CLOSED = "local all postgres trust\nlocal all all scram-sha-256\n"


@pytest.fixture
async def external(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """Environment of a server whose owner may make roles and nothing more."""
    async with running(tmp_path / "server") as servers:
        host = str(servers.sockets)
        admin = await asyncpg.connect(host=host, port=5432, user="postgres", database="postgres")
        await admin.execute("CREATE ROLE owner LOGIN CREATEROLE PASSWORD 'owners-own'")
        await admin.execute('CREATE DATABASE "pm-data" OWNER owner')
        # pgvector is no extension that an owner may bring in. Where it is, it need not be brought.
        data = await asyncpg.connect(host=host, port=5432, user="postgres", database="pm-data")
        await data.execute("CREATE EXTENSION vector")
        await data.close()
        access = Path(await admin.fetchval("SHOW hba_file"))
        await asyncio.to_thread(access.write_text, CLOSED)
        await admin.execute("SELECT pg_reload_conf()")
        await admin.close()
        yield {
            "DATABASE_URL": f"postgresql://owner:owners-own@/pm-data?host={host}&port=5432",
            "REDIS_URL": servers.redis_url,
            "SECRET_KEY": SECRET,
            "PLANWIRE_DATA": str(tmp_path / "unused"),
        }


async def test_an_owner_without_superuser_migrates_and_the_made_roles_serve(
    external: dict[str, str], tmp_path: Path
) -> None:
    first = planwire("migrate", **external)
    second = planwire("migrate", **external)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr

    ownerless = external | {"DATABASE_URL": external["DATABASE_URL"].replace("owner:owners-own@", "")}
    with started("serve", "--port", "0", **ownerless) as server:
        signed_up = server.ask(
            'mutation { signUp(input: {email: "a@b.test", password: "long enough", name: "A"}) { token } }',
        )
        token = signed_up["data"]["signUp"]["token"]
        made = server.ask(
            'mutation { organizationCreate(input: {name: "Org", slug: "org"}) { organization { slug viewerRole } } }',
            token,
        )

    assert made["data"]["organizationCreate"]["organization"] == {"slug": "org", "viewerRole": "ADMIN"}
    assert not (tmp_path / "unused").exists()


async def test_a_refused_password_is_told_in_one_line(external: dict[str, str]) -> None:
    wrong = external | {"DATABASE_URL": external["DATABASE_URL"].replace("owners-own", "hunter2")}

    told = {command: planwire(command, **wrong) for command in ("migrate", "seed")}
    # The roles are not made yet, so serve is refused as well.
    told["serve"] = planwire("serve", "--port", "0", **external)

    for command, one in told.items():
        assert (one.returncode, one.stdout) == (1, ""), command
        assert one.stderr.startswith("planwire: the database pm-data at /"), one.stderr
        assert "password authentication failed" in one.stderr
        assert one.stderr.count("\n") == 1
        assert not any(secret in one.stderr for secret in ("hunter2", "owners-own", SECRET))
