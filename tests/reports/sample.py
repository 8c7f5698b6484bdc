"""A report as a manager would get it, with names in every script: `python -m tests.reports.sample` makes sample.png."""

from contextlib import closing
from pathlib import Path

import pypdfium2

from domain.reports.pdf import Report
from domain.reports.shapes import Column, Document

NAMES = (
    "Jürgen Müller",
    "Łukasz Żółć",
    "Ольга Смирнова",
    "Νίκος Παπαδόπουλος",
    "محمد الخوارزمي",
    "श्रीकृष्ण क्षत्रिय",
    "山田さくら",
    "김민준",
    "张伟",
)
TITLES = (
    "Größe der Übersicht prüfen",
    "Poprawić układ strony zamówień",
    "Обновить страницу входа",
    "Έλεγχος της σελίδας πληρωμής",
    "تحديث صفحة تسجيل الدخول API v2 قبل 15 نوفمبر",
    "प्रतिक्रिया और क्षमता की स्थिति जाँचें",
    "ログイン画面の文言を直す",
    "로그인 화면 문구 수정",
    "登录页面的文字修改",
    "Tell محمد الخوارزمي and 张伟 about the (second) release",
    "Move what is left of the old warehouse to the new cluster, with all of its queues, before the end of the year",
)
_STATES = (("Backlog", 214), ("Todo", 61), ("In progress", 17), ("In review", 9), ("Done", 388), ("Canceled", 12))
OUT = Path(__file__).parents[2] / "domain" / "reports" / "sample.png"


def _column(title: str, width_mm: float, is_right: bool = False) -> Column:
    return {"title": title, "width_mm": width_mm, "side": "right" if is_right else "left"}


def document(rows: int = 24) -> Document:
    """PROJECT_STATUS of one project with so many tasks."""
    return {
        "title": "Project status",
        "organization": "Acme \N{MIDDLE DOT} 株式会社アクメ",
        "locale": "en",
        "facts": [
            ("Project", "Website (WEB)"),
            ("Period", "1 \N{EN DASH} 30 November 2026"),
            ("Time zone", "Europe/Berlin"),
            ("Made", "2026-12-01 08:30 by श्रीकृष्ण क्षत्रिय"),
        ],
        "figures": [
            *(("Tasks", "701"), ("Progress", "56 %"), ("Open", "301")),
            *(("Started", "26"), ("Overdue", "3"), ("Done in the period", "88")),
        ],
        "charts": [
            {
                "kind": "ranks",
                "title": "Tasks by state",
                "unit": "tasks",
                "labels": [name for name, _ in _STATES],
                "series": [{"name": "Tasks", "values": [count for _, count in _STATES]}],
            }
        ],
        "tables": [
            {
                "title": "Tasks",
                "columns": [
                    *(_column("Task", 20), _column("Title", 68), _column("State", 25), _column("Assignee", 31)),
                    *(_column("Due", 20, is_right=True), _column("Done", 18, is_right=True)),
                ],
                "rows": [
                    [
                        f"WEB-{700 - 7 * number}",
                        TITLES[number % len(TITLES)],
                        "In progress" if number < 17 else "In review",
                        NAMES[number % len(NAMES)],
                        f"{'! ' if number < 3 else ''}2026-12-{number % 28 + 1:02}",
                        "",
                    ]
                    for number in range(rows)
                ],
                "note": "377 more tasks are not shown here. The same report as CSV has them all.",
            }
        ],
        "notes": [],
    }


def main() -> None:
    """Draw the first page."""
    with closing(Report(document())) as report:
        report.make(lambda _share: None)
        page = pypdfium2.PdfDocument(bytes(report.output()))[0]
    page.render(scale=1.25).to_pil().quantize(48).save(OUT, optimize=True)


if __name__ == "__main__":
    main()
