"""Where the links of mails lead: into PUBLIC_URL and nowhere else. Who is served there knows these paths."""

from urllib.parse import quote, urlencode

UNSUBSCRIBE = "unsubscribe"


def link(public_url: str, *path: str, **parameters: str) -> str:
    """The address of a page, from segments of a path that are escaped each for itself, and parameters."""
    if any(segment in ("", ".", "..") for segment in path):
        raise ValueError("a segment of a path that leads elsewhere")
    told = f"?{urlencode(parameters)}" if parameters else ""
    return f"{public_url}/{'/'.join(quote(segment, safe='') for segment in path)}{told}"
