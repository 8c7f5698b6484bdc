"""Guard: what of a model's text is shown.

Whoever writes a task may plant instructions in it, and a model may obey them. So its text is not believed: an address
that stood in nothing of what it was given is left out, since opening it would carry off what it was made from, and so
is every longer run of the text that it was told as the system. Text comes in pieces and goes on in pieces; what cannot
be judged yet is held back, as a rule a word or two.

This is no proof against a model that spells things out in a way of its own, and need not be: it acts as the person who
asks, reads only what they may read, and has nothing to write with.
"""

import re
import unicodedata

LEFT_OUT = "(left out)"
ADDRESS_LEFT_OUT = "(address left out)"
# Letters and digits in a row: about six words. Shorter runs are common speech.
SECRET_RUN = 32
# Of one word, or of one address: nobody writes longer ones.
MOST_HELD = 1_000
# Over so many characters a run of the secret is found; who spreads one further may as well spell it in another way.
MOST_SPREAD = 8_000

# At once: some searches look from each open bracket to the end.
MOST_JUDGED = 2_000

# Whitespace, and the marks of scripts that have none between words.
_BORDER = re.compile(r"[\s\u3000-\u3003\u3008-\u3011\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f]")
_REST = r"""[^\s<>"`\[\]|\u3000-\u3003\u3008-\u3011]*"""
# How an address begins is bounded in all patterns, since who writes a text could else have a search of it take the
# square of its length; of one that begins longer the end is found.
_NAMES = r"(?:[\w-]++\.){1,10}"
_HOST = rf"{_NAMES}[^\W\d_]{{2,}}+(?![\w-])"
# Names that programs make links of though nothing stands before or behind them.
_KNOWN = r"(?:app|biz|com|dev|edu|example|gov|info|io|link|live|net|online|org|page|shop|site|test|top|xyz)"
_SCHEMES = r"(?:about|blob|data|file|ftp|intent|javascript|magnet|mailto|sms|tel|urn|vbscript|view-source)"
_ADDRESS = re.compile(
    rf"[a-z][a-z0-9+.-]{{0,30}}:[/\\]{{2}}{_REST}"
    rf"|\b{_SCHEMES}:{_REST}"
    rf"|\bwww\.{_REST}"
    rf"|[\w.+-]{{1,64}}@{_HOST}"
    rf"|(?<![\w-]){_HOST}(?::\d+)?[/?#\\]{_REST}"
    rf"|(?<![\w.])\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?::\d+)?[/?#]{_REST}"
    rf"|(?<![\w-]){_NAMES}{_KNOWN}(?![\w-])",
    re.IGNORECASE,
)
# A link's target in Markdown, or its definition's, may be anything, and written in entities. So may an element's.
_TARGET = r"\]\((?P<target>[^)]*)\)"
_DEFINED = r"\]:(?P<space>\s*)(?P<defined>\S+)"
_ELEMENT = r"<(?P<element>[a-z!?/][^<>\s/]*+[\s/][^<>=]*+=[^<>]*+)>"
_MARKED = re.compile(rf"(?P<image>!(?=\[))|{_TARGET}|{_DEFINED}|{_ELEMENT}", re.IGNORECASE)
_OPEN = re.compile(r"(?:\]\([^)]*|\]:\s*\S*|<[a-z!?/][^<>]*)\Z", re.IGNORECASE)
_TELLING = re.compile(r"[/:&\\@#%?]")
_BEHIND = ".,;:!?'\")}*_~"


class Guard:
    """For one answer. `secret` is what may not be shown; `allow` says what the model was given."""

    def __init__(self, secret: str) -> None:
        self._secret = _Secret(secret)
        self._addresses = _Addresses()
        self._half = ""

    def allow(self, text: str) -> None:
        """Let the addresses in this text be shown."""
        self._addresses.allow(text)

    def feed(self, text: str) -> str:
        """Take some more of what the model says; what of it all can be shown by now."""
        text = self._whole(text)
        parts = (text[at : at + MOST_JUDGED] for at in range(0, len(text), MOST_JUDGED))
        return "".join([self._addresses.feed(self._secret.feed(part)) for part in parts])

    def end(self) -> str:
        """The rest, once there is no more."""
        rest = "\N{REPLACEMENT CHARACTER}" if self._half else ""
        self._half = ""
        return self._addresses.feed(self._secret.feed(rest, is_last=True), is_last=True)

    def _whole(self, text: str) -> str:
        """The text with its halves of characters put together, and without what a row cannot hold."""
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "")


class _Secret:
    """Leaves out runs of a secret, whatever stands between their letters and however they are written."""

    def __init__(self, secret: str) -> None:
        self._secret, _ = _letters(secret)
        self._held = ""
        # So many letters of what is held are of a run that is left out already.
        self._hidden = 0

    def feed(self, text: str, *, is_last: bool = False) -> str:
        held = self._held + text
        letters, places = _letters(held)
        is_secret = bytearray(b"\1" * self._hidden).ljust(len(letters), b"\0")
        for at in range(len(letters) - SECRET_RUN + 1):
            if letters[at : at + SECRET_RUN] in self._secret:
                is_secret[at : at + SECRET_RUN] = b"\1" * SECRET_RUN
        # What might become a run, or be one that goes on, stays.
        first = next((at for at in range(len(letters)) if letters[at:] in self._secret), len(letters))
        if first < len(letters) and len(held) - places[first] > MOST_SPREAD:
            first = len(letters)
        end = len(held) if is_last or first == len(letters) else places[first]
        shown, at, hidden = [], 0, 0
        for run in re.finditer(b"\1+", is_secret):
            goes_on = run.start() == 0 and self._hidden > 0
            if places[run.start()] >= end and not goes_on:
                break
            shown.append(held[at : places[run.start()]] + ("" if goes_on else LEFT_OUT))
            at = min(places[run.end() - 1] + 1, end)
            hidden = max(0, run.end() - first)
        self._held, self._hidden = held[end:], 0 if is_last else hidden
        return "".join([*shown, held[at:end]])


class _Addresses:
    """Leaves out addresses that are not among those that are allowed."""

    def __init__(self) -> None:
        self._allowed: set[str] = set()
        self._held = ""
        # In the midst of something that was too long to be held, up to its end.
        self._is_dropping = False

    def allow(self, text: str) -> None:
        self._allowed.update(_key(found.group()) for found in _ADDRESS.finditer(text))

    def feed(self, text: str, *, is_last: bool = False) -> str:
        held = self._held + text
        if self._is_dropping:
            border = _BORDER.search(held)
            if border is None:
                return ""
            held, self._is_dropping = held[border.start() :], False
        end = len(held) if is_last else _judged(held)
        if len(held) - end > MOST_HELD:
            end = _last_border(held)
        shown = self._judge(held[:end])
        self._held = held[end:]
        if len(self._held) > MOST_HELD:
            self._held, self._is_dropping = "", True
            shown += ADDRESS_LEFT_OUT
        return shown

    def _judge(self, text: str) -> str:
        shown, at = [], 0
        for found in _MARKED.finditer(text):
            shown += [self._plain(text[at : found.start()]), self._marked(found)]
            at = found.end()
        rest = text[at:]
        # One may still be open, where it was too long to wait for, or at the end of it all.
        if (target := re.search(r"\]\((?P<target>[^)]*)\Z", rest)) is not None:
            return "".join([*shown, self._plain(rest[: target.start()]), self._linked("](", target["target"], "")])
        return "".join([*shown, self._plain(rest)])

    def _marked(self, found: re.Match[str]) -> str:
        if found["image"] is not None:
            # A picture is fetched without anybody's doing; a link waits for somebody.
            return "! "
        if found["target"] is not None:
            return self._linked("](", found["target"], ")")
        if found["defined"] is not None:
            return self._linked(f"]:{found['space']}", found["defined"], "")
        element = found["element"]
        return f"<{self._plain(element)}>" if _ADDRESS.fullmatch(element) else ADDRESS_LEFT_OUT

    def _linked(self, before: str, target: str, behind: str) -> str:
        named = next(iter(target.split()), "").strip("<>")
        if not _TELLING.search(named) or _key(named) in self._allowed:
            return f"{before}{self._plain(target)}{behind}"
        return before.rstrip("(") + ADDRESS_LEFT_OUT

    def _plain(self, text: str) -> str:
        return _ADDRESS.sub(self._allowed_alone, text)

    def _allowed_alone(self, found: re.Match[str]) -> str:
        address = found.group().rstrip(_BEHIND)
        behind = found.group()[len(address) :]
        return found.group() if _key(address) in self._allowed else ADDRESS_LEFT_OUT + behind


def _judged(held: str) -> int:
    """Up to where the text can be judged: not in the midst of a word, nor of a link or an element."""
    end, begun = _last_border(held), _OPEN.search(held)
    if begun is not None and begun.start() < end:
        return begun.start()
    around = (found.start() for found in _MARKED.finditer(held) if found.start() < end < found.end())
    return next(around, end)


def _last_border(held: str) -> int:
    return max((border.end() for border in _BORDER.finditer(held)), default=0)


def _key(address: str) -> str:
    """What is the same for two ways to write one address. Letters stay as they are: they could carry something."""
    address = address.rstrip(_BEHIND)
    for prefix in ("https://", "http://", "www."):
        address = address.removeprefix(prefix)
    return address.rstrip("/")


def _letters(text: str) -> tuple[str, list[int]]:
    """The letters and digits of a text, small and without their ornaments, and where in it each stands."""
    letters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        for letter in unicodedata.normalize("NFKC", character).casefold():
            if letter.isalnum():
                letters.append(letter)
                places.append(place)
    return "".join(letters), places
