"""Bytes → whole messages, under limits that hold before anything is buffered.

A message is a type byte, then a length (four bytes, big-endian, counting itself), then the body.
Only a connection's first messages have no type byte.
"""

from dataclasses import dataclass, field

from proxy.wire.errors import MalformedFrame

HEADER_SIZE = 5
MAX_STARTUP_LENGTH = 10_000  # PostgreSQL's MAX_STARTUP_PACKET_LENGTH
MAX_SASL_LENGTH = 1_024  # PostgreSQL's PG_MAX_SASL_MESSAGE_LENGTH
MAX_LOGIN_LENGTH = 65_536  # what a server may say while we log in to it
_LENGTH_SIZE = 4


@dataclass(frozen=True, slots=True)
class Frame:
    kind: bytes
    body: bytes = field(repr=False)


class Frames:
    """Feed bytes, then ask for whole messages. Holds at most one message and one read."""

    def __init__(self, max_length: int) -> None:
        self._max_length = max_length
        self._pending = bytearray()

    def feed(self, data: bytes) -> None:
        self._pending += data

    def next_startup(self) -> bytes | None:
        """Return the body of the next message without a type byte, or None until it is whole.

        Raises MalformedFrame as soon as the length is known.
        """
        if len(self._pending) < _LENGTH_SIZE:
            return None
        length = int.from_bytes(self._pending[:_LENGTH_SIZE])
        check_startup_length(length)
        if len(self._pending) < length:
            return None
        body = bytes(self._pending[_LENGTH_SIZE:length])
        del self._pending[:length]
        return body

    def next_frame(self) -> Frame | None:
        """Return the next whole message, or None until more bytes are fed.

        Raises MalformedFrame as soon as the length is known, so that a hostile length never makes
        us buffer its body.
        """
        if len(self._pending) < HEADER_SIZE:
            return None
        length = int.from_bytes(self._pending[1:HEADER_SIZE])  # counts itself, not the type byte
        if not _LENGTH_SIZE <= length <= self._max_length:
            raise MalformedFrame(length, self._max_length)
        if len(self._pending) < 1 + length:
            return None
        frame = Frame(bytes(self._pending[:1]), bytes(self._pending[HEADER_SIZE : 1 + length]))
        del self._pending[: 1 + length]
        return frame

    def take_rest(self) -> bytes:
        """Return and forget what was fed and not yet asked for."""
        rest = bytes(self._pending)
        self._pending.clear()
        return rest


def check_startup_length(length: int) -> None:
    """Raise MalformedFrame for a length that no first message has."""
    if not 2 * _LENGTH_SIZE <= length <= MAX_STARTUP_LENGTH:
        raise MalformedFrame(length, MAX_STARTUP_LENGTH)
