"""The policy, role by permission, as snapshots/permissions.txt pins it."""

from pathlib import Path

from domain.base.permissions import GRANTS, Permission, Role

SNAPSHOT = Path(__file__).parent / "snapshots" / "permissions.txt"


def _table() -> str:
    lines = [f"{'':<20}" + " ".join(f"{role.value:<15}" for role in Role)]
    for permission in Permission:
        marks = " ".join(f"{'yes' if permission in GRANTS[role] else '-':<15}" for role in Role)
        lines.append(f"{permission.value:<20}{marks}")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def test_every_role_is_granted_what_the_snapshot_says() -> None:
    assert _table() == SNAPSHOT.read_text(encoding="utf-8")
