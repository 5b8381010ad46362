"""The hot path: two directions of one session, whole buffers as they come.

Nothing is read from one side faster than the other takes it. What the server says is followed by
message headers only, so that our own words can be put between two of its messages.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from proxy.stream import MessageStream
from proxy.wire.boundary import Boundary
from proxy.wire.messages import TERMINATE, encode_error

# Bytes that may wait for a slow peer before the other one is paused.
_HIGH_WATER = 262_144
# A client that does not take its last message within this is cut off.
_GOODBYE_TIMEOUT_S = 2.0
_LINGER_S = 0.05  # between our last words and the end of the connection
# How long what is left may take to flow out to one side once the other is gone.
_FLUSH_TIMEOUT_S = 30.0
# The types of what the server said last when it is ready: at the beginning it has said so before
# the relay began.
_READY = (0, ord("Z"))


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Why a session ends: `reason` for the record, the rest for the client."""

    reason: str
    sqlstate: str
    message: str
    hint: str | None = None

    def encode(self) -> bytes:
        return encode_error(self.sqlstate, self.message, hint=self.hint)


class Relay:
    """One session between a client and its target. Await `run`."""

    def __init__(self) -> None:
        self._client = _ClientSide(self)
        self._upstream = _UpstreamSide(self, self._client)
        self._client.peer_side, self._upstream.peer_side = self._upstream, self._client
        self._loop = asyncio.get_running_loop()
        self._finished = self._loop.create_future()
        self._deadline: asyncio.TimerHandle | None = None
        self.reason = "closed by the client"

    @property
    def bytes_from_client(self) -> int:
        return self._client.received

    @property
    def bytes_to_client(self) -> int:
        return self._upstream.received

    @property
    def activity(self) -> int:
        """A number that grows whenever bytes move."""
        return self._client.received + self._upstream.received

    @property
    def is_idle(self) -> bool:
        """Whether the server was ready for a query when it last spoke, and none has come since."""
        return self._upstream.is_ready

    async def run(self, client: MessageStream, upstream: MessageStream) -> None:
        """Relay until both sides are gone. Either may be gone already."""
        self._client.join(client.transport, upstream.transport)
        self._upstream.join(upstream.transport, client.transport)
        for stream, side in ((client, self._client), (upstream, self._upstream)):
            if not stream.transport.is_closing():
                stream.transport.set_write_buffer_limits(high=_HIGH_WATER)
            stream.hand_over(side)
        try:
            await self._finished
        finally:
            if self._deadline is not None:
                self._deadline.cancel()
            client.transport.abort()
            upstream.transport.abort()

    def notify(self, message: bytes) -> None:
        """Tell the client something, in a whole message, the next time that the server has nothing
        more to say: at once, if the session is idle. Dropped if the session ends first."""
        self._upstream.add_notice(message)

    @contextmanager
    def client_held(self) -> Iterator[None]:
        """Pass nothing on from the client for a while, however much it says."""
        self._client.stop_reading()
        try:
            yield
        finally:
            self._client.read_on()

    def end(self, goodbye: Goodbye) -> None:
        """End the session with a last message, put after the server's current one."""
        if self._finished.done() or self._upstream.goodbye is not None:
            return
        if not (self._client.lost or self._upstream.lost):
            self.reason = goodbye.reason
        self._client.stop()
        self._upstream.say(goodbye)
        self._abort_within(_GOODBYE_TIMEOUT_S)

    def client_ends(self) -> None:
        """The client says nothing more; what it has asked for may still be answered for a while."""
        self._abort_within(_FLUSH_TIMEOUT_S)

    def side_lost(self) -> None:
        if not (self._client.lost and self._upstream.lost):
            self._abort_within(_FLUSH_TIMEOUT_S)
        elif not self._finished.done():
            self._finished.set_result(None)

    def goodbye_said(self) -> None:
        """Close without waiting for the client, once our last words are out.

        Until then what it still sends is read and thrown away: closing a socket that has unread
        bytes resets the connection, and some clients' systems then forget what we said.
        """
        self._loop.call_later(_LINGER_S, self._abort_when_flushed)

    def _abort_when_flushed(self) -> None:
        client = self._client.transport
        if client is not None and client.get_write_buffer_size():
            self._loop.call_later(_LINGER_S, self._abort_when_flushed)
        else:
            self._abort()

    def _abort_within(self, seconds: float) -> None:
        at = self._loop.time() + seconds
        if self._deadline is not None:
            if self._deadline.when() <= at:
                return
            self._deadline.cancel()
        self._deadline = self._loop.call_at(at, self._abort)

    def _abort(self) -> None:
        for side in (self._client, self._upstream):
            if side.transport is not None:
                side.transport.abort()


class _Side(asyncio.Protocol):
    """What both directions share: counting, and back-pressure towards the peer.

    The peer may be gone before the relay begins, or closed and not yet have said so: uvloop's
    transports then raise RuntimeError when they are written to.
    """

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.transport: asyncio.Transport | None = None
        self.received = 0
        self.lost = False
        self.peer_side: _Side | None = None
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


class _ClientSide(_Side):
    """Receives from the client, sends to the target."""

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay)
        self._stopped = False
        self._hung_up = False
        self._tail = b""

    @property
    def said_goodbye(self) -> bool:
        return self._hung_up or self._tail == TERMINATE

    def data_received(self, data: bytes) -> None:
        if self._stopped:
            return
        try:
            self._write(data)
        except RuntimeError:
            return
        size = len(data)
        self.received += size
        self._tail = data[-5:] if size > 4 else (self._tail + data)[-5:]  # as long as TERMINATE

    def eof_received(self) -> bool:
        """Pass the end on, and the answers back: a client may close one direction only."""
        if self._stopped or self.peer.is_closing() or not self.peer.can_write_eof():
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
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()  # the target may have been too slow for it

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.lost = True
        self.peer.close()
        self.relay.side_lost()


class _UpstreamSide(_Side):
    """Receives from the target, sends to the client."""

    def __init__(self, relay: Relay, client: _ClientSide) -> None:
        super().__init__(relay)
        self.goodbye: Goodbye | None = None
        self._client = client
        self._boundary = Boundary()
        self._advance = self._boundary.advance
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
            return
        try:
            self._write(data)
        except RuntimeError:
            return
        self.received += len(data)
        self._answered = self._client.received
        self._advance(data)

    def add_notice(self, message: bytes) -> None:
        if self.goodbye is not None or self.lost:
            return
        self._notices += message
        self._interrupted = True
        if self.is_ready and self._peer is not None:
            self._give_notice()

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
        self._advance(data)

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
