"""The parts of the process that does what follows commits; what the command line has to know before it imports them."""

from enum import StrEnum

FINISH_WITHIN_S = 30.0


class Part(StrEnum):
    """What a process can do after commits."""

    RELAY = "relay"
    WORKER = "worker"
    CRON = "cron"
