"""Accepting clients: what one of them does to us stays between the two of us."""

import asyncio
import socket

from broker.domain.network import Address
from proxy.server import Server, listen


async def test_a_client_that_breaks_us_takes_nobody_with_it() -> None:
    async def serve(sock: socket.socket, _address: Address) -> None:
        loop = asyncio.get_running_loop()
        if await loop.sock_recv(sock, 1) == b"!":
            raise RuntimeError("nobody foresaw this")
        await loop.sock_sendall(sock, b"served")
        sock.close()

    listeners = listen("127.0.0.1", 0)
    port = listeners[0].getsockname()[1]
    async with asyncio.TaskGroup() as clients:
        accepting = clients.create_task(Server(serve).accept_all(listeners, clients))
        patient_reader, patient_writer = await asyncio.open_connection("127.0.0.1", port)
        breaking_reader, breaking_writer = await asyncio.open_connection("127.0.0.1", port)
        breaking_writer.write(b"!")
        assert await asyncio.wait_for(breaking_reader.read(), 10) == b""
        patient_writer.write(b"?")
        assert await asyncio.wait_for(patient_reader.read(), 10) == b"served"
        for writer in (patient_writer, breaking_writer):
            writer.close()
            await writer.wait_closed()
        accepting.cancel()
        for listener in listeners:
            listener.close()
