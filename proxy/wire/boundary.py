"""Where messages begin in what a server says, and what is to be known of some of them.

A message of our own may be put into the stream only between two of the server's: inside one, the
client would take it for data. Walks headers and skips bodies, keeping at most a partial header, and
the beginning of a message that somebody wants to know of.
"""

from struct import Struct

from proxy.wire.framing import HEADER_SIZE

_read_length = Struct("!xI").unpack_from

_DATA_ROW, _COPY_DATA = b"Dd"
# CommandComplete, EmptyQueryResponse, PortalSuspended, ErrorResponse, ReadyForQuery, the completion
# of Parse, Bind and Close, CopyInResponse, FunctionCallResponse.
_NOTABLE = frozenset(b"CIsEZ123GV")
_LONGEST_KEPT = 8_192  # of a notable message: of an error, its SQLSTATE is needed

Notable = tuple[int, bytes, int, int]
"""A message's type byte, its body, which is cut at _LONGEST_KEPT, where it ends (after so many
bytes of the stream), and how many rows of data came before it."""


class Boundary:
    """Follows what a server says. `last_kind` is the type byte of the newest message, `rows` how
    many rows of data there were, `received` how many bytes, and `notable` holds messages until
    somebody takes them out."""

    __slots__ = ("_header", "_kept", "_remaining", "last_kind", "notable", "received", "rows")

    def __init__(self) -> None:
        self._remaining = 0  # bytes of the current message still to come, once its length is known
        self._header = b""  # the first bytes of a message whose length is not known yet
        self._kept: bytearray | None = None  # of the current message, if it is a notable one
        self.last_kind = 0
        self.received = 0
        self.rows = 0
        self.notable: list[Notable] = []

    @property
    def between_messages(self) -> bool:
        return not self._remaining and not self._header

    def advance(self, data: bytes) -> None:
        """Take note of the next `data` of the stream."""
        position = self._finish(data) if self._header or self._remaining else 0
        end = len(data)
        before = self.received
        self.received = before + end
        last_header = end - HEADER_SIZE
        while position <= last_header:
            kind = data[position]
            (length,) = _read_length(data, position)
            start = position
            position += length + 1  # the length counts itself, not the type byte
            if kind == _DATA_ROW or kind == _COPY_DATA:  # noqa: PLR1714, SIM109  (quicker)
                self.rows += 1
            elif kind in _NOTABLE:
                if position <= end:
                    body = data[start + HEADER_SIZE : position][:_LONGEST_KEPT]
                    self.notable.append((kind, body, before + position, self.rows))
                else:
                    self._kept = bytearray(data[start + HEADER_SIZE :])
            self.last_kind = kind
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

    def _finish(self, data: bytes) -> int:
        """Go on with the message that is open. Returns where in `data` the next one begins, which
        may be behind its end."""
        if self._header:
            known = len(self._header)
            header = self._header + data[: HEADER_SIZE - known]
            if len(header) < HEADER_SIZE:
                self._header = header
                self._remaining = 0
                return len(data)
            self._header = b""
            self.last_kind = kind = header[0]
            position = _rest_of(header, known)
            if kind == _DATA_ROW or kind == _COPY_DATA:  # noqa: PLR1714, SIM109  (quicker)
                self.rows += 1
            elif kind in _NOTABLE:
                self._kept = bytearray(data[HEADER_SIZE - known : position])
        else:
            position = self._remaining
            if self._kept is not None and len(self._kept) < _LONGEST_KEPT:
                self._kept += data[:position]
        if self._kept is not None and position <= len(data):
            body = bytes(self._kept[:_LONGEST_KEPT])
            self.notable.append((self.last_kind, body, self.received + position, self.rows))
            self._kept = None
        return position


def _rest_of(header: bytes, known: int) -> int:
    """Return how much of a message is to come after the first `known` bytes of its header. Never
    negative, although a length below four, which no server sends, would make it so."""
    return max(int(1 + _read_length(header, 0)[0]) - known, 0)
