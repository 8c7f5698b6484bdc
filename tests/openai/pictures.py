"""The smallest pictures that there are."""

import base64
import io

from PIL import Image


def drawn(format: str) -> bytes:
    """One red point."""
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1), "red").save(buffer, format)
    return buffer.getvalue()


PNG = drawn("PNG")
PNG_BASE64 = base64.b64encode(PNG).decode()
