"""Planwire beside its peers: `python -m bench` starts each in turn, compares its answers, and prints the table.

`--curve` shows the cost of a request by the number of tasks, `--documents` what distinct documents do to the memory,
`--hello` what the load can ask for at most. `--write` keeps what was measured in bench/README.md.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import orjson

from bench import load, plot, report
from bench.data import PEOPLE_PER_ORGANIZATION, Size
from bench.database import Database, running_in
from bench.measure import Bench, Figures
from bench.servers import HELLO, LOAD_CORE, OURS, SERVERS, ServerError, install, on_core
from bench.workloads import BY_NAME, PAGES, PER_PAGE, Different, Workload, credentials, global_id
from domain.base.data_directory import EmbeddedError

Work = Callable[[argparse.Namespace, Database], Awaitable[None]]
CURVE = (1_000, 10_000, 100_000, 1_000_000)
ON_CURVE = ("W1", "W2", "W4")
HELLO_CONNECTIONS = 32


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _told(each: Figures) -> str:
    return (
        f"{each.workload} {each.server:13} {each.rps:9,.1f} rps  p50 {each.p50_ms:7.1f} ms  p99 {each.p99_ms:7.1f} ms  "
        f"server {each.server_us:8,.0f} µs  PostgreSQL {each.postgres_us:6,.0f} µs  others {each.others:.2f} cores"
    )


async def _make(database: Database, size: Size) -> None:
    if took := await database.prepare(size):
        _say(f"{size.tasks:,} tasks written in {took:.0f} s")


async def _measured(
    bench: Bench, servers: Sequence[str], workloads: Sequence[Workload], rounds: int, seconds: float
) -> list[Figures]:
    """Each server in turn, each workload on it, and all of it again; so a slow minute falls on all."""
    await bench.database.renew(bench.size)
    bench.learn(workloads)
    figures: list[Figures] = []
    for _ in range(rounds):
        for name in servers:
            await bench.database.renew(bench.size)
            with bench.serving(name) as server:
                for workload in workloads:
                    bench.compare(server, workload)
                    figures.append(bench.run(server, workload, seconds))
                    _say(_told(figures[-1]))
    return figures


async def _compare(given: argparse.Namespace, database: Database) -> None:
    size = Size(given.tasks)
    if "W3" in given.only and size.tasks_per_organization < PAGES * PER_PAGE:
        raise ServerError(
            f"W3 needs {PAGES * PER_PAGE:,} tasks in each organization: give more --tasks, or --only others"
        )
    await _make(database, size)
    bench = Bench(database, size, given.data)
    figures = await _measured(bench, given.servers, [BY_NAME[name] for name in given.only], given.rounds, given.seconds)
    text = "\n".join(
        (
            report.table(figures),
            f"{given.tasks:,} tasks; median of {given.rounds} rounds of {given.seconds:g} s each. "
            + report.disturbance(figures),
            await report.machine(database),
        )
    )
    _say(text)
    if given.write:
        report.keep("table", text)
        plot.write_bars(figures)


async def _show_curve(given: argparse.Namespace, database: Database) -> None:
    found: dict[int, list[Figures]] = {}
    workloads = [BY_NAME[name] for name in ON_CURVE if name in given.only]
    for tasks in given.sizes:
        await _make(database, Size(tasks))
        bench = Bench(database, Size(tasks), given.data)
        found[tasks] = await _measured(bench, [OURS], workloads, given.rounds, given.seconds)
    every = [each for figures in found.values() for each in figures]
    text = (
        report.curve(found) + f"\nMedian of {given.rounds} rounds of {given.seconds:g} s. " + report.disturbance(every)
    )
    _say(text)
    if given.write:
        report.keep("curve", text)
        plot.write_curve(found)


async def _show_documents(given: argparse.Namespace, database: Database) -> None:
    size = Size(given.tasks)
    await _make(database, size)
    await database.renew(size)
    variables = {"id": global_id("task", size.task(0, 0))}
    memory: list[tuple[int, int]] = []
    with Bench(database, size, given.data).serving(OURS) as server:
        for count in range(given.documents):
            if count % max(given.documents // 10, 1) == 0:
                memory.append((count, server.memory_bytes()))
            document = BY_NAME["W1"].ours.replace("title", f"title title{count}: title")
            body = orjson.dumps({"query": document, "operationName": "W1", "variables": variables})
            load.ask(server.port, load.request(credentials(PEOPLE_PER_ORGANIZATION, True), body))
        memory.append((given.documents, server.memory_bytes()))
    text = report.documents(memory)
    _say(text)
    if given.write:
        report.keep("documents", text)


async def _show_hello(given: argparse.Namespace, database: Database) -> None:
    with Bench(database, Size(given.tasks), given.data).serving(HELLO) as server:
        asked = load.request("Bearer nobody", BY_NAME["W1"].ours.encode())
        theirs, own = server.cpu_s(), time.process_time()
        sample = load.run(server.port, [asked], HELLO_CONNECTIONS, given.seconds)
        theirs, own = server.cpu_s() - theirs, time.process_time() - own
    count = len(sample.latencies_s)
    text = (
        f"A server that answers without looking gives {sample.per_s:,.0f} rps over {HELLO_CONNECTIONS} connections; a "
        f"request costs it {theirs * 1e6 / count:.0f} µs and the load {own * 1e6 / count:.0f} µs.\n"
    )
    _say(text)
    if given.write:
        report.keep("hello", text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each stretch (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="through all servers (default %(default)s)")
    parser.add_argument("--only", nargs="+", choices=BY_NAME, default=list(BY_NAME), help="these workloads")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS), help="these servers")
    parser.add_argument("--tasks", type=int, default=200_000, help="in the data set (default %(default)s)")
    parser.add_argument("--data", type=Path, help="keep the data set in this directory for the next run")
    parser.add_argument("--write", action="store_true", help="keep what was measured in bench/README.md")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--curve", action="store_true", help="cost of a request by the number of tasks")
    what.add_argument("--documents", type=int, help="memory after so many distinct documents")
    what.add_argument("--hello", action="store_true", help="the load against a server that does nothing")
    parser.add_argument("--sizes", nargs="+", type=int, default=list(CURVE), help="of --curve")
    return parser


@contextlib.contextmanager
def _directory(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="planwire-bench-") as made:
        yield Path(made)


async def _run(given: argparse.Namespace, work: Work) -> None:
    async with running_in(given.data) as database:
        await work(given, database)


def main() -> int:
    """Run once; the exit status."""
    given = _parser().parse_args()
    work: Work = _compare
    if given.curve:
        work = _show_curve
    elif given.documents:
        work = _show_documents
    elif given.hello:
        work = _show_hello
    if (os.cpu_count() or 1) <= LOAD_CORE:
        sys.stderr.write("bench: two cores are needed, one for the server and one for all else\n")
        return 2
    # So that what it has started is ended with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        install()
        with _directory(given.data) as given.data, on_core(LOAD_CORE):
            asyncio.run(_run(given, work))
    except (ServerError, Different, load.LoadError, EmbeddedError) as fault:
        sys.stderr.write(f"bench: {fault}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
