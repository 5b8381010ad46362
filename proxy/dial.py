"""Opens and logs in a connection to a target."""

import asyncio
import socket
import ssl

from broker.domain.server import ServerAddress
from broker.tls import tls_context
from proxy.stream import Disconnected, MessageStream
from proxy.upstream import LoggedIn, Refused, Send, UpstreamLogin, Wait
from proxy.wire.framing import MAX_LOGIN_LENGTH
from proxy.wire.messages import (
    SSL_REQUEST,
    BackendKeyData,
    ServerError,
    encode_cancel,
    encode_startup,
)

_CONNECT_TIMEOUT_S = 5.0
_CANCEL_TIMEOUT_S = 5.0


class TargetDown(Exception):
    """The target cannot be reached, or not as securely as the settings want."""


class LoginRefused(Exception):
    """The target answered with an error, which the client may see."""

    def __init__(self, error: ServerError) -> None:
        super().__init__(f"{error.sqlstate} {error.message}")
        self.error = error


class Upstream:
    """Where a target is, with its TLS context made once."""

    def __init__(self, address: ServerAddress) -> None:
        self._address = address
        self._context = tls_context(address)

    async def log_in(
        self, login: UpstreamLogin, parameters: dict[str, str]
    ) -> "tuple[MessageStream, LoggedIn]":
        """Return a connection that is ready for queries. Raises TargetDown, LoginRefused,
        WireError or ScramError."""
        stream = await self._connect()
        try:
            stream.write(encode_startup(parameters))
            while True:
                match login.receive(await stream.next_frame()):
                    case Send(data):
                        stream.write(data)
                    case Wait():
                        pass
                    case LoggedIn() as logged_in:
                        return stream, logged_in
                    case Refused(error):
                        raise LoginRefused(error)
        except Disconnected as error:
            raise TargetDown("the target closed the connection during login") from error
        except BaseException:
            stream.transport.abort()
            raise

    async def cancel(self, key: BackendKeyData) -> None:
        """Ask the target to cancel what the connection with `key` is doing. It never answers."""
        async with asyncio.timeout(_CANCEL_TIMEOUT_S):
            stream = await self._connect()
            stream.write(encode_cancel(key))
            stream.transport.close()

    async def _connect(self) -> MessageStream:
        address, loop = self._address, asyncio.get_running_loop()
        stream = MessageStream(MAX_LOGIN_LENGTH)
        sock: socket.socket | None = None
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                sock = await _open_socket(address)
                if self._context is not None:
                    await _ask_for_tls(sock)
                await loop.create_connection(
                    lambda: stream,
                    sock=sock,
                    ssl=self._context,
                    server_hostname=address.host if self._context else None,
                )
        except (OSError, TimeoutError) as error:
            if sock is not None:
                sock.close()
            why = str(error) if isinstance(error, ssl.SSLError) else type(error).__name__
            raise TargetDown(f"cannot connect to {address.host}:{address.port}: {why}") from error
        return stream


async def _open_socket(address: ServerAddress) -> socket.socket:
    if address.host.startswith("/"):
        return await _connected(socket.AF_UNIX, f"{address.host}/.s.PGSQL.{address.port}")
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    failure: OSError | None = None
    for family, _type, _protocol, _name, where in found:
        try:
            return await _connected(family, where)
        except OSError as error:
            failure = error
    raise failure or OSError("the name has no address")


async def _connected(family: int, where: object) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await asyncio.get_running_loop().sock_connect(sock, where)  # type: ignore[arg-type]
    except BaseException:
        sock.close()
        raise
    return sock


async def _ask_for_tls(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, SSL_REQUEST)
    # Exactly one byte: anything sent along with it would be taken for encrypted data.
    answer = await loop.sock_recv(sock, 1)
    if answer != b"S":
        raise OSError("the target does not speak TLS, and the settings demand it")
