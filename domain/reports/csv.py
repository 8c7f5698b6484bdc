"""CSV that a spreadsheet opens as it is meant: UTF-8 with its mark, lines that end with CR LF, cells that stay text.

Source: RFC 4180. Without the mark (BOM) Excel takes the bytes for an old code page; other readers pass over it.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from io import StringIO

MARK = "\ufeff"
Value = str | int | float | None
# What a spreadsheet takes for the beginning of a formula, in full width as well, behind what it passes over: blanks,
# quotes, and characters that nobody sees. A cell that begins with a tab or a break is one of OWASP's as well.
# Source: https://owasp.org/www-community/attacks/CSV_Injection
_PASSED_OVER = "\\s\"'\u0000-\u001f\u007f-\u00a0\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
_FORMULA = re.compile(f"[{_PASSED_OVER}]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")


def text(value: str) -> str:
    """The text as a cell that no spreadsheet calculates: an apostrophe before it says that it is text."""
    return f"'{value}" if _FORMULA.match(value) else value


def lines(rows: Iterable[Sequence[Value]]) -> str:
    """The rows as lines. Texts are kept from being formulas; numbers are written as numbers."""
    written = StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerows([text(value) if isinstance(value, str) else value for value in row] for row in rows)
    return written.getvalue()
