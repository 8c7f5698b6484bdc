"""The first project of acme: a new public website."""

from domain.demo.people import HELENA, LUCAS, PRIYA, TOMASZ
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
        1, "Agree on the sitemap and the URL scheme", "09-21", HELENA, to=TOMASZ, priority=MEDIUM, estimate=3,
        due="09-25", labels=("content",),
        text="""
            One page with every address of the new site, so that content, design and redirects start from the same list.

            - products, pricing, customers, help, company, legal
            - no dates and no file endings in addresses
            - German and English under `/de` and `/en`
        """,
        then=(
            Move("09-22", DOING),
            Say("09-23", TOMASZ, "First version is in the shared folder. @(helena) please check the part on pricing."),
            Say("09-24", HELENA, "Looks right. Calculator moves under pricing, otherwise as you have it.", reply=True),
            Move("09-24", DONE),
        ),
    ),
    Task(
        2, "Move the content of the old site to the new one", "09-21", HELENA, to=TOMASZ, priority=HIGH, estimate=13,
        due="11-27", labels=("content",),
        text="""
            Everything worth keeping goes over by hand or by script; the rest gets a redirect.
            The inventory says which is which, and the subtasks follow its sections.
        """,
        then=(Move("10-05", DOING),),
    ),
    Task(
        3, "Inventory of all pages with visits of the last twelve months", "09-21", HELENA, to=TOMASZ, priority=HIGH,
        estimate=5, due="10-02", parent=2, labels=("content", "research"),
        then=(
            Move("09-24", DOING),
            Say("09-29", TOMASZ, "412 pages, 61 of which get nine visits out of ten. 180 had none since January."),
            Move("09-30", DONE),
        ),
    ),
    Task(
        4, "Move the help articles", "09-22", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=8, due="11-13", parent=2,
        labels=("content", "documentation"),
        then=(
            Move("10-12", DOING),
            Say("11-04", TOMASZ, "Meters and gateways are done, billing questions are next."),
            Edit("11-12", TOMASZ, due="11-24"),
        ),
    ),
    Task(
        5, "Convert screenshots to WebP and write alternative texts", "09-22", TOMASZ, to=LUCAS, priority=LOW,
        estimate=5, due="11-24", parent=4, labels=("content", "accessibility"),
        then=(
            Move("10-26", DOING),
            Say("11-09", LUCAS, "140 of about 230 images have their text. The wiring diagrams need an engineer."),
            Say("11-10", TOMASZ, "I take the diagrams. Collect them in one folder, please.", reply=True),
        ),
    ),
    Task(
        6, "Redirect the addresses of retired help articles", "09-23", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=3,
        due="11-27", parent=4, labels=("content",),
        text="301 to the article that answers the question now, 410 where there is none. Source is the inventory.",
    ),
    Task(
        7, "Choose the framework for the new site", "09-23", HELENA, to=TOMASZ, priority=HIGH, estimate=5, due="09-30",
        labels=("research",),
        text="""
            Wanted: static pages by default, previews for editors, two languages, builds in under two minutes.

            | Question | Weight |
            | --- | --- |
            | Can editors see a draft before it is public? | high |
            | Does a page work without JavaScript? | high |
            | How many of us have used it? | medium |
        """,
        then=(
            Move("09-23", DOING),
            Say("09-28", TOMASZ, "Two candidates left. I build the pricing page with both and compare on Wednesday."),
            Say("09-30", HELENA, "Agreed with your choice. Please write down in two paragraphs why.", reply=True),
            Move("09-30", DONE),
            Archive("11-02", HELENA),
        ),
    ),
    Task(
        8, "Design tokens: colors, type scale, spacing", "09-23", HELENA, to=LUCAS, priority=HIGH, estimate=5,
        due="10-02", labels=("design",),
        then=(
            Move("09-25", DOING),
            Say("09-30", LUCAS, "Tokens are exported as JSON. The darker warning yellow has 4.6:1 on white."),
            Say("10-01", HELENA, "Good catch. @(tomasz) can you take the file into the build?", reply=True),
            Move("10-02", DONE, TOMASZ),
        ),
    ),
    Task(
        9, "Component library for the site", "09-24", TOMASZ, to=TOMASZ, priority=HIGH, estimate=13, due="10-23",
        labels=("design", "feature"),
        text="""
            Only what the page templates need. Each component has a page that shows all its states, in both languages
            and at 200 % zoom.
        """,
        then=(Move("10-05", DOING), Move("10-27", DONE)),
    ),
    Task(
        10, "Buttons, links and form fields", "09-24", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=3, parent=9,
        labels=("feature",),
        then=(Move("10-05", DOING), Move("10-07", DONE)),
    ),
    Task(
        11, "Navigation with a menu for small screens", "09-24", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=5,
        parent=9, labels=("feature", "accessibility"),
        text="Opens and closes with the keyboard alone; the focus stays inside while it is open.",
        then=(
            Move("10-08", DOING),
            Say("10-13", LUCAS, "The third level is hard to reach with a thumb. Could it open below its parent?"),
            Say("10-14", TOMASZ, "Yes, changed. See the preview.", reply=True),
            Move("10-15", DONE),
        ),
    ),
    Task(
        12, "Focus order of the menu is wrong after going back", "10-19", TOMASZ, to=TOMASZ, priority=HIGH, estimate=1,
        parent=11, labels=("bug", "accessibility"),
        text="""
            1. Open the menu, choose *Customers*.
            2. Go back in the browser.
            3. Press Tab.

            The focus is behind the menu, which is open again. Expected: closed, focus on its button.
        """,
        then=(Move("10-19", DOING), Move("10-20", DONE)),
    ),
    Task(
        13, "Cards for products and customer stories", "10-19", TOMASZ, to=LUCAS, priority=LOW, estimate=2, parent=9,
        labels=("design",),
        then=(Move("10-21", DOING), Move("10-26", DONE)),
    ),
    Task(
        14, "Home page", "10-20", HELENA, to=TOMASZ, priority=HIGH, estimate=5, due="11-06", labels=("feature",),
        text="Says in one sentence what we do, shows three customers, leads to pricing and to the calculator.",
        then=(
            Move("10-28", DOING),
            Say("11-03", HELENA, "The opening sentence is still about us. Make it about the building and its bill."),
            Say("11-04", TOMASZ, "New text is on the preview.", reply=True),
            Move("11-05", DONE),
        ),
    ),
    Task(
        15, "Pricing page with the savings calculator", "10-20", HELENA, to=TOMASZ, priority=HIGH, estimate=8,
        due="11-20", labels=("feature",),
        text="""
            Inputs: floor area, number of meters, present yearly bill. Output: a range, never one number.

            The formula is the one that sales uses in its sheet. It runs in the browser, nothing is sent to us.
        """,
        then=(
            Move("11-06", DOING),
            Say("11-12", HELENA, "Show prices with and without VAT. @(priya) had complaints about that last quarter."),
        ),
    ),
    Task(
        16, "Check the savings formula against 20 real customers", "10-21", TOMASZ, to=PRIYA, priority=HIGH, estimate=3,
        due="11-18", parent=15, labels=("research",),
        then=(
            Move("11-09", DOING),
            Say("11-17", TOMASZ, "17 of 20 lie inside the range that we show. The three others are cold stores."),
            Move("11-18", DONE),
        ),
    ),
    Task(
        17, "Calculator accepts commas and points as decimal separators", "10-21", TOMASZ, to=TOMASZ, priority=MEDIUM,
        estimate=2, due="11-20", parent=15, labels=("feature",),
    ),
    Task(
        18, "Customer stories: five pages with numbers", "10-22", HELENA, to=HELENA, priority=MEDIUM, estimate=8,
        due="12-04", labels=("content",),
        text="""
            - [x] hospital group
            - [x] school district
            - [ ] supermarket chain
            - [ ] housing cooperative
            - [ ] logistics center

            Each one: situation, what was installed, what changed after a year, a quote with a name.
        """,
        then=(Move("11-02", DOING), Say("11-16", HELENA, "The supermarket chain wants to see its text first.")),
    ),
    Task(
        19, "Contact form with protection against spam", "10-22", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=3,
        due="11-12", labels=("feature", "security"),
        text="No puzzle for the visitor: a hidden field, a minimum time to fill it in, a limit for each address.",
        then=(Move("11-09", DOING), Move("11-12", DONE)),
    ),
    Task(
        20, "Largest contentful paint under 2 s on a mid-range phone", "10-23", TOMASZ, to=TOMASZ, priority=HIGH,
        estimate=5, due="11-27", labels=("performance",),
        text="""
            Measured on the staging site, slow 4G, cache empty, median of five runs:

            | Page | now | goal |
            | --- | --- | --- |
            | Home | 3.4 s | 2.0 s |
            | Pricing | 2.9 s | 2.0 s |
            | Help article | 1.6 s | 2.0 s |
        """,
        then=(
            Move("11-10", DOING),
            Say("11-13", TOMASZ, "Home is at 2.3 s since the hero image has the right size for each screen."),
        ),
    ),
    Task(
        21, "Load fonts from our own host and subset them", "10-23", TOMASZ, to=TOMASZ, priority=MEDIUM, estimate=2,
        parent=20, labels=("performance",),
        then=(Move("11-10", DOING), Move("11-11", DONE)),
    ),
    Task(
        22, "Remove the chat widget from all pages but contact", "10-23", TOMASZ, to=HELENA, priority=MEDIUM,
        estimate=1, parent=20, labels=("performance",),
        text="It costs 380 KB of script on every page and was used four times in October.",
        then=(
            Say("10-26", HELENA, "Support agrees. Let it go away completely, contact has the form."),
            Move("10-29", DOING),
            Move("10-29", DONE),
        ),
    ),
    Task(
        23, "Cookie banner only where a cookie needs consent", "10-26", HELENA, to=TOMASZ, priority=MEDIUM, estimate=3,
        labels=("feature",),
        text="Without the chat widget and with our own statistics there is nothing left that asks for consent.",
        then=(
            Say("11-05", TOMASZ, "Then we need no banner at all. Closing; legal has confirmed by mail."),
            Move("11-05", CANCELED),
        ),
    ),
    Task(
        24, "Visitor statistics without cookies", "10-26", HELENA, to=TOMASZ, priority=MEDIUM, estimate=3, due="11-10",
        labels=("feature",),
        then=(Move("11-03", DOING), Move("11-09", DONE)),
    ),
    Task(
        25, "Legal pages: imprint, privacy, terms", "10-27", HELENA, to=PRIYA, priority=HIGH, estimate=3, due="11-25",
        labels=("content",),
        then=(Say("11-11", HELENA, "@(priya) the lawyers sent their version yesterday, it is in your inbox."),),
    ),
    Task(
        26, "Keyboard and screen reader review by an outside tester", "10-28", HELENA, to=LUCAS, priority=HIGH,
        estimate=5, due="12-02", labels=("accessibility",),
        text="WCAG 2.2, level AA. Home, pricing, one help article, contact form, search.",
    ),
    Task(
        27, "Search in the help articles", "10-28", TOMASZ, priority=MEDIUM, estimate=8, labels=("feature",),
        text="An index that is built with the pages and loaded when the field gets the focus. No server.",
    ),
    Task(
        28, "Help search finds words written without umlauts", "10-28", TOMASZ, state=BACKLOG, priority=LOW, estimate=2,
        parent=27, labels=("feature",),
        text="`Zaehler` and `Zahler` should both lead to *Zähler*.",
    ),
    Task(
        29, "Redirects from all old addresses", "10-29", TOMASZ, to=TOMASZ, priority=URGENT, estimate=5, due="11-30",
        labels=("infrastructure",),
        text="""
            A table in the repository, tested in the build: every old address that had a visit in the last year answers
            with one redirect to a page that exists.
        """,
    ),
    Task(
        30, "Structured data for products and help articles", "10-30", TOMASZ, state=BACKLOG, priority=LOW, estimate=3,
        labels=("content",),
    ),
    Task(
        31, "Previews for editors before a page is public", "10-30", HELENA, to=TOMASZ, priority=MEDIUM, estimate=5,
        due="11-17", labels=("feature",),
        then=(
            Move("11-11", DOING),
            Say("11-16", HELENA, "Works for me, also on the phone. The link should say until when it is good."),
            Move("11-17", DONE),
        ),
    ),
    Task(
        32, "Image of the control room is stretched in Safari", "11-02", HELENA, to=TOMASZ, priority=LOW, estimate=1,
        labels=("bug",),
        text="Safari 18 on macOS, window narrower than 900 pixels. Firefox and Chrome are fine.",
        then=(Move("11-03", DOING), Move("11-03", DONE), Archive("11-16", TOMASZ)),
    ),
    Task(
        33, "Photographs of real installations in place of stock pictures", "11-02", HELENA, state=BACKLOG, to=LUCAS,
        priority=LOW, estimate=5, labels=("design", "content"),
        text="Three sites have agreed: the hospital, the school in the north, and our own office.",
    ),
    Task(
        34, "Newsletter sign-up with confirmation by mail", "11-03", HELENA, state=BACKLOG, priority=LOW, estimate=5,
        labels=("feature",),
    ),
    Task(
        35, "Page for the press with logos and contact", "11-04", HELENA, to=HELENA, priority=LOW, estimate=2,
        due="12-11", labels=("content",),
    ),
    Task(
        36, "English texts read like translations", "11-05", HELENA, priority=MEDIUM, estimate=5, due="12-04",
        labels=("content",),
        text="Have a native writer go over home, pricing and the product pages. Budget for three days is there.",
        then=(
            Say("11-06", HELENA, "Budget is approved by @(priya). The project number goes on the order."),
            Edit("11-18", HELENA, priority=HIGH),
        ),
    ),
    Task(
        37, "Dark appearance for the help pages", "11-09", TOMASZ, state=BACKLOG, estimate=5, labels=("design",),
        then=(Say("11-11", LUCAS, "The tokens have dark values already. What is missing are the diagrams."),),
    ),
    Task(
        38, "Plan the switch to the new site", "11-10", HELENA, to=HELENA, priority=HIGH, estimate=3, due="11-26",
        text="""
            Monday, 7 December, early morning.

            1. Freeze the old site on the Thursday before.
            2. Lower the lifetime of the DNS records to five minutes on Friday.
            3. Switch, watch error rate and search console for two hours.
            4. Way back: the old site stays up, read-only, for four weeks.
        """,
        then=(Move("11-17", DOING),),
    ),
    Task(
        39, "Rehearse the switch on the staging domain", "11-10", HELENA, to=TOMASZ, priority=HIGH, estimate=3,
        due="12-02", parent=38,
    ),
    Task(
        40, "Tell customers about the new help center", "11-11", HELENA, priority=MEDIUM, estimate=2, due="12-09",
        parent=38, labels=("content",),
    ),
    Task(
        41, "Contact form sends twice on a slow connection", "11-16", TOMASZ, to=TOMASZ, priority=HIGH, estimate=1,
        labels=("bug",),
        text="The button stays active while the request runs. Two of the nine test messages of Friday came twice.",
        then=(Move("11-17", DOING), Say("11-18", TOMASZ, "Button is locked, and the server ignores a second copy.")),
    ),
    Task(
        42, "Messages of the contact form arrive two times", "11-17", HELENA, priority=MEDIUM, labels=("bug",),
        then=(Say("11-17", TOMASZ, "Same cause as the other report."), Move("11-17", CANCELED, TOMASZ)),
    ),
)
# fmt: on

PROJECT = Project(
    key="WEB",
    name="Website relaunch",
    description="New public website with pricing calculator and help center. Goes live on 7 December.",
    lead=HELENA,
    opened="09-21",
    target="12-07",
    tasks=TASKS,
)
