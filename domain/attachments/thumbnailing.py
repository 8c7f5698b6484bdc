"""The child process that makes a thumbnail: `python -m domain.attachments.thumbnailing PICTURE THUMBNAIL`.

It opens bytes that strangers sent, so it runs confined (`domain/base/confined.py`), and knows few
formats.
"""

import sys

from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
LONGEST_SIDE = 256
# Looked at before anything is decoded. A picture of a good camera; more would not fit into the memory that there is.
MOST_PIXELS = 60_000_000


def make(source: str, target: str) -> None:
    """Write the picture's first frame as WebP, turned as its camera was, with nothing of what else the file tells.

    Raises ValueError for one that is too large, and what Pillow raises for what is no picture.
    """
    # Ours is the stricter limit, and Pillow's is a warning first.
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(source, formats=FORMATS) as picture:
        if picture.width * picture.height > MOST_PIXELS:
            raise ValueError(f"{picture.width} x {picture.height} are too many pixels")
        # A JPEG is decoded in a smaller size at once.
        picture.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
        small = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    turned = ImageOps.exif_transpose(small)
    # A new picture has nothing but pixels.
    bare = Image.new(turned.mode, turned.size)
    bare.paste(turned)
    bare.save(target, "WEBP", quality=80, method=4)


if __name__ == "__main__":
    make(*sys.argv[1:])
