"""Who has an account in the demo."""

from domain.base.permissions import Role
from domain.demo.ids import numbered
from domain.demo.shapes import Person

PASSWORD = "planwire-demo"  # noqa: S105

HELENA = Person("helena", numbered(1), "Helena Brandt", "admin@acme.test", Role.ADMIN, "Europe/Berlin")
TOMASZ = Person("tomasz", numbered(2), "Tomasz Wieczorek", "member@acme.test", Role.MEMBER, "Europe/Warsaw")
PRIYA = Person("priya", numbered(3), "Priya Raman", "billing@acme.test", Role.BILLING_MANAGER, "Europe/London")
LUCAS = Person("lucas", numbered(4), "Lucas Ferreira", "guest@acme.test", Role.GUEST, "Europe/Lisbon")
NGOZI = Person("ngozi", numbered(5), "Ngozi Eze", "admin@globex.test", Role.ADMIN, "Africa/Lagos")

EVERYBODY = (HELENA, TOMASZ, PRIYA, LUCAS, NGOZI)
