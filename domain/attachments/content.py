"""What a file is, as found in its bytes: its type, or that it is a program. Nothing here reads storage or rows.

`puremagic` knows signatures, and no more than that. Known of it, and made up for here: it takes any ZIP for a Word
document; it knows ISO media by the length of their first box; of text it sees only some beginnings, and takes words
such as "BM" for pictures; and it looks for one thing, where a file can be two. So text is decoded as a whole, a ZIP is
known by the names of its entries, and a signature of fewer than three bytes only bears out what was claimed.
"""

import codecs
import io
import re
import struct
import zipfile
from dataclasses import dataclass, replace
from enum import StrEnum

import puremagic

from domain.attachments.sample import HEAD_BYTES, Sample

OCTETS = "application/octet-stream"


class Family(StrEnum):
    """What people take a file for."""

    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    TEXT = "text"
    DOCUMENT = "document"
    ARCHIVE = "archive"
    FONT = "font"


_F = Family


@dataclass(frozen=True)
class Found:
    """A type, and what it may be claimed to be: an SVG is a picture and a text. Without a family nobody knows.

    `second`: the type that it is as well, for whoever looks at it in another way.
    """

    content_type: str
    families: frozenset[Family] = frozenset()
    second: str | None = None

    @classmethod
    def of(cls, content_type: str, *families: Family) -> "Found":
        """The type with these families, or else that of its name."""
        return cls(content_type, frozenset(families) or families_of(content_type))


class Program(Exception):
    """It is a program, or what a system would run one from; `what` says which."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


_OOXML = "application/vnd.openxmlformats-officedocument"
_TEXTS = frozenset(
    "json ld+json xml javascript ecmascript x-javascript x-sh yaml x-yaml toml sql graphql x-httpd-php x-ndjson "
    "typescript x-python x-ruby rtf".split()
)
_DOCUMENTS = frozenset("pdf rtf msword postscript epub+zip x-ole-storage".split())
_ARCHIVES = frozenset(
    "zip x-zip-compressed x-zip gzip x-gzip x-tar x-gtar x-bzip x-bzip2 x-xz x-7z-compressed vnd.rar x-rar "
    "x-rar-compressed zstd x-zstd-compressed-tar x-lzma x-lzip x-compress x-compressed vnd.ms-cab-compressed".split()
)
_ALSO = {
    # Browsers on Windows call tables of text so, where Excel opens them.
    "application/vnd.ms-excel": (_F.DOCUMENT, _F.TEXT),
    "application/ogg": (_F.AUDIO, _F.VIDEO),
    "image/svg+xml": (_F.IMAGE, _F.TEXT),
}


def families_of(content_type: str) -> frozenset[Family]:
    """The families that a type's name says; none for one that says nothing."""
    essence = content_type.partition(";")[0].strip().lower()
    if essence in _ALSO:
        return frozenset(_ALSO[essence])
    kind, _, name = essence.partition("/")
    found = set()
    if kind in ("image", "text", "font"):
        found.add(Family(kind))
    elif kind in ("audio", "video"):
        # The same containers hold both.
        found |= {_F.AUDIO, _F.VIDEO}
    elif kind == "message":
        found.add(_F.TEXT)
    elif kind == "application":
        if name in _TEXTS or name.endswith(("+json", "+xml", "+yaml")):
            found.add(_F.TEXT)
        if name in _DOCUMENTS or name.startswith(("vnd.openxmlformats", "vnd.oasis.opendocument", "vnd.ms-")):
            found.add(_F.DOCUMENT)
        if name in _ARCHIVES:
            found.add(_F.ARCHIVE)
    return frozenset(found)


_PROGRAMS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x7fELF", "a program for Linux"),
    (0, b"\xfe\xed\xfa\xce", "a program for macOS"),
    (0, b"\xfe\xed\xfa\xcf", "a program for macOS"),
    (0, b"\xce\xfa\xed\xfe", "a program for macOS"),
    (0, b"\xcf\xfa\xed\xfe", "a program for macOS"),
    (0, b"\xca\xfe\xba\xbe", "a program for Java or macOS"),
    (0, b"dex\n", "a program for Android"),
    (0, b"\x00asm", "a program for WebAssembly"),
    (0, b"L\x00\x00\x00\x01\x14\x02\x00", "a shortcut of Windows"),
    (0, b"ITSF", "a help file of Windows"),
    (0, b"Cr24", "an extension of a browser"),
    (0, b"!<arch>\ndebian-binary", "a package for Linux"),
    (0, b"\xed\xab\xee\xdb", "a package for Linux"),
    (0, b"xar!", "a package for macOS"),
    (0, b"conectix", "an image of a disk"),
    (0, b"vhdxfile", "an image of a disk"),
    # Systems open these as a disk, and what is on it goes without the mark of what came from outside.
    (32769, b"CD001", "an image of a disk"),
)
_SCRIPTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"#!"), "a script with an interpreter"),
    (re.compile(r"\s*@echo\s+off\b", re.I), "a batch file"),
    (re.compile(r"\s*\[(Desktop Entry|InternetShortcut)\]", re.I), "a shortcut"),
    (re.compile(r"\s*(Windows Registry Editor|REGEDIT4)"), "changes of the Windows registry"),
)
# The class of Windows Installer's packages, which else are documents of the old Office.
_INSTALLER = bytes.fromhex("84100c0000000000c000000000000046")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.{0,1024}?-->\s*)?"
    rb"<(?:!doctype\s+html|html|head|body|script|iframe|title|meta|style|object|embed|form)\b",
    re.I | re.S,
)
_SVG = re.compile(
    r"\s*(?:<\?xml\b[^>]{0,1024}>\s*)?(?:<!--.{0,4096}?-->\s*)?(?:<!doctype\s+svg\b.{0,4096}?>\s*)?<(?:\w+:)?svg\b",
    re.I | re.S,
)
_XML = re.compile(r"\s*<\?xml\b")
_XHTML = re.compile(r"<(?:\w+:)?(?:html|script)\b|http://www\.w3\.org/1999/xhtml", re.I)
_BEGINNINGS = (
    (b"%PDF-", "application/pdf"),
    (b"{\\rtf", "application/rtf"),
    (b"%!PS", "application/postscript"),
)
_ZIP = b"PK\x03\x04"
# Names that mean something here are shorter.
_LONGEST_NAME = 200
_PACKAGED = re.compile(
    r"META-INF/MANIFEST\.MF$|AndroidManifest\.xml$|AppxManifest\.xml$|classes\.dex$|Payload/[^/]+\.app/"
)
# Documents whose first entry says what they are. Source: OpenDocument 1.3, part 2, 3.3.
_SAID_FIRST = re.compile(
    rb"PK\x03\x04.{22}\x08\x00\x00\x00mimetype(application/(?:vnd\.oasis\.opendocument\.[a-z-]+|epub\+zip))", re.S
)
_OFFICE = (
    ("word/", f"{_OOXML}.wordprocessingml.document"),
    ("xl/", f"{_OOXML}.spreadsheetml.sheet"),
    ("ppt/", f"{_OOXML}.presentationml.presentation"),
)
# The names of the streams in them are UTF-16.
_OLE_TYPE = "application/x-ole-storage"
_OLD_OFFICE = (
    ("WordDocument".encode("utf-16-le"), "application/msword"),
    ("Workbook".encode("utf-16-le"), "application/vnd.ms-excel"),
    ("PowerPoint Document".encode("utf-16-le"), "application/vnd.ms-powerpoint"),
)
_MEDIA = {b"qt  ": "video/quicktime", b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"M4P ": "audio/mp4"}
_PICTURES = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"), "image/heic"),
}
# A signature of fewer bytes stands at the beginning of much else.
_STRONG_BYTES = 3
# Signatures that stand at the end are no longer.
_FOOT_BYTES = 1024
# Names for what puremagic calls by another.
_CALLED = {
    "application/x-gzip": "application/gzip",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "image/x-ms-bmp": "image/bmp",
    "video/avi": "video/x-msvideo",
    "application/x-matroska": "video/x-matroska",
}


def detect(sample: Sample, claimed: str) -> Found:
    """What the bytes are. Raises Program."""
    head, tail = sample.head, sample.tail
    _check_program(sample, names := _names(tail))
    for signature, content_type in _BEGINNINGS:
        if head.startswith(signature):
            return _alone(Found.of(content_type), head, tail)
    if sample.is_text or (sample.is_plain and _F.TEXT in families_of(claimed)):
        return _text(head)
    if _PAGE.match(head):
        # Browsers would show it, whatever stands behind.
        return Found.of("text/html")
    if head.startswith(_ZIP):
        return _zip(head, names)
    if head.startswith(_OLE):
        return Found.of(next((type_ for name, type_ in _OLD_OFFICE if name in head or name in tail), _OLE_TYPE))
    return _alone(_signed(head, tail, claimed), head, tail)


def _alone(found: Found, head: bytes, tail: bytes) -> Found:
    """What was found, with the second thing that it is."""
    if _F.ARCHIVE not in found.families and _ends_as_zip(tail):
        # Such a file is read from its end, whatever stands before it.
        return replace(found, second="application/zip")
    if _F.IMAGE in found.families and b"%PDF-" in head[:1024]:
        # Readers look for the beginning of a PDF so far.
        return replace(found, second="application/pdf")
    return found


def fault(found: Found, claimed: str) -> str | None:
    """Why what was found is not what was claimed; None where it is."""
    said = families_of(claimed)
    if found.second is not None:
        return f"It is {found.content_type} and {found.second} in one; {claimed} was announced."
    if not said or said & found.families:
        return None
    kinds = " or ".join(sorted(said))
    if not found.families:
        return f"Its bytes are no {kinds} that is known here; {claimed} was announced."
    return f"Its bytes are {found.content_type}; {claimed} was announced, and that is {kinds}."


def _check_program(sample: Sample, names: list[str]) -> None:
    head, tail = sample.head, sample.tail
    for offset, signature, what in _PROGRAMS:
        if head.startswith(signature, offset):
            raise Program(what)
    if head.startswith(b"MZ") and not sample.is_text:
        raise Program("a program for Windows")
    if tail[-512:].startswith(b"koly"):
        raise Program("an image of a disk")
    if head.startswith(_OLE) and (_INSTALLER in head or _INSTALLER in tail):
        raise Program("an installer for Windows")
    # What begins like a script is run as one, whatever comes behind.
    beginning = _decoded(head[:1024])
    for pattern, what in _SCRIPTS:
        if pattern.match(beginning):
            raise Program(what)
    # One that has too many names to be read here begins with them.
    if any(_PACKAGED.match(name) for name in (*names, *_first_names(head))):
        raise Program("a package of a program")


def _decoded(head: bytes) -> str:
    encoding = "utf-16" if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    return head.decode(encoding, errors="replace")


def _text(head: bytes) -> Found:
    text = _decoded(head)
    if _PAGE.match(text.encode()):
        return Found.of("text/html")
    if _SVG.match(text):
        return Found.of("image/svg+xml")
    if _XML.match(text):
        return Found.of("text/html" if _XHTML.search(text) else "application/xml")
    return Found.of("text/plain")


def _names(tail: bytes) -> list[str]:
    """The names in the directory of the ZIP that the bytes end with; none where it is cut. Nothing is unpacked."""
    try:
        return zipfile.ZipFile(io.BytesIO(tail)).namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, OSError, struct.error):
        return []


def _first_names(head: bytes) -> list[str]:
    """The names of a ZIP's first entries, as they stand before each. Source: APPNOTE.TXT of PKWARE, 4.3.7."""
    if not head.startswith(_ZIP):
        return []
    found, padded = [], head + bytes(30)
    for match in re.finditer(re.escape(_ZIP), head):
        start = match.start() + 30
        (length,) = struct.unpack_from("<H", padded, match.start() + 26)
        found.append(head[start : start + min(length, _LONGEST_NAME)].decode(errors="replace"))
    return found


def _ends_as_zip(tail: bytes) -> bool:
    """Whether a ZIP's last record, with its comment, is the very end, and its directory stands before it."""
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or end + 22 > len(tail):
        return False
    length, _, comment = struct.unpack_from("<IIH", tail, end + 12)
    return end + 22 + comment == len(tail) and tail.startswith(b"PK\x01\x02", max(0, end - length))


def _zip(head: bytes, names: list[str]) -> Found:
    """What kind of ZIP it is, by the names in it."""
    if match := _SAID_FIRST.match(head):
        return Found.of(match[1].decode(), _F.DOCUMENT, _F.ARCHIVE)
    if "[Content_Types].xml" in names:
        for folder, content_type in _OFFICE:
            if any(name.startswith(folder) for name in names):
                return Found.of(content_type, _F.DOCUMENT, _F.ARCHIVE)
    return Found.of("application/zip")


def _signed(head: bytes, tail: bytes, claimed: str) -> Found:
    """What puremagic knows the bytes by."""
    if head.startswith(b"ftyp", 4):
        brand = head[8:12]
        return Found.of(_PICTURES.get(brand) or _MEDIA.get(brand, "video/mp4"))
    try:
        matches = puremagic.magic_string(head + tail[-_FOOT_BYTES:] if len(head) == HEAD_BYTES else head)
    except (puremagic.PureError, ValueError):
        return Found(OCTETS)
    said = families_of(claimed)
    for match in matches:
        found = Found.of(_CALLED.get(match.mime_type, match.mime_type))
        is_strong = len(match.byte_match) >= _STRONG_BYTES
        if match.offset >= 0 and found.families and (is_strong or said & found.families):
            return found
    return Found(OCTETS)
