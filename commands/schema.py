"""The command that prints the schema."""

import argparse
import difflib
from itertools import islice
from pathlib import Path

from commands.processes import CommandError, say
from graph.schema import printed as printed_schema

SCHEMA_FILE = Path(__file__).resolve().parent.parent / "schema.graphql"
DIFF_LINES = 40


def schema(options: argparse.Namespace) -> int:
    """Print the schema to schema.graphql."""
    printed = printed_schema()
    present = SCHEMA_FILE.read_text(encoding="utf-8") if SCHEMA_FILE.exists() else ""
    if not options.check:
        SCHEMA_FILE.write_text(printed, encoding="utf-8")
        say(f"{SCHEMA_FILE.name} {'was current' if printed == present else 'written'}")
    elif printed != present:
        diff = difflib.unified_diff(
            present.splitlines(), printed.splitlines(), "the file", "the code", lineterm="", n=1
        )
        say("\n".join(islice(diff, DIFF_LINES)))
        raise CommandError(f"{SCHEMA_FILE.name} is not current: planwire schema writes it")
    else:
        say(f"{SCHEMA_FILE.name} is current")
    return 0
