"""What files are found to be, whatever their names and their senders say."""

import bz2
import io
import lzma
import tarfile
import zipfile

import pytest

from domain.attachments.content import OCTETS, Program, detect, fault
from domain.attachments.sample import HEAD_BYTES, TAIL_BYTES, Sample
from tests.attachments.uploading import DOCX, GZIP, Desk, File, packed, picture


def sample(body: bytes, piece: int = 1000) -> Sample:
    """What is kept of the bytes, which come in pieces."""
    made = Sample()
    for start in range(0, len(body), piece):
        made.feed(body[start : start + piece])
    return made


def found(body: bytes, claimed: str = OCTETS) -> str:
    """The type that is found."""
    return detect(sample(body), claimed).content_type


def tarred(name: str, body: bytes) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(body)
        archive.addfile(entry, io.BytesIO(body))
    return written.getvalue()


def said_first(mimetype: str) -> bytes:
    """A ZIP that says in its first entry what it is."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("mimetype", mimetype)
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
    return written.getvalue()


def box(brand: bytes, *others: bytes) -> bytes:
    """The beginning of an ISO media file."""
    size = 16 + 4 * len(others)
    return size.to_bytes(4) + b"ftyp" + brand + bytes(4) + b"".join(others) + bytes(100)


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000)
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\nendobj\n%%EOF\n"

TYPES: list[tuple[str, bytes, str]] = [
    ("png", picture("PNG"), "image/png"),
    ("jpeg", picture("JPEG"), "image/jpeg"),
    ("gif", picture("GIF"), "image/gif"),
    ("webp", picture("WEBP"), "image/webp"),
    ("tiff", picture("TIFF"), "image/tiff"),
    ("avif", box(b"avif", b"mif1", b"miaf"), "image/avif"),
    ("heic", box(b"heic", b"mif1"), "image/heic"),
    ("svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml"),
    ("svg with a head", b'<?xml version="1.0"?>\n<!-- made -->\n<svg/>', "image/svg+xml"),
    ("pdf", PDF, "application/pdf"),
    ("rtf", b"{\\rtf1\\ansi hello}", "application/rtf"),
    ("postscript", b"%!PS-Adobe-3.0\n", "application/postscript"),
    ("docx", DOCX, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (
        "xlsx",
        packed("[Content_Types].xml", "xl/workbook.xml"),
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    (
        "pptx",
        packed("[Content_Types].xml", "ppt/presentation.xml"),
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    ("odt", said_first("application/vnd.oasis.opendocument.text"), "application/vnd.oasis.opendocument.text"),
    ("epub", said_first("application/epub+zip"), "application/epub+zip"),
    ("doc", OLE + "WordDocument".encode("utf-16-le"), "application/msword"),
    ("xls", OLE + "Workbook".encode("utf-16-le"), "application/vnd.ms-excel"),
    ("old office", OLE, "application/x-ole-storage"),
    ("zip", packed("a.txt", "word/document.xml"), "application/zip"),
    ("empty zip", packed(), "application/zip"),
    ("zip of pdfs", packed("a.pdf") + b"", "application/zip"),
    ("tar", tarred("a.txt", b"abc"), "application/x-tar"),
    ("tar of a zip", tarred("a.zip", packed("a.txt")), "application/x-tar"),
    ("gzip", GZIP, "application/gzip"),
    ("bzip2", bz2.compress(b"x"), "application/x-bzip2"),
    ("xz", lzma.compress(b"x"), "application/x-xz"),
    ("7z", b"7z\xbc\xaf\x27\x1c" + bytes(30), "application/x-7z-compressed"),
    ("mp3 with tags", b"ID3\x03\x00\x00\x00\x00\x00\x21TIT2" + bytes(50), "audio/mpeg"),
    ("flac", b"fLaC\x00\x00\x00\x22" + bytes(50), "audio/flac"),
    ("wav", b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40), "audio/wav"),
    ("ogg", b"OggS\x00\x02" + bytes(22) + b"\x01\x1e\x01vorbis" + bytes(30), "application/ogg"),
    ("m4a", box(b"M4A ", b"mp42"), "audio/mp4"),
    ("mp4", box(b"isom", b"iso2", b"avc1"), "video/mp4"),
    ("mov", box(b"qt  "), "video/quicktime"),
    ("webm", b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm", "video/webm"),
    ("text", b"hello\n", "text/plain"),
    ("text that begins like a picture", b"BM is short for benchmark", "text/plain"),
    ("text that begins like a program", b"MZ was his name", "text/plain"),
    ("text of many alphabets", "Ωμέγα, 報告, تقرير 🎉".encode(), "text/plain"),
    ("text with a mark", b"\xef\xbb\xbfa;b\r\n1;2\r\n", "text/plain"),
    ("text as UTF-16", "a;b\r\n".encode("utf-16"), "text/plain"),
    ("colored log", b"\x1b[31mred\x1b[0m\n", "text/plain"),
    ("json", b'{"a": 1}', "text/plain"),
    ("source code", b"import os\nprint(1)\n", "text/plain"),
    ("xml", b'<?xml version="1.0"?><a/>', "application/xml"),
    ("html", b"<!DOCTYPE html><p>hi", "text/html"),
    ("html of old", b"  \n<HTML><BODY>", "text/html"),
    ("html behind a comment", b"<!-- hi -->\n<script>alert(1)</script>", "text/html"),
    ("xhtml", b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>', "text/html"),
    ("nothing known", bytes(range(1, 250)) * 4, OCTETS),
    ("one byte", b"\x00", OCTETS),
]


@pytest.mark.parametrize(("body", "content_type"), [each[1:] for each in TYPES], ids=[each[0] for each in TYPES])
def test_a_type_is_found_in_the_bytes(body: bytes, content_type: str) -> None:
    assert found(body) == content_type
    assert detect(sample(body, 7), content_type).content_type == content_type
    assert fault(detect(sample(body), content_type), content_type) is None


PROGRAMS: list[tuple[str, bytes]] = [
    ("Windows", b"MZ\x90\x00\x03" + bytes(200)),
    ("Linux", b"\x7fELF\x02\x01\x01" + bytes(50)),
    ("macOS", b"\xcf\xfa\xed\xfe" + bytes(50)),
    ("Java class", b"\xca\xfe\xba\xbe\x00\x00\x00\x34" + bytes(50)),
    ("Android code", b"dex\n035\x00" + bytes(50)),
    ("WebAssembly", b"\x00asm\x01\x00\x00\x00"),
    ("script", b"#!/bin/sh\nrm -rf ~\n"),
    ("script behind a mark", b"\xef\xbb\xbf#!/usr/bin/env python\n"),
    ("script before a PDF", b"#!/bin/sh\nexit\n" + PDF),
    ("script before a ZIP", b"#!/usr/bin/env python3\n" + packed("__main__.py")),
    ("batch file", b"\r\n@ECHO OFF\r\ndel *.*"),
    ("shortcut of Windows", b"L\x00\x00\x00\x01\x14\x02\x00" + bytes(60)),
    ("shortcut of Linux", b"[Desktop Entry]\nExec=rm"),
    ("link", b"[InternetShortcut]\r\nURL=file://x"),
    ("registry", "Windows Registry Editor Version 5.00\r\n".encode("utf-16")),
    ("jar", packed("META-INF/MANIFEST.MF", "A.class")),
    ("jar with its manifest last", packed("A.class", "META-INF/MANIFEST.MF")),
    ("apk", packed("AndroidManifest.xml", "classes.dex")),
    ("msix", packed("AppxManifest.xml")),
    ("ipa", packed("Payload/Game.app/Game")),
    ("jar behind a picture", picture("GIF") + packed("META-INF/MANIFEST.MF")),
    ("jar behind a PDF", PDF + packed("META-INF/MANIFEST.MF")),
    ("jar with a word behind", picture("GIF") + packed("META-INF/MANIFEST.MF") + b"!"),
    ("installer", OLE + bytes.fromhex("84100c0000000000c000000000000046") + bytes(100)),
    ("disk image of a CD", bytes(32769) + b"CD001" + bytes(100)),
    ("disk image of macOS", bytes(3000) + b"koly" + bytes(508)),
    ("package of Debian", b"!<arch>\ndebian-binary   "),
    ("package of Red Hat", b"\xed\xab\xee\xdb" + bytes(50)),
]


@pytest.mark.parametrize("body", [each[1] for each in PROGRAMS], ids=[each[0] for each in PROGRAMS])
@pytest.mark.parametrize("claimed", [OCTETS, "image/png", "text/plain", "application/pdf", "application/zip"])
def test_a_program_is_one_whatever_it_is_called(body: bytes, claimed: str) -> None:
    with pytest.raises(Program):
        detect(sample(body), claimed)


def test_a_package_of_ten_thousands_is_known_by_its_first_entries() -> None:
    body = packed(
        "META-INF/MANIFEST.MF", *(f"com/example/a/long/name/of/some/package/Class{n}.class" for n in range(12_000))
    )
    assert len(body) > 2 * TAIL_BYTES

    with pytest.raises(Program):
        detect(sample(body, 65_536), OCTETS)


SPOOFED: list[tuple[str, bytes, str]] = [
    ("text as a picture", b"hello", "image/png"),
    ("html as a picture", b"<html><script>", "image/png"),
    ("html as a PDF", b"<html>", "application/pdf"),
    ("html before a PDF", b"<script>alert(1)</script>\n" + PDF, "application/pdf"),
    ("html before a picture", b"<script>/*" + picture("PNG"), "image/png"),
    ("svg as a PDF", b"<svg/>", "application/pdf"),
    ("picture as a text", picture(), "text/plain"),
    ("picture as a PDF", picture(), "application/pdf"),
    ("picture as a film", picture(), "video/mp4"),
    ("film as a picture", box(b"isom"), "image/jpeg"),
    (
        "zip as a Word document",
        packed("a.txt"),
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    ("zip as a picture", packed("a.txt"), "image/gif"),
    ("picture that is a ZIP", picture("GIF") + packed("a.txt"), "image/gif"),
    ("picture that is a PDF", picture("PNG")[:200] + PDF, "image/png"),
    ("anything that is two", picture("GIF") + packed("a.txt"), OCTETS),
    ("nothing known as a picture", bytes(range(1, 250)), "image/png"),
    ("nothing known as a text", bytes(range(250)), "text/csv"),
    ("font as a picture", b"wOF2" + bytes(40), "image/png"),
    ("PDF as an archive", PDF, "application/zip"),
    ("bitmap of two letters as a film", b"BM\x00\x00", "video/mp4"),
]


@pytest.mark.parametrize(("body", "claimed"), [each[1:] for each in SPOOFED], ids=[each[0] for each in SPOOFED])
def test_what_is_of_another_kind_than_was_said_is_told_with_both(body: bytes, claimed: str) -> None:
    seen = detect(sample(body), claimed)

    reason = fault(seen, claimed)

    assert reason is not None
    assert claimed in reason
    assert seen.content_type == OCTETS or seen.content_type in reason


ACCEPTED: list[tuple[str, bytes, str, str]] = [
    ("another picture", picture("JPEG"), "image/png", "image/jpeg"),
    ("Word document as a ZIP", DOCX, "application/zip", TYPES[12][2]),
    ("table of text, as Windows calls it", b"a;b\n", "application/vnd.ms-excel", "text/plain"),
    ("text with parameters", b"hello", "text/csv; charset=utf-8", "text/plain"),
    ("text of older encodings", "Größe;Maß\n".encode("latin-1"), "text/csv", "text/plain"),
    ("page of older encodings", "<html>Größe".encode("latin-1"), "text/html", "text/html"),
    ("sound in a film's box", box(b"isom"), "audio/mp4", "video/mp4"),
    ("sound without tags", b"\xff\xfb\x90\x64" + bytes(400), "audio/mpeg", "audio/mpeg"),
    ("bitmap", picture("BMP"), "image/bmp", "image/bmp"),
    ("svg as a picture", b"<svg/>", "image/svg+xml", "image/svg+xml"),
    ("svg as a text", b"<svg/>", "text/xml", "image/svg+xml"),
    ("what nobody says anything of", b"\x00\x01\x02", OCTETS, OCTETS),
    ("what is some tool's own", packed("doc.json"), "application/x-some-tool", "application/zip"),
]


@pytest.mark.parametrize(("body", "claimed", "type_"), [each[1:] for each in ACCEPTED], ids=[e[0] for e in ACCEPTED])
def test_what_is_of_the_same_kind_is_taken_as_what_it_is(body: bytes, claimed: str, type_: str) -> None:
    seen = detect(sample(body), claimed)

    assert (seen.content_type, fault(seen, claimed)) == (type_, None)


@pytest.mark.parametrize("size", [0, 1, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 1, 3 * TAIL_BYTES + 5])
def test_both_ends_are_kept_however_the_bytes_come(size: int) -> None:
    body = bytes(number * 7 % 251 for number in range(size))

    seen = sample(body, 9_973)

    assert (seen.size_bytes, seen.head, seen.tail) == (size, body[:HEAD_BYTES], body[-TAIL_BYTES:])
    assert seen.sha256 == File(body).sha256


@pytest.mark.parametrize(
    "body",
    [
        b"PK\x05\x06" + b"\xff" * 18,
        b"PK\x03\x04" + b"\xff" * 40,
        b"PK\x03\x04" * 9_000,
        packed("a")[:-4],
        packed("a")[:-20] + b"\xff" * 20,
        b"PK\x01\x02" + bytes(42) + b"PK\x05\x06" + bytes(18),
        b"<!--" * 20_000,
        b"<?xml " + b" " * 60_000,
        b"\xff\xfe" + b"a" * 9,
    ],
    ids=[
        *("an end that is all ones", "an entry that is all ones", "beginnings alone", "no end", "an end that lies"),
        *("an entry of zeros", "beginnings of a comment", "a declaration without end", "half of UTF-16"),
    ],
)
def test_bytes_that_are_made_to_confuse_are_something(body: bytes) -> None:
    assert "/" in found(body)


async def test_a_spoofed_file_is_rejected_with_its_reason(desk: Desk) -> None:
    made = await desk.completed(File(b"MZ\x90\x00" + bytes(100), "holiday.png", "image/png"))
    await desk.work()

    assert (made["status"], made["contentType"], made["downloadUrl"]) == ("REJECTED", None, None)
    assert made["rejectionReason"] == (
        "It is a program for Windows. Programs cannot be attached; image/png was announced."
    )
    assert await desk.stored(made["id"]) == (False, False)
    assert await desk.facts() == ["ATTACHMENT_CREATED", "ATTACHMENT_UPDATED"]


@pytest.mark.parametrize(
    ("name", "body", "claimed", "content_type"),
    [
        ("a.svg", b"<svg><script>alert(1)</script></svg>", "image/svg+xml", "image/svg+xml"),
        ("a.html", b"<script>alert(1)</script>", "text/html", "text/html"),
        ("a.txt", b"<script>alert(1)</script>", "text/plain", "text/html"),
    ],
)
async def test_what_may_hold_scripts_is_only_ever_saved(
    desk: Desk, name: str, body: bytes, claimed: str, content_type: str
) -> None:
    made = await desk.completed(File(body, name, claimed))

    answer = await desk.get(made["downloadUrl"])

    assert made["contentType"] == content_type
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
