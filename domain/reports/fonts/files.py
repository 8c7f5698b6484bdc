"""The font files of PDF reports: which script is in which file. npm brings them, as the set-up asks it to.

Noto Sans is one design in many files, because no file can hold all scripts. Each comes in a regular and a bold weight.
Source: https://fonts.google.com/noto, under the SIL Open Font License.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_PACKAGES = Path(__file__).parent / "node_modules" / "@expo-google-fonts"


class Weight(StrEnum):
    """How thick the strokes are; the value is what fpdf2 calls it."""

    REGULAR = ""
    BOLD = "B"


_FOLDERS = {Weight.REGULAR: "400Regular", Weight.BOLD: "700Bold"}


class FontsMissing(RuntimeError):
    """The set-up has not brought the fonts."""


@dataclass(frozen=True)
class Font:
    """A file for each weight. `name` is what it is called in a PDF."""

    name: str
    package: str
    stem: str

    def file(self, weight: Weight) -> Path:
        """Where the file is. Raises FontsMissing."""
        folder = _FOLDERS[weight]
        path = _PACKAGES / self.package / folder / f"{self.stem}_{folder}.ttf"
        if not path.is_file():
            raise FontsMissing(f"The font {path.name} of PDF reports is missing. Run bin/setup.")
        return path


COMMON = Font("common", "noto-sans", "NotoSans")
"""Latin, Cyrillic, Greek and Devanagari, and what all scripts share."""
ARABIC = Font("arabic", "noto-sans-arabic", "NotoSansArabic")
CHINESE = Font("chinese", "noto-sans-sc", "NotoSansSC")
JAPANESE = Font("japanese", "noto-sans-jp", "NotoSansJP")
KOREAN = Font("korean", "noto-sans-kr", "NotoSansKR")
