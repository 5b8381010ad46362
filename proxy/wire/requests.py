"""What a client says once it is let in: whole messages, or as much of long ones as is kept.

The lengths are the same that the server goes by, so that both see the same messages: a length that
the server would not take ends the session (MalformedFrame). Bodies of messages that carry data, not
words, are skipped.
"""

from dataclasses import dataclass
from hashlib import sha256
from struct import Struct

from proxy.wire.errors import MalformedFrame
from proxy.wire.framing import HEADER_SIZE

_read_length = Struct("!xI").unpack_from

LONGEST_MESSAGE = 1_073_741_823  # PostgreSQL's PQ_LARGE_MESSAGE_LIMIT
# Query, Parse, Bind, Execute, Close, FunctionCall, Sync, CopyDone, CopyFail
_WORDS = frozenset(b"QPBECFScf")
_COPY = ord("d")
_NUL = b"\0"


@dataclass(slots=True)  # not frozen: to make one would take three times as long
class Request:
    """A message of the client. `body` is its beginning if it is a long one; `size` counts its bytes
    on the wire. `text_bytes` and `text_sha256` are of the whole text that a Query or Parse has."""

    kind: int
    body: bytes
    size: int
    text_bytes: int = 0
    text_sha256: bytes | None = None


COPY_DATA = Request(ord("d"), b"", 0)
"""Stands for a CopyData, whatever it has."""


class LongText:
    """Measures and hashes the text of a long Query or Parse as it passes, up to the zero that ends
    it; a Parse has the name of the statement before it."""

    __slots__ = ("_digest", "_names", "ended", "size")

    def __init__(self, kind: int) -> None:
        self._digest = sha256()
        self._names = 1 if kind == ord("P") else 0  # zeros to come before the text
        self.ended = False
        self.size = 0

    def feed(self, part: bytes) -> None:
        while self._names and part:
            _, zero, part = part.partition(_NUL)
            if zero:
                self._names -= 1
        if not self._names and not self.ended:
            text, zero, _ = part.partition(_NUL)
            self._digest.update(text)
            self.size += len(text)
            self.ended = bool(zero)

    @property
    def sha256(self) -> bytes:
        return self._digest.digest()


class Requests:
    """Follows what a client says. `kept` is how much of one message is, in bytes.

    Ask `next_in` for one message after the other. `copied` counts the bytes of data for COPY.
    """

    __slots__ = ("_body", "_header", "_kept", "_kind", "_long", "_remaining", "_size", "copied")

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._header = b""
        self._kind = 0
        self._size = 0
        self._remaining = 0
        self._body: bytearray | None = None  # of the message that is open, if it has words
        self._long: LongText | None = None
        self.copied = 0

    @property
    def between_messages(self) -> bool:
        return not self._remaining and not self._header

    def next_in(self, data: bytes, position: int) -> tuple[int, Request | None]:
        """Return where the message ends that is at `position` in `data`, or that is open there, and
        the message itself if it ends within `data` and has words, or is a CopyData. Raises
        MalformedFrame."""
        if self._remaining:
            return self._go_on(data, position)
        if self._header:
            return self._finish_header(data, position)
        end = len(data)
        if position + HEADER_SIZE > end:
            self._header = data[position:]
            return end, None
        kind = data[position]
        (length,) = _read_length(data, position)
        if not 4 <= length <= LONGEST_MESSAGE:
            raise MalformedFrame(length, LONGEST_MESSAGE)
        after = position + length + 1
        if after <= end:
            if kind in _WORDS and length <= self._kept:
                return after, Request(kind, data[position + HEADER_SIZE : after], length + 1)
            if kind not in _WORDS:
                if kind == _COPY:
                    self.copied += length - 4
                    return after, COPY_DATA
                return after, None
        self._open(kind, length)
        return self._go_on(data, position + HEADER_SIZE)

    def _finish_header(self, data: bytes, position: int) -> tuple[int, Request | None]:
        missing = HEADER_SIZE - len(self._header)
        self._header += data[position : position + missing]
        if len(self._header) < HEADER_SIZE:
            return len(data), None
        header, self._header = self._header, b""
        (length,) = _read_length(header)
        if not 4 <= length <= LONGEST_MESSAGE:
            raise MalformedFrame(length, LONGEST_MESSAGE)
        self._open(header[0], length)
        return self._go_on(data, position + missing)

    def _open(self, kind: int, length: int) -> None:
        self._kind = kind
        self._size = length + 1
        self._remaining = length - 4
        self._body = bytearray() if kind in _WORDS else None
        self._long = LongText(kind) if length > self._kept and kind in b"QP" else None
        if kind == _COPY:
            self.copied += length - 4

    def _go_on(self, data: bytes, position: int) -> tuple[int, Request | None]:
        part = data[position : position + self._remaining]
        self._remaining -= len(part)
        if self._body is None:
            whole = not self._remaining and self._kind == _COPY
            return position + len(part), COPY_DATA if whole else None
        room = self._kept - len(self._body)
        if room > 0:
            self._body += part[:room]
        if self._long is not None:
            self._long.feed(part)
        if self._remaining:
            return position + len(part), None
        request = Request(
            self._kind,
            bytes(self._body),
            self._size,
            self._long.size if self._long is not None else 0,
            self._long.sha256 if self._long is not None else None,
        )
        self._body = self._long = None
        return position + len(part), request
