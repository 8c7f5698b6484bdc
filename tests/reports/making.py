"""Makes reports in a process of their own, to see what that takes: `python -m tests.reports.making WHAT`.

WHAT is a pickle of settings, organization, person, folder, and the kinds and formats in turn. Each gives a line: kind,
format, megabytes at the most that this process and those that it started have used, bytes of the file.
"""

import asyncio
import pickle
import re
import resource
import sys
from datetime import date
from pathlib import Path
from typing import Any

from domain.base import database
from domain.base.actor import ActorKind, ActorRef
from domain.base.database import acting_for
from domain.organizations import callers
from domain.reports import files
from domain.reports.definitions import Asked, Period


def peak_mb() -> int:
    """The most memory that this process has used."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found.group(1)) // 1024


async def main(given: Any) -> None:
    """Make them."""
    settings, org_id, user_id, folder, wanted = given
    await database.connect(settings)
    with acting_for((org_id,)):
        actor = await callers.of_ref(ActorRef(ActorKind.USER, user_id), org_id)
        for kind, format in wanted:
            asked = Asked(kind, format, Period(date(2026, 1, 1), date(2026, 12, 31)), None)
            path = await files.write(actor, org_id, asked, folder, lambda _share, _message: None)
            children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
            print(kind, format, peak_mb(), children, path.stat().st_size, flush=True)  # noqa: T201
    await database.disconnect()


if __name__ == "__main__":
    asyncio.run(main(pickle.loads(Path(sys.argv[1]).read_bytes())))  # noqa: S301  # written by the test
