"""Every kind of mail, and what it makes of values that want to be more than text."""

import re
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.adapters.mail import written
from domain.base.settings import Settings
from domain.mail import rendering, unsubscribe
from domain.mail.kinds import KINDS
from domain.mail.links import link
from domain.mail.rendering import rendered
from tests.mail.kinds import TYPED, USER_ID, VALUES, values_of

URL = "https://planwire.example"
SETTINGS = Settings(
    data_dir=Path("unused"), embedded=True, database_url=None, redis_url=None, secret_key="k" * 32, public_url=URL
)
TO = "ann@acme.test"
TAGS = {"html", "head", "meta", "title", "body", "div", "p", "a", "b", "blockquote"}
ATTRIBUTES = {"lang", "charset", "style", "href"}
# What mail programs make links of, without being told to.
LINK = re.compile(r"(?:[a-z]+://|www\.)[^\s\u200b]|\w\.[^\W\d_]{2}|\w@\w", re.I)
OWN_LINK = re.compile(re.escape(URL) + r"/\S*")
NASTY = [
    "<script>alert(1)</script>",
    "\"><a href='https://evil.example'>here</a>",
    "</p></body><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% include 'layout.html' %}",
    "Hello\r\nBcc: eve@evil.example\r\n\r\nbody",
    "Hello\u2028\u2029\x85\x0b\x00there",
    "\u202eelpmaxe.live\u202c",
    "https://evil.example/login",
    "www.evil.example",
    "=?utf-8?q?Hello=0D=0ABcc:_eve@evil.example?=",
    "\ud800",
    "x" * 100_000,
    "\n" * 100_000,
    "",
]


class Page(HTMLParser):
    """The tags, attributes and links of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]

    def handle_data(self, data: str) -> None:
        """Note it."""
        self.text += data


def made(kind: str, **changed: Any) -> Any:
    """The mail of a kind."""
    return rendered(kind, to=TO, key="1", values=values_of(kind, **changed), settings=SETTINGS)


def check(kind: str, **changed: Any) -> None:
    """What holds for every mail, whatever it is told."""
    message = made(kind, **changed)
    page = Page(message.html)

    assert page.tags <= TAGS
    assert page.attributes <= ATTRIBUTES
    assert page.links
    assert all(each.startswith(f"{URL}/") for each in page.links)
    assert LINK.findall(OWN_LINK.sub("", message.text)) == []
    assert LINK.findall(page.text) == []
    assert message.subject
    assert len(message.subject) <= rendering.SUBJECT_LENGTH_MAX
    assert {unicodedata.category(each) for each in message.subject}.isdisjoint({"Cc", "Cs", "Zl", "Zp"})
    # It can be sent, under no other headers than ours.
    mail = written(message, sender=SETTINGS.mail_from)
    head, _, _ = mail.as_bytes().partition(b"\r\n\r\n")
    names = [line.partition(b":")[0].decode() for line in head.split(b"\r\n") if not line.startswith(b" ")]
    off = ["List-Unsubscribe", "List-Unsubscribe-Post"] if KINDS[kind].preference else []
    ours = ["From", "To", "Date", "Subject", "Message-ID", "Auto-Submitted", *off, "MIME-Version", "Content-Type"]
    assert names == ours
    assert all(len(line) <= 998 for line in mail.as_bytes().split(b"\r\n"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_tells_what_it_is_told(kind: str) -> None:
    message = made(kind)

    page = Page(message.html)
    for name in KINDS[kind].values - {
        "user_id",
        "organization_slug",
        "token",
        "expires_at",
        "grace_ends_at",
        "due_on",
        "excerpt",
    }:
        shown = str(VALUES[name]).replace("@new.test", "@\u200bnew.\u200btest")
        assert shown in message.text + message.subject, name
        assert shown in page.text, name
    assert message.to == TO
    assert "token=" in message.text or "token" not in KINDS[kind].values
    check(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", NASTY)
def test_nothing_that_people_type_is_more_than_text(kind: str, text: str) -> None:
    check(kind, **dict.fromkeys(TYPED, text))


# The first mail of a kind reads its templates, which takes as long as the machine lets it.
@settings(deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.text())
def test_no_text_breaks_a_mail(kind: str, text: str) -> None:
    check(kind, **dict.fromkeys(TYPED, text))


@pytest.mark.parametrize(
    ("kind", "name", "who"),
    [("invitation", "inviter_name", "An administrator"), ("task_assigned", "actor_name", "Somebody")],
)
def test_nobody_in_particular_has_a_word(kind: str, name: str, who: str) -> None:
    assert who in made(kind, **{name: None}).text


def test_a_mail_reads_well() -> None:
    message = made("mentioned", task_title="Ünïcode 😀 & more")

    off = unsubscribe.url(USER_ID, "mentioned", SETTINGS)
    assert message.subject == "WEB-1: you are mentioned in Ünïcode 😀 & more"
    assert message.text == (
        "Bob has mentioned you in WEB-1 of Acme, Ünïcode 😀 & more:\n"
        "\n"
        "> Looks good.\n"
        "> Ship it!\n"
        "\n"
        f"{URL}/acme/tasks/WEB-1\n"
        "\n"
        "-- \n"
        f"Sent by Planwire, {URL}/\n"
        f"Turn off mail about mentions of you: {off}\n"
    )
    assert message.unsubscribe_url == off


def test_a_line_of_a_comment_cannot_pass_for_ours() -> None:
    message = made("mentioned", excerpt="ok\n\n-- \nYour account is closed. Sign in at evil.example")

    assert [line for line in message.text.splitlines() if "account" in line] == [
        "> Your account is closed. Sign in at evil.\u200bexample"
    ]


def test_instants_are_told_in_words() -> None:
    assert "28 November 2026, 09:05 UTC" in made("invitation").text
    assert "3 May 2026, 00:00 UTC" in made("invitation", expires_at=datetime(2026, 5, 3, tzinfo=UTC)).text


def test_only_what_can_be_turned_off_says_how() -> None:
    offered = {kind for kind in KINDS if made(kind).unsubscribe_url is not None}

    assert offered == {"invitation_accepted", "task_assigned", "mentioned"}
    assert all(("/unsubscribe?" in made(kind).html) == (kind in offered) for kind in KINDS)
    assert all(("/unsubscribe?" in made(kind).text) == (kind in offered) for kind in KINDS)


def test_a_retry_is_the_same_mail_whatever_it_tells_by_then() -> None:
    first = made("mentioned")

    assert made("mentioned", task_title="Another title").message_id == first.message_id
    assert re.fullmatch(r"<[0-9a-f]{64}@planwire\.example>", first.message_id)


def test_another_kind_key_address_or_deployment_is_another_mail() -> None:
    elsewhere = replace(SETTINGS, public_url="http://127.0.0.1:8000")

    def id_of(kind: str = "mentioned", key: str = "1", to: str = TO, settings: Settings = SETTINGS) -> str:
        return rendering.message_id(kind, key, to, settings)

    ids = [id_of(), id_of(kind="task_assigned"), id_of(key="2"), id_of(to="bob@acme.test"), id_of(settings=elsewhere)]
    assert len(set(ids)) == 5
    assert ids[-1].endswith("@localhost>")


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_told_exactly_what_it_needs(kind: str) -> None:
    values = values_of(kind)
    missing = dict(list(values.items())[1:])

    for wrong in ({**values, "password": "x"}, missing):
        with pytest.raises(ValueError, match=f"{kind} is told"):
            rendered(kind, to=TO, key="1", values=wrong, settings=SETTINGS)


def test_a_link_is_of_segments_that_stay_segments() -> None:
    assert link(URL) == f"{URL}/"
    assert link(URL, "a/b", "?c#d", e="f&g=h") == f"{URL}/a%2Fb/%3Fc%23d?e=f%26g%3Dh"
    for segment in ("", ".", ".."):
        with pytest.raises(ValueError, match="elsewhere"):
            link(URL, segment, "evil.example")


def test_every_template_belongs_to_a_kind() -> None:
    folder = Path(rendering.__file__).parent / "templates"

    files = {path.name for path in folder.iterdir()}
    shared = {"layout.html", "parts.html", "footer.txt"}
    assert files == shared | {f"{kind}.{form}" for kind in KINDS for form in ("html", "txt")}
