"""Processes of the command line: how one begins, runs to its end and what it says, and how it keeps others running."""

import argparse
import asyncio
import gc
import multiprocessing
import os
import pkgutil
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnProcess
from typing import Any, cast

import structlog
import uvloop

from domain.base import telemetry
from domain.base.settings import Settings, load

# A process that dies younger than this did not get to work; the third in a row says that none will.
PROCESS_YOUNG_S = 10.0
PROCESS_TRIES = 3
SPAWN = multiprocessing.get_context("spawn")
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

log = structlog.get_logger("planwire")


class CommandError(Exception):
    """The command cannot go on; the message is one line for the person at the prompt."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def call(function: str, *arguments: Any) -> Any:
    """Import what "module:function" names and call it; what that returns.

    By name, because no command needs all that another imports, which takes a second or two.
    """
    # Next to nothing of what imports make is garbage, and looking for it takes a fifth of their time.
    gc.disable()
    try:
        found = pkgutil.resolve_name(function)
        gc.freeze()
    finally:
        gc.enable()
    return found(*arguments)


def settings_of(
    options: argparse.Namespace, defaults: Mapping[str, str] | None = None, fixed: Mapping[str, str] | None = None
) -> Settings:
    """From the environment, which goes before `defaults`, and behind what is `fixed`."""
    settings = load({**(defaults or {}), **os.environ, **(fixed or {})}, data_dir=options.data)
    telemetry.configure(settings)
    return settings


async def side_by_side(*work: Coroutine[Any, Any, None]) -> None:
    """Run side by side; the first failure ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for part in work:
                group.create_task(part)
    except ExceptionGroup as faults:
        raise faults.exceptions[0] from None


def say(text: str) -> None:
    """Write a line for the person, or the program, at the prompt."""
    sys.stdout.write(text + "\n")
    # Whoever waits for the ready line may read from a pipe.
    sys.stdout.flush()


def run(work: Coroutine[Any, Any, None]) -> bool:
    """Run to the end, or to the first stop signal, which cancels the work. Whether there was one."""
    stopped = False

    async def cancellable() -> None:
        task, loop, parent = asyncio.current_task(), asyncio.get_running_loop(), multiprocessing.parent_process()

        def stop() -> None:
            nonlocal stopped
            if parent is not None:
                loop.remove_reader(parent.sentinel)
            # A second Ctrl-C must not cancel the clean-up; that has deadlines of its own.
            if task is not None and not stopped:
                stopped = True
                task.cancel()

        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, stop)
        if parent is not None:
            # Readable once the parent has ended, also by SIGKILL: a worker alone would hold the port for ever.
            loop.add_reader(parent.sentinel, stop)
        await work

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(cancellable())
        except asyncio.CancelledError:
            if not stopped:
                raise
        finally:
            _end_tracker()
    return stopped


def _end_tracker() -> None:
    """End the helper that multiprocessing starts with the first process: it would outlive us for a moment."""
    if multiprocessing.parent_process() is None:
        # There is no public way; it does nothing where no helper was started.
        cast(Any, resource_tracker)._resource_tracker._stop()


async def keep(
    name: str,
    target: Callable[..., None],
    *arguments: Any,
    end_within_s: float,
    ending: Callable[[], None] = lambda: None,
) -> None:
    """Run a process, and another when it dies. Raises CommandError when it keeps dying young.

    `ending` is called before it is asked to end, with ourselves.
    """
    clock = asyncio.get_running_loop().time
    young = 0
    while True:
        process = SPAWN.Process(target=target, args=arguments, name=f"planwire-{name.replace(' ', '-')}")
        begun = clock()
        _start(process)
        try:
            await _end_of(process)
        except BaseException:
            ending()
            await _stop(process, end_within_s)
            raise
        process.join()
        telemetry.forget_process(process.pid or 0)
        log.error("process ended", name=name, pid=process.pid, exit_code=process.exitcode)
        young = young + 1 if clock() - begun < PROCESS_YOUNG_S else 0
        if young == PROCESS_TRIES:
            raise CommandError(f"{name} ended {PROCESS_TRIES} times without working")


def _start(process: SpawnProcess) -> None:
    # Ctrl-C goes to the whole group. A process inherits the block and so hears of it only from us, by SIGTERM.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


async def _stop(process: SpawnProcess, end_within_s: float) -> None:
    process.terminate()
    try:
        async with asyncio.timeout(end_within_s):
            await _end_of(process)
    except TimeoutError:
        process.kill()
    process.join()


async def _end_of(process: SpawnProcess) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(process.sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(process.sentinel)
