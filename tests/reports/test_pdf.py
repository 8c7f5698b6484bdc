"""The pages of a PDF, read back with another library."""

import asyncio
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pypdfium2
import pytest

from domain.base import confined
from domain.reports import files
from domain.reports.pdf import Report
from domain.reports.shapes import Chart, Document
from domain.reports.typesetting import Sheet
from tests.reports.sample import document

HOSTILE = (
    "\x00\x01\x1b[31m\x7f\x9f",
    "\u202egnp.exe \u2066\u2067\u200f\ufeff",
    "<b>bold</b> <script>alert(1)</script> **x** __y__ [link](http://acme.test) \\",
    "(Page 1 of 9) Tj ET Q endstream endobj",
    "{nb} \ue000\ue001",
    "W" * 10_000,
    "م" * 10_000,
    "a\u0301" * 5_000,
    "क्" * 3_000,
    "\N{PARTY POPPER}\N{WOMAN}\u200d\N{PERSONAL COMPUTER}\ufe0f",
    "\U000e0041\U0010ffff\ud800\ufffe",
    "",
    " \t\r\n\u2028 ",
)


def made(shown: Document) -> tuple[Any, list[str]]:
    """The file, and the text of each page."""
    with closing(Report(shown)) as report:
        report.make(lambda _share: None)
        pdf = pypdfium2.PdfDocument(bytes(report.output()))
    return pdf, [" ".join(page.get_textpage().get_text_range().split()) for page in pdf]


def titled(titles: tuple[str, ...]) -> Document:
    """A report of tasks with these titles, whose other texts are these as well."""
    shown = document(rows=0)
    table = shown["tables"][0]
    rows = [[f"WEB-{number}", title, title, title, "", ""] for number, title in enumerate(titles)]
    return {**shown, "organization": titles[0], "tables": [{**table, "rows": rows}]}


def test_tables_go_over_pages_with_headings_and_numbers() -> None:
    _, pages = made(titled(("Something",) * 120))

    assert len(pages) == 3
    for number, text in enumerate(pages, start=1):
        assert f"Page {number} of 3" in text
        assert re.search(r"Task\s+Title\s+State\s+Assignee\s+Due\s+Done", text)
    listed = [name for text in pages for name in re.findall(r"WEB-\d+", text)]
    assert listed == [f"WEB-{number}" for number in range(120)]
    assert "377 more tasks are not shown here." in pages[-1]


def test_text_can_be_read_back() -> None:
    _, (text,) = made(document())

    for expected in (
        "Project status",
        "Acme \N{MIDDLE DOT} 株式会社アクメ",
        "Europe/Berlin",
        "Jürgen Müller",
        "Ольга Смирнова",
        "Νίκος Παπαδόπουλος",
        "山田さくら",
        "김민준",
        "张伟",
        "登录页面的文字修改",
    ):
        assert expected in text


def _glyphs(text: str, locale: str = "en") -> dict[str, set[str]]:
    """Font -> the names of the glyphs that the text takes of it."""
    with closing(Sheet([text], [], locale=locale)) as sheet:
        sheet.add_page()
        sheet.line_of(text, 180, 5)
        fonts: dict[str, Any] = dict(sheet.fonts)
        blank = {"NULL", ".notdef", "space", ".null"}
        taken = {name: {glyph.glyph_name for glyph, _ in font.subset.items()} - blank for name, font in fonts.items()}
    return {name: glyphs for name, glyphs in taken.items() if glyphs}


def test_arabic_letters_are_joined() -> None:
    assert _glyphs("محمد") == {"arabic": {"uni0645.init", "uni062D.medi", "uni0645.medi", "uni062F.fina"}}


def test_arabic_letters_that_are_held_apart_are_not_joined() -> None:
    (glyphs,) = (_glyphs("\u0645\u200c\u0645")["arabic"],)

    assert glyphs == {"uni0645"}


def test_devanagari_conjuncts_form() -> None:
    assert _glyphs("क्ष") == {"common": {"uni0915094D0937"}}


def test_the_first_of_what_is_written_to_the_left_stands_right() -> None:
    shown = titled(("\u0627 \u0628",))
    pdf, _ = made({**shown, "organization": "Acme"})
    text = pdf[0].get_textpage()
    left = {text.get_text_range(index, 1): text.get_charbox(index)[0] for index in range(text.count_chars())}

    assert left["\u0627"] > left["\u0628"]


@pytest.mark.parametrize(
    ("text", "locale", "font"),
    [
        ("山田さくら", "en", "japanese"),
        ("김민준 金", "en", "korean"),
        ("張偉", "en", "chinese"),
        ("山田", "ja-JP", "japanese"),
        ("金", "ko", "korean"),
    ],
)
def test_ideographs_have_the_shapes_of_their_language(text: str, locale: str, font: str) -> None:
    assert list(_glyphs(text, locale)) == [font]


def test_fonts_are_chosen_by_character() -> None:
    assert set(_glyphs("Fix 山 for محمد")) == {"common", "arabic", "chinese"}


def test_hostile_text_is_printed_as_text() -> None:
    _, pages = made(titled(HOSTILE))
    text = "\n".join(pages)

    assert "<b>bold</b> <script>alert(1)</script> **x" in text
    assert "(Page 1 of 9) Tj ET Q endstream" in text
    assert "\ufffdgnp.exe" in text
    assert "{nb} \ufffd\ufffd" in text
    assert f"Page {len(pages)} of {len(pages)}" in pages[-1]


def test_what_is_too_long_is_cut_and_stays_in_its_column() -> None:
    pdf, _ = made(titled(("W" * 10_000,)))
    page = pdf[0]
    text = page.get_textpage()
    right = max(text.get_charbox(index)[2] for index in range(text.count_chars()))

    assert right < page.get_width() - 14 / 25.4 * 72 + 1
    assert text.get_text_range().count("…") == 5


def test_charts_bear_any_numbers() -> None:
    charts: list[Chart] = []
    for days in (1, 3, 366):
        labels = [f"2026-{1 + number // 28 % 12:02}-{1 + number % 28:02}" for number in range(days)]
        for values in ([0.0] * days, [None, *[123_456.7] * (days - 1)]):
            series: Any = [{"name": name, "values": values} for name in ("A", "B")]
            for kind in ("bars", "lines", "areas", "ranks"):
                if (kind in ("areas", "ranks") and None in values) or (kind == "ranks" and days > 25):
                    continue
                charts.append({"kind": kind, "title": "All", "unit": "tasks", "labels": labels, "series": series})

    _, pages = made({**document(rows=1), "charts": charts})

    assert "WEB-700" in pages[-1]


async def test_a_child_makes_the_file_and_tells_how_far_it_is(tmp_path: Path) -> None:
    source, target = tmp_path / "document.json", tmp_path / "report.pdf"
    source.write_bytes(orjson.dumps(document(rows=150)))
    told: list[str] = []

    await confined.run("domain.reports.pdf", (str(source), str(target)), files.PDF_LIMITS, tell=told.append)

    assert len(pypdfium2.PdfDocument(target)) == 4
    shares = [float(line) for line in told]
    assert shares == sorted(shares)
    assert 0 < shares[0] <= shares[-1] < 1


async def test_a_cancellation_ends_the_child(tmp_path: Path) -> None:
    source = tmp_path / "document.json"
    source.write_bytes(orjson.dumps(document(rows=5_000)))
    begun = asyncio.Event()
    arguments = (str(source), str(tmp_path / "report.pdf"))
    running = asyncio.create_task(
        confined.run("domain.reports.pdf", arguments, files.PDF_LIMITS, tell=lambda _line: begun.set())
    )
    await begun.wait()

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert not (tmp_path / "report.pdf").exists()


def test_nothing_that_lives_long_imports_what_draws() -> None:
    code = (
        "import sys, planwire, graph.schema, jobs.reactions, domain.reports.files;"
        "print({'matplotlib', 'fpdf', 'numpy', 'uharfbuzz'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603

    assert found.stdout.strip() == "set()"
