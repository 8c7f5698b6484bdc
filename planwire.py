"""The command line: dev, serve, work, jobs, migrate, reindex, seed, schema. Above all packages, it has no product rule.

What every process begins with: it knows what can be asked for, and imports what does it once that is known.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from commands.processes import CommandError, call
from domain.base.data_directory import EmbeddedError
from domain.base.database_address import Unreachable
from domain.base.settings import SettingsError
from jobs.parts import FINISH_WITHIN_S, Part


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status. 2 means that nothing was started: bad arguments, settings or a taken port."""
    options = _parser().parse_args(arguments)
    try:
        return int(call(options.function, options))
    except SettingsError as fault:
        lines = "\n".join(f"  {line}" for line in str(fault).splitlines())
        _complain(f"the settings cannot be used:\n{lines}")
        return 2
    except CommandError as fault:
        _complain(str(fault))
        return fault.status
    except (EmbeddedError, Unreachable) as fault:
        _complain(str(fault))
        return 1


def _parser() -> argparse.ArgumentParser:
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", type=Path, metavar="DIR", help="where the embedded servers keep their data")
    address = argparse.ArgumentParser(add_help=False)
    address.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    address.add_argument("--port", type=_port, default=8000, help="0 takes a free one (default %(default)s)")
    parser = argparse.ArgumentParser(prog="planwire", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(among: Any, name: str, module: str, about: str, *parents: argparse.ArgumentParser) -> Any:
        added = among.add_parser(name, help=about, description=about, parents=parents)
        added.set_defaults(function=f"commands.{module}:{name}")
        return added

    command(
        commands, "dev", "dev", "Start everything on this machine, with demo data, and serve.", data, address
    ).add_argument(
        "--fake-stripe", action="store_true", help="bill by a Stripe of the tests, with pages to click through"
    )
    serve = command(
        commands,
        "serve",
        "serving",
        "Serve the API; the servers of DATABASE_URL and REDIS_URL, or embedded ones.",
        data,
        address,
    )
    serve.add_argument("--workers", type=_count, default=1, help="processes that share the port (default %(default)s)")
    work = command(
        commands, "work", "working", "Do what follows commits: relay events, run jobs, keep the schedule.", data
    )
    work.add_argument("--only", type=_parts, default=tuple(Part), metavar="PARTS", help="of relay,worker,cron")
    work.add_argument("--concurrency", type=_count, help="jobs at a time (default: a connection for each)")
    work.add_argument(
        "--finish-within",
        type=_count,
        default=int(FINISH_WITHIN_S),
        metavar="SECONDS",
        help="how long running jobs may take at the end (default %(default)s)",
    )
    work.add_argument("--metrics-host", default="127.0.0.1", metavar="HOST", help="(default %(default)s)")
    work.add_argument("--metrics-port", type=_port, metavar="PORT", help="serve /metrics there; 0 takes a free one")
    # A module with tables of its own in the place of ours, for tests.
    work.add_argument("--reactions", metavar="MODULE", help=argparse.SUPPRESS)
    jobs = commands.add_parser("jobs", help="Show and retry what failed.").add_subparsers(required=True)
    command(jobs, "dead", "database", "List the jobs that failed for the last time.", data)
    retrying = command(jobs, "retry", "database", "Try a dead job, or all, from the first attempt on.", data)
    which = retrying.add_mutually_exclusive_group(required=True)
    which.add_argument("id", nargs="?", type=UUID, metavar="ID")
    which.add_argument("--all", action="store_true", help="all that are dead")
    migrations = command(
        commands, "migrate", "database", "Make the database current, with DATABASE_URL as its owner.", data
    ).add_mutually_exclusive_group()
    migrations.add_argument("--make", action="store_true", help="write a migration for what the models hold beyond it")
    migrations.add_argument("--check", action="store_true", help="fail when a migration is missing")
    command(
        commands,
        "reindex",
        "search",
        "Make the index of searches anew while all goes on, by the model and the language of the settings.",
        data,
    ).add_argument(
        "--organization", metavar="SLUG", help="of one alone; a model of other settings is then not made to serve"
    )
    command(commands, "seed", "database", "Write the demo data; where they are already, change nothing.", data)
    command(commands, "schema", "schema", "Print the schema to schema.graphql.").add_argument(
        "--check", action="store_true", help="fail when the file is not current"
    )
    return parser


def _port(value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) < 65536):
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(value)


def _count(value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise argparse.ArgumentTypeError("has to be a whole number above 0")
    return int(value)


def _parts(value: str) -> tuple[Part, ...]:
    try:
        return tuple(Part(name.strip()) for name in value.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"has to be of {','.join(Part)}, with commas between") from None


def _complain(text: str) -> None:
    sys.stderr.write(f"planwire: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
