"""The hot path: two directions of one session, from its first query to its end.

Nothing is read from one side faster than the other takes it.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from proxy.goodbye import Goodbye
from proxy.sides import ClientSide, UpstreamSide
from proxy.stream import MessageStream
from proxy.transcript import Transcript
from proxy.watch import Watch
from proxy.watched import WatchedClientSide, WatchedUpstreamSide

# Bytes that may wait for a slow peer before the other one is paused.
_HIGH_WATER = 262_144
# A client that does not take its last message within this is cut off.
_GOODBYE_TIMEOUT_S = 2.0
_LINGER_S = 0.05  # between our last words and the end of the connection
# How long what is left may take to flow out to one side once the other is gone.
_FLUSH_TIMEOUT_S = 30.0

_ROWS = b"Dd"  # DataRow and CopyData

WaitForRoom = Callable[[Callable[[], None]], None]


@dataclass(frozen=True, slots=True)
class Watching:
    """What is asked and told about a session that is held to conditions. Without a `watch` its
    statements are not judged. Of a bounded one it is asked, with rows and bytes so far and one more
    message, whether it `admits` that; `received` is told of what has come."""

    watch: Watch | None
    commit_held: Callable[[int], None]
    is_bounded: bool
    admits: Callable[[int, int], bool]
    received: Callable[[int, int], None]


class Relay:
    """One session between a client and its target. Await `run`."""

    def __init__(
        self, transcript: Transcript, wait_for_room: WaitForRoom, watching: Watching | None = None
    ) -> None:
        """`wait_for_room` has something called when the transcript is worth another try."""
        self.transcript = transcript
        self._wait_for_room = wait_for_room
        self._watching = watching
        watch = watching.watch if watching is not None else None
        self._client = ClientSide(self) if watch is None else WatchedClientSide(self, watch)
        self._upstream = (
            UpstreamSide(self, self._client)
            if watching is None
            else WatchedUpstreamSide(self, self._client, is_bounded=watching.is_bounded)
        )
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

    def commit_held(self) -> None:
        assert self._watching is not None
        self._watching.commit_held(self.transcript.changed)

    def confirm_commit(self) -> None:
        """Let the COMMIT pass that is held."""
        assert isinstance(self._client, WatchedClientSide)
        self._client.confirm()

    def admits(self, kind: int, size: int) -> bool:
        assert self._watching is not None
        rows = self.transcript.rows_sent + (kind in _ROWS)
        return self._watching.admits(rows, self._upstream.received + size)

    def received_more(self) -> None:
        assert self._watching is not None
        self._watching.received(self.transcript.rows_sent, self._upstream.received)

    def hold_upstream(self) -> None:
        """Take nothing from the target until `release_upstream`."""
        self._upstream.stop_reading()

    def release_upstream(self) -> None:
        self._upstream.read_on()

    def tell(self, message: bytes) -> None:
        """Tell the client something while it waits, before the target's next message."""
        self._upstream.tell(message)

    def client_ends(self) -> None:
        """The client says nothing more; what it has asked for may still be answered for a while."""
        self._abort_within(_FLUSH_TIMEOUT_S)

    def side_lost(self) -> None:
        if not (self._client.lost and self._upstream.lost):
            self._abort_within(_FLUSH_TIMEOUT_S)
        elif not self._finished.done():
            self._finished.set_result(None)

    def wait_for_room(self, call: Callable[[], None]) -> None:
        self._wait_for_room(call)

    def caught_up(self) -> None:
        """The target has answered for most of what the client has sent."""
        self._client.go_on()

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
