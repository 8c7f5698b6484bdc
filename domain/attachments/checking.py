"""Looking at what was uploaded, byte by byte: is it as long as was said, the same, and what it was said to be?

Nothing is believed of what storage says of an object but its length. Whatever comes out of it is written by `settle`.
"""

import asyncio
from dataclasses import dataclass

from domain.adapters.storage import Missing, Storage, attachment_key
from domain.attachments import content
from domain.attachments.content import Program
from domain.attachments.queries import AttachmentRow
from domain.attachments.sample import Sample

GONE = "The bytes that were uploaded are not there any more."


@dataclass(frozen=True)
class Verdict:
    """What the bytes are, or why they are refused."""

    content_type: str | None = None
    reason: str | None = None


async def check(row: AttachmentRow, storage: Storage) -> Verdict:
    """Read the whole object and judge it. Raises Unavailable."""
    sample = Sample()
    try:
        async for chunk in storage.read(attachment_key(row.org_id, row.id)):
            sample.feed(chunk)
            if sample.size_bytes > row.size_bytes:
                break
            # A store on this machine may never wait, and others want to go on.
            await asyncio.sleep(0)
    except Missing:
        return Verdict(reason=GONE)
    # A ZIP may have names by the ten thousand, and the loop has others to serve.
    return await asyncio.to_thread(judge, row, sample)


def judge(row: AttachmentRow, sample: Sample) -> Verdict:
    """The verdict on bytes that were read."""
    if reason := wrong_size(row, sample.size_bytes):
        return Verdict(reason=reason)
    if sample.sha256 != row.sha256:
        return Verdict(reason=f"Its bytes have the SHA-256 {sample.sha256}, and {row.sha256} was announced.")
    try:
        found = content.detect(sample, row.claimed_type)
    except Program as program:
        return Verdict(reason=f"It is {program.what}. Programs cannot be attached; {row.claimed_type} was announced.")
    if reason := content.fault(found, row.claimed_type):
        return Verdict(reason=reason)
    return Verdict(content_type=found.content_type)


def wrong_size(row: AttachmentRow, size_bytes: int) -> str | None:
    """The reason to refuse bytes of another number than was announced."""
    if size_bytes == row.size_bytes:
        return None
    there = f"{size_bytes:,}" if size_bytes < row.size_bytes else f"more than {row.size_bytes:,}"
    return f"{row.size_bytes:,} bytes were announced, and {there} are there."
