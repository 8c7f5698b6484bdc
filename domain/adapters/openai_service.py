"""A service that speaks as OpenAI's API does: its client, and what its failures mean to us.

Importing this imports the client, which takes a second: only `openai_wiring` does so, where there is a key.

Prompts, answers and the key are in no line of the log and in no error. The words of the service may quote all three, so
of them only its status and its code are told, and an error of the client's is never the cause of ours.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import openai
import orjson
import structlog

from domain.adapters.model_errors import ModelRefused
from domain.base.errors import DomainError, Unavailable

# The client waits between two tries: as long as Retry-After says, at most two minutes, else 0.5 s to 8 s with chance in
# it. What Retry-After puts off for longer is not tried again.
RETRIES = 2
OPENAI_HOST = "api.openai.com"
# The request itself is wrong. Whatever else they refuse is not its fault: a key, a quota, a model's name.
_WRONG_REQUEST = (400, 413, 415, 422)
_FOR_THE_OPERATOR = (401, 402, 403, 404)
_CODE = re.compile(r"[a-z][a-z_.-]{0,60}")
_log = structlog.get_logger("models")


class WrongShape(Exception):
    """An answer that is not what the API says it is. The text says what is wrong, and holds nothing of the answer."""


class OpenAiService:
    """The service at an address. Its client is made at first use, since it belongs to the event loop that runs then."""

    def __init__(self, *, api_key: str, base_url: str) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self.host = urlsplit(base_url).hostname or ""

    @property
    def is_openai(self) -> bool:
        """Whether it is OpenAI itself, whose newer models refuse what others know alone."""
        return self.host == OPENAI_HOST

    @cached_property
    def client(self) -> openai.AsyncOpenAI:
        """The client."""
        return openai.AsyncOpenAI(
            api_key=self._api_key,
            base_url=self._base_url,
            max_retries=RETRIES,
            # What is asked goes to the address that was set, and by no proxy of the environment.
            http_client=openai.DefaultAsyncHttpx2Client(trust_env=False, follow_redirects=False),
        )

    async def close(self) -> None:
        """Close the connections."""
        if "client" in self.__dict__:
            await self.client.close()


@contextmanager
def our_errors(service: str) -> Iterator[None]:
    """What fails inside raises Unavailable or ModelRefused. `service` is a whole name, such as "language model"."""
    try:
        yield
    except openai.APIStatusError as fault:
        raise _of_status(fault, service) from None
    except (openai.APITimeoutError, TimeoutError):
        raise Unavailable(f"The {service} does not answer in time.") from None
    except openai.APIConnectionError:
        raise Unavailable(f"The {service} cannot be reached, or broke off.") from None
    except WrongShape as fault:
        _log.warning("wrong shape", service=service, fault=str(fault))
        raise Unavailable(f"The {service} gave a wrong answer: {fault}.") from None
    except UnicodeEncodeError:
        raise ModelRefused("the text cannot be written in UTF-8") from None
    except (openai.OpenAIError, ValueError):
        # In the midst of a stream: an error of theirs, or a line that is no JSON.
        raise Unavailable(f"The {service} broke off.") from None


def decoded(content: bytes) -> dict[str, Any]:
    """The JSON object of an answer. Raises WrongShape."""
    try:
        found = orjson.loads(content)
    except ValueError:
        raise WrongShape("it is no JSON") from None
    if not isinstance(found, dict):
        raise WrongShape("it is no JSON object")
    return found


def _of_status(fault: openai.APIStatusError, service: str) -> DomainError:
    status = fault.status_code
    given = str(fault.code or fault.type or "")
    code = given if _CODE.fullmatch(given) else ""
    told = f"{status} {code}".strip()
    write = _log.error if status in _FOR_THE_OPERATOR else _log.warning
    write("refused", service=service, status=status, fault=code)
    if status in _WRONG_REQUEST:
        return ModelRefused(f"the {service} answers {told}")
    return Unavailable(f"The {service} answers {told}.")
