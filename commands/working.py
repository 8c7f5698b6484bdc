"""What follows commits, from the command line: work, and the same beside dev."""

import argparse
import contextlib
import importlib
import socket
from typing import Any

from commands.processes import CommandError, run, say, settings_of, side_by_side
from domain.base import embedded, migrate, telemetry
from domain.base.settings import Settings
from jobs.reactions import Reactions
from jobs.run import connected, system_size
from jobs.run import run as run_jobs

# Who presses Ctrl-C does not wait for jobs: what is given back goes on at the next start.
DEV_JOBS_FINISH_WITHIN_S = 1.0


def work(options: argparse.Namespace) -> int:
    """Do what follows commits: relay events, run jobs, keep the schedule."""
    settings = settings_of(options)
    reactions = Reactions.of(importlib.import_module(options.reactions)) if options.reactions else Reactions()
    most = settings.database_pool_size - system_size(settings)
    if options.concurrency is not None and options.concurrency > most:
        raise CommandError(f"--concurrency is at most {most} with DATABASE_POOL_SIZE={settings.database_pool_size}", 2)

    # By name: without metrics nothing is served, and the API need not be imported.
    serving: Any = importlib.import_module("commands.serving") if options.metrics_port is not None else None

    async def work_on(metrics: socket.socket | None) -> None:
        async with embedded.servers(settings, guest=True) as live:
            if live.embedded:
                await migrate.migrate(live)
            async with connected(live):
                jobs = run_jobs(
                    live,
                    reactions,
                    parts=options.only,
                    concurrency=options.concurrency,
                    finish_within_s=options.finish_within,
                )
                say(f"working: {', '.join(options.only)}")
                if metrics is None:
                    await jobs
                else:
                    say(f"metrics: {serving.origin(options.metrics_host, serving.port_of(metrics))}/metrics")
                    await side_by_side(jobs, serving.serve_metrics(live, metrics))

    with contextlib.ExitStack() as stack:
        listener = None
        if serving is not None:
            listener = stack.enter_context(serving.listening(options.metrics_host, options.metrics_port))
        run(work_on(listener))
    return 0


def work_beside(settings: Settings) -> None:
    """The life of the process that does what follows commits beside `dev`."""
    telemetry.configure(settings)

    async def work() -> None:
        async with connected(settings):
            await run_jobs(settings, Reactions(), finish_within_s=DEV_JOBS_FINISH_WITHIN_S)

    run(work())
