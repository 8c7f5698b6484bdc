"""The commands as a person starts them: real processes, signals, ports and data directories."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from domain.base import data_directory
from domain.demo.seed import SIGN_IN
from tests.processes import END_DEADLINE_S, READY_DEADLINE_S, Started, planwire, started


def servers_in(directory: Path) -> list[psutil.Process]:
    return data_directory.tagged(Path(os.path.realpath(directory)))


def wait_until(reached: Callable[[], bool], timeout_s: float = END_DEADLINE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def workers_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Worker processes; multiprocessing's resource tracker is a child as well."""
    found = []
    for child in psutil.Process(process.pid).children():
        # One that was just killed may be gone before it is looked at.
        with contextlib.suppress(psutil.NoSuchProcess):
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def running_of(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run. A killed process whose parent is gone waits as a zombie for init to take note."""
    found = []
    for one in processes:
        # It may be gone between the two looks.
        with contextlib.suppress(psutil.NoSuchProcess):
            if one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_dev_is_ready_and_ends_with_all_its_processes(
    number: signal.Signals, tmp_path: Path, fill: Callable[[Path], Path]
) -> None:
    data = fill(tmp_path / "data")
    with started("dev", "--port", "0", "--data", str(data)) as dev:
        assert dev.lines == [f"ready: {dev.origin}/graphql", SIGN_IN]
        assert dev.get("/health/ready")[0] == 200
        tree = psutil.Process(dev.process.pid).children(recursive=True)
        assert {"postgres", "redis-server"} <= {child.name() for child in tree}

        status, took_s = dev.end(number)

    assert status == 0
    assert took_s < END_DEADLINE_S
    assert running_of(tree) == []
    assert servers_in(data) == []


def test_ctrl_c_at_the_terminal_reaches_the_whole_group_and_still_ends_cleanly(
    tmp_path: Path, fill: Callable[[Path], Path]
) -> None:
    data = fill(tmp_path / "data")
    with started("dev", "--port", "0", "--data", str(data)) as dev:
        begun = time.monotonic()
        os.killpg(dev.process.pid, signal.SIGINT)

        status = dev.process.wait(READY_DEADLINE_S)

    assert status == 0
    assert time.monotonic() - begun < END_DEADLINE_S
    assert servers_in(data) == []


def processor_s() -> float:
    """What children that have ended have taken of the processor, with their own children."""
    taken = os.times()
    return taken.children_user + taken.children_system


def test_a_second_dev_start_reuses_the_data_and_is_quick(tmp_path: Path) -> None:
    begun_s = processor_s()
    with started("dev", "--port", "0", "--data", str(tmp_path)) as first:
        assert first.lines == [f"ready: {first.origin}/graphql", SIGN_IN]
        assert first.get("/health/ready")[0] == 200
        assert first.end(signal.SIGTERM)[0] == 0
    first_s = processor_s() - begun_s
    made = (tmp_path / "postgres" / "PG_VERSION").stat().st_mtime_ns

    with started("dev", "--port", "0", "--data", str(tmp_path)) as second:
        second.end(signal.SIGTERM)
    second_s = processor_s() - begun_s - first_s

    assert second.lines[1:] == [SIGN_IN]
    assert second_s < first_s
    assert (tmp_path / "postgres" / "PG_VERSION").stat().st_mtime_ns == made


def test_dev_starts_again_after_kill_9(tmp_path: Path) -> None:
    with started("dev", "--port", "0", "--data", str(tmp_path)) as first:
        tree = [psutil.Process(first.process.pid), *servers_in(tmp_path)]
        for victim in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()

    with started("dev", "--port", "0", "--data", str(tmp_path)) as second:
        assert second.get("/health/ready")[0] == 200
        assert second.end(signal.SIGTERM)[0] == 0


def test_dev_ends_when_a_server_dies_under_it(tmp_path: Path, fill: Callable[[Path], Path]) -> None:
    data = fill(tmp_path / "data")
    with started("dev", "--port", "0", "--data", str(data)) as dev:
        next(process for process in servers_in(data) if process.name() == "redis-server").kill()

        status = dev.process.wait(READY_DEADLINE_S)

    assert status == 1
    assert servers_in(data) == []


def test_wrong_settings_are_all_told_before_anything_starts(tmp_path: Path) -> None:
    told = planwire("dev", "--data", str(tmp_path / "data"), LOG_LEVEL="loud", DATABASE_URI="x")

    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr == (
        "planwire: the settings cannot be used:\n"
        "  DATABASE_URI: unknown setting, did you mean DATABASE_URL?\n"
        "  LOG_LEVEL: has to be one of debug, info, warning, error\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_serve_shares_one_port_among_workers_and_replaces_a_dead_one(tmp_path: Path) -> None:
    arguments = ("serve", "--workers", "2", "--port", "0", "--data", str(tmp_path))
    with started(*arguments) as serve:
        wait_until(lambda: len(workers_of(serve.process)) == 2)
        victim = workers_of(serve.process)[0]
        victim.kill()
        wait_until(lambda: victim.pid not in {one.pid for one in workers_of(serve.process)})
        wait_until(lambda: len(workers_of(serve.process)) == 2)
        still = serve.get("/health/ready")[0]
        tree = psutil.Process(serve.process.pid).children(recursive=True)

        status, took_s = serve.end(signal.SIGTERM)

    assert still == 200
    assert status == 0
    assert took_s < END_DEADLINE_S
    wait_until(lambda: running_of(tree) == [])


def test_workers_end_when_serve_is_killed(tmp_path: Path) -> None:
    with started("serve", "--workers", "2", "--port", "0", "--data", str(tmp_path)) as serve:
        wait_until(lambda: len(workers_of(serve.process)) == 2)
        tree = psutil.Process(serve.process.pid).children(recursive=True)
        serve.process.kill()

    wait_until(lambda: running_of(tree) == [])
    with pytest.raises(urllib.error.URLError):
        serve.get("/health/ready")


@pytest.mark.parametrize("command", [("migrate",), ("seed",), ("serve", "--port", "0")], ids=" ".join)
def test_a_database_that_does_not_answer_is_told_in_one_line(command: tuple[str, ...], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    environ = {"DATABASE_URL": f"postgresql://owner:hunter2@127.0.0.1:{port}/pm", "SECRET_KEY": "k" * 32}

    told = planwire(*command, "--data", str(tmp_path), REDIS_URL="redis://127.0.0.1:1", **environ)

    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith(f"planwire: the database pm at 127.0.0.1:{port} cannot be used: ")
    assert told.stderr.count("\n") == 1
    assert "hunter2" not in told.stderr


def test_arguments_that_make_no_sense_are_refused() -> None:
    told = [
        planwire("dev", "--port", "65536"),
        planwire("serve", "--workers", "0"),
        planwire("migrate", "--up"),
        planwire("work", "--concurrency", "7"),
    ]

    assert [one.returncode for one in told] == [2, 2, 2, 2]
    assert told[-1].stderr == "planwire: --concurrency is at most 6 with DATABASE_POOL_SIZE=10\n"


def test_a_host_that_is_none_of_ours_is_refused_before_anything_starts(tmp_path: Path) -> None:
    told = planwire("dev", "--host", "192.0.2.1", "--data", str(tmp_path))

    assert told.returncode == 2
    assert told.stderr.startswith("planwire: http://192.0.2.1:8000 cannot be listened on: cannot assign requested")
    assert not (tmp_path / "postgres").exists()


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory, fill: Callable[[Path], Path]) -> Iterator[tuple[Started, Path]]:
    """One that runs, and its directory, for the last tests, which let it run. It would take the others' time."""
    data = fill(tmp_path_factory.mktemp("dev") / "data")
    with started("dev", "--port", "0", "--data", str(data)) as running:
        yield running, data
        running.end(signal.SIGTERM)


def test_two_run_side_by_side_and_a_taken_port_or_directory_is_told(
    dev: tuple[Started, Path], tmp_path: Path, fill: Callable[[Path], Path]
) -> None:
    first, one = dev
    with started("dev", "--port", "0", "--data", str(fill(tmp_path / "two"))) as second:
        port = first.origin.rsplit(":", 1)[1]
        same_port = planwire("dev", "--port", port, "--data", str(tmp_path / "three"))
        same_directory = planwire("dev", "--port", "0", "--data", str(one))
        statuses = [first.get("/health/ready")[0], second.get("/health/ready")[0]]

    assert statuses == [200, 200]
    assert (same_port.returncode, same_port.stdout) == (2, "")
    assert same_port.stderr == (
        f"planwire: http://127.0.0.1:{port} cannot be listened on: address already in use; choose another --port\n"
    )
    assert not (tmp_path / "three" / "postgres").exists()
    assert (same_directory.returncode, same_directory.stdout) == (1, "")
    assert same_directory.stderr == (
        f"planwire: {one} is in use by another planwire (process {first.process.pid}); "
        "stop that one, or choose another directory with --data\n"
    )


def test_seed_and_migrate_use_the_servers_of_a_running_dev(dev: tuple[Started, Path]) -> None:
    running, data = dev
    migrated = planwire("migrate", "--data", str(data))
    seeded = planwire("seed", "--data", str(data))
    still = running.get("/health/ready")[0]

    assert (migrated.returncode, migrated.stdout) == (0, "the database is current\n"), migrated.stderr
    assert (seeded.returncode, seeded.stdout) == (0, f"demo data were there already\n{SIGN_IN}\n"), seeded.stderr
    assert still == 200
