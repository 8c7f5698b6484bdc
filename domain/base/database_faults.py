"""What goes wrong with the database: what a caller gets to know of it, and the constraint that was violated."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from tortoise.exceptions import BaseORMException, IntegrityError

from domain.base.errors import RequestError, Timeout, Unavailable, UserError

# The server is going, is coming or has no room, or had to choose whom to let go on: the same may work the next time.
AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
_TOO_LONG = (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError)
# These say that the server is away only where there is no connection: of an open one they tell a mistake of ours.
WITHOUT_CONNECTION = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)


def cause_of(fault: BaseException) -> BaseException:
    """What asyncpg raised, without Tortoise's wrapping."""
    while isinstance(fault, BaseORMException) and fault.__cause__ is not None:
        fault = fault.__cause__
    return fault


def told_of(fault: Exception, *, without_connection: bool) -> RequestError | None:
    """What the caller gets to know of a fault, or None where it is no fault of the server's."""
    cause = cause_of(fault)
    if isinstance(cause, _TOO_LONG):
        return Timeout("This took too long and was not done. Try again.")
    if isinstance(cause, AWAY) or (without_connection and isinstance(cause, WITHOUT_CONNECTION)):
        return away()
    return None


def away() -> Unavailable:
    """What a caller is told of a server that is away."""
    return Unavailable("The database does not answer right now. Try again soon.")


@contextmanager
def unique(constraint: str, error: UserError) -> Iterator[None]:
    """Turn a violation of the named unique constraint into `error`; any other goes on as it is."""
    try:
        yield
    except IntegrityError as failure:
        if getattr(failure.__cause__, "constraint_name", None) == constraint:
            raise error from failure
        raise
    except asyncpg.UniqueViolationError as failure:
        if failure.constraint_name == constraint:
            raise error from failure
        raise
