"""Whom a load balancer speaks for, read to the last byte and not beyond."""

import asyncio
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from proxy.real_address import read_source
from proxy.wire.proxy_header import MalformedProxyHeader

BALANCER = ip_address("10.0.0.1")
HEADER = b"PROXY TCP4 192.0.2.7 10.0.0.1 54321 7432\r\n"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far:
        yield near, far


async def test_what_follows_the_header_is_left_for_postgresql(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    near, far = ends
    far.sendall(HEADER + b"\0\0\0\x08")
    assert await read_source(near, BALANCER) == ip_address("192.0.2.7")
    assert near.recv(100) == b"\0\0\0\x08"


async def test_a_header_may_come_byte_by_byte(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read_source(near, BALANCER))
        for byte in HEADER:
            far.sendall(bytes([byte]))
            await asyncio.sleep(0)
    assert reading.result() == ip_address("192.0.2.7")


async def test_who_speaks_for_nobody_speaks_for_themselves(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    near, far = ends
    far.sendall(b"PROXY UNKNOWN\r\n")
    assert await read_source(near, BALANCER) == BALANCER


async def test_a_balancer_that_leaves_has_said_nothing(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    near, far = ends
    far.sendall(HEADER[:10])
    far.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionResetError):
        await read_source(near, BALANCER)


async def test_anything_else_is_no_header(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    far.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")
    with pytest.raises(MalformedProxyHeader):
        await read_source(near, BALANCER)
