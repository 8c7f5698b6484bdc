"""How deep JSON may nest, whatever else is in it."""

import pytest

from graph.base.requests import MOST_DEPTH, NotARequest, decoded

OPEN = {"lists": (b"[", b"]"), "objects": (b'{"x":', b"}")}


def nested(levels: int, kind: str, inner: bytes) -> bytes:
    """So many levels around something."""
    opened, closed = OPEN[kind]
    return opened * levels + inner + closed * levels


@pytest.mark.parametrize("kind", OPEN)
@pytest.mark.parametrize("inner", [b"1", b"null", b'"[{"', b"[]", b"{}"])
def test_as_many_levels_as_allowed_are_read_and_one_more_is_not(kind: str, inner: bytes) -> None:
    around = MOST_DEPTH - (inner in (b"[]", b"{}"))

    decoded(nested(around, kind, inner))
    with pytest.raises(NotARequest, match="deeper than 100 levels"):
        decoded(nested(around + 1, kind, inner))


def test_brackets_in_a_string_and_many_beside_each_other_are_no_levels() -> None:
    assert decoded(b'"' + b"[" * 1000 + b'"') == "[" * 1000
    assert decoded(b"[" + b"[]," * 1000 + b"{}]") == [*[[]] * 1000, {}]


@pytest.mark.parametrize("levels", [500, 1023, 1025, 100_000])
def test_no_stack_is_used_up(levels: int) -> None:
    for kind in OPEN:
        with pytest.raises(NotARequest, match="deeper than 100 levels"):
            decoded(nested(levels, kind, b"1"))
        # Not even closed.
        with pytest.raises(NotARequest):
            decoded(OPEN[kind][0] * levels)
