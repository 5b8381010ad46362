"""From an accepted socket to a client whose first real message is known.

Encryption is settled on the bare socket, with exact reads: whatever a client sends between its
SSLRequest and the handshake can then be seen and refused, and never ends up inside the encrypted
stream (CVE-2021-23214). Only then is there a transport. What a load balancer puts before all this
must be read from the socket just as exactly, before `open_client`.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from proxy.sockets import readable
from proxy.startup import Authenticate, Cancel, DeclineEncryption, Refuse, Startup, UpgradeToTls
from proxy.stream import Disconnected, MessageStream
from proxy.tls_transport import accept_tls
from proxy.wire.errors import WireError
from proxy.wire.framing import MAX_SASL_LENGTH, check_startup_length
from proxy.wire.messages import CancelRequest, StartupMessage, decode_first, encode_error
from proxy.wire.proxy_header import looks_like_header

_TLS_HANDSHAKE = 0x16  # the content type that every TLS connection begins with
_ALPN = "postgresql"
_LENGTH_SIZE = 4


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody who wants to log in: not authenticated yet."""

    stream: MessageStream
    startup: StartupMessage


@dataclass(frozen=True, slots=True)
class CancelWish:
    """Somebody who wants a query cancelled, and takes the end of the connection, by `close`, for
    the word that this is done."""

    request: CancelRequest
    close: Callable[[], None]


async def open_client(
    sock: socket.socket, context: ssl.SSLContext | None, *, tls_required: bool
) -> Client | CancelWish:
    """Return what the client wants. The socket belongs to what is returned, or to the caller if
    nothing is.

    Raises Disconnected when the client has left, or was refused and told so.
    """
    startup = Startup(tls_available=context is not None, tls_required=tls_required)
    try:
        if context is not None and await _begins_with_tls(sock):
            startup.encrypted_from_the_start()
            return await _go_on(startup, await _direct_tls(sock, context))
        while True:
            body = await _read_first(sock)
            command = startup.receive(decode_first(body))
            match command:
                case Cancel():
                    return CancelWish(command.request, sock.close)
                case UpgradeToTls():
                    assert context is not None
                    _refuse_early_bytes(sock)
                    await _send(sock, b"S")
                    return await _go_on(startup, await _encrypted(sock, context))
                case DeclineEncryption():
                    await _send(sock, b"N")
                case Refuse():
                    await _send(
                        sock, encode_error(command.sqlstate, command.message, hint=command.hint)
                    )
                    raise Disconnected
                case Authenticate():
                    return Client(await _plain(sock), command.startup)
    except WireError as error:
        with contextlib.suppress(OSError):  # who breaks the protocol may not stay for the answer
            await _send(sock, encode_error(error.sqlstate, str(error)))
        raise Disconnected from error
    except OSError as error:  # ssl.SSLError is one
        raise Disconnected from error


async def _go_on(startup: Startup, stream: MessageStream) -> Client | CancelWish:
    """Read the first real message of an encrypted connection."""
    try:
        command = startup.receive(decode_first(await stream.next_startup()))
    except WireError as error:
        command = Refuse(error.sqlstate, str(error))
    except BaseException:
        # Not yet anybody's: a client that stalls here would otherwise keep its connection.
        stream.transport.abort()
        raise
    match command:
        case Authenticate():
            return Client(stream, command.startup)
        case Cancel():
            return CancelWish(command.request, stream.transport.close)
        case Refuse():
            stream.say_goodbye(encode_error(command.sqlstate, command.message, hint=command.hint))
    raise Disconnected


async def _begins_with_tls(sock: socket.socket) -> bool:
    """Look at the first byte without taking it: the handshake needs it."""
    while (first := _peek(sock)) is None:
        await readable(sock)
    if not first:
        raise Disconnected
    return first[0] == _TLS_HANDSHAKE


def _peek(sock: socket.socket) -> bytes | None:
    """Return the next byte, nothing at the end of the stream, or None while neither has come."""
    try:
        return sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return None


def _refuse_early_bytes(sock: socket.socket) -> None:
    match _peek(sock):
        case None:
            return
        case b"":
            raise Disconnected
        case _:
            raise WireError("received unencrypted data after SSL request")


async def _read_first(sock: socket.socket) -> bytes:
    beginning = await _read_exactly(sock, _LENGTH_SIZE)
    if looks_like_header(beginning):
        raise WireError("a PROXY protocol header, from a network that proxy.behind does not name")
    length = int.from_bytes(beginning)
    check_startup_length(length)
    return await _read_exactly(sock, length - _LENGTH_SIZE)


async def _read_exactly(sock: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        try:
            # Most often it is here already, and a wait would cost more than all else.
            part = sock.recv(count - len(data))
        except BlockingIOError:
            await readable(sock)
            continue
        if not part:
            raise Disconnected
        data += part
    return bytes(data)


async def _send(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


async def _direct_tls(sock: socket.socket, context: ssl.SSLContext) -> MessageStream:
    """Without ALPN, something that was meant for another service could pass for ours.

    https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
    """
    stream = await _encrypted(sock, context)
    if stream.transport.get_extra_info("ssl_object").selected_alpn_protocol() != _ALPN:
        stream.transport.abort()
        raise Disconnected from WireError(f"TLS from the start, without the protocol {_ALPN}")
    return stream


async def _encrypted(sock: socket.socket, context: ssl.SSLContext) -> MessageStream:
    stream = MessageStream(MAX_SASL_LENGTH)
    await accept_tls(sock, context, stream)
    return stream


async def _plain(sock: socket.socket) -> MessageStream:
    stream = MessageStream(MAX_SASL_LENGTH)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: stream, sock)
    return stream
