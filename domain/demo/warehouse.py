"""The only project of globex, so that there is another tenant to be kept apart."""

from domain.demo.people import NGOZI
from domain.demo.shapes import BACKLOG, DOING, DONE, HIGH, LOW, MEDIUM, Move, Project, Say, Task

# A line for each step is easier to read than a line for each argument.
# fmt: off
TASKS = (
    Task(
        1, "Measure how long a pallet waits at the gate", "10-12", NGOZI, to=NGOZI, priority=MEDIUM, estimate=3,
        due="10-23", labels=("research",),
        then=(Move("10-13", DOING), Say("10-21", NGOZI, "Median is 47 minutes, on Mondays 80."), Move("10-22", DONE)),
    ),
    Task(
        2, "Print labels at the gate instead of in the office", "10-23", NGOZI, to=NGOZI, priority=HIGH, estimate=8,
        due="12-04", labels=("process",),
        text="Two printers, one for each gate. The office keeps a third one for corrections.",
        then=(Move("11-02", DOING),),
    ),
    Task(
        3, "Choose a printer that survives the cold", "10-23", NGOZI, to=NGOZI, priority=HIGH, estimate=2, due="11-13",
        parent=2, labels=("research",),
        then=(Move("11-02", DOING), Move("11-12", DONE)),
    ),
    Task(
        4, "Labels are unreadable after a week in the freezer", "11-04", NGOZI, to=NGOZI, priority=HIGH, estimate=3,
        due="11-27", labels=("defect",),
        text="Thermal paper turns grey below -20 °C. Try film labels from two suppliers for a week.",
    ),
    Task(
        5, "Train both shifts on the new scanners", "11-05", NGOZI, priority=LOW, estimate=2, due="12-11",
        labels=("process",),
    ),
    Task(
        6, "Count stock with the scanner once a quarter", "11-10", NGOZI, state=BACKLOG, priority=LOW, estimate=5,
    ),
)
# fmt: on

PROJECT = Project(
    key="GATE",
    name="Faster gates",
    description="Goods leave the gate within half an hour of their arrival.",
    lead=NGOZI,
    opened="10-12",
    target="12-18",
    tasks=TASKS,
)
