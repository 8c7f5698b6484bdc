"""Thumbnails: of whom, how large, with what in them, and that hostile pictures end without one."""

import asyncio
import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from domain.attachments import thumbnailing, thumbnails
from domain.base import confined
from domain.base.actor import Actor
from domain.base.confined import Exceeded, Failed, Limits, run
from domain.base.database import acting_for
from tests.attachments.uploading import DELETE, Desk, File, picture, uuid_of
from tests.factories import rows


async def thumbnail(desk: Desk, made: dict[str, Any]) -> Image.Image:
    """The picture at the address that the viewer gets."""
    (shown,) = [each for each in await desk.listed() if each["id"] == made["id"]]
    answer = await desk.get(shown["thumbnailUrl"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
    assert answer.headers["content-disposition"].startswith("inline;")
    return Image.open(io.BytesIO(answer.content))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF"])
async def test_a_picture_gets_a_thumbnail_and_tells_of_it_once(desk: Desk, format: str) -> None:
    made = await desk.completed(File(picture(format), "photo", f"image/{format.lower()}"))

    await desk.work()

    small = await thumbnail(desk, made)
    left, right = small.convert("RGB").getpixel((20, 90)), small.convert("RGB").getpixel((230, 90))
    assert (small.format, small.size) == ("WEBP", (256, 192))
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    assert left[0] > 200 > left[2]
    assert right[2] > 200 > right[0]
    assert made["thumbnailUrl"] is None
    assert await desk.facts() == ["ATTACHMENT_CREATED", "ATTACHMENT_UPDATED", "ATTACHMENT_UPDATED"]
    assert (await desk.told())[-1] == {"task_id": str(desk.task.id), "has_thumbnail": {"was": False, "now": True}}


async def test_a_photograph_is_turned_and_says_nothing_of_where_it_was_taken(desk: Desk) -> None:
    told = Image.Exif()
    told[0x0112] = 6  # It is to be turned by a quarter.
    told[0x010F] = "Camera of Ada"
    body = picture("JPEG", exif=told, icc_profile=b"profile", comment=b"secret place")
    made = await desk.completed(File(body, "photo.jpg", "image/jpeg"))

    await desk.work()

    small = await thumbnail(desk, made)
    top = small.convert("RGB").getpixel((90, 20))
    assert small.size == (192, 256)
    assert isinstance(top, tuple)
    assert top[0] > 200 > top[2]
    assert (
        dict(small.getexif()),
        {name for name in ("icc_profile", "exif", "xmp", "comment") if name in small.info},
    ) == (
        {},
        set(),
    )


async def test_what_is_see_through_stays_so(desk: Desk) -> None:
    written = io.BytesIO()
    Image.new("RGBA", (10, 20), (0, 255, 0, 0)).save(written, "PNG")
    made = await desk.completed(File(written.getvalue(), "a.png", "image/png"))

    await desk.work()

    small = await thumbnail(desk, made)
    assert (small.size, small.mode, small.getchannel("A").getextrema()) == ((10, 20), "RGBA", (0, 0))


async def test_of_what_moves_the_first_picture_is_shown(desk: Desk) -> None:
    frames = [Image.new("RGB", (300, 300), color) for color in ((255, 0, 0), (0, 0, 255))]
    written = io.BytesIO()
    frames[0].save(written, "GIF", save_all=True, append_images=frames[1:])
    made = await desk.completed(File(written.getvalue(), "a.gif", "image/gif"))

    await desk.work()

    small = await thumbnail(desk, made)
    color = small.convert("RGB").getpixel((100, 100))
    assert getattr(small, "n_frames", 1) == 1
    assert isinstance(color, tuple)
    assert color[0] > 200


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def declared(width: int, height: int, body: bytes) -> bytes:
    """A PNG that says it is so large, with these compressed lines."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def deflated(count: int) -> bytes:
    """So many mebibytes of zeros, in a thousandth of them."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1024**2)) for _ in range(count)) + packer.flush()


HOSTILE = {
    "many pixels": declared(50_000, 50_000, deflated(4)),
    "truncated": picture("PNG", (600, 600))[:900],
    "truncated photograph": picture("JPEG", (600, 600))[:1200],
    "nothing behind the signature": b"\x89PNG\r\n\x1a\n",
    "broken lines": declared(500, 500, b"nothing that unpacks"),
    "long comment": b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0))
    + chunk(b"zTXt", b"a\x00\x00" + deflated(100)),
    "script in a picture": b"GIF89a/*" + bytes(20) + b"*/=1;alert(1)",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_picture_stays_ready_without_a_thumbnail(desk: Desk, name: str) -> None:
    kind = "image/gif" if HOSTILE[name].startswith(b"GIF") else "image/jpeg" if "photo" in name else "image/png"
    made = await desk.completed(File(HOSTILE[name], "a.picture", kind))

    await desk.work()

    (shown,) = await desk.listed()
    assert (made["status"], shown["status"], shown["thumbnailUrl"]) == ("READY", "READY", None)
    assert await desk.stored(made["id"]) == (True, False)
    assert await desk.facts() == ["ATTACHMENT_CREATED", "ATTACHMENT_UPDATED"]


async def test_more_lines_than_a_picture_has_are_not_unpacked(desk: Desk) -> None:
    made = await desk.completed(File(declared(10, 10, deflated(64)), "a.png", "image/png"))

    await desk.work()

    assert (await thumbnail(desk, made)).size == (10, 10)


async def test_a_picture_of_the_most_pixels_fits_into_what_a_child_may_use(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = int(thumbnailing.MOST_PIXELS**0.5)
    body = declared(side, side, deflated((side * (3 * side + 1)) // 1024**2 + 1))
    made = await desk.completed(File(body, "a.png", "image/png"))

    await desk.work()

    assert (await thumbnail(desk, made)).size == (256, 256)


async def test_a_child_that_would_take_more_memory_is_ended(tmp_path: Any) -> None:
    source = tmp_path / "picture"
    source.write_bytes(declared(7_000, 7_000, deflated(141)))
    limits = Limits(memory_bytes=200 * 1024**2, cpu_s=20, wall_s=60.0, file_bytes=1024**2)

    with pytest.raises(Exceeded, match="memory"):
        await run("domain.attachments.thumbnailing", [str(source), str(tmp_path / "out")], limits)

    assert not (tmp_path / "out").exists()


async def test_of_many_pictures_two_are_open_at_a_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [await desk.completed(File(picture(), f"{n}.png", "image/png")) for n in range(5)]
    running: list[int] = [0]
    two = asyncio.Event()

    async def counted(*told: Any) -> None:
        running.append(running[-1] + 1)
        if running[-1] == 2:
            two.set()
        await two.wait()
        await run(*told)
        running.append(running[-1] - 1)

    monkeypatch.setattr(confined, "run", counted)
    with acting_for([desk.org_id]):
        actor = Actor.system(desk.org_id)
        await asyncio.gather(*(thumbnails.make(actor, uuid_of(each["id"]), desk.storage) for each in made))

    assert max(running) == 2
    assert [await desk.stored(each["id"]) for each in made] == [(True, True)] * 5


async def test_only_pictures_that_are_known_are_opened(desk: Desk, tmp_path: Any) -> None:
    made = await desk.completed(File(picture("TIFF"), "a.tiff", "image/tiff"))
    svg = await desk.completed(File(b"<svg/>", "a.svg", "image/svg+xml"))
    source = tmp_path / "picture"
    source.write_bytes(picture("TIFF"))

    await desk.work()
    with pytest.raises(Failed, match="cannot identify image file"):
        await run("domain.attachments.thumbnailing", [str(source), str(tmp_path / "out")], thumbnails.LIMITS)

    assert [await desk.stored(each["id"]) for each in (made, svg)] == [(True, False)] * 2


async def test_what_is_deleted_before_its_thumbnail_is_made_leaves_none(desk: Desk) -> None:
    made = await desk.completed(File(picture(), "a.png", "image/png"))
    await desk.member.client.done(DELETE, id=made["id"])

    await desk.work()

    assert await desk.stored(made["id"]) == (False, False)
    assert await rows("SELECT FROM attachment WHERE id = $1", uuid_of(made["id"])) == []
