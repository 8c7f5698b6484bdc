"""How long the drills are: short in the suite, long with `--long`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """The numbers of a drill."""

    subscribers: int
    cuts: int
    writers: int
    changes_each: int
    kills: int
    revocations: int
    deadline_s: float
    processes: int = 3
    lost: float = 0.15


SHORT = Size(subscribers=12, cuts=40, writers=16, changes_each=12, kills=0, revocations=10, deadline_s=60)
LONG = Size(subscribers=40, cuts=200, writers=64, changes_each=12, kills=1, revocations=100, deadline_s=600)
