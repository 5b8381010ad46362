"""The hot path: two directions of one session, whole buffers as they come.

Nothing is read from one side faster than the other takes it. What the server says is followed by
message headers only, so that our own goodbye can be put between two of its messages.
"""

import asyncio
from dataclasses import dataclass
from typing import cast

from proxy.stream import MessageStream
from proxy.wire.boundary import Boundary
from proxy.wire.messages import TERMINATE, encode_error

# Bytes that may wait for a slow peer before the other one is paused.
_HIGH_WATER = 262_144
# A client that does not take its last message within this is cut off.
_GOODBYE_TIMEOUT_S = 2.0
# How long what is left may take to flow out to one side once the other is gone.
_FLUSH_TIMEOUT_S = 30.0


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
        self._upstream = _UpstreamSide(self)
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

    async def run(self, client: MessageStream, upstream: MessageStream) -> None:
        """Relay until both sides are gone. Either may be gone already."""
        self._client.peer = upstream.transport
        self._upstream.peer = client.transport
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

    def end(self, goodbye: Goodbye) -> None:
        """End the session with a last message, put after the server's current one."""
        if self._finished.done() or self._upstream.goodbye is not None:
            return
        if not (self._client.lost or self._upstream.lost):
            self.reason = goodbye.reason
        self._client.stop()
        self._upstream.say(goodbye)
        self._abort_after(_GOODBYE_TIMEOUT_S)

    @property
    def client_said_goodbye(self) -> bool:
        return self._client.said_goodbye

    def side_lost(self) -> None:
        if not (self._client.lost and self._upstream.lost):
            self._abort_after(_FLUSH_TIMEOUT_S)
        elif not self._finished.done():
            self._finished.set_result(None)

    def _abort_after(self, seconds: float) -> None:
        if self._deadline is None:
            self._deadline = self._loop.call_later(seconds, self._abort)

    def _abort(self) -> None:
        for side in (self._client, self._upstream):
            if side.transport is not None:
                side.transport.abort()


class _Side(asyncio.Protocol):
    """What both directions share: counting, and back-pressure towards the peer.

    Both ask whether the peer is closing before they write: it may be gone before the relay begins,
    asyncio's TLS delivers even while it closes, and uvloop's transports raise once they are closed.
    """

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.transport: asyncio.Transport | None = None
        self.peer: asyncio.Transport | None = None
        self.received = 0
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        """Our own transport is full: stop reading what would be written to it."""
        if self.peer is not None and not self.peer.is_closing():
            self.peer.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and not self.peer.is_closing():
            self.peer.resume_reading()


class _ClientSide(_Side):
    """Receives from the client, sends to the target."""

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay)
        self._stopped = False
        self._tail = b""

    @property
    def said_goodbye(self) -> bool:
        return self._tail == TERMINATE

    def data_received(self, data: bytes) -> None:
        assert self.peer is not None
        if self._stopped or self.peer.is_closing():
            return
        self.received += len(data)
        size = len(TERMINATE)
        self._tail = data[-size:] if len(data) >= size else (self._tail + data)[-size:]
        self.peer.write(data)

    def stop(self) -> None:
        """Pass nothing on any more: what the client still sends must not be run."""
        self._stopped = True

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.lost = True
        assert self.peer is not None
        self.peer.close()
        self.relay.side_lost()


class _UpstreamSide(_Side):
    """Receives from the target, sends to the client."""

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay)
        self.goodbye: Goodbye | None = None
        self._boundary = Boundary()

    def data_received(self, data: bytes) -> None:
        assert self.peer is not None
        if self.peer.is_closing():
            return
        if self.goodbye is not None:
            self._finish_message(data)
            return
        self.received += len(data)
        self._boundary.advance(data)
        self.peer.write(data)

    def say(self, goodbye: Goodbye) -> None:
        self.goodbye = goodbye
        if self._boundary.between_messages:
            self._close_with(goodbye.encode())

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.lost = True
        assert self.peer is not None
        if not self.peer.is_closing():
            if self.goodbye is None and not self.relay.client_said_goodbye:
                self._explain_loss()
            self.peer.close()
        self.relay.side_lost()

    def _explain_loss(self) -> None:
        """Nobody here wanted the session to end: say so, unless the target did."""
        assert self.peer is not None
        if self._boundary.last_kind == ord("E"):
            self.relay.reason = "ended by the target"
            return
        self.relay.reason = "the target was lost"
        if self._boundary.between_messages:
            self.peer.write(encode_error("08006", "the target closed the connection"))

    def _finish_message(self, data: bytes) -> None:
        """Pass on the rest of the message that was under way, then say goodbye."""
        assert self.peer is not None
        assert self.goodbye is not None
        end = self._boundary.until_next(data)
        if end is None:
            self.received += len(data)
            self._boundary.advance(data)
            self.peer.write(data)
        else:
            self.received += end
            self._close_with(data[:end] + self.goodbye.encode())

    def _close_with(self, data: bytes) -> None:
        assert self.peer is not None
        if not self.peer.is_closing():
            self.peer.write(data)
            self.peer.close()
        if self.transport is not None:
            self.transport.abort()
