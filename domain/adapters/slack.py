"""Messages to a channel, by an incoming webhook of Slack or of what speaks like it."""

import json

from domain.adapters.http import Http, RequestRefused
from domain.base.errors import Unavailable

# Slack cuts at 40,000 and advises a tenth. Source: Slack's documentation of chat.postMessage, truncating content.
TEXT_LENGTH_MAX = 4000
# Their words for "this will never do" are in 4xx; these two of them are about the moment.
_LATER = (408, 429)


class Slack:
    """A channel. Who holds the URL can write to it, so it is told to nobody."""

    def __init__(self, http: Http, *, url: str) -> None:
        self._http = http
        self._url = url

    async def post(self, text: str) -> None:
        """Write a line of plain text. Raises Unavailable when it is to be tried again, RequestRefused when never.

        There is no key to tell a repeat by: after Unavailable the channel may have it all the same.
        """
        answer = await self._http.request(
            "POST",
            self._url,
            headers={"content-type": "application/json"},
            body=json.dumps({"text": plain(text)}).encode(),
        )
        if answer.status >= 500 or answer.status in _LATER:
            raise Unavailable("The webhook does not take the message right now.")
        if not 200 <= answer.status < 300:
            raise RequestRefused(f"the webhook answers {answer.status}")


def plain(text: str) -> str:
    """The text with nothing left that calls a person or a channel or makes a link of it.

    Source: Slack's documentation, formatting text for app surfaces, escaping text.
    """
    return text[:TEXT_LENGTH_MAX].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
