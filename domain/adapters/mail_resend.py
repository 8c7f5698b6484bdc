"""Mail by Resend's HTTP API. Source: resend.com/docs, API reference, send email, errors and idempotency keys."""

import json
from email.headerregistry import AddressHeader
from typing import cast

import structlog

from domain.adapters.http import Answer, Http, RequestRefused
from domain.adapters.mail import MailRefused, Message, headers, written
from domain.base.errors import Unavailable

BASE_URL = "https://api.resend.com"
# Theirs to say that the mail itself is wrong. Whatever else they refuse is not the mail's fault: a wrong key, a domain
# that is not verified yet, a quota.
_WRONG_MAIL = (400, 413, 422)

_log = structlog.get_logger("mail")


class ResendMail:
    """Resend, which sends a mail once for each idempotency key and 24 hours. The key is the Message-ID."""

    def __init__(self, http: Http, *, api_key: str, sender: str, base_url: str = BASE_URL) -> None:
        self._http = http
        self._api_key = api_key
        self._sender = sender
        self._url = f"{base_url}/emails"

    async def send(self, message: Message) -> None:
        """Hand the mail over. Raises Unavailable, MailRefused; see `Mail.send`."""
        # Written for its checks, which are the same for every way that mail can take.
        mail = written(message, sender=self._sender)
        told = headers(message)
        body = {
            "from": self._sender,
            "to": [cast(AddressHeader, mail["To"]).addresses[0].addr_spec],
            "subject": told.pop("Subject"),
            "html": message.html,
            "text": message.text,
            "headers": told,
        }
        try:
            answer = await self._http.request(
                "POST",
                self._url,
                headers={
                    "authorization": f"Bearer {self._api_key}",
                    "content-type": "application/json",
                    "idempotency-key": message.message_id,
                },
                body=json.dumps(body).encode(),
            )
        except RequestRefused as fault:
            raise Unavailable("Resend cannot be asked.") from fault
        _check(answer)

    async def close(self) -> None:
        """The connections are closed by who made them."""


def _check(answer: Answer) -> None:
    if answer.status < 300:
        return
    name = _name_of(answer)
    if answer.status == 409 and name == "invalid_idempotent_request":
        # A mail of this name went out before, when it read differently: a title has changed since, or a template.
        _log.info("mail was taken before with another text")
        return
    _log.warning("mail was not taken", status=answer.status, fault=name)
    if answer.status in _WRONG_MAIL:
        raise MailRefused(f"Resend refused it with {answer.status} {name}")
    raise Unavailable("Resend does not take the mail right now.")


def _name_of(answer: Answer) -> str:
    """Their word for what is wrong, empty when there is none."""
    try:
        name = json.loads(answer.body)["name"]
    except (ValueError, TypeError, KeyError):
        return ""
    return name if isinstance(name, str) and name.isidentifier() and len(name) < 100 else ""
