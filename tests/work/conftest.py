"""Workers over this process's servers, as tests/jobs has them."""

from tests.jobs.conftest import quiet, workers

__all__ = ["quiet", "workers"]
