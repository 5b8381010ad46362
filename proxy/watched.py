"""The two directions of a session whose statements are judged, message by message.

They are slower than those of other sessions, and hold at most one message of each direction.
"""

from struct import Struct

from proxy.sides import ClientSide, Session, UpstreamSide
from proxy.watch import Refuse, Verdict, Watch
from proxy.wire.errors import MalformedFrame, WireError
from proxy.wire.framing import HEADER_SIZE
from proxy.wire.messages import encode_frame
from proxy.wire.requests import LONGEST_MESSAGE

_read_length = Struct("!xI").unpack_from

_TEXTS = b"QP"
_JUDGED = b"QPBE"
_LONGEST_TEXT = 131_072  # to read a longer one would hold the other sessions up
_NAMES = 2_048  # bytes of a Bind or Execute that hold the names in it
_LONGEST_ERROR = 1_048_576
_ERROR = ord("E")
_FLUSH = encode_frame(b"H", b"")


class WatchedClientSide(ClientSide):
    """Receives from the client, sends to the target what passes."""

    def __init__(self, relay: Session, watch: Watch) -> None:
        super().__init__(relay)
        self._watch = watch
        self._partial = b""  # of a message that is not whole yet
        self._passing = 0  # bytes of the message that is being passed on
        self._judged: tuple[int, bytes] | None = None  # its kind and body, until it is on record
        self._dropping = 0  # bytes of the message that is being refused
        self._refuse: Refuse | None = None
        self._held = False
        self._flushed = False

    def go_on(self) -> None:
        if not self._held:
            super().go_on()

    def confirm(self) -> None:
        """Let the COMMIT pass that is held."""
        self._watch.confirm()
        self._held = False
        self.go_on()

    def _say(self, data: bytes) -> None:
        data = self._partial + data
        self._partial = b""
        position = 0
        while position < len(data):
            before = position
            try:
                position = self._step(data, position)
            except WireError as error:
                self._break(error)
                return
            if position == before:
                break
        rest = data[position:]
        if self.waits:
            self._unsaid = rest
        else:
            self._partial = rest

    def _step(self, data: bytes, position: int) -> int:
        """Do what can be done at `position`. Returns where to go on, which is there again if more
        has to come first, or the client has to wait."""
        if self._passing:
            return self._pass_part(data, position)
        if self._dropping:
            return self._drop_part(data, position)
        room = len(data) - position
        if room < HEADER_SIZE:
            return position
        kind = data[position]
        (length,) = _read_length(data, position)
        if not 4 <= length <= LONGEST_MESSAGE:
            raise MalformedFrame(length, LONGEST_MESSAGE)
        size = length + 1
        if kind not in _JUDGED:
            self._passing = size
            return self._pass_part(data, position)
        is_long = kind in _TEXTS and size > _LONGEST_TEXT
        looked_at = min(size, _NAMES) if is_long or kind not in _TEXTS else size
        if room < looked_at:
            return position
        body = data[position + HEADER_SIZE : position + looked_at]
        if is_long:
            self._begin_to_drop(self._watch.too_long(kind, body), size)
            return self._drop_part(data, position)
        return self._judge(kind, body, size, data, position)

    def _judge(self, kind: int, body: bytes, size: int, data: bytes, position: int) -> int:
        match self._watch.judge(kind, body):
            case Refuse() as refuse:
                self._begin_to_drop(refuse, size)
                return self._drop_part(data, position)
            case Verdict.WAIT:
                if not self._flushed:
                    self._flushed = True
                    self._pass_on(_FLUSH)
                self._wait()
                return position
            case Verdict.HOLD:
                self._held = True
                self._wait()
                self.relay.commit_held()
                return position
            case _:
                pass
        self._flushed = False
        self._passing = size
        self._judged = (kind, body)
        return self._pass_part(data, position)

    def _pass_part(self, data: bytes, position: int) -> int:
        part = data[position : position + self._passing]
        if not self._write_part_down(part):
            return position
        if self._judged is not None:
            self._watch.passed(*self._judged)
            self._judged = None
        self._passing -= len(part)
        self._pass_on(part)
        return position + len(part)

    def _begin_to_drop(self, refuse: Refuse, size: int) -> None:
        self._refuse = refuse
        self._dropping = size

    def _drop_part(self, data: bytes, position: int) -> int:
        """The record has what was asked, the target gets what fails in its place."""
        part = data[position : position + self._dropping]
        if not self._write_part_down(part):
            return position
        self._dropping -= len(part)
        if not self._dropping:
            assert self._refuse is not None
            self._transcript.refuse_newest(self._refuse.refused)
            self._pass_on(self._refuse.instead)
        return position + len(part)

    def _write_part_down(self, part: bytes) -> bool:
        """Of one message, all or nothing can be written down."""
        if self._write_down(part) == len(part):
            return True
        self._wait()
        if not self._transcript.awaits_answers:
            self.relay.wait_for_room(self.go_on)
        return False


class WatchedUpstreamSide(UpstreamSide):
    """Receives from the target, sends to the client, with our errors in place of those that stand
    for what was refused. Where it `is_bounded`, it asks of each message whether it may be sent."""

    def __init__(self, relay: Session, client: ClientSide, *, is_bounded: bool) -> None:
        super().__init__(relay, client)
        self._is_bounded = is_bounded
        self._pending = b""  # an error that is not whole yet

    def data_received(self, data: bytes) -> None:
        if self._pending or self._transcript.refusals or self._is_bounded:
            self._receive_apart(self._pending + data)
        else:
            super().data_received(data)
        if self._client.waits and self._transcript.has_caught_up:
            self.relay.caught_up()
        self.relay.received_more()

    def _receive_apart(self, data: bytes) -> None:
        """Receive each message by itself: an error among them may be to be replaced, and a row may
        be one more than may be sent."""
        self._pending = b""
        position = 0
        if not self._boundary.between_messages:
            rest = self._boundary.until_next(data)
            position = len(data) if rest is None else rest
            super().data_received(data[:position])
        while position < len(data):
            room = len(data) - position
            if room < HEADER_SIZE:
                self._pending = data[position:]
                return
            kind, size = data[position], 1 + _read_length(data, position)[0]
            if self._is_bounded and not self.relay.admits(kind, size):
                return
            is_error = kind == _ERROR and size <= _LONGEST_ERROR
            if is_error and room < size:
                self._pending = data[position:]
                return
            part = data[position : position + size]
            if is_error:
                self._receive_error(part)
            else:
                super().data_received(part)
            position += size

    def _receive_error(self, message: bytes) -> None:
        """Pass on the error, or what stands for it."""
        if self._said:
            return
        self._hear(message)
        self.received += len(message)
        self._answered = self._client.received
        replacement = self._transcript.take_replacement()
        if not self.peer.is_closing():
            self._write(message if replacement is None else replacement)
