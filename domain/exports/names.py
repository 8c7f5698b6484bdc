"""Names that people gave to files, made into such as every system can unpack, at their place and no other."""

import re
import unicodedata
from pathlib import PurePosixPath

from domain.adapters.storage import safe_filename

# Of bytes in UTF-8. Most file systems take 255; what unpacks may add to it.
LONGEST = 200
# What is longer is no suffix that tells a file's type.
_LONGEST_SUFFIX = 20
# Windows takes none of these in a name.
_FORBIDDEN = re.compile(r'[<>:"|?*]')
# Devices in every folder of Windows, whatever their suffix.
# Source: https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|$)", re.IGNORECASE)


def safe_name(filename: str) -> str:
    """The name of one file inside a folder: at most 200 bytes, never empty, its suffix kept where there is room."""
    name = _FORBIDDEN.sub("_", safe_filename(unicodedata.normalize("NFC", filename)))
    # Windows drops dots and spaces at the end; dots at the beginning hide the file elsewhere.
    name = _shortened(name.strip(". ")).strip(". ") or "file"
    return f"_{name}" if _DEVICE.match(name) else name


def _shortened(name: str) -> str:
    if len(name.encode()) <= LONGEST:
        return name
    suffix = PurePosixPath(name).suffix
    if len(suffix.encode()) > _LONGEST_SUFFIX:
        suffix = ""
    stem = name.removesuffix(suffix).encode()[: LONGEST - len(suffix.encode())]
    # A character that is cut in two is left out.
    return stem.decode(errors="ignore") + suffix
