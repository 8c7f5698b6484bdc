"""The command that makes the index of searches anew."""

import argparse

from commands.database import connected
from commands.processes import CommandError, run, say, settings_of
from domain.adapters.wiring import Adapters
from domain.base import embedded
from domain.base.errors import RequestError
from domain.search import reindex as index


def reindex(options: argparse.Namespace) -> int:
    """Make the index of searches anew while all goes on, by the model and the language of the settings."""
    settings = settings_of(options)

    async def work() -> None:
        async with embedded.servers(settings, guest=True) as live, connected(live):
            adapters = Adapters.of(live)
            try:
                await index.reindex(live, adapters, say=say, slug=options.organization)
            except (index.CannotReindex, RequestError) as fault:
                raise CommandError(str(fault)) from fault
            finally:
                await adapters.close()

    return 130 if run(work()) else 0
