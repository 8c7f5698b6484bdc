"""The second project of acme: an app for the technicians who install and read meters."""

from domain.demo.people import HELENA, LUCAS, PRIYA, TOMASZ
from domain.demo.shapes import (
    BACKLOG,
    CANCELED,
    DOING,
    DONE,
    HIGH,
    LOW,
    MEDIUM,
    TODO,
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
        1, "Accompany three technicians for a day each", "09-21", HELENA, to=HELENA, priority=HIGH, estimate=8,
        due="10-02", labels=("research",),
        text="""
            What do they look up, what do they write down, where do they have no network, which gloves do they wear?

            Notes go into the shared folder on the same evening.
        """,
        then=(
            Move("09-22", DOING),
            Say("09-25", HELENA, "First day: six cellars, four without network. Readings are written on a hand."),
            Say("09-28", LUCAS, "Could you bring photos of the meters in poor light? I need them for the scan screen."),
            Say("09-29", HELENA, "They are in the folder now.", reply=True),
            Move("10-01", DONE),
            Archive("11-02", HELENA),
        ),
    ),
    Task(
        2, "Prototype of the three main screens", "09-22", HELENA, to=LUCAS, priority=HIGH, estimate=8, due="10-09",
        labels=("design",),
        text="Jobs of the day, one job, new reading. Clickable, with invented data, to be tried on a real phone.",
        then=(
            Move("09-30", DOING),
            Say("10-06", LUCAS, "Second round is ready. Buttons are 56 pixels high now, they work with gloves."),
            Move("10-08", DONE),
        ),
    ),
    Task(
        3, "Decide between native apps and one code base", "09-23", TOMASZ, to=TOMASZ, priority=HIGH, estimate=3,
        due="09-30", labels=("research",),
        text="Deciding points: camera access for scanning, a local database, and that two of us have to maintain it.",
        then=(
            Move("09-24", DOING),
            Say("09-29", TOMASZ, "One code base. Only the scanner is native, about 200 lines for each system."),
            Move("09-29", DONE),
            Archive("11-02", HELENA),
        ),
    ),
    Task(
        4, "Builds for both systems on every push", "09-30", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=5,
        due="10-07", labels=("infrastructure",),
        then=(Move("10-01", DOING), Move("10-06", DONE)),
    ),
    Task(
        5, "Work without a network", "10-01", HELENA, to=TOMASZ, priority=URGENT, estimate=21, due="12-11",
        labels=("feature",),
        text="""
            A technician can open the jobs of the day, enter readings and take photos in a cellar without any signal.
            Everything is sent as soon as there is a network again, and nothing is lost when the phone is switched off.

            Not in this one: changing a job's address or customer while offline.
        """,
        then=(Move("10-12", DOING),),
    ),
    Task(
        6, "Local database with the jobs of today and tomorrow", "10-01", TOMASZ, to=TOMASZ, priority=HIGH, estimate=5,
        due="10-23", parent=5, labels=("feature",),
        then=(Move("10-13", DOING), Move("10-21", DONE)),
    ),
    Task(
        7, "Queue of readings that wait to be sent", "10-01", TOMASZ, to=TOMASZ, priority=HIGH, estimate=8, due="11-13",
        parent=5, labels=("feature",),
        text="""
            - written before the screen says *saved*
            - sent in order, each with an id made on the phone, so that sending twice does no harm
            - the count of waiting readings is always visible
        """,
        then=(
            Move("10-22", DOING),
            Say("11-10", TOMASZ, "Works, also after pulling the battery. The case of two phones is left, see subtask."),
        ),
    ),
    Task(
        8, "Scan the number of a meter with the camera", "10-02", HELENA, to=TOMASZ, priority=HIGH, estimate=8,
        due="10-30", labels=("feature",),
        text="Bar code first, printed number second, typing by hand always possible.",
        then=(
            Move("10-07", DOING),
            Say("10-16", TOMASZ, "Bar codes take under a second. Printed numbers need more light than a cellar has."),
            Say("10-19", LUCAS, "Then the torch button should be on the screen from the start.", reply=True),
            Move("10-28", DONE),
        ),
    ),
    Task(
        9, "Sign in once a month, not every morning", "10-05", HELENA, to=TOMASZ, priority=MEDIUM, estimate=5,
        due="10-30", labels=("security", "feature"),
        text="Session of 30 days that each use extends; fingerprint or code of the phone before readings are shown.",
        then=(
            Move("10-29", DOING),
            Edit("10-30", HELENA, due="11-06"),
            Say("11-04", TOMASZ, "Stored in the system's key store, deleted after ten wrong tries."),
            Move("11-05", DONE),
        ),
    ),
    Task(
        10, "List of the jobs of the day", "10-08", TOMASZ, to=TOMASZ, priority=HIGH, estimate=5, due="10-16",
        labels=("feature",),
        then=(Move("10-09", DOING), Move("10-15", DONE)),
    ),
    Task(
        11, "Order the list by the shortest way", "10-09", HELENA, state=BACKLOG, priority=LOW, estimate=8, parent=10,
        labels=("feature",),
        text="Technicians know their district better than any map. Ask again once they have used the list for a while.",
    ),
    Task(
        12, "Open the address in the map app of the phone", "10-09", HELENA, to=TOMASZ, priority=MEDIUM, estimate=1,
        parent=10, labels=("feature",),
        then=(Move("10-14", DOING), Move("10-14", DONE)),
    ),
    Task(
        13, "Screen of one job: customer, meters, history", "10-12", TOMASZ, to=TOMASZ, priority=HIGH, estimate=8,
        due="11-06", labels=("feature",),
        then=(
            Move("10-16", DOING),
            Say("10-27", HELENA, "Please show last year's reading beside the field. That is how they notice a slip."),
            Say("10-28", TOMASZ, "Good idea, added.", reply=True),
            Move("11-02", DONE),
        ),
    ),
    Task(
        14, "Photo of the meter is stored with its reading", "10-13", HELENA, to=TOMASZ, priority=MEDIUM, estimate=5,
        due="11-06", labels=("feature",),
        then=(Move("11-02", DOING), Move("11-06", DONE)),
    ),
    Task(
        15, "Signature of the customer on the screen", "10-14", HELENA, state=BACKLOG, priority=LOW, estimate=5,
        labels=("feature",),
        then=(
            Say("10-20", HELENA, "Billing can do without since the new terms, says @(priya). A typed name is enough."),
            Move("10-21", CANCELED),
        ),
    ),
    Task(
        16, "Notification when a job is added during the day", "10-15", HELENA, state=BACKLOG, to=TOMASZ,
        priority=MEDIUM, estimate=5, labels=("feature",),
        then=(Move("11-16", TODO, HELENA),),
    ),
    Task(
        17, "Turn on the torch when the picture is too dark", "10-19", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=2,
        parent=8, labels=("feature",),
        then=(Move("10-20", DOING), Move("10-23", DONE)),
    ),
    Task(
        18, "App crashes on start with a full disk", "10-21", TOMASZ, to=TOMASZ, priority=URGENT, estimate=2,
        due="10-23", labels=("bug",),
        text="""
            ```
            SQLITE_FULL: database or disk is full
              at LocalStore.open (store.ts:88)
            ```

            Seen on two test phones with less than 50 MB left. Should start read-only and say what to delete.
        """,
        then=(Move("10-21", DOING), Move("10-22", DONE)),
    ),
    Task(
        19, "White screen after start on older phones", "10-22", HELENA, priority=HIGH, labels=("bug",),
        then=(
            Say("10-22", TOMASZ, "The phone in question had 20 MB left. It is the full disk again."),
            Move("10-22", CANCELED, TOMASZ),
        ),
    ),
    Task(
        20, "Battery lasts a working day", "10-23", HELENA, to=TOMASZ, priority=MEDIUM, estimate=5, due="11-27",
        labels=("performance",),
        text="Goal: at most 35 % for eight hours with 20 jobs on the reference phone. Now it is 52 %.",
        then=(
            Move("11-13", DOING),
            Say("11-18", TOMASZ, "Half of it was the position, asked for every ten seconds. Nobody used it."),
        ),
    ),
    Task(
        21, "Two phones send a reading for the same meter", "10-26", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=3,
        due="11-20", parent=7, labels=("feature",),
        text="Keep both and mark them for the office. The phone never decides which of two numbers is right.",
        then=(
            Say("11-11", HELENA, "Agreed. The office wants to see photo and time of both next to each other."),
            Move("11-12", DOING),
        ),
    ),
    Task(
        22, "Show how old the data are when offline", "10-26", HELENA, to=TOMASZ, priority=LOW, estimate=2, due="12-04",
        parent=5, labels=("feature",),
    ),
    Task(
        23, "Large type and high contrast", "10-26", HELENA, to=LUCAS, priority=MEDIUM, estimate=3, due="11-20",
        labels=("accessibility", "design"),
        text="Follow the settings of the system. Nothing may be cut off at 200 %.",
        then=(Move("11-16", DOING),),
    ),
    Task(
        24, "Photos wait for Wi-Fi unless the technician says otherwise", "10-27", HELENA, to=TOMASZ, priority=MEDIUM,
        estimate=3, due="12-04", parent=5, labels=("feature",),
        text="Data plans have 2 GB a month. A day has about 60 photos of 4 MB.",
    ),
    Task(
        25, "Warn when a reading is far from what is expected", "10-28", TOMASZ, to=TOMASZ, priority=HIGH, estimate=5,
        due="11-18", labels=("feature",),
        text="""
            Compare with the same month of the last three years.

            - up to 30 % off: nothing
            - up to 100 % off: ask once
            - more, or lower than the last reading: ask for a photo
        """,
        then=(
            Move("11-06", DOING),
            Say("11-16", HELENA, "Each wrong reading costs @(priya) a corrected bill, about 40 minutes."),
        ),
    ),
    Task(
        26, "Torch stays on after leaving the scan screen", "10-29", HELENA, to=TOMASZ, priority=MEDIUM, estimate=1,
        parent=17, labels=("bug",),
        text="Android only. Leave with the gesture for back; the button in the app turns it off properly.",
        then=(Move("10-30", DOING), Move("10-30", DONE)),
    ),
    Task(
        27, "German and Polish", "10-29", HELENA, to=TOMASZ, priority=MEDIUM, estimate=5, due="12-11",
        labels=("feature",),
    ),
    Task(
        28, "Plural forms of Polish in the number of open jobs", "10-29", TOMASZ, to=TOMASZ, priority=LOW, estimate=1,
        parent=27, labels=("bug",),
        text="*1 zlecenie, 2 zlecenia, 5 zleceń*: three forms, the code knows two.",
    ),
    Task(
        29, "Trial with five technicians for two weeks", "11-02", HELENA, to=HELENA, priority=HIGH, estimate=8,
        due="12-18", labels=("research",),
        text="""
            Starts on 30 November. Needed before: offline queue, warnings, phones with the test build.

            Questions for the end of each week:

            1. How many readings had to be written on paper?
            2. What did you look for and not find?
            3. Would you give the phone back?
        """,
    ),
    Task(
        30, "Order ten phones with protective cases", "11-02", HELENA, to=PRIYA, priority=HIGH, estimate=1, due="11-20",
        parent=29,
        then=(
            Say("11-05", TOMASZ, "@(priya) got an offer, ten at 289 €. Delivery takes eight working days."),
            Say("11-05", HELENA, "Please order them today.", reply=True),
            Move("11-06", DOING),
            Move("11-18", DONE),
        ),
    ),
    Task(
        31, "Short guide for the first day with the app", "11-03", HELENA, to=HELENA, priority=MEDIUM, estimate=2,
        due="11-26", parent=29, labels=("documentation",),
        text="Two pages with pictures, printed and laminated. No more than six steps.",
        then=(Move("11-18", DOING),),
    ),
    Task(
        32, "Feedback button that attaches the log", "11-03", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=3,
        due="11-25", parent=29, labels=("feature",),
        text="Log without names, addresses or readings; the technician sees it before it is sent.",
    ),
    Task(
        33, "Crash reports to our own server", "11-04", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=3, due="11-24",
        labels=("infrastructure",),
        then=(Move("11-19", DOING),),
    ),
    Task(
        34, "Refuse versions of the app that are too old", "11-04", TOMASZ, state=BACKLOG, priority=MEDIUM, estimate=3,
        labels=("feature",),
        text="The server names the oldest version it talks to. Waiting readings are still taken from an old one.",
    ),
    Task(
        35, "Keyboard covers the field for the reading", "11-05", HELENA, to=TOMASZ, priority=HIGH, estimate=1,
        labels=("bug",),
        then=(Move("11-05", DOING), Move("11-06", DONE)),
    ),
    Task(
        36, "New meters have no history to compare with", "11-09", TOMASZ, priority=MEDIUM, estimate=2, parent=25,
        labels=("feature",),
        text="Use the median of meters of the same kind in buildings of similar size.",
    ),
    Task(
        37, "Photos show the position in their metadata", "11-09", TOMASZ, to=TOMASZ, priority=HIGH, estimate=1,
        parent=14, labels=("security", "bug"),
        text="Strip everything but the time before sending; the job knows the address already.",
        then=(Move("11-09", DOING), Move("11-10", DONE)),
    ),
    Task(
        38, "Readings with more than eight digits are cut off", "11-11", HELENA, to=TOMASZ, priority=URGENT, estimate=1,
        due="11-13", labels=("bug",),
        text="Heat meters of the hospital have nine. The last digit was dropped without a word.",
        then=(
            Move("11-11", DOING),
            Say("11-11", TOMASZ, "Field takes 12 digits now. @(helena) how many readings are wrong already?"),
            Say("11-12", HELENA, "None, the hospital is not billed before December.", reply=True),
            Move("11-12", DONE),
        ),
    ),
    Task(
        39, "Publish in both stores as a closed test", "11-12", TOMASZ, to=TOMASZ, priority=HIGH, estimate=3,
        due="11-27",
        then=(Say("11-17", TOMASZ, "One store has accepted it, the other asks for a test account. I make one today."),),
    ),
    Task(
        40, "Data protection text for the stores", "11-12", TOMASZ, to=HELENA, priority=MEDIUM, estimate=1, due="11-24",
        parent=39, labels=("content", "security"),
    ),
    Task(
        41, "Tablet layout for the office", "11-13", HELENA, state=BACKLOG, estimate=8, labels=("design",),
    ),
    Task(
        42, "Undo for a reading that was just saved", "11-17", TOMASZ, state=BACKLOG, priority=LOW, estimate=3,
        labels=("feature",),
        text="Five seconds are enough; afterwards the office corrects it.",
    ),
)
# fmt: on

PROJECT = Project(
    key="APP",
    name="Mobile app",
    description="App for the technicians: jobs of the day, readings and photos, also in cellars without a network.",
    lead=TOMASZ,
    opened="09-21",
    target="12-18",
    tasks=TASKS,
)
