"""What both stores have in common: what is a key, and how a file is named to a browser."""

from email.message import Message
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.adapters.storage import (
    UPLOAD_BYTES_MAX,
    attachment_key,
    check_upload,
    checked_key,
    checked_prefix,
    checked_type,
    disposition,
    is_key,
    result_key,
    safe_filename,
    thumbnail_key,
)

ORG, ID = UUID("019aa7c8-0000-7000-8000-00000000000a"), UUID("019aa7c8-0000-7000-8000-00000000000b")
KEY = attachment_key(ORG, ID)
DIGEST = "0" * 64


def test_keys_are_made_of_ids_alone() -> None:
    keys = [make(ORG, ID) for make in (attachment_key, thumbnail_key, result_key)]

    assert keys == [f"org/{ORG}/{kind}/{ID}" for kind in ("attachments", "thumbnails", "results")]
    assert all(checked_key(key) == key for key in keys)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "..",
        f"/{KEY}",
        f"{KEY}/",
        f"{KEY}\n",
        f"{KEY}\0",
        f"{KEY}/../{ID}",
        f"./{KEY}",
        KEY.replace("/", "//"),
        KEY.upper(),
        KEY.replace("-", ""),
        KEY.replace("attachments", "secrets"),
        KEY.replace("attachments", ".."),
        KEY.replace("0", "\u0660"),
        KEY.replace("org/", "org%2F"),
        KEY.replace(str(ORG), ""),
    ],
)
def test_nothing_else_is_a_key(text: str) -> None:
    assert not is_key(text)
    with pytest.raises(ValueError, match="no key"):
        checked_key(text)


@given(st.integers(0, len(KEY)), st.characters())
def test_a_key_with_a_character_more_is_none(at: int, more: str) -> None:
    assert not is_key(KEY[:at] + more + KEY[at:])


@pytest.mark.parametrize("prefix", ["", "org", "/org/", "org//", f"org/{ORG}", f"org/{ORG}/attachments/", "org/../"])
def test_objects_are_listed_by_organization_alone(prefix: str) -> None:
    with pytest.raises(ValueError, match="listed under"):
        checked_prefix(prefix)


@pytest.mark.parametrize("text", ["text/plain", "text/csv; charset=utf-8", 'a/b;c="d e"', "application/vnd.x+json"])
def test_a_media_type_may_have_parameters(text: str) -> None:
    assert checked_type(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "text", "text/", "a/b\r\nX: 1", "a/b\n", "a/b; c", "a/ b", "a/b;", "ä/b", 'a/b;c="d"e"', f"a/{'b' * 254}"],
)
def test_what_could_not_stand_in_a_header_is_no_media_type(text: str) -> None:
    with pytest.raises(ValueError, match="no media type"):
        checked_type(text)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"size_bytes": 0}, "an upload has 1 to"),
        ({"size_bytes": -1}, "an upload has 1 to"),
        ({"size_bytes": UPLOAD_BYTES_MAX + 1}, "an upload has 1 to"),
        ({"sha256": DIGEST.replace("0", "A")}, "lower-case hexadecimal"),
        ({"sha256": DIGEST[1:]}, "lower-case hexadecimal"),
        ({"sha256": f"{DIGEST}\n"}, "lower-case hexadecimal"),
        ({"content_type": "a/b\r\nc: d"}, "no media type"),
        ({"key": "../secret_key"}, "no key"),
    ],
)
def test_a_url_is_bound_to_nothing_that_is_not_right(changed: dict[str, object], fault: str) -> None:
    asked = {"key": KEY, "content_type": "text/plain", "size_bytes": UPLOAD_BYTES_MAX, "sha256": DIGEST}

    check_upload(**asked)  # type: ignore[arg-type]  # a table of strings and numbers
    with pytest.raises(ValueError, match=fault):
        check_upload(**{**asked, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("filename", "fallback", "name"),
    [
        ("report.pdf", "report.pdf", "report.pdf"),
        ('a"; filename="b.exe', "a__ filename__b.exe", 'a"; filename="b.exe'),
        ("a\r\nSet-Cookie: b=c", "aSet-Cookie_ b_c", "aSet-Cookie: b=c"),
        ("../../etc/passwd", ".._.._etc_passwd", ".._.._etc_passwd"),
        ("C:\\temp\\x.txt", "C__temp_x.txt", "C:_temp_x.txt"),
        ("Übergröße.png", "_bergr__e.png", "Übergröße.png"),
        ("отчёт.pdf", "_____.pdf", "отчёт.pdf"),
        ("👩‍💻.png", "___.png", "👩‍💻.png"),
        ("invoice\u202efdp.exe", "invoicefdp.exe", "invoicefdp.exe"),
        ("a\u2066b\u2069\u200fc.txt", "abc.txt", "abc.txt"),
        ("100%41.txt", "100_41.txt", "100%41.txt"),
        ("a\ud800b.txt", "ab.txt", "ab.txt"),
        ("a\u2028b\0c\x7fd\x85e", "abcde", "abcde"),
        (".gitignore", ".gitignore", ".gitignore"),
        ("x" * 300, "x" * 255, "x" * 255),
        ("end. . .", "end", "end"),
        ("setup.exe\u00a0. \u3000.", "setup.exe", "setup.exe"),
        ("", "file", "file"),
        ("..", "file", "file"),
        (" \t\u202e\r\n ", "file", "file"),
    ],
)
def test_a_name_is_told_twice_and_safely(filename: str, fallback: str, name: str) -> None:
    header = disposition(filename, "text/plain", inline=False)

    assert header.startswith(f"attachment; filename=\"{fallback}\"; filename*=UTF-8''")
    assert header.isascii()
    assert header.isprintable()
    assert _read(header) == name == safe_filename(filename)


@given(st.text(alphabet=st.characters(codec=None)))
def test_no_name_gets_out_of_its_place(filename: str) -> None:
    header = disposition(filename, "image/png", inline=True)

    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    assert header.count(";") == 2
    assert _read(header) == safe_filename(filename)
    assert 1 <= len(safe_filename(filename)) <= 255
    assert not {"/", "\\", "\r", "\n", "\0", "\u202e"} & set(safe_filename(filename))
    assert safe_filename(safe_filename(filename)) == safe_filename(filename)


def _read(header: str) -> str | None:
    """The name as one that knows RFC 8187 reads it."""
    message = Message()
    message["Content-Disposition"] = header.replace(header[header.index("filename=") : header.index("filename*")], "")
    return message.get_filename()


@pytest.mark.parametrize(
    ("content_type", "inline", "kind"),
    [
        ("image/png", True, "inline"),
        ("image/jpeg", True, "inline"),
        ("image/webp", True, "inline"),
        ("image/gif", True, "inline"),
        ("image/png", False, "attachment"),
        ("image/svg+xml", True, "attachment"),
        ("text/html", True, "attachment"),
        ("application/pdf", True, "attachment"),
        ("image/png; a=b", True, "attachment"),
        ("IMAGE/PNG", True, "attachment"),
    ],
)
def test_only_pictures_that_run_nothing_are_shown_in_place(content_type: str, inline: bool, kind: str) -> None:
    assert disposition("x", content_type, inline=inline).split(";")[0] == kind
