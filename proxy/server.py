"""Accepts clients, bounds how many, and drains when asked to stop."""

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine

from broker.domain.network import Address
from proxy.ipfilter import peer_address
from proxy.sockets import readable, tune_socket

_BACKLOG = 1024
_MAX_CLIENTS = 20_000
_ACCEPTED_AT_ONCE = 64
_AFTER_FAILURE_S = 0.1
_COMPLAINTS_EVERY_S = 10.0

_log = logging.getLogger(__name__)


def listen(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets that other workers may share. Raises OSError."""
    sockets = bind(host, port)
    for sock in sockets:
        sock.listen(_BACKLOG)
    return sockets


def bind(host: str, port: int) -> list[socket.socket]:
    """Return sockets that have the address, to which nobody can connect yet. Raises OSError."""
    sockets = []
    for family, kind, protocol, _name, where in socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        tune_socket(sock)  # whoever is accepted inherits it
        sock.bind(where)
        sockets.append(sock)
    return sockets


class Server:
    """Gives every client its own task. `receive` looks at a connection and returns what serves it,
    or None if it has closed it: whoever is turned away costs no task."""

    def __init__(
        self, receive: Callable[[socket.socket, Address], Coroutine[None, None, None] | None]
    ) -> None:
        self._receive = receive
        self._room = asyncio.Semaphore(_MAX_CLIENTS)
        self._clients: set[asyncio.Task[None]] = set()
        self._quiet_until = 0.0

    async def accept_all(self, listeners: list[socket.socket], clients: asyncio.TaskGroup) -> None:
        """Accept until cancelled; the clients live on in their own task group."""
        async with asyncio.TaskGroup() as tasks:
            for listener in listeners:
                tasks.create_task(self._accept(listener, clients))

    async def send_away(self, patience_s: float) -> None:
        """Wait for the clients to leave, and cut off those who have not after `patience_s`."""
        if self._clients:
            _done, staying = await asyncio.wait(self._clients, timeout=patience_s)
            for client in staying:
                client.cancel()

    async def _accept(self, listener: socket.socket, clients: asyncio.TaskGroup) -> None:
        while True:
            await readable(listener)
            # Many at once: to wait for each costs more than to turn it away. Then the others' turn.
            for _ in range(_ACCEPTED_AT_ONCE):
                await self._room.acquire()
                client = None
                try:
                    sock, where = listener.accept()
                    client = self._welcome(sock, peer_address(where[0]), clients)
                except BlockingIOError:
                    break
                except OSError as error:
                    # Out of file descriptors, or the client left in between: others may still come.
                    self._complain(error)
                    await asyncio.sleep(_AFTER_FAILURE_S)
                    break
                finally:
                    if client is None:
                        self._room.release()
            else:
                await asyncio.sleep(0)

    def _complain(self, error: OSError) -> None:
        """Say that nobody can be accepted, but not ten times a second."""
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until:
            self._quiet_until = now + _COMPLAINTS_EVERY_S
            _log.warning("accept failed: %s", error)

    def _welcome(
        self, sock: socket.socket, address: Address, clients: asyncio.TaskGroup
    ) -> asyncio.Task[None] | None:
        sock.setblocking(False)
        serving = self._receive(sock, address)
        if serving is None:
            return None
        client = clients.create_task(self._one(sock, serving))
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)
        return client

    async def _one(self, sock: socket.socket, serving: Coroutine[None, None, None]) -> None:
        try:
            await serving
        except Exception:
            # One client must never take the others with it, however early it fails.
            _log.exception("serving a client failed")
            sock.close()
        finally:
            self._room.release()
