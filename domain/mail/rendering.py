"""Mails from templates/: KIND.txt, whose first line is the subject, and its twin KIND.html, which escapes all values.

What people have typed is one line in a mail, cut to a length, with nothing in it that a mail program would make a link
of: whoever names an organization or a task must not get a link of theirs into a mail of ours.
"""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from domain.adapters.mail import Message
from domain.base.settings import Settings
from domain.base.smtp_address import mail_host
from domain.mail import unsubscribe
from domain.mail.kinds import KINDS
from domain.mail.links import link

SUBJECT_LENGTH_MAX = 150
LINE_LENGTH_MAX = 200
TEXT_LENGTH_MAX = 1000
# These may have several lines.
TEXTS = frozenset({"excerpt"})
# These are parts of links, and come from us.
EXACT = frozenset({"token", "organization_slug", "task_identifier"})
# Nothing to see, and the start of a word to whoever looks for links: http:// and planwire.example fall apart.
_BREAK = "\u200b"
_LINKING = re.compile(r"(?<=\w)(?:\.(?=[^\W\d_]{2})|:(?=//)|@(?=\w))")
# They turn the direction of what follows, and so what a reader takes it for.
_TURNING = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def rendered(kind: str, *, to: str, key: str, values: Mapping[str, Any], settings: Settings) -> Message:
    """The mail of a kind, to `to`. `values` are those that `KINDS[kind].values` names: text, or an instant in UTC.

    `key` says which mail of the kind it is, such as the id of its event: kind, key and address make the Message-ID, so
    it stays the same over retries, whatever is told by then. Raises ValueError for other values than those.
    """
    known = KINDS[kind]
    if values.keys() != known.values:
        raise ValueError(f"{kind} is told {sorted(values)}, and needs {sorted(known.values)}")
    told = {name: _told(name, value) for name, value in values.items()}
    off = None if known.preference is None else unsubscribe.url(values["user_id"], kind, settings)
    context = {**told, "link": partial(link, settings.public_url), "off": off, "described": known.described}
    subject, _, text = _templates.get_template(f"{kind}.txt").render(context).partition("\n")
    html = _templates.get_template(f"{kind}.html").render(context)
    return Message(
        to=to,
        # Headers write other letters between =? and ?=, so nobody else may begin such a thing.
        subject=_line(subject.replace("=?", "= ?"), SUBJECT_LENGTH_MAX),
        text=text.strip() + "\n",
        html=html,
        message_id=message_id(kind, key, to, settings),
        unsubscribe_url=off,
    )


def message_id(kind: str, key: str, to: str, settings: Settings) -> str:
    """The Message-ID of the one mail of this kind, key and address."""
    named = "\x00".join((kind, key, to))
    return f"<{hashlib.sha256(named.encode('utf-8', 'surrogatepass')).hexdigest()}@{mail_host(settings.public_url)}>"


def _told(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        value = value.astimezone(UTC)
        return f"{value.day} {value:%B %Y, %H:%M} UTC"
    if not isinstance(value, str) or name in EXACT:
        return value
    if name in TEXTS:
        lines = [_line(each, TEXT_LENGTH_MAX) for each in value[: TEXT_LENGTH_MAX + 1].splitlines()]
        return _LINKING.sub(_broken, _cut("\n".join(lines), TEXT_LENGTH_MAX).strip())
    return _LINKING.sub(_broken, _line(value, LINE_LENGTH_MAX))


def _broken(found: re.Match[str]) -> str:
    return found[0] + _BREAK


def _line(text: str, most: int) -> str:
    """One line of at most `most` characters, without any that do not belong into a line."""
    # Of a long text only as much is looked at as can be left of it.
    clean = "".join(_kept(each) for each in _TURNING.sub("", text[: most * 4]))
    return _cut(" ".join(clean.split()), most)


def _kept(character: str) -> str:
    return " " if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") else character


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
