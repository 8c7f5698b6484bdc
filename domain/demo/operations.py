"""The third project of acme: what the product runs on."""

from domain.demo.people import HELENA, PRIYA, TOMASZ
from domain.demo.shapes import (
    BACKLOG,
    CANCELED,
    DOING,
    DONE,
    HIGH,
    LOW,
    MEDIUM,
    URGENT,
    Archive,
    Edit,
    Move,
    Project,
    Say,
    Task,
)

# A line for each step is easier to read than a line for each argument.
# fmt: off
TASKS = (
    Task(
        1, "Upgrade the databases to PostgreSQL 18", "09-22", TOMASZ, to=TOMASZ, priority=HIGH, estimate=13,
        due="11-13", labels=("infrastructure",),
        text="""
            Three clusters: staging, archive, production. In this order, a week between each.

            Way back: the old cluster stays in place until the new one has had a full backup and a restore was tried.
        """,
        then=(Move("10-05", DOING), Move("11-12", DONE)),
    ),
    Task(
        2, "Staging cluster", "09-22", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=3, parent=1,
        labels=("infrastructure",),
        then=(
            Move("10-05", DOING),
            Say("10-07", TOMASZ, "Done in 14 minutes. One extension needed a newer version, noted in the run book."),
            Move("10-07", DONE),
        ),
    ),
    Task(
        3, "Archive cluster", "09-22", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=3, parent=1,
        labels=("infrastructure",),
        then=(Move("10-19", DOING), Move("10-20", DONE)),
    ),
    Task(
        4, "Production cluster", "09-22", TOMASZ, to=TOMASZ, priority=HIGH, estimate=5, due="11-09", parent=1,
        labels=("infrastructure",),
        text="Saturday, 7 November, 05:00 to 07:00. Customers are told a week before.",
        then=(
            Say("10-30", HELENA, "Announcement is out. @(tomasz) who is on call besides you?"),
            Say("10-30", TOMASZ, "The hoster's standby, booked for four hours.", reply=True),
            Move("11-06", DOING),
            Say("11-09", TOMASZ, "26 minutes without writes, no errors since. The old cluster goes on 23 November."),
            Move("11-09", DONE),
        ),
    ),
    Task(
        5, "Try to restore a backup every month", "09-24", HELENA, to=TOMASZ, priority=HIGH, estimate=8, due="10-30",
        labels=("infrastructure", "security"),
        text="A backup that was never restored is a hope. Automatic, with a report that says how long it took.",
        then=(
            Move("10-09", DOING),
            Say("10-23", TOMASZ, "First automatic run: 1 h 12 min for production, row counts of all tables agree."),
            Move("10-26", DONE),
        ),
    ),
    Task(
        6, "Keep one copy of the backups with another provider", "09-24", HELENA, to=TOMASZ, priority=MEDIUM,
        estimate=5, due="11-27", labels=("infrastructure",),
        text="Encrypted with a key that is in neither of the two places.",
        then=(
            Say("10-14", HELENA, "Two offers for 2 TB: 41 € and 58 € a month. The cheaper one bills every download."),
            Say("10-15", TOMASZ, "Then the other one, a restore must not be a question of money.", reply=True),
            Move("11-13", DOING),
        ),
    ),
    Task(
        7, "Alerts that say what to do", "09-28", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=8, due="11-20",
        labels=("infrastructure", "documentation"),
        text="""
            34 alerts in September, 29 of which needed nothing. For each rule: a link to a page with the first three
            steps, or the rule goes.
        """,
        then=(Move("10-26", DOING), Say("11-12", TOMASZ, "11 rules deleted, 8 rewritten, 4 to go.")),
    ),
    Task(
        8, "Readings arrive up to nine minutes late", "09-29", HELENA, to=TOMASZ, priority=URGENT, estimate=5,
        due="10-02", labels=("bug", "performance"),
        text="Since Sunday, every full hour. Customers with alarms on their values have called twice.",
        then=(
            Move("09-29", DOING),
            Say("09-30", TOMASZ, "All gateways report at the full hour, and one worker takes them one by one."),
            Say("10-01", TOMASZ, "Four workers now, and the oldest gateways wait a minute. Worst case is 25 s."),
            Move("10-01", DONE),
            Archive("11-02", TOMASZ),
        ),
    ),
    Task(
        9, "Spread the reports of gateways over the hour", "10-02", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=5,
        due="11-06", labels=("performance",),
        text="Second of the hour from the serial number. Needs gateway firmware 4.2, which is on 80 % of the devices.",
        then=(Move("10-28", DOING), Move("11-04", DONE)),
    ),
    Task(
        10, "Rotate the keys of all gateways", "10-05", TOMASZ, to=TOMASZ, priority=HIGH, estimate=8, due="12-11",
        labels=("security",),
        text="Old and new key are both good for a week. 2,300 devices, 50 a day at first.",
        then=(Edit("11-10", HELENA, priority=URGENT), Move("11-16", DOING)),
    ),
    Task(
        11, "List of gateways that were not seen for 30 days", "10-05", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=2,
        parent=10,
        then=(
            Move("11-16", DOING),
            Say("11-17", TOMASZ, "63 devices, 40 in buildings that left us. @(priya) could you check the rest?"),
            Move("11-18", DONE),
        ),
    ),
    Task(
        12, "Ship logs to one place and keep them for 30 days", "10-07", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=5,
        due="10-30", labels=("infrastructure",),
        then=(Move("10-20", DOING), Move("10-29", DONE)),
    ),
    Task(
        13, "Statistics were empty after the switch on staging", "10-08", TOMASZ, to=TOMASZ, priority=HIGH, estimate=1,
        parent=4, labels=("bug", "performance"),
        text="""
            The report of the month took 40 s instead of 2 s until `vacuumdb --analyze-in-stages` had run.
            Put it into the run book before traffic is let in.
        """,
        then=(Move("10-08", DOING), Move("10-08", DONE)),
    ),
    Task(
        14, "Deployments without a break in service", "10-08", HELENA, to=TOMASZ, priority=MEDIUM, estimate=8,
        due="12-18", labels=("infrastructure",),
        text="Today every deployment costs 20 to 40 seconds of errors, so we deploy in the evening.",
        then=(Move("11-18", DOING),),
    ),
    Task(
        15, "Health check that knows the database and the queue", "10-08", TOMASZ, to=TOMASZ, priority=MEDIUM,
        estimate=2, due="11-18", parent=14,
        then=(Move("11-18", DOING),),
    ),
    Task(
        16, "Migrations that the previous version survives", "10-09", TOMASZ, state=BACKLOG, priority=MEDIUM,
        estimate=5, parent=14, labels=("documentation",),
        text="Add, fill, switch, remove: four deployments. Write down the rules with one example each.",
    ),
    Task(
        17, "Costs of the cloud by team and service", "10-12", HELENA, to=PRIYA, priority=LOW, estimate=3, due="11-10",
        then=(
            Say("10-13", HELENA, "@(priya) needs one table a month, by the fifth working day."),
            Move("11-05", DOING),
            Move("11-10", DONE),
        ),
    ),
    Task(
        18, "Machines for staging run only in working hours", "10-13", TOMASZ, to=TOMASZ, priority=LOW, estimate=2,
        parent=17, labels=("infrastructure",),
        text="06:00 to 20:00 on weekdays; a button starts them at any other time. Saves about 210 € a month.",
        then=(Move("10-21", DOING), Move("10-22", DONE)),
    ),
    Task(
        19, "Content delivery network for the new website", "10-14", TOMASZ, to=TOMASZ, priority=HIGH, estimate=5,
        due="11-20", labels=("infrastructure", "performance"),
        text="Static files for a year under names with a digest, pages for a minute. Logs without full addresses.",
        then=(Move("11-16", DOING),),
    ),
    Task(
        20, "Certificates renew themselves, also for customers' own domains", "10-15", TOMASZ, to=TOMASZ, priority=HIGH,
        estimate=5, due="11-13", labels=("security", "infrastructure"),
        then=(
            Move("11-02", DOING),
            Say("11-10", TOMASZ, "27 of 28 domains are done. The last one has a record that forbids our authority."),
            Say("11-11", HELENA, "I have written to their administrator.", reply=True),
        ),
    ),
    Task(
        21, "Second factor for everybody with access to production", "10-16", HELENA, to=HELENA, priority=HIGH,
        estimate=2, due="10-30", labels=("security",),
        then=(Move("10-20", DOING), Move("10-28", DONE)),
    ),
    Task(
        22, "Look for a service that manages our queue", "10-19", HELENA, state=BACKLOG, to=TOMASZ, priority=LOW,
        estimate=5, labels=("research",),
        then=(
            Say("11-05", TOMASZ, "Ours had one hour of trouble in two years. I would rather spend the days elsewhere."),
            Move("11-06", CANCELED, HELENA),
        ),
    ),
    Task(
        23, "Report of the month runs out of memory for the largest customer", "10-20", HELENA, to=TOMASZ,
        priority=HIGH, estimate=5, due="11-02", labels=("bug", "performance"),
        text="""
            18,000 meters, all values of the month in one list. Read them in portions and add up on the way.

            ```
            worker-3: killed, 2.0 GiB of 2.0 GiB
            ```
        """,
        then=(
            Move("10-23", DOING),
            Say("10-28", TOMASZ, "240 MB at the peak now, and it is faster as well."),
            Move("10-29", DONE),
        ),
    ),
    Task(
        24, "Load test with three times the meters of today", "10-26", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=8,
        due="12-04", labels=("performance", "research"),
        text="""
            Plan: 60,000 meters, one value a minute, for six hours, on a copy of production.

            Watch the delay of readings, the time of a report, and the size of the tables.
        """,
        then=(Move("11-18", DOING),),
    ),
    Task(
        25, "Make up data of 60,000 meters", "10-26", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=3, due="11-18",
        parent=24,
        then=(Move("11-18", DOING),),
    ),
    Task(
        26, "Page on a full disk", "10-27", TOMASZ, to=TOMASZ, priority=LOW, estimate=1, parent=7,
        labels=("documentation",),
        then=(Move("10-27", DOING), Move("10-28", DONE)),
    ),
    Task(
        27, "Page on a queue that does not get shorter", "10-27", TOMASZ, to=TOMASZ, priority=LOW, estimate=1, parent=7,
        labels=("documentation",),
    ),
    Task(
        28, "Partition the table of values by month", "10-27", TOMASZ, state=BACKLOG, priority=MEDIUM, estimate=13,
        labels=("performance", "infrastructure"),
        text="Only if the load test says so. Deleting old values would be a matter of seconds.",
    ),
    Task(
        29, "Status page that is not on our own servers", "10-29", HELENA, priority=MEDIUM, estimate=3, due="12-09",
        labels=("infrastructure",),
    ),
    Task(
        30, "Addresses of customers show up in the logs", "10-30", TOMASZ, to=TOMASZ, priority=URGENT, estimate=2,
        due="11-03", parent=12, labels=("security", "bug"),
        text="Error texts of the mail server quote the recipient. Filter before the line leaves the process.",
        then=(
            Move("10-30", DOING),
            Say("11-02", TOMASZ, "Filter is live, and the lines of last week are deleted."),
            Move("11-02", DONE),
        ),
    ),
    Task(
        31, "Who is on call over the holidays", "11-03", HELENA, to=HELENA, priority=HIGH, estimate=1, due="11-27",
        text="23 December to 3 January. Everybody takes two days; swap among yourselves.",
    ),
    Task(
        32, "Servers disagree about the time by two seconds", "11-04", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=1,
        labels=("bug", "infrastructure"),
        then=(Move("11-04", DOING), Move("11-05", DONE)),
    ),
    Task(
        33, "Old machines of the office network are still in the monitoring", "11-06", TOMASZ, state=BACKLOG,
        priority=LOW, estimate=1, labels=("infrastructure",),
    ),
    Task(
        34, "Take the old PostgreSQL cluster down", "11-09", TOMASZ, to=TOMASZ, priority=LOW, estimate=1, due="11-23",
        labels=("infrastructure",),
    ),
    Task(
        35, "Dependency with a known hole in the report service", "11-13", TOMASZ, to=TOMASZ, priority=URGENT,
        estimate=1, due="11-16", labels=("security",),
        text="The scanner reports the image library, version 3.1.4. Reachable only with files that we make ourselves.",
        then=(Move("11-13", DOING), Move("11-16", DONE)),
    ),
    Task(
        36, "Scan dependencies on every build, not once a week", "11-16", TOMASZ, priority=MEDIUM, estimate=2,
        due="12-02", labels=("security", "infrastructure"),
    ),
)
# fmt: on

PROJECT = Project(
    key="OPS",
    name="Operations",
    description="Databases, deployments, monitoring and security of what customers use every day.",
    lead=TOMASZ,
    opened="09-22",
    target="12-18",
    tasks=TASKS,
)
