"""What a query asks for, from its text alone."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.search.wanted import MOST_IN_PHRASE, MOST_TERMS, Wanted, quoted, stems, wanted


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("passw", Wanted("", "passw", False, (), (), ())),
        ("reset passw", Wanted("reset ", "passw", False, ("reset",), (), ())),
        ('"sign in" button', Wanted('"sign in" ', "button", False, ("sign in",), (), ())),
        ('button "sign in"', Wanted('button "sign in"', None, False, ("sign in", "button"), (), ())),
        ('open "sign', Wanted('open "sign', None, False, ("sign", "open"), (), ())),
        ("login -mobile", Wanted("login -mobile", None, False, ("login",), ("mobile",), ())),
        ('login -"on mobile" pa', Wanted('login -"on mobile" ', "pa", False, ("login",), ("on mobile",), ())),
        ("red OR gre", Wanted("red OR ", "gre", True, ("red",), (), ())),
        ("or", Wanted("or", None, False, (), (), ())),
        ("web-42", Wanted("web-42", None, False, ("web-42",), (), ("WEB-42",))),
        ("web-42 logi", Wanted("web-42 ", "logi", False, ("web-42",), (), ("WEB-42",))),
        ("-", Wanted("", "-", False, (), (), ())),
        ("reset reset reset", Wanted("reset reset ", "reset", False, ("reset",), (), ())),
    ],
)
def test_a_query_is_read_as_web_searches_read_it(query: str, asked: Wanted) -> None:
    assert wanted(query) == asked


@given(st.text(max_size=500) | st.text('ab "-\\or', max_size=100))
def test_any_text_asks_for_something_bounded(query: str) -> None:
    found = wanted(query)

    assert all(len(each) <= MOST_TERMS for each in (found.terms, found.without, found.identifiers))
    if all(len(re.findall(r"[^\W_]+", each)) < MOST_IN_PHRASE for each in re.split(r'[" ]', query) + query.split('"')):
        assert query.startswith(found.whole)
        assert found.beginning is None or query.rstrip().endswith(found.beginning)


def test_a_phrase_is_no_longer_than_is_looked_for_in_a_row() -> None:
    words = ["x1", "y1", "z1"] * 30
    few = words[:MOST_IN_PHRASE]

    assert wanted(f'"{" ".join(words)}" -q end') == wanted(f'"{" ".join(few)}" -q end')
    assert wanted(f'-"{" ".join(words)}" end').without == (" ".join(few),)
    assert wanted(",".join(words)).beginning == ",".join(few)
    # Words that may stand anywhere are not counted.
    assert wanted(" ".join(words)).whole == " ".join(words[:-1]) + " "


def test_a_word_is_quoted_whatever_it_has() -> None:
    assert quoted(r"o'hara\s") == r"'o''hara\\s'"


def test_what_a_dictionary_may_leave_of_an_unfinished_word() -> None:
    assert stems("Organiza") == ["organiz", "organi", "organ", "orga"]
    assert stems("notifications")[-1] == "notifi"
    assert stems("web") == stems("42nd") == []
