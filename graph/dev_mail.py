"""/dev/mail: the mails that embedded mode has written instead of sending them, for who develops.

Only for a browser on this machine that was told the name of this machine: a page of somebody else whose name leads here
is kept out. A mail's HTML is shown in a frame that runs nothing, loads nothing and leads nowhere.
"""

import re
from collections.abc import Awaitable, Callable

from jinja2 import Environment
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from domain.adapters.mail import Mail
from domain.adapters.mail_files import FileMail, Stored
from domain.base.setting_values import is_loopback
from domain.base.settings import Settings

LISTED_MAX = 100
_HEAD = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Mail of this Planwire</title>
<style>body { font: 15px/1.5 sans-serif; margin: 24px } td, th { padding: 2px 12px 2px 0; text-align: left }
pre { white-space: pre-wrap; overflow-wrap: anywhere } iframe { width: 100%; height: 480px; border: 1px solid #ccc }
</style></head>
<body>
"""
_pages = Environment(autoescape=True)
_LIST = _pages.from_string(
    _HEAD
    + """<h1>Mail</h1>
{% if not mails %}<p>None yet.</p>{% endif %}
<table>
{% for mail in mails %}
<tr><td>{{ mail.written_at.strftime("%Y-%m-%d %H:%M:%S") }}</td><td>{{ mail.header("To") }}</td>
<td><a href="/dev/mail/{{ mail.name }}">{{ mail.header("Subject") }}</a></td></tr>
{% endfor %}
</table>
</body></html>
"""
)
_MAIL = _pages.from_string(
    _HEAD
    + """<p><a href="/dev/mail">All mail</a></p>
<h1>{{ mail.header("Subject") }}</h1>
<table>{% for name, value in mail.headers %}<tr><th>{{ name }}</th><td>{{ value }}</td></tr>{% endfor %}</table>
<pre>{{ text }}</pre>
{% if mail.html %}<iframe sandbox src="/dev/mail/{{ mail.name }}/html" title="HTML"></iframe>{% endif %}
</body></html>
"""
)
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
_PAGE_HEADERS = {"content-security-policy": _PAGE_POLICY + "frame-ancestors 'none'"}
_FRAME_HEADERS = {
    "content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
}


def routes(mail: Mail, settings: Settings) -> list[Route]:
    """The routes of the page; none where mail is sent."""
    if not settings.embedded or not isinstance(mail, FileMail):
        return []
    own_link = re.compile(re.escape(settings.public_url) + r"/[^\s<>\"]*")

    async def listed(_request: Request) -> Response:
        return HTMLResponse(_LIST.render(mails=await mail.newest(LISTED_MAX)), headers=_PAGE_HEADERS)

    async def shown(request: Request) -> Response:
        found = await mail.find(request.path_params["name"])
        if found is None:
            return _not_found()
        return HTMLResponse(_MAIL.render(mail=found, text=_linked(found, own_link)), headers=_PAGE_HEADERS)

    async def html(request: Request) -> Response:
        found = await mail.find(request.path_params["name"])
        return _not_found() if found is None else HTMLResponse(found.html, headers=_FRAME_HEADERS)

    return [
        Route("/dev/mail", _here_only(listed)),
        Route("/dev/mail/{name}", _here_only(shown)),
        Route("/dev/mail/{name}/html", _here_only(html)),
    ]


def _here_only(
    endpoint: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def guarded(request: Request) -> Response:
        is_here = request.client is not None and is_loopback(request.client.host)
        if not is_here or not is_loopback(request.url.hostname or ""):
            return _not_found()
        return await endpoint(request)

    return guarded


def _linked(mail: Stored, own_link: re.Pattern[str]) -> Markup:
    """The text with what leads to this Planwire as links, which is what it is looked at for."""
    parts: list[Markup] = []
    end = 0
    for found in own_link.finditer(mail.text):
        parts += [escape(mail.text[end : found.start()]), Markup('<a href="{0}">{0}</a>').format(found[0])]
        end = found.end()
    return Markup("").join([*parts, escape(mail.text[end:])])


def _not_found() -> Response:
    return PlainTextResponse("Not Found", status_code=404)
