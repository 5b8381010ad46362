"""Bare sockets: waiting for them, and noticing that the other end is gone without a word."""

import asyncio
import socket

# A silent peer is asked after the idle time, then every interval, and given up after all probes.
_KEEPALIVE_IDLE_S = 60
_KEEPALIVE_INTERVAL_S = 15
_KEEPALIVE_PROBES = 4
# How long what was sent may go unacknowledged: keepalive asks only when nothing is under way.
_USER_TIMEOUT_MS = 120_000

# Not every platform has all of them.
_TCP_OPTIONS = (
    ("TCP_NODELAY", 1),
    ("TCP_KEEPIDLE", _KEEPALIVE_IDLE_S),
    ("TCP_KEEPINTVL", _KEEPALIVE_INTERVAL_S),
    ("TCP_KEEPCNT", _KEEPALIVE_PROBES),
    ("TCP_USER_TIMEOUT", _USER_TIMEOUT_MS),
)


def tune_socket(sock: socket.socket) -> None:
    """Send small messages at once, and give up on a peer that has vanished.

    Does nothing to a socket that is not TCP. Raises OSError if the peer has left already.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _TCP_OPTIONS:
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


async def readable(sock: socket.socket) -> None:
    """Wait until there is something to read or to accept, or the end."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock)


async def writable(sock: socket.socket) -> None:
    """Wait until there is room to write, or a connection is made, or has failed."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(sock)
