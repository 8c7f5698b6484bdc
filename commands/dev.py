"""The command that starts everything on one machine, with demo data."""

import argparse
import importlib
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from commands.database import connected
from commands.processes import CommandError, call, keep, run, settings_of, side_by_side
from commands.serving import listening, near, origin, port_of, ready_line, serve_here
from domain.base import embedded, migrate
from domain.base.setting_values import is_loopback
from domain.base.settings import Settings
from domain.demo import seed as demo

DEV_JOBS_END_WITHIN_S = 4.0


def dev(options: argparse.Namespace) -> int:
    """Start everything on this machine, with demo data, and serve."""
    stripe = _fake_stripe() if options.fake_stripe else None
    settings = settings_of(options, {"LOG_FORMAT": "console"}, stripe.settings if stripe else {})

    async def work(listener: socket.socket, local: Settings) -> None:
        async with embedded.servers(local) as live:
            await migrate.migrate(live)
            async with connected(live):
                if await demo.is_empty():
                    await demo.seed()
            lines = [ready_line(options.host, listener), demo.SIGN_IN]
            beside = [keep("jobs", call, "commands.working:work_beside", live, end_within_s=DEV_JOBS_END_WITHIN_S)]
            if stripe:
                lines.append(f"fake Stripe: {stripe.origin}")
                own = origin(near(options.host), port_of(listener))
                beside.append(stripe.run(f"{own}/webhooks/stripe", live.data_dir))
            await side_by_side(serve_here(live, listener, lines), *beside)

    with listening(options.host, options.port) as listener:
        run(work(listener, _at_own_address(settings, os.environ, options.host, listener)))
    return 0


def _fake_stripe() -> Any:
    """The fake Stripe. Raises CommandError where the tests that hold it are not."""
    # An installation looks for our packages alone, not for what lies beside them.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    try:
        return importlib.import_module("tests.stripe.demo").Demo()
    except ModuleNotFoundError as fault:
        raise CommandError(f"--fake-stripe needs the tests and what they stand on: {fault}", 2) from None


def _at_own_address(settings: Settings, environ: Mapping[str, str], host: str, listener: socket.socket) -> Settings:
    """Settings whose origins are where `dev` really listens, as far as the environment does not say otherwise."""
    port = port_of(listener)
    if not environ.get("PUBLIC_URL", "").strip():
        settings = replace(settings, public_url=origin(near(host), port))
    own = [settings.public_url]
    if is_loopback(urlsplit(settings.public_url).hostname or ""):
        own += [origin("127.0.0.1", port), origin("localhost", port)]
    given = settings.allowed_origins if environ.get("ALLOWED_ORIGINS", "").strip() else ()
    return replace(settings, allowed_origins=tuple(dict.fromkeys([*given, *own])))
