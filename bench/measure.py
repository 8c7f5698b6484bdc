"""Measuring: a server is asked, its answers are compared with Planwire's, then the workloads are run one by one."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psutil

from bench import load
from bench.data import ORGANIZATIONS, PEOPLE_PER_ORGANIZATION, Size
from bench.database import Database
from bench.servers import OURS, Server, cpu_of, serving
from bench.workloads import PAGES, WALK, Cursors, Different, Question, Workload, credentials, global_id, plain

# Requests whose answers have to be equal; one of each organization.
COMPARED = 20
# Before anything counts: compilers, caches and connections come to their state.
WARM_UP_S = 1.0


@dataclass(frozen=True)
class Figures:
    """One stretch of load on one server."""

    server: str
    workload: str
    rps: float
    p50_ms: float
    p99_ms: float
    server_us: float
    postgres_us: float
    answer_bytes: float
    memory_bytes: int
    others: float
    """Cores that were taken meanwhile by what is no part of the benchmark."""


@dataclass
class Bench:
    """A running database, and what Planwire answered."""

    database: Database
    size: Size
    directory: Path
    cursors: Cursors = field(default_factory=dict)
    expected: dict[str, list[Any]] = field(default_factory=dict)

    @contextlib.contextmanager
    def serving(self, name: str) -> Iterator[Server]:
        """The server over a database that nobody has changed; `renew` it before."""
        with serving(name, self.database, self.directory / f"{name}.log") as server:
            yield server

    def learn(self, workloads: Sequence[Workload]) -> None:
        """Ask Planwire where its pages begin, and what the answers are."""
        with self.serving(OURS) as server:
            for organization in range(ORGANIZATIONS):
                self.cursors[organization] = list(_walk(server, organization))
            for workload in workloads:
                self.expected[workload.name] = self._answers(server, workload)

    def compare(self, server: Server, workload: Workload) -> None:
        """Raises Different unless the server says what Planwire said."""
        for question, ours, theirs in zip(
            workload.asked(self.size, False, {}),
            self.expected[workload.name],
            self._answers(server, workload),
            strict=False,
        ):
            if ours != theirs:
                raise Different(
                    f"{server.name}, {workload.name}, {question.variables}:\n"
                    f"Planwire {orjson.dumps(ours)[:2000].decode()}\n"
                    f"{server.name} {orjson.dumps(theirs)[:2000].decode()}"
                )

    def run(self, server: Server, workload: Workload, seconds: float) -> Figures:
        """Warm up, then measure."""
        requests = self.requests(server, workload)
        load.run(server.port, requests, workload.connections, min(WARM_UP_S, seconds))
        postgres = psutil.Process(self.database.postgres_pid)
        before = server.cpu_s(), cpu_of(postgres), time.process_time(), _busy_s()
        sample = load.run(server.port, requests, workload.connections, seconds)
        after = server.cpu_s(), cpu_of(postgres), time.process_time(), _busy_s()
        server_cpu, postgres_cpu, own_cpu, busy = (late - early for early, late in zip(before, after, strict=True))
        count = len(sample.latencies_s)
        return Figures(
            server.name,
            workload.name,
            sample.per_s,
            sample.percentile_ms(50),
            sample.percentile_ms(99),
            server_cpu * 1e6 / count,
            postgres_cpu * 1e6 / count,
            sample.received_bytes / count,
            server.memory_bytes(),
            max(0.0, busy - server_cpu - postgres_cpu - own_cpu) / sample.seconds,
        )

    def requests(self, server: Server, workload: Workload) -> list[bytes]:
        """What the server is asked, as bytes."""
        return [
            _request(server, question, body)
            for question, body in workload.bodies(self.size, server.is_ours, self.cursors)
        ]

    def _answers(self, server: Server, workload: Workload) -> list[Any]:
        return [
            plain(workload.name, load.ask(server.port, asked)) for asked in self.requests(server, workload)[:COMPARED]
        ]


def _request(server: Server, question: Question, body: bytes) -> bytes:
    return load.request(credentials(question.user, server.is_ours), body)


def _busy_s() -> float:
    """Seconds that the machine's cores have worked, all together."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def _walk(server: Server, organization: int) -> Iterator[str | None]:
    """The cursors behind which the pages of the organization's tasks begin."""
    after: str | None = None
    question = Question(organization * PEOPLE_PER_ORGANIZATION + 1, {})
    for _ in range(PAGES):
        yield after
        variables = {"id": global_id("organization", organization + 1), "after": after}
        answer = load.ask(
            server.port, _request(server, question, orjson.dumps({"query": WALK, "variables": variables}))
        )
        after = orjson.loads(answer)["data"]["tasks"]["pageInfo"]["endCursor"]
