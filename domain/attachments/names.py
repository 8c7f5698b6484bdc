"""What a client may say of a file before there is any: its name, type, size and digest."""

import re
from unicodedata import category

from domain.adapters.storage import FILENAME_LENGTH_MAX, UPLOAD_BYTES_MAX, checked_type, safe_filename
from domain.base.errors import Faults

RUNNABLE = frozenset(
    "appimage application appx bat chm cmd com cpl deb desktop dll dmg exe gadget hta img inf ins iso jar job jse lnk "
    "mde msc msi msix msp mst pif pkg ps1 psm1 reg rpm scf scr sct shb url vb vbe vbs vhd vhdx wsc wsf wsh xll".split()
)
"""Endings by which systems take a file for a program, a shortcut to one, or a disk with one. The bytes of most say so
as well; a batch file is a text like any other, and only its name makes it more."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
# They turn the direction of what follows, so that the ending of a name is shown in its middle.
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSHOWN = ("Cc", "Cs", "Zl", "Zp")


def check(*, filename: str, content_type: str, size_bytes: int, sha256: str) -> None:
    """Raises UserErrors for what no file can be called or be."""
    faults = Faults()
    if fault := _fault_of_name(filename):
        faults.add(fault, "filename")
    try:
        checked_type(content_type)
    except ValueError:
        faults.add("Must be a media type like image/png.", "content_type")
    faults.number(size_bytes, "size_bytes", least=1, most=UPLOAD_BYTES_MAX)
    if not _DIGEST.fullmatch(sha256):
        faults.add("Must be a SHA-256 digest: 64 hex digits in lower case.", "sha256")
    faults.check()


def _fault_of_name(name: str) -> str | None:
    if not 1 <= len(name) <= FILENAME_LENGTH_MAX:
        return f"Must have 1 to {FILENAME_LENGTH_MAX} characters; it has {len(name)}."
    if "/" in name or "\\" in name:
        return "Must be a name without a path: no / and no \\."
    if any(category(each) in _UNSHOWN or each in _TURNING for each in name):
        return "Must not have control characters."
    if all(each == "." or each.isspace() for each in name):
        return "Must have more than dots and spaces."
    # The name that it is saved by; some browsers leave out what cannot be seen as well.
    saved = safe_filename("".join(each for each in name if category(each) != "Cf"))
    _, dot, ending = saved.rpartition(".")
    if dot and ending.lower() in RUNNABLE:
        return f"Programs cannot be attached, and .{ending.lower()} is taken for one."
    return None
