"""TLS over a plain transport: one read, one decryption and one write for each buffer.

The event loops' own TLS costs more than the encryption does. Here nothing is kept back: what was
read is decrypted and delivered at once, what is written is encrypted and handed on at once, so that
the plain transport's flow control bounds both directions. After `pause_reading`, the rest of the
one read that is under way may still come.

Closing does not wait for the peer's close_notify, and a stream that ends without one ends all the
same: PostgreSQL's messages say themselves where they end, and a client that does not read would
otherwise keep us.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any, cast

_HANDSHAKE_TIMEOUT_S = 10.0
_MAX_RECORD = 16_384  # bytes of plaintext in one record, RFC 8446 section 5.1
# Bytes that OpenSSL is given at once. Its buffers grow with them, and stay as long as the session.
_CHUNK = 2 * _MAX_RECORD
# Answers of OpenSSL itself, to key updates, that may wait for a peer who does not read them.
_MAX_UNREAD = 1_048_576

_Buffer = bytes | bytearray | memoryview


async def accept_tls(
    sock: socket.socket, context: ssl.SSLContext, protocol: asyncio.Protocol
) -> None:
    """Shake hands as the server, then let `protocol` have what the client says.

    Raises OSError: an ssl.SSLError, TimeoutError, or because the client has left. The socket then
    belongs to nobody any more.
    """
    loop = asyncio.get_running_loop()
    handshake = _Handshake(context, protocol, server_side=True)
    await loop.connect_accepted_socket(lambda: handshake, sock)
    await handshake.wait()


async def connect_tls(
    sock: socket.socket, context: ssl.SSLContext, hostname: str, protocol: asyncio.Protocol
) -> None:
    """Shake hands as the client, then let `protocol` have what the server says.

    Whether `hostname` must be in the certificate is the context's decision. Raises as `accept_tls`.
    """
    loop = asyncio.get_running_loop()
    handshake = _Handshake(context, protocol, server_hostname=hostname)
    # Not uvloop's create_connection, which takes hold of the socket object only after
    # connection_made: if that writes to a peer who has reset the connection, the descriptor is
    # closed by then, and the object closes its number once more when it is collected, whosever
    # that is then.
    await loop.connect_accepted_socket(lambda: handshake, sock)
    await handshake.wait()


class _Engine:
    """OpenSSL between two buffers in memory."""

    __slots__ = ("incoming", "outgoing", "ssl_object")

    def __init__(
        self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None
    ) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl_object = context.wrap_bio(
            self.incoming, self.outgoing, server_side=server_side, server_hostname=server_hostname
        )


class _Handshake(asyncio.Protocol):
    """What the plain transport talks to until both sides have keys."""

    def __init__(
        self,
        context: ssl.SSLContext,
        protocol: asyncio.Protocol,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> None:
        self._engine = _Engine(context, server_side=server_side, server_hostname=server_hostname)
        self._protocol = protocol
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._plain: asyncio.Transport | None = None

    async def wait(self) -> None:
        assert self._plain is not None
        try:
            async with asyncio.timeout(_HANDSHAKE_TIMEOUT_S):
                await self._done
        except BaseException:
            self._plain.abort()
            raise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._plain = cast("asyncio.Transport", transport)
        self._step()

    def data_received(self, data: bytes) -> None:
        self._engine.incoming.write(data)
        if not self._done.done():
            self._step()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionResetError("closed during the TLS handshake"))

    def _step(self) -> None:
        try:
            self._engine.ssl_object.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._flush()  # the alert that says why
            self._fail(error)
        else:
            self._flush()
            self._hand_over()

    def _flush(self) -> None:
        assert self._plain is not None
        if self._engine.outgoing.pending and not self._plain.is_closing():
            self._plain.write(self._engine.outgoing.read())

    def _fail(self, error: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(error)

    def _hand_over(self) -> None:
        assert self._plain is not None
        transport = TlsTransport(self._plain, self._engine, self._protocol)
        self._done.set_result(None)
        transport.begin()


class TlsTransport(asyncio.Transport):
    """The encrypted side, as a protocol sees it."""

    def __init__(
        self, plain: asyncio.Transport, engine: _Engine, protocol: asyncio.Protocol
    ) -> None:
        super().__init__()
        self._plain = plain
        self._ssl_object = engine.ssl_object
        self._outgoing = engine.outgoing
        self._records = _Records(self, plain, engine, protocol)
        self._said_goodbye = False
        self._closing = False
        # Looked up once: a session calls them for every buffer.
        self._encrypt = engine.ssl_object.write
        self._take = engine.outgoing.read
        self._send = plain.write

    def begin(self) -> None:
        """Let the protocol have what came after the handshake, maybe in the same read."""
        self._plain.set_protocol(self._records)
        self._records.protocol.connection_made(self)
        self._records.data_received(b"")

    def write(self, data: _Buffer) -> None:
        """Raises RuntimeError once the connection is closed, as the loops' transports do."""
        size = len(data)
        if 0 < size <= _CHUNK:
            try:
                self._encrypt(cast("bytes", data))
            except ssl.SSLError:
                self._refuse_to_write()
                return
            self._send(self._take())
            return
        view = memoryview(data)
        for start in range(0, size, _CHUNK):
            self.write(view[start : start + _CHUNK])

    def write_eof(self) -> None:
        """Say that nothing more will come; go on reading."""
        self._say_goodbye()
        if not self._plain.is_closing():
            self._plain.write_eof()

    def can_write_eof(self) -> bool:
        return self._plain.can_write_eof()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._say_goodbye()
            self._plain.close()

    def abort(self) -> None:
        self._closing = True
        self._plain.abort()

    def is_closing(self) -> bool:
        return self._closing or self._plain.is_closing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._records.protocol = cast("asyncio.Protocol", protocol)
        self._records.deliver = self._records.protocol.data_received

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._records.protocol

    def pause_reading(self) -> None:
        self._plain.pause_reading()

    def resume_reading(self) -> None:
        self._plain.resume_reading()

    def is_reading(self) -> bool:
        return self._plain.is_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._plain.set_write_buffer_limits(high=high, low=low)

    def get_write_buffer_size(self) -> int:
        return self._plain.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (
            self._ssl_object if name == "ssl_object" else self._plain.get_extra_info(name, default)
        )

    def _refuse_to_write(self) -> None:
        if self._said_goodbye:
            raise RuntimeError("nothing can be written after the end")
        self.abort()  # the peer has sent an alert, or OpenSSL has given up

    def _say_goodbye(self) -> None:
        if self._said_goodbye or self._plain.is_closing():
            return
        self._said_goodbye = True
        with contextlib.suppress(ssl.SSLError):  # close_notify is written; the peer's has not come
            self._ssl_object.unwrap()
        if self._outgoing.pending:
            self._plain.write(self._outgoing.read())


class _Records(asyncio.Protocol):
    """The plain side: decrypts what the plain transport has read."""

    def __init__(
        self,
        transport: TlsTransport,
        plain: asyncio.Transport,
        engine: _Engine,
        protocol: asyncio.Protocol,
    ) -> None:
        self._transport = transport
        self._plain = plain
        self._incoming, self._outgoing = engine.incoming, engine.outgoing
        self._feed: Callable[[_Buffer], int] = engine.incoming.write
        self._decrypt: Callable[[int], bytes] = engine.ssl_object.read
        self._ended = False
        self._held = _MAX_RECORD  # as much may have come of a record that is not whole, at most
        self.protocol = protocol
        self.deliver = protocol.data_received

    def data_received(self, data: bytes | memoryview) -> None:
        if len(data) > _CHUNK:
            view = memoryview(data)
            for start in range(0, len(data), _CHUNK):
                self.data_received(view[start : start + _CHUNK])
            return
        if self._ended:
            return
        # No record can hold more. Memory for what is small is cheaper.
        room = min(self._held + len(data), _MAX_RECORD) or 1  # 0 bytes would look like the end
        self._held = 0
        self._feed(data)
        try:
            # Each read returns one whole record, so that OpenSSL holds at most a part of the next.
            while plaintext := self._decrypt(room):
                self.deliver(plaintext)
                if not self._incoming.pending or self._transport.is_closing():
                    break
            else:
                self._peer_ends()  # it sent close_notify
        except ssl.SSLWantReadError:
            self._held = _MAX_RECORD
        except ssl.SSLError:
            self._fail()
        if self._outgoing.pending:
            self._answer()

    def eof_received(self) -> bool:
        return self._peer_ends()

    def connection_lost(self, exc: Exception | None) -> None:
        self.protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self.protocol.pause_writing()

    def resume_writing(self) -> None:
        self.protocol.resume_writing()

    def _peer_ends(self) -> bool:
        """Tell the protocol once. Returns whether it wants to go on writing."""
        if not self._ended:
            self._ended = True
            if not self.protocol.eof_received():
                self._transport.close()
        return not self._transport.is_closing()

    def _fail(self) -> None:
        self._ended = True
        if self._outgoing.pending and not self._plain.is_closing():
            self._plain.write(self._outgoing.read())  # the alert that says why
        self._transport.abort()

    def _answer(self) -> None:
        """Send what OpenSSL has to say by itself, which must not pile up either."""
        if self._plain.is_closing():
            return
        if self._plain.get_write_buffer_size() > _MAX_UNREAD:
            self._transport.abort()
        else:
            self._plain.write(self._outgoing.read())
