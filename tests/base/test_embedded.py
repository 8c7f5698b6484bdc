"""Real servers, really killed. Whatever happened before, the next start has the data and no second server."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest
from redis.asyncio import Redis

from domain.base import data_directory
from domain.base.data_directory import EmbeddedError
from domain.base.embedded import Running, running, servers
from domain.base.settings import Settings, load

DEADLINE_S = 20.0
# Another process that owns the directory until it is told or made to end. With "keep" its servers outlive it, as they
# do where the kernel knows no parent-death signal.
OWNER = """
import asyncio, dataclasses, sys
from pathlib import Path
from domain.base import data_directory, embedded
account = data_directory.account_for
def of(directory):
    found = account(directory)
    return dataclasses.replace(found, prefix=tuple(sys.argv[2] if part == "INT" else part for part in found.prefix))
embedded.account_for = of
async def main():
    async with embedded.running(Path(sys.argv[1]), shared=True):
        print("up", flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""


@contextmanager
def owner(directory: Path, on_death: str = "INT") -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-c", OWNER, str(directory), on_death]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process


def left_in(directory: Path) -> list[psutil.Process]:
    return data_directory.tagged(Path(os.path.realpath(directory)))


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def of_name(name: str, directory: Path) -> psutil.Process:
    """The first process of a server: the one whose parent is not one of them."""
    found = left_in(directory)
    pids = {process.pid for process in found}
    return next(process for process in found if process.name() == name and process.ppid() not in pids)


async def count_a_start(found: Running | Settings) -> tuple[int, int]:
    """How many starts the data of each server know of, this one with them."""
    connection = await asyncpg.connect(found.database_url)
    await connection.execute("CREATE TABLE IF NOT EXISTS starts (id int GENERATED ALWAYS AS IDENTITY)")
    await connection.execute("INSERT INTO starts DEFAULT VALUES")
    in_postgres = await connection.fetchval("SELECT count(*) FROM starts")
    await connection.close()
    async with Redis.from_url(str(found.redis_url)) as redis:
        in_redis = await redis.incr("starts")
    return in_postgres, in_redis


async def start_and_count(directory: Path) -> tuple[int, int]:
    async with running(directory) as found:
        return await count_a_start(found)


def settings_of(directory: Path, **environ: str) -> Settings:
    return load(environ, data_dir=directory)


async def test_a_second_start_has_the_data_and_the_end_leaves_no_process(tmp_path: Path) -> None:
    assert await start_and_count(tmp_path) == (1, 1)
    assert left_in(tmp_path) == []

    assert await start_and_count(tmp_path) == (2, 2)

    assert left_in(tmp_path) == []
    assert not (tmp_path / "sockets").exists()


async def test_the_servers_are_as_the_code_expects(tmp_path: Path) -> None:
    async with running(tmp_path) as found:
        connection = await asyncpg.connect(found.database_url)
        names = ("listen_addresses", "fsync", "TimeZone", "server_encoding", "max_connections", "port")
        shown = [await connection.fetchval("SELECT current_setting($1)", name) for name in names]
        locale = await connection.fetchrow(
            "SELECT current_database(), current_user, datlocprovider, datlocale FROM pg_database"
            " WHERE datname = current_database()"
        )
        await connection.close()
        async with Redis.from_url(found.redis_url, decode_responses=True) as redis:
            options = {**await redis.config_get("port"), **await redis.config_get("appendonly")}

    assert shown == ["", "on", "UTC", "UTF8", "200", "5432"]
    assert locale is not None
    assert tuple(locale) == ("planwire", "postgres", b"b", "C.UTF-8")
    assert options == {"port": "0", "appendonly": "yes"}


async def test_two_directories_run_side_by_side(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        assert await count_a_start(a) == (1, 1)
        assert await count_a_start(b) == (1, 1)


async def test_a_deep_directory_gets_its_sockets_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / "with a space"

    async with running(deep) as found:
        counted = await count_a_start(found)

        assert counted == (1, 1)
        assert deep not in found.sockets.parents
        assert found.sockets.stat().st_mode & 0o777 == 0o700
    assert not found.sockets.exists()


async def test_a_taken_directory_is_refused_and_left_alone(tmp_path: Path) -> None:
    with owner(tmp_path) as process:
        before = left_in(tmp_path)

        with pytest.raises(EmbeddedError, match=rf"is in use by another planwire \(process {process.pid}\); stop"):
            await start_and_count(tmp_path)

        assert {child.pid for child in left_in(tmp_path)} >= {child.pid for child in before}
        process.communicate()


async def test_a_guest_uses_the_owners_servers_and_leaves_them_running(tmp_path: Path) -> None:
    with owner(tmp_path) as process:
        async with servers(settings_of(tmp_path), guest=True) as live:
            connection = await asyncpg.connect(live.database_url)
            await connection.close()

        assert live.embedded
        assert of_name("postgres", tmp_path).ppid() == process.pid
        assert of_name("redis-server", tmp_path).ppid() == process.pid
        process.communicate()


async def test_a_guest_alone_is_the_owner(tmp_path: Path) -> None:
    async with servers(settings_of(tmp_path), guest=True):
        assert of_name("postgres", tmp_path).ppid() == os.getpid()

    assert left_in(tmp_path) == []


async def test_only_what_has_no_url_is_started(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, REDIS_URL="redis://cache.test")

    async with servers(settings) as live:
        names = {process.name() for process in left_in(tmp_path)}

    assert names == {"postgres"}
    assert live.redis_url == "redis://cache.test"
    assert live.embedded


async def test_with_both_urls_nothing_is_touched(tmp_path: Path) -> None:
    key = "k" * 32
    given = {"DATABASE_URL": "postgres://db.test/planwire", "REDIS_URL": "redis://cache.test", "SECRET_KEY": key}
    settings = settings_of(tmp_path / "data", **given)

    async with servers(settings) as live:
        assert live == settings

    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the children of a killed process")
async def test_servers_end_by_themselves_when_their_owner_is_killed(tmp_path: Path) -> None:
    assert await start_and_count(tmp_path) == (1, 1)

    with owner(tmp_path) as process:
        process.kill()

    wait_until(lambda: left_in(tmp_path) == [])
    assert await start_and_count(tmp_path) == (2, 2)


async def test_servers_that_outlive_their_owner_are_ended_before_the_next_start(tmp_path: Path) -> None:
    assert await start_and_count(tmp_path) == (1, 1)
    with owner(tmp_path, on_death="keep") as process:
        process.kill()
    orphans = {of_name("postgres", tmp_path).pid, of_name("redis-server", tmp_path).pid}

    async with running(tmp_path) as found:
        counted = await count_a_start(found)
        pids = {process.pid for process in left_in(tmp_path)}

    assert counted == (2, 2)
    assert pids & orphans == set()


async def test_servers_that_hang_are_killed_before_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_directory, "ORPHAN_DEADLINE_S", 0.1)
    assert await start_and_count(tmp_path) == (1, 1)
    with owner(tmp_path, on_death="keep") as process:
        for orphan in left_in(tmp_path):
            orphan.suspend()
        process.kill()

    assert await start_and_count(tmp_path) == (2, 2)


@pytest.mark.parametrize("victims", [("postgres",), ("redis-server",), ("postgres", "redis-server")])
async def test_killed_servers_lose_nothing(victims: tuple[str, ...], tmp_path: Path) -> None:
    async def lose_servers() -> None:
        async with servers(settings_of(tmp_path)) as live:
            assert await count_a_start(live) == (1, 1)
            for name in victims:
                of_name(name, tmp_path).kill()
            await asyncio.sleep(DEADLINE_S)

    with pytest.raises(EmbeddedError, match=r"ended unexpectedly \(signal 9\).*The data are kept: start again"):
        await lose_servers()

    wait_until(lambda: left_in(tmp_path) == [])
    assert await start_and_count(tmp_path) == (2, 2)


async def test_a_start_after_everything_was_killed_at_once(tmp_path: Path) -> None:
    assert await start_and_count(tmp_path) == (1, 1)
    with owner(tmp_path, on_death="keep") as process:
        for victim in (psutil.Process(process.pid), *left_in(tmp_path)):
            # Killing the first process of Postgres can end the others before their turn.
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGKILL)
    sockets = Path(data_directory.entry_of(tmp_path)["sockets"])
    assert (tmp_path / "postgres" / "postmaster.pid").exists()
    assert {".s.PGSQL.5432", "redis.sock"} <= set(os.listdir(sockets))

    assert await start_and_count(tmp_path) == (2, 2)


@pytest.mark.parametrize("first_line", ["a living process", "1", "999999999", ""])
async def test_a_pid_file_of_a_former_boot_is_no_hindrance(first_line: str, tmp_path: Path) -> None:
    assert await start_and_count(tmp_path) == (1, 1)
    data = tmp_path / "postgres"
    pid = os.getpid() if first_line == "a living process" else first_line
    text = f"{pid}\n{data}\n1700000000\n5432\n{tmp_path}/sockets\n\n  1234 5678\nready   \n" if first_line else ""
    (data / "postmaster.pid").write_text(text)
    os.chown(data / "postmaster.pid", data.stat().st_uid, data.stat().st_gid)

    assert await start_and_count(tmp_path) == (2, 2)


async def test_a_first_start_that_died_leaves_no_half_cluster(tmp_path: Path) -> None:
    half = tmp_path / "postgres.new-abc"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")

    assert await start_and_count(tmp_path) == (1, 1)

    assert not half.exists()


async def test_a_server_that_cannot_start_is_told_with_its_log(tmp_path: Path) -> None:
    assert await start_and_count(tmp_path) == (1, 1)
    (tmp_path / "postgres" / "postgresql.conf").write_text("no_such_option = on\n")

    with pytest.raises(EmbeddedError, match=r"(?s)postgres did not start \(exit status 1\).*no_such_option"):
        await start_and_count(tmp_path)

    assert left_in(tmp_path) == []


async def test_a_cluster_of_another_version_is_refused(tmp_path: Path) -> None:
    assert await start_and_count(tmp_path) == (1, 1)
    (tmp_path / "postgres" / "PG_VERSION").write_text("17\n")

    with pytest.raises(EmbeddedError, match="was written by Postgres 17, this is 18"):
        await start_and_count(tmp_path)
