"""The closed list of expected failures.

A `UserError` is the caller's to mend and travels in the payload; every other `DomainError` is a top-level error whose
class names its code. What is neither is a bug: it is logged and masked.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, ClassVar

_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


class ErrorCode(StrEnum):
    """What a user error is about."""

    INVALID = "INVALID"
    TAKEN = "TAKEN"
    CONFLICT = "CONFLICT"
    STALE_VERSION = "STALE_VERSION"
    TRANSITION_NOT_ALLOWED = "TRANSITION_NOT_ALLOWED"
    LIMIT_REACHED = "LIMIT_REACHED"
    EXPIRED = "EXPIRED"
    WRONG_CREDENTIALS = "WRONG_CREDENTIALS"
    FEATURE_DISABLED = "FEATURE_DISABLED"
    IN_PROGRESS = "IN_PROGRESS"


class DomainError(Exception):
    """Any expected failure."""


class UserError(DomainError):
    """A refusal that the caller can mend. `path` names the argument by Python names, outermost first."""

    code: ErrorCode = ErrorCode.INVALID

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class UserErrors(DomainError):
    """Several refusals at once, so that a form shows all its faults."""

    def __init__(self, errors: Sequence[UserError]) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = tuple(errors)


class Invalid(UserError):
    """A value that breaks a stated rule."""


class Taken(UserError):
    """A value that must be unique and is not."""

    code = ErrorCode.TAKEN


class Conflict(UserError):
    """The present state of the row forbids it."""

    code = ErrorCode.CONFLICT


class InProgress(UserError):
    """The same was asked for before and is not done yet."""

    code = ErrorCode.IN_PROGRESS


class WrongCredentials(UserError):
    """Address and password do not belong together."""

    code = ErrorCode.WRONG_CREDENTIALS


class Expired(UserError):
    """What was given has run out."""

    code = ErrorCode.EXPIRED


class FeatureDisabled(UserError):
    """This deployment is not set up for it."""

    code = ErrorCode.FEATURE_DISABLED


class StaleVersion(UserError):
    """`if_version` did not match; `current` is the row as it stands now."""

    code = ErrorCode.STALE_VERSION

    def __init__(self, current: Any) -> None:
        super().__init__(f"The version is {current.version} by now. Read the current row and try again.", "if_version")
        self.current = current


class TransitionNotAllowed(UserError):
    """A state machine refused; `allowed` names the states that can be reached from `source`."""

    code = ErrorCode.TRANSITION_NOT_ALLOWED

    def __init__(self, source: str, target: str, allowed: Sequence[str], *path: str) -> None:
        choice = ", ".join(allowed) or "nothing"
        super().__init__(f"{source} cannot be followed by {target}. Allowed: {choice}.", *path)
        self.source = source
        self.allowed = tuple(allowed)


class LimitReached(UserError):
    """A stated cap is reached; `used` counts what is there already, or with a `message` what was asked for."""

    code = ErrorCode.LIMIT_REACHED

    def __init__(self, feature: str, limit: int, used: int, *path: str, message: str | None = None) -> None:
        super().__init__(message or f"At most {limit} {feature.replace('_', ' ')}; {used} are there.", *path)
        self.feature = feature
        self.limit = limit
        self.used = used


class RequestError(DomainError):
    """A failure of the whole field. `code` is its `extensions.code`; `details` go beside it."""

    code: ClassVar[str]

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class Unauthenticated(RequestError):
    """No credentials, or such as do not hold."""

    code = "UNAUTHENTICATED"

    def __init__(self, message: str = "Sign in first.") -> None:
        super().__init__(message)


class Forbidden(RequestError):
    """The caller sees the thing but may not do this to it."""

    code = "FORBIDDEN"

    def __init__(self, permission: str, message: str | None = None) -> None:
        super().__init__(message or f"This needs the permission {permission}.", permission=permission)


class NotFound(RequestError):
    """No such thing for this caller; another tenant's looks the same."""

    code = "NOT_FOUND"

    def __init__(self, noun: str) -> None:
        super().__init__(f"There is no such {noun}.")


class BadInput(RequestError):
    """An argument that no rule of the product needs to look at to refuse it."""

    code = "BAD_USER_INPUT"


class RateLimited(RequestError):
    """Too much at once; `retry_after_s` says how long to wait, None that no wait is known to help."""

    code = "RATE_LIMITED"

    def __init__(self, retry_after_s: int | None, message: str | None = None, **details: object) -> None:
        if retry_after_s is not None:
            details = {"retryAfter": retry_after_s, **details}
        super().__init__(message or f"Too many tries. Wait {retry_after_s} s.", **details)
        self.retry_after_s = retry_after_s


class TooComplex(RequestError):
    """A document with more of something than any may have. `limit` names what: depth, fields, cost and so on.

    `found` is what it has, or as much of it as was seen before it was refused. For cost `details` tell the dearest
    paths too, each with the response keys that lead there and the points of its own objects.
    """

    code = "TOO_COMPLEX"

    def __init__(self, limit: str, *, allowed: int, found: int, message: str | None = None, **details: Any) -> None:
        message = message or f"The document is too complex: {limit.replace('_', ' ')} {found:,}, at most {allowed:,}."
        if dearest := details.get("dearest"):
            told = ", ".join(f"{'.'.join(each['path'])} {each['cost']:,}" for each in dearest)
            message += f" The dearest: {told}."
        super().__init__(message, limit=limit, allowed=allowed, found=found, **details)


class ResyncRequired(RequestError):
    """A position that nobody can go on from. `reason` and what to do instead are whole sentences."""

    code = "RESYNC_REQUIRED"

    def __init__(self, reason: str, instead: str = "Read a new snapshot, and go on from its eventCursor.") -> None:
        super().__init__(f"{reason} {instead}")


class Unavailable(RequestError):
    """A server that is needed for this does not answer."""

    code = "UNAVAILABLE"


class Timeout(RequestError):
    """It took longer than anything may; what it had changed is undone."""

    code = "TIMEOUT"


class Faults:
    """Collects every fault of an input before refusing it."""

    def __init__(self) -> None:
        self._errors: list[UserError] = []

    def add(self, message: str, *path: str) -> None:
        self._errors.append(Invalid(message, *path))

    def text(self, value: str | None, *path: str, least: int, most: int) -> None:
        """`value` has `least` to `most` characters and is not blank; None passes."""
        if value is None:
            return
        if not least <= len(value) <= most:
            self.add(f"Must have {least} to {most} characters; it has {len(value)}.", *path)
        elif least and not value.strip():
            self.add("Must not be blank.", *path)

    def number(self, value: int | None, *path: str, least: int, most: int) -> None:
        """`value` lies between `least` and `most`; None passes."""
        if value is not None and not least <= value <= most:
            self.add(f"Must be from {least} to {most}.", *path)

    def color(self, value: str | None, *path: str) -> None:
        """`value` is a color as #rrggbb; None passes."""
        if value is not None and not _COLOR.fullmatch(value):
            self.add("Must be a color like #1a2b3c.", *path)

    def required(self, values: dict[str, Any], *names: str) -> None:
        """None of `names` is cleared with null."""
        for name in names:
            if name in values and values[name] is None:
                self.add("Cannot be cleared.", name)

    def check(self) -> None:
        """Raises UserErrors when anything was added."""
        if self._errors:
            raise UserErrors(self._errors)
