"""Accepts clients, bounds how many, and drains when asked to stop."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable

from proxy.ipfilter import Address, peer_address

_BACKLOG = 1024
_MAX_CLIENTS = 20_000

_log = logging.getLogger(__name__)


def listen(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets that other workers may share. Raises OSError."""
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
        sock.bind(where)
        sock.listen(_BACKLOG)
        sockets.append(sock)
    return sockets


class Server:
    """Gives every client its own task. `serve` is told what to do with one."""

    def __init__(self, serve: Callable[[socket.socket, Address], Awaitable[None]]) -> None:
        self._serve = serve
        self._room = asyncio.Semaphore(_MAX_CLIENTS)
        self._clients: set[asyncio.Task[None]] = set()

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
        loop = asyncio.get_running_loop()
        while True:
            await self._room.acquire()
            try:
                sock, where = await loop.sock_accept(listener)
            except OSError as error:
                # Out of file descriptors, or the client left in between: others may still come.
                _log.warning("accept failed: %s", error)
                self._room.release()
                await asyncio.sleep(0.1)
                continue
            except BaseException:
                self._room.release()
                raise
            sock.setblocking(False)
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            client = clients.create_task(self._one(sock, peer_address(where[0])))
            self._clients.add(client)
            client.add_done_callback(self._clients.discard)

    async def _one(self, sock: socket.socket, address: Address) -> None:
        try:
            await self._serve(sock, address)
        except Exception:
            # One client must never take the others with it, however early it fails.
            _log.exception("serving a client failed")
            sock.close()
        finally:
            self._room.release()
