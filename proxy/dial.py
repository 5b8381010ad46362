"""Opens and logs in a connection to a target."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from broker.domain.credential import ClientKeys
from broker.domain.server import ServerAddress
from broker.tls import tls_context
from proxy.channel_binding import tls_server_end_point
from proxy.scram import NONCE_BYTES
from proxy.sockets import tune_socket, writable
from proxy.stream import Disconnected, MessageStream
from proxy.tls_transport import connect_tls
from proxy.upstream import LoggedIn, Refused, Send, UpstreamLogin, Wait
from proxy.wire.framing import MAX_LOGIN_LENGTH
from proxy.wire.messages import (
    SSL_REQUEST,
    BackendKeyData,
    ServerError,
    encode_cancel,
    encode_startup,
)

_CONNECT_TIMEOUT_S = 5.0  # from the name to the end of the TLS handshake
_CANCEL_TIMEOUT_S = 5.0


class TargetDown(Exception):
    """The target cannot be reached, or not as securely as the settings want. For operators."""


class LoginRefused(Exception):
    """The target answered with an error, which the client may see."""

    def __init__(self, error: ServerError) -> None:
        super().__init__(f"{error.sqlstate} {error.message}")
        self.error = error


@dataclass(frozen=True, slots=True)
class Place:
    """One address of a target, as sockets take it."""

    family: int
    address: str | tuple[Any, ...]

    def __str__(self) -> str:
        return self.address if isinstance(self.address, str) else str(self.address[0])


class Upstream:
    """Where a target is, with its TLS context made once."""

    def __init__(self, address: ServerAddress) -> None:
        self._address = address
        self._context = tls_context(address)

    async def log_in(
        self, keys: ClientKeys, parameters: dict[str, str]
    ) -> tuple[MessageStream, LoggedIn]:
        """Return a connection that is ready for queries. Raises TargetDown, LoginRefused,
        WireError or ScramError."""
        stream = await self._connect(None)
        try:
            login = UpstreamLogin(keys, os.urandom(NONCE_BYTES), _channel_binding(stream))
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
            raise self._down("it closed the connection during login") from error
        except BaseException:
            stream.transport.abort()
            raise

    async def cancel(self, key: BackendKeyData, session: MessageStream | None = None) -> None:
        """Ask the target to cancel what the connection with `key` is doing.

        It never answers, but closes the connection once it has sent its signals: two of them, so
        that a query which is begun before this returns may be hit by the second.

        `session` is that connection: of several servers behind one name only its own knows the key.
        Raises TargetDown or TimeoutError.
        """
        async with asyncio.timeout(_CANCEL_TIMEOUT_S):
            stream = await self._connect(None if session is None else _place_of(session))
            try:
                stream.write(encode_cancel(key))
                with suppress(Disconnected):
                    await stream.next_frame()
            except Disconnected as error:
                raise self._down("it closed the connection") from error
            finally:
                stream.transport.abort()

    async def _connect(self, place: Place | None) -> MessageStream:
        deadline = asyncio.get_running_loop().time() + _CONNECT_TIMEOUT_S
        places = [place] if place is not None else await self._find_places(deadline)
        sock = await self._open_socket(places, deadline)
        try:
            async with asyncio.timeout_at(deadline):
                return await self._talk(sock)
        except OSError as error:
            sock.close()
            raise self._down(self._why(error)) from error
        except BaseException:
            sock.close()
            raise

    async def _find_places(self, deadline: float) -> list[Place]:
        host, port = self._address.host, self._address.port
        if host.startswith("/"):
            return [Place(socket.AF_UNIX, f"{host}/.s.PGSQL.{port}")]
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(deadline):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise self._down("the name service does not answer") from error
        except OSError as error:
            raise self._down(f"the name cannot be resolved ({error.strerror})") from error
        return [Place(family, address) for family, _type, _protocol, _name, address in found]

    async def _open_socket(self, places: Sequence[Place], deadline: float) -> socket.socket:
        """Connect to the first place that answers; each has its share of the time that is left."""
        failures = []
        now = asyncio.get_running_loop().time
        for index, place in enumerate(places):
            share_s = (deadline - now()) / (len(places) - index)
            try:
                async with asyncio.timeout(share_s):
                    return await _connected(place)
            except OSError as error:  # TimeoutError is one
                failures.append(f"{place}: {self._why(error)}")
        raise self._down("; ".join(failures))

    async def _talk(self, sock: socket.socket) -> MessageStream:
        stream = MessageStream(MAX_LOGIN_LENGTH)
        if self._context is None:
            # Not create_connection, for the reason that connect_tls has.
            await asyncio.get_running_loop().connect_accepted_socket(lambda: stream, sock)
        else:
            await _ask_for_tls(sock)
            await connect_tls(sock, self._context, self._address.host, stream)
        return stream

    def _down(self, why: str) -> TargetDown:
        return TargetDown(f"cannot connect to {self._address.host}:{self._address.port}: {why}")

    def _why(self, error: OSError) -> str:
        match error:
            case ssl.SSLCertVerificationError():
                trusted = self._address.root_certificate or "the trust store of this system"
                why = error.verify_message.rstrip(".")
                return f"its certificate is not trusted: {why} (checked against {trusted})"
            case ssl.SSLError():
                return f"the TLS handshake failed: {error.reason or error}"
            case TimeoutError():
                return "no answer in time"
            case ConnectionResetError() | ConnectionAbortedError() | BrokenPipeError():
                return "it closed the connection"
            case _ if error.errno is not None:
                return os.strerror(error.errno)
            case _:
                return str(error)


def _channel_binding(stream: MessageStream) -> bytes | None:
    certificate = stream.peer_certificate()
    return tls_server_end_point(certificate) if certificate is not None else None


def _place_of(session: MessageStream) -> Place:
    sock: socket.socket = session.transport.get_extra_info("socket")
    return Place(sock.family, session.transport.get_extra_info("peername"))


async def _connected(place: Place) -> socket.socket:
    sock = socket.socket(place.family, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        tune_socket(sock)
        # Not the loop's sock_connect, which asks a thread to resolve what is resolved already.
        code = sock.connect_ex(place.address)
        if code == errno.EINPROGRESS:
            await writable(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock


async def _ask_for_tls(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, SSL_REQUEST)
    # Exactly one byte: anything sent along with it would be taken for encrypted data.
    match await loop.sock_recv(sock, 1):
        case b"S":
            return
        case b"":
            raise ConnectionResetError
        case b"N":
            raise OSError("it does not speak TLS, and the settings demand it")
        case _:
            raise OSError("its answer to our wish for TLS is not PostgreSQL's")
