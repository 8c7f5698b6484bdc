"""Snippets: whole words around what was looked for, never longer than there is room."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.search.snippets import CUT, SNIPPET_LENGTH, alike, plain, snippet, words_of

FILLER = "Nothing of this is about what somebody wants to know. "
TEXTS = st.text(st.sampled_from("ab é\n\tログ😀.-_0"), max_size=900) | st.text(max_size=600)


@given(TEXTS, TEXTS, st.integers(min_value=20, max_value=300))
def test_a_snippet_is_a_part_of_the_text_and_fits(text: str, query: str, most: int) -> None:
    found = snippet(text, words_of(query), most=most)

    line = plain(text)
    assert len(found) <= most
    assert found == " ".join(found.split())
    bare = found.removesuffix(CUT) if len(line) > most else found
    bare = bare.removeprefix(CUT) if bare not in line else bare
    assert bare in line


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=12), min_size=60, max_size=200), st.integers(0, 59))
def test_words_stay_whole_and_one_that_was_looked_for_is_there(words: list[str], wanted: int) -> None:
    found = snippet(" ".join(words), [words[wanted]])

    assert set(found.strip(CUT).split()) <= set(words)
    assert any(alike(each, words[wanted]) for each in found.strip(CUT).split())


def test_a_text_that_fits_is_told_as_it_is() -> None:
    assert snippet("  Reset \n\n the\tpassword ", ["zebra"]) == "Reset the password"


def test_without_a_match_it_is_the_beginning() -> None:
    found = snippet("First things first. " + FILLER * 20, ["zebra"])

    assert found.startswith("First things first. ")
    assert found.endswith(CUT)


def test_the_part_with_most_of_the_words_is_shown() -> None:
    text = FILLER * 5 + "A password. " + FILLER * 10 + "The password was reset by mail. " + FILLER * 10

    found = snippet(text, words_of("reset passwords"))

    assert "The password was reset by mail." in found
    assert found.startswith(CUT)
    assert found.endswith(CUT)
    assert len(found) <= SNIPPET_LENGTH


def test_a_word_without_an_end_is_cut() -> None:
    found = snippet("x" * 1_000, ["zebra"])

    assert re.fullmatch(f"x+{CUT}", found)
    assert len(found) <= SNIPPET_LENGTH


def test_people_are_no_text() -> None:
    assert snippet(f"Hello @(user_{'0' * 32}), are you there?", []) == "Hello , are you there?"


@pytest.mark.parametrize(
    ("one", "other", "are"),
    [
        ("password", "passwords", True),
        ("reset", "resetting", True),
        ("log", "login", True),
        ("in", "in", True),
        ("in", "inside", False),
        ("login", "logarithm", False),
        ("größe", "größen", True),
    ],
)
def test_words_that_begin_alike(one: str, other: str, are: bool) -> None:
    assert alike(one, other) is alike(other, one) is are
