"""The two directions of a session: what comes from the client, and what comes from its target.

Whole buffers are passed on as they come. What the client wants to be run is written down before:
where there is no room for that, it waits. What the server says is followed by message headers, so
that outcomes are known, and our own words can be put between two of its messages.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from proxy.goodbye import Goodbye
from proxy.transcript import Transcript
from proxy.wire.errors import WireError
from proxy.wire.messages import TERMINATE, encode_error

# The types of what the server said last when it is ready: at the beginning it has said so before
# the relay began.
_READY = (0, ord("Z"))


class Session(Protocol):
    """What both sides belong to."""

    transcript: Transcript
    reason: str

    def end(self, goodbye: Goodbye) -> None:
        """End the session with a last message, put after the server's current one."""

    def wait_for_room(self, call: Callable[[], None]) -> None:
        """Have `call` called when the transcript is worth another try."""

    def caught_up(self) -> None:
        """The target has answered for most of what the client has sent."""

    def commit_held(self) -> None:
        """The client has to wait until somebody decides about its COMMIT."""

    def admits(self, kind: int, size: int) -> bool:
        """Whether a message of the target, of so many bytes, may be sent to the client. If not, the
        session ends."""

    def received_more(self) -> None:
        """The target has said something, in a session where that is watched."""

    def client_ends(self) -> None:
        """The client says nothing more."""

    def side_lost(self) -> None:
        """One side is gone."""

    def goodbye_said(self) -> None:
        """Our last words are on their way."""


class Side(asyncio.Protocol):
    """What both directions share: counting, and back-pressure towards the peer.

    The peer may be gone before the relay begins, or closed and not yet have said so: uvloop's
    transports then raise RuntimeError when they are written to.
    """

    def __init__(self, relay: Session) -> None:
        self.relay = relay
        self.transport: asyncio.Transport | None = None
        self.received = 0
        self.lost = False
        self.peer_side: Side | None = None
        self._own: asyncio.Transport | None = None
        self._peer: asyncio.Transport | None = None
        self._write: Callable[[bytes], None] = _nowhere
        self._stopped_by = 0  # how many reasons there are not to read

    @property
    def peer(self) -> asyncio.Transport:
        assert self._peer is not None
        return self._peer

    def join(self, own: asyncio.Transport, peer: asyncio.Transport) -> None:
        """Pass on from one to the other, once the first is handed over."""
        self._own = own
        self._peer = peer
        self._write = peer.write  # looked up once: it is called for every buffer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        """Our own transport is full: stop reading what would be written to it."""
        assert self.peer_side is not None
        self.peer_side.stop_reading()

    def resume_writing(self) -> None:
        assert self.peer_side is not None
        self.peer_side.read_on()

    def stop_reading(self) -> None:
        """Read nothing until `read_on` was called as often as this."""
        self._stopped_by += 1
        if self._stopped_by == 1 and self._own is not None and not self._own.is_closing():
            self._own.pause_reading()

    def read_on(self) -> None:
        self._stopped_by -= 1
        if self._stopped_by == 0 and self._own is not None and not self._own.is_closing():
            self._own.resume_reading()


def _nowhere(_data: bytes) -> None:
    raise RuntimeError("the relay has not begun")


class ClientSide(Side):
    """Receives from the client, sends to the target."""

    def __init__(self, relay: Session) -> None:
        super().__init__(relay)
        self._transcript = relay.transcript
        self._write_down = relay.transcript.client_says
        self._stopped = False
        self._hung_up = False
        self._tail = b""
        self._waits = False  # for room in the record, or for answers of the target
        self._unsaid = b""

    @property
    def waits(self) -> bool:
        """Whether the client has to wait for room in the record, or for answers of the target."""
        return self._waits

    @property
    def said_goodbye(self) -> bool:
        return self._hung_up or self._tail == TERMINATE

    def data_received(self, data: bytes) -> None:
        if self._stopped:
            return
        if self._unsaid:  # the rest of one read may come although no more was wanted
            self._unsaid += data
            return
        self._say(data)

    def go_on(self) -> None:
        """Say what had to wait."""
        if self._waits:
            self._waits = False
            self.read_on()
            rest, self._unsaid = self._unsaid, b""
            if rest and not self._stopped:
                self._say(rest)

    def _say(self, data: bytes) -> None:
        """Pass on what is on record."""
        try:
            passed = self._write_down(data)
        except WireError as error:
            self._break(error)
            return
        size = len(data)
        if passed < size:
            self._unsaid = data[passed:]
            self._wait()
            if not self._transcript.awaits_answers:
                self.relay.wait_for_room(self.go_on)
            if not passed:
                return
            data = data[:passed]
        elif self._transcript.is_behind:
            self._wait()
        self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        try:
            self._write(data)
        except RuntimeError:
            return
        size = len(data)
        self.received += size
        self._tail = data[-5:] if size > 4 else (self._tail + data)[-5:]  # as long as TERMINATE

    def _break(self, error: WireError) -> None:
        """End the session, as the target would."""
        self.relay.end(Goodbye("protocol violation", error.sqlstate, str(error)))

    def _wait(self) -> None:
        if not self._waits:
            self._waits = True
            self.stop_reading()

    def eof_received(self) -> bool:
        """Pass the end on, and the answers back: a client may close one direction only."""
        if self._stopped or self._unsaid or self.peer.is_closing() or not self.peer.can_write_eof():
            return False
        self._hung_up = True
        self.peer.write_eof()
        self.relay.client_ends()
        return True

    def stop_reading(self) -> None:
        if not self._stopped:
            super().stop_reading()

    def stop(self) -> None:
        """Pass nothing on any more: what the client still sends must not be run."""
        self._stopped = True
        self._unsaid = b""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()  # the target may have been too slow for it

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.lost = True
        self.peer.close()
        self.relay.side_lost()


class UpstreamSide(Side):
    """Receives from the target, sends to the client."""

    def __init__(self, relay: Session, client: ClientSide) -> None:
        super().__init__(relay)
        self.goodbye: Goodbye | None = None
        self._client = client
        self._transcript = relay.transcript
        self._boundary = relay.transcript.boundary
        self._hear = relay.transcript.server_says
        self._notices = b""
        self._interrupted = False  # we have something to say ourselves
        self._said = False
        self._answered = 0  # how much the client had sent when the server last spoke

    @property
    def is_ready(self) -> bool:
        boundary = self._boundary
        return (
            boundary.between_messages
            and boundary.last_kind in _READY
            and self._answered == self._client.received
        )

    def data_received(self, data: bytes) -> None:
        if self._interrupted:
            self._interrupt(data)
        else:
            try:
                self._write(data)
            except RuntimeError:
                return
            self.received += len(data)
            self._answered = self._client.received
            self._hear(data)
        if self._client.waits and self._transcript.has_caught_up:
            self.relay.caught_up()

    def add_notice(self, message: bytes) -> None:
        if self.goodbye is not None or self.lost:
            return
        self._notices += message
        self._interrupted = True
        if self.is_ready and self._peer is not None:
            self._give_notice()

    def tell(self, message: bytes) -> None:
        """Put a notice between two of the target's messages: now, if it is not within one."""
        if self._boundary.between_messages and not self._interrupted and not self.peer.is_closing():
            self._write(message)
        else:
            self.add_notice(message)

    def say(self, goodbye: Goodbye) -> None:
        self.goodbye = goodbye
        self._interrupted = True
        if self._boundary.between_messages:
            self._close_with(goodbye.encode())

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.lost = True
        if not self._said and not self.peer.is_closing():
            if self.goodbye is None and not self._client.said_goodbye:
                self._explain_loss()
            self.peer.close()
        self.relay.side_lost()

    def _interrupt(self, data: bytes) -> None:
        if self._said:
            return
        if self.goodbye is not None:
            self._finish_message(data, self.goodbye)
            return
        self._pass_on(data)
        if self.is_ready:
            self._give_notice()

    def _give_notice(self) -> None:
        notices, self._notices = self._notices, b""
        self._interrupted = False
        if not self.peer.is_closing():
            self._write(notices)

    def _explain_loss(self) -> None:
        """Nobody here wanted the session to end: say so, unless the target did."""
        if self._boundary.last_kind == ord("E"):
            self.relay.reason = "ended by the target"
            return
        self.relay.reason = "the target was lost"
        if self._boundary.between_messages:
            self._write(encode_error("08006", "the target closed the connection"))

    def _finish_message(self, data: bytes, goodbye: Goodbye) -> None:
        """Pass on the rest of the message that was under way, then say goodbye."""
        end = self._boundary.until_next(data)
        if end is None:
            self._pass_on(data)
        else:
            self.received += end
            self._close_with(data[:end] + goodbye.encode())

    def _pass_on(self, data: bytes) -> None:
        if self.peer.is_closing():
            return
        self._write(data)
        self.received += len(data)
        self._answered = self._client.received
        self._hear(data)

    def _close_with(self, data: bytes) -> None:
        self._said = True
        if not self.peer.is_closing():
            self._write(data)
            if self.peer.can_write_eof():
                self.peer.write_eof()
            else:
                self.peer.close()
            self.relay.goodbye_said()
        if self.transport is not None:
            self.transport.abort()
