"""From an accepted socket to a client whose first real message is known.

Encryption is settled on the bare socket, with exact reads: whatever a client sends between its
SSLRequest and the handshake can then be seen and refused, and never ends up inside the encrypted
stream (CVE-2021-23214). Only then is there a transport.
"""

import asyncio
import socket
import ssl
from dataclasses import dataclass

from proxy.startup import Authenticate, Cancel, DeclineEncryption, Refuse, Startup, UpgradeToTls
from proxy.stream import Disconnected, MessageStream
from proxy.wire.errors import WireError
from proxy.wire.framing import MAX_SASL_LENGTH, check_startup_length
from proxy.wire.messages import StartupMessage, decode_first, encode_error

_TLS_HANDSHAKE = 0x16  # the content type that every TLS connection begins with
_LENGTH_SIZE = 4
_HANDSHAKE_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody who wants to log in: not authenticated yet."""

    stream: MessageStream
    startup: StartupMessage


async def open_client(
    sock: socket.socket, context: ssl.SSLContext | None, *, tls_required: bool
) -> Client | Cancel:
    """Return what the client wants. The socket belongs to the returned client's transport, or to
    the caller if there is none.

    Raises Disconnected when the client has left, or was refused and told so.
    """
    startup = Startup(tls_available=context is not None, tls_required=tls_required)
    try:
        if context is not None and await _begins_with_tls(sock):
            startup.encrypted_from_the_start()
            return await _go_on(startup, await _transport(sock, context))
        while True:
            body = await _read_first(sock)
            command = startup.receive(decode_first(body))
            match command:
                case Cancel():
                    return command
                case UpgradeToTls():
                    _refuse_early_bytes(sock)
                    await _send(sock, b"S")
                    return await _go_on(startup, await _transport(sock, context))
                case DeclineEncryption():
                    await _send(sock, b"N")
                case Refuse():
                    await _send(
                        sock, encode_error(command.sqlstate, command.message, hint=command.hint)
                    )
                    raise Disconnected
                case Authenticate():
                    return Client(await _transport(sock, None), command.startup)
    except WireError as error:
        await _send(sock, encode_error(error.sqlstate, str(error)))
        raise Disconnected from error
    except OSError as error:  # ssl.SSLError is one
        raise Disconnected from error


async def _go_on(startup: Startup, stream: MessageStream) -> Client | Cancel:
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
            stream.transport.close()
            return command
        case Refuse():
            stream.say_goodbye(encode_error(command.sqlstate, command.message, hint=command.hint))
    raise Disconnected


async def _begins_with_tls(sock: socket.socket) -> bool:
    """Look at the first byte without taking it: the handshake needs it."""
    await _readable(sock)
    first = sock.recv(1, socket.MSG_PEEK)
    if not first:
        raise Disconnected
    return first[0] == _TLS_HANDSHAKE


def _refuse_early_bytes(sock: socket.socket) -> None:
    try:
        early = sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return
    if early:
        raise WireError("received unencrypted data after SSL request")
    raise Disconnected


async def _read_first(sock: socket.socket) -> bytes:
    length = int.from_bytes(await _read_exactly(sock, _LENGTH_SIZE))
    check_startup_length(length)
    return await _read_exactly(sock, length - _LENGTH_SIZE)


async def _read_exactly(sock: socket.socket, count: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = bytearray()
    while len(data) < count:
        part = await loop.sock_recv(sock, count - len(data))
        if not part:
            raise Disconnected
        data += part
    return bytes(data)


async def _send(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock)


async def _transport(sock: socket.socket, context: ssl.SSLContext | None) -> MessageStream:
    stream = MessageStream(MAX_SASL_LENGTH)
    await asyncio.get_running_loop().connect_accepted_socket(
        lambda: stream,
        sock,
        ssl=context,
        ssl_handshake_timeout=_HANDSHAKE_TIMEOUT_S if context else None,
    )
    return stream
