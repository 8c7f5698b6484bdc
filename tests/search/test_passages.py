"""A document's passages hold all of it, in order, in pieces that end where the text allows it."""

from hypothesis import given
from hypothesis import strategies as st

from domain.search.passages import LENGTH, cut

TEXTS = st.text(st.sampled_from(list("ab .\n!é漢。\t")), max_size=4000) | st.text(max_size=200)


@given(title=TEXTS, body=TEXTS)
def test_passages_hold_the_whole_text_in_pieces_and_none_twice(title: str, body: str) -> None:
    passages = cut(title, body)

    assert passages == cut(title, body)
    assert len(set(passages)) == len(passages)
    assert all(passage.strip() and passage == passage.strip() for passage in passages)
    start = title.strip()
    assert all(passage.startswith(start) for passage in passages)
    pieces = [passage.removeprefix(start).strip() for passage in passages]
    assert all(len(piece) <= LENGTH for piece in pieces)
    # A piece that is there twice is kept once.
    left = "".join(body.split())
    kept = sorted({"".join(piece.split()) for piece in pieces if piece}, key=len, reverse=True)
    while left:
        piece = next(piece for piece in kept if left.startswith(piece))
        left = left.removeprefix(piece)


def test_a_title_is_a_passage_by_itself_and_stands_before_each_piece() -> None:
    assert cut("Sign-in fails", "") == ["Sign-in fails"]
    assert cut(" Sign-in fails ", "The cookie has expired.") == [
        "Sign-in fails",
        "Sign-in fails\n\nThe cookie has expired.",
    ]
    assert cut("", "A comment.") == ["A comment."]
    assert cut(" ", "\n") == []


def test_a_long_text_ends_at_the_best_border_that_leaves_no_scrap() -> None:
    sentence, line = "It does not work. ", "x" * 400 + "\n"

    by_paragraph = cut("", line + "\n" + line + line)
    by_line = cut("", line + sentence * 20 + "\n" + line)
    by_sentence = cut("", sentence * 60)
    by_word = cut("", "word " * 300)
    by_nothing = cut("", "x" * (LENGTH + 1))

    assert by_paragraph == [line.strip(), line + line.strip()]
    assert by_line == [(line + sentence * 20).strip(), line.strip()]
    assert by_sentence == [(sentence * 50).strip(), (sentence * 10).strip()]
    assert by_word == [("word " * 180).strip(), ("word " * 120).strip()]
    assert by_nothing == ["x" * LENGTH, "x"]


def test_a_change_at_the_end_leaves_the_pieces_before_it_as_they_were() -> None:
    paragraphs = [f"Paragraph {number}. " + "It says something. " * 20 for number in range(20)]

    before, after = cut("T", "\n\n".join(paragraphs)), cut("T", "\n\n".join([*paragraphs[:-1], "Another end."]))

    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]
