"""Where messages begin in a stream that is only passed on.

A message of our own may be put into the stream only between two of the server's: inside one, the
client would take it for data. Walks headers and skips bodies, keeping at most a partial header.
"""

from struct import Struct

from proxy.wire.framing import HEADER_SIZE

_read_length = Struct("!xI").unpack_from


class Boundary:
    """Follows one direction of a connection. `last_kind` is the type byte of the newest message."""

    __slots__ = ("_header", "_remaining", "last_kind")

    def __init__(self) -> None:
        self._remaining = 0  # bytes of the current message still to come, once its length is known
        self._header = b""  # the first bytes of a message whose length is not known yet
        self.last_kind = 0

    @property
    def between_messages(self) -> bool:
        return not self._remaining and not self._header

    def advance(self, data: bytes) -> None:
        """Take note of the next `data` of the stream."""
        if self._header:
            position = self._finish_header(data)
            if position < 0:
                return
        else:
            position = self._remaining
        end = len(data)
        last_header = end - HEADER_SIZE
        newest = -1
        while position <= last_header:
            newest = position
            (length,) = _read_length(data, position)
            position += length + 1  # the length counts itself, not the type byte
        if newest >= 0:
            self.last_kind = data[newest]
        if position >= end:
            self._remaining = position - end
        else:
            self._remaining = 0
            self._header = data[position:]

    def until_next(self, data: bytes) -> int | None:
        """Return how many bytes of `data`, the next of the stream, belong to the message that is
        open now; None if it does not end within them. Does not advance."""
        if self._header:
            probe = self._header + data[: HEADER_SIZE - len(self._header)]
            if len(probe) < HEADER_SIZE:
                return None
            needed = _rest_of(probe, len(self._header))
        else:
            needed = self._remaining
        return needed if needed <= len(data) else None

    def _finish_header(self, data: bytes) -> int:
        """Return where in `data` the message ends whose header came in parts; -1 if unknown."""
        known = len(self._header)
        header = self._header + data[: HEADER_SIZE - known]
        if len(header) < HEADER_SIZE:
            self._header = header
            return -1
        self._header = b""
        self.last_kind = header[0]
        return _rest_of(header, known)


def _rest_of(header: bytes, known: int) -> int:
    """Return how much of a message is to come after the first `known` bytes of its header. Never
    negative, although a length below four, which no server sends, would make it so."""
    return max(int(1 + _read_length(header, 0)[0]) - known, 0)
