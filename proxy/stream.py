"""Whole messages over a transport, for the time before the relay takes over."""

import asyncio
from typing import cast

from proxy.wire.framing import Frame, Frames

_READ_AHEAD = 65_536  # bytes; a peer that sends more before it is its turn is made to wait


class Disconnected(Exception):
    """The peer is gone; there is nobody to tell anything."""


class MessageStream(asyncio.Protocol):
    """One peer during its handshake. Use as the protocol of a transport, then read messages."""

    def __init__(self, max_length: int) -> None:
        self._frames = Frames(max_length)
        self._buffered = 0
        self._arrived = asyncio.Event()
        self._lost = False
        self._full = False
        self._transport: asyncio.Transport | None = None

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    @property
    def encrypted(self) -> bool:
        return self.transport.get_extra_info("ssl_object") is not None

    def peer_certificate(self) -> bytes | None:
        """Return the TLS peer's own certificate (DER), if it showed one."""
        ssl_object = self.transport.get_extra_info("ssl_object")
        shown: bytes | None = ssl_object.getpeercert(True) if ssl_object is not None else None
        return shown

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._frames.feed(data)
        self._buffered += len(data)
        if self._buffered > _READ_AHEAD:
            self.transport.pause_reading()
        self._arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._lost = True
        self._arrived.set()

    async def next_startup(self) -> bytes:
        """Return the body of a message without a type byte. Raises WireError, Disconnected."""
        while (body := self._frames.next_startup()) is None:
            await self._more()
        return body

    async def next_frame(self) -> Frame:
        """Return the next message. Raises WireError, Disconnected."""
        while (frame := self._frames.next_frame()) is None:
            await self._more()
        return frame

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False

    def write(self, data: bytes) -> None:
        """Raises Disconnected when the peer has left."""
        if self.transport.is_closing():
            raise Disconnected
        self.transport.write(data)

    def say_goodbye(self, data: bytes) -> None:
        """Send the last words and close once they are out."""
        if not self.transport.is_closing():
            self.transport.write(data)
            self.transport.close()

    def hand_over(self, successor: asyncio.Protocol) -> None:
        """Let `successor` have everything that comes from now on, and what is already here."""
        rest = self._frames.take_rest()
        self.transport.set_protocol(successor)
        successor.connection_made(self.transport)
        # Before anything is delivered, which may pause reading or writing for good reason.
        if self._buffered > _READ_AHEAD and not self.transport.is_closing():
            self.transport.resume_reading()
        if self._full:
            successor.pause_writing()
        if rest:
            successor.data_received(rest)
        # Hearing it twice does no harm.
        if self._lost or self.transport.is_closing():
            successor.connection_lost(None)

    async def _more(self) -> None:
        if self._lost:
            raise Disconnected
        if self._buffered > _READ_AHEAD:
            self.transport.resume_reading()
        self._buffered = 0
        self._arrived.clear()
        await self._arrived.wait()
