"""File names from hell, and what becomes of them in an archive."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.exports.names import LONGEST, safe_name

HELL = {
    "report.pdf": "report.pdf",
    "../../etc/passwd": "_.._etc_passwd",
    "/etc/passwd": "_etc_passwd",
    "..\\..\\windows\\system.ini": "_.._windows_system.ini",
    "C:\\boot.ini": "C__boot.ini",
    "..": "file",
    ".": "file",
    "": "file",
    "   ": "file",
    ".htaccess": "htaccess",
    "CON": "_CON",
    "con.txt": "_con.txt",
    "COM1.tar.gz": "_COM1.tar.gz",
    "LPT².log": "_LPT².log",
    "nul ": "_nul",
    "conference.pdf": "conference.pdf",
    "trailing dot.": "trailing dot",
    "trailing space.txt ": "trailing space.txt",
    "gpj.\u202eexe.jpg": "gpj.exe.jpg",
    # Without the joiner it would be another word.
    "\u0645\u06cc\u200c\u0631\u0648\u0645.txt": "\u0645\u06cc\u200c\u0631\u0648\u0645.txt",
    "new\nline\r\n.txt": "newline.txt",
    "nul\0byte.txt": "nulbyte.txt",
    "half \ud83d a pair.txt": "half  a pair.txt",
    'a<b>c:"d"|e?f*.txt': "a_b_c__d__e_f_.txt",
    "Zażółć gęślą jaźń.txt": "Zażółć gęślą jaźń.txt",
    "e\u0301te\u0301.txt": "\u00e9t\u00e9.txt",
    "報告書.pdf": "報告書.pdf",
    "x" * 240 + ".pdf": "x" * (LONGEST - 4) + ".pdf",
    "報" * 100 + ".pdf": "報" * 65 + ".pdf",
    "no suffix " + "x" * 300: ("no suffix " + "x" * 300)[:LONGEST],
    "a." + "x" * 300: ("a." + "x" * 300)[:LONGEST],
}


@pytest.mark.parametrize(("filename", "safe"), HELL.items())
def test_a_name_from_hell_becomes_one_that_stays_in_its_folder(filename: str, safe: str) -> None:
    assert safe_name(filename) == safe


@given(st.text(alphabet=st.characters(), max_size=300) | st.from_regex(r"[./\\ ]*(con|aux|com1)?[./\\ ]*.*"))
def test_whatever_the_name_it_is_one_name_that_every_system_takes(filename: str) -> None:
    safe = safe_name(filename)

    assert 1 <= len(safe.encode()) <= LONGEST + 1
    assert not set(safe) & set('<>:"/\\|?*')
    assert safe == safe.strip(". ")
    assert safe.partition(".")[0].rstrip().lower() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}
    assert all(unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp") for character in safe)
    assert safe_name(safe) == safe
