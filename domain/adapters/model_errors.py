"""What the services of models say no with. That they cannot be asked now is `Unavailable`."""

from domain.base.errors import DomainError


class ModelRefused(DomainError):
    """The model will not take this text, however often it is asked."""
