"""What is kept of a file's bytes while they pass, however many there are."""

import codecs
import hashlib

# More than the farthest signature: that of ISO 9660 lies behind 32 KiB.
HEAD_BYTES = 64 * 1024
# Where a ZIP has the names of its entries, some ten thousand of them.
TAIL_BYTES = 1024 * 1024

# All but line ends, tabs, form feeds and the escapes of colored logs, which are part of texts.
_CONTROLS = bytes({*range(0x20), 0x7F} - set(b"\t\n\f\r\x1b"))


class Sample:
    """What is kept of the bytes: both ends, size, digest, and whether they can be text."""

    def __init__(self) -> None:
        self.head = b""
        self.size_bytes = 0
        self._tail = bytearray()
        self._digest = hashlib.sha256()
        self._decoder: codecs.IncrementalDecoder | None = None
        self._is_text = True
        self._is_plain = True

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if not self.size_bytes:
            encoding = "utf-16" if chunk[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8"
            self._decoder = codecs.getincrementaldecoder(encoding)()
        self.size_bytes += len(chunk)
        self._digest.update(chunk)
        if len(self.head) < HEAD_BYTES:
            self.head += chunk[: HEAD_BYTES - len(self.head)]
        self._tail += chunk
        if len(self._tail) > 2 * TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]
        self._is_plain = self._is_plain and not _has_controls(chunk)
        if self._is_text:
            self._is_text = self._decodes(chunk)

    @property
    def tail(self) -> bytes:
        """The last bytes."""
        return bytes(self._tail[-TAIL_BYTES:])

    @property
    def sha256(self) -> str:
        """The digest in lower-case hex."""
        return self._digest.hexdigest()

    @property
    def is_text(self) -> bool:
        """Whether all of it is text, as UTF-8 or as UTF-16 with its mark, without control characters."""
        return self._is_text and self._decodes(b"", final=True)

    @property
    def is_plain(self) -> bool:
        """Whether it has no control characters, so that it may be text in an older encoding."""
        return self._is_plain

    def _decodes(self, chunk: bytes, *, final: bool = False) -> bool:
        if self._decoder is None:
            return False
        try:
            text = self._decoder.decode(chunk, final)
        except UnicodeDecodeError:
            return False
        # In UTF-16 most characters have a byte that would be a control character by itself.
        return not _has_controls(text.encode())


def _has_controls(text: bytes) -> bool:
    return len(text.translate(None, _CONTROLS)) < len(text)
