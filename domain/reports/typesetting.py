"""A page on which every script is set right: fonts by character, shaping by HarfBuzz, both directions of writing.

Only the process that makes a PDF imports this.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import cast

import uharfbuzz
from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import TTFFont

from domain.reports.fonts.files import ARABIC, CHINESE, COMMON, JAPANESE, KOREAN, Font, Weight
from domain.reports.shapes import Side

_OTHERS = (ARABIC, CHINESE, JAPANESE, KOREAN)
# The shapes of the characters that China, Japan and Korea share are those of the language that the text is in.
_KANA = re.compile("[\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f]")
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]")
_BY_LOCALE = {"ja": JAPANESE, "ko": KOREAN, "zh": CHINESE}
# What joins or parts the letters around it.
_JOINERS = ("\u200c", "\u200d")
# Stands for the number of pages until that is known. Text of others never holds a private character.
PAGES = "\ue000\ue001"
_ELLIPSIS = "…"
# Stands for what no font has. fpdf2 would leave nothing of it.
_UNKNOWN = "\ufffd"
# Nothing of this length fits into a line, and measuring takes time.
_LONGEST = 400


def cleaned(text: str) -> str:
    """The text as one line of what can be seen.

    Breaks and tabs become spaces. Controls, private characters and what turns the direction of writing over become the
    sign for what cannot be shown: nobody shall be able to make a line read as something that it does not say.
    """
    return "".join(map(_seen, unicodedata.normalize("NFC", text[: 4 * _LONGEST])))


def _seen(character: str) -> str:
    if character.isspace():
        return " "
    category = unicodedata.category(character)
    if category in ("Cc", "Cs", "Co") or (category == "Cf" and character not in _JOINERS):
        return _UNKNOWN
    return character


class Sheet(FPDF):
    """A4 with fonts for the characters of `texts`, of which `bold_texts` are set in bold as well.

    `locale` says whose shapes are taken for ideographs alone. Raises FontsMissing.
    """

    def __init__(self, texts: Iterable[str], bold_texts: Iterable[str], *, locale: str) -> None:
        super().__init__(format="A4", unit="mm")
        self._native = _BY_LOCALE.get(locale[:2].lower(), CHINESE)
        self._has: dict[str, frozenset[int]] = {}
        self._order: tuple[Font, ...] = ()
        self._last = ""
        for weight, wanted in ((Weight.REGULAR, texts), (Weight.BOLD, bold_texts)):
            self._add_fonts(weight, wanted)
        self.set_fallback_fonts([font.name for font in _OTHERS if _in_any_weight(font) & self._has.keys()])
        self.set_text_shaping(True)
        self.alias_nb_pages(PAGES)
        self.write_in(9)

    def _add_fonts(self, weight: Weight, texts: Iterable[str]) -> None:
        """The common one, and those of the others that a text needs: the big ones are seldom opened."""
        self.add_font(COMMON.name, weight.value, COMMON.file(weight))
        self._has[COMMON.name + weight.value] = common = _characters(COMMON, weight)
        needed = {(character, _order(text, self._native)) for text in texts for character in cleaned(text)}
        has = {
            font: _characters(font, weight) for font in _OTHERS if any(ord(each) not in common for each, _ in needed)
        }
        for character, order in needed:
            code = ord(character)
            if code in common:
                continue
            font = next((font for font in order if code in has[font]), None)
            if font is not None and font.name + weight.value not in self._has:
                self.add_font(font.name, weight.value, font.file(weight))
                self._has[font.name + weight.value] = has[font]

    def close(self) -> None:
        """Close the font files."""
        for font in self.fonts.values():
            cast(TTFFont, font).close()

    def write_in(self, size_pt: float, weight: Weight = Weight.REGULAR) -> None:
        """Set what follows in this size and weight."""
        self.set_font(COMMON.name, weight.value, size_pt)

    def get_fallback_font(self, char: str, style: str = "") -> str | None:
        """The font of a character that the common one lacks; that of the character before where it has it too."""
        code = ord(char)
        if code in self._has.get(self._last, ()):
            return self._last
        for font in self._order:
            key = font.name + style
            if code in self._has.get(key, ()):
                self._last = key
                return key
        return None

    def line_of(self, text: str, width_mm: float, height_mm: float, side: Side = "left") -> None:
        """Set the text in one line of this width, its end cut off where it is too long, and go right behind it."""
        shown = cleaned(text)
        self._order = _order(shown, self._native)
        # Of the line before, which may have been in another weight.
        self._last = ""
        shown = "".join(each if self._knows(each) else _UNKNOWN for each in shown)
        if width_mm:
            shown = self._fitted(shown, width_mm - 2 * self.c_margin)
        self.cell(width_mm, height_mm, shown, align="R" if side == "right" else "L", new_x=XPos.RIGHT, new_y=YPos.TOP)

    def _knows(self, character: str) -> bool:
        is_common = ord(character) in self._has[COMMON.name + self.font_style]
        return is_common or self.get_fallback_font(character, self.font_style) is not None

    def _fitted(self, text: str, width_mm: float) -> str:
        if len(text) <= _LONGEST and self._width(text) <= width_mm:
            return text
        fits, too_long = 0, min(len(text), _LONGEST) + 1
        while too_long - fits > 1:
            middle = (fits + too_long) // 2
            if self._width(text[:middle] + _ELLIPSIS) <= width_mm:
                fits = middle
            else:
                too_long = middle
        # Not between a letter and its marks.
        while 0 < fits < len(text) and (unicodedata.category(text[fits])[0] == "M" or text[fits] in _JOINERS):
            fits -= 1
        return text[:fits].rstrip() + _ELLIPSIS

    def _width(self, text: str) -> float:
        return self.get_string_width(text)


def _in_any_weight(font: Font) -> set[str]:
    return {font.name + weight.value for weight in Weight}


def _characters(font: Font, weight: Weight) -> frozenset[int]:
    """The code points that the font has."""
    return frozenset(uharfbuzz.Face(uharfbuzz.Blob.from_file_path(font.file(weight))).unicodes)


def _order(text: str, native: Font) -> tuple[Font, ...]:
    """Which font is asked first for the characters of a text."""
    if _KANA.search(text):
        native = JAPANESE
    elif _HANGUL.search(text):
        native = KOREAN
    return (native, *(font for font in _OTHERS if font is not native))
