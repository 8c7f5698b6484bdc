"""CSV: what spreadsheets and parsers make of it."""

import csv as standard
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.reports import csv


@pytest.mark.parametrize(
    "title",
    [
        "=1+2",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\nplain",
        "\ttext",
        '"=1',
        "'=1",
        " =1",
        "\u00a0=1",
        "\u200b=1",
        "\u202e=1",
        "\ufeff=1",
        "\uff1d1",
        "\uff0b1",
        "\uff0d1",
        "\uff20A1",
        "\" ' =cmd|' /C calc'!A0",
        "\x01=1",
    ],
)
def test_text_that_would_be_calculated_is_kept_a_text(title: str) -> None:
    assert csv.text(title) == f"'{title}"


@pytest.mark.parametrize("title", ["Plain", "1 = 1", "a-b", "mail@acme.test", "", "'quoted'", "Größe +5"])
def test_other_text_stays_as_it_is(title: str) -> None:
    assert csv.text(title) == title


def test_lines_are_as_the_standard_has_them() -> None:
    written = csv.lines([("Title", "Count"), ('Say "hi", twice\nor so', -3), ("=1", 2.5), ("", None)])

    assert written == 'Title,Count\r\n"Say ""hi"", twice\nor so",-3\r\n\'=1,2.5\r\n,\r\n'


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=2), max_size=5))
def test_a_parser_reads_what_was_written(rows: list[list[str]]) -> None:
    written = csv.lines(rows)

    assert list(standard.reader(StringIO(written, newline=""))) == [[csv.text(cell) for cell in row] for row in rows]
