"""The font files that the set-up brings."""

from pathlib import Path

import pytest
import uharfbuzz

from domain.reports.fonts import files
from domain.reports.fonts.files import ARABIC, CHINESE, COMMON, JAPANESE, KOREAN, Font, FontsMissing, Weight


@pytest.mark.parametrize("weight", Weight)
@pytest.mark.parametrize(
    ("font", "text"),
    [
        (COMMON, "श्रीकृष्ण क्षत्रिय १२३"),
        (COMMON, "Łukasz Ñandú Ørsted Ğ ẞ Ольга Ђорђе Їжак Νίκος Ψωμί \N{EN DASH}…“”€"),
        (ARABIC, "محمد فارسی پچگ ٠١٢"),
        (CHINESE, "张伟 登录页面 張偉 登錄頁面"),
        (JAPANESE, "山田太郎 さくら カタカナ 髙橋"),
        (KOREAN, "김민준 한글"),
    ],
)
def test_each_font_has_its_scripts_in_both_weights(font: Font, text: str, weight: Weight) -> None:
    face = uharfbuzz.Face(uharfbuzz.Blob.from_file_path(font.file(weight)))

    assert {ord(character) for character in text} - set(face.unicodes) - {0x20} == set()


def test_missing_fonts_tell_what_brings_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files, "_PACKAGES", tmp_path)

    with pytest.raises(FontsMissing, match="bin/setup"):
        COMMON.file(Weight.REGULAR)
