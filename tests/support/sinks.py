"""Receivers of a copy of the record: syslog over TLS and HTTPS. They drop connections on demand."""

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.certificates import make_certificate


@dataclass
class Receiver:
    """`drops` says how many of the next connections or requests break after so many bytes; then
    they are taken. `lines` are those that were received whole."""

    port: int = 0
    root: Path = Path()
    drops: list[int] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answer: int = 200


@asynccontextmanager
async def run_syslog(folder: Path) -> AsyncIterator[Receiver]:
    receiver = Receiver()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if receiver.drops:
                await reader.read(receiver.drops.pop(0))
                writer.transport.abort()
                return
            while length := await reader.readuntil(b" "):
                frame = await reader.readexactly(int(length))
                receiver.frames.append(frame)
                receiver.lines.append(json.loads(frame[frame.index(b"{") :]))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    context = _context(folder, receiver)
    server = await asyncio.start_server(receive, "127.0.0.1", 0, ssl=context)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver


@contextmanager
def run_mute(folder: Path) -> Iterator[Receiver]:
    """A receiver of bytes that closes without TLS's goodbye. Those of a connection are a frame; it
    does not wait for the end of those that it `drops`."""
    receiver = Receiver()
    context = _context(folder, receiver)
    listener = socket.create_server(("127.0.0.1", 0))
    receiver.port = listener.getsockname()[1]

    def receive() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with context.wrap_socket(plain, server_side=True) as connection:
                if receiver.drops:
                    connection.recv(receiver.drops.pop())
                    continue
                received = b""
                while data := connection.recv(65_536):
                    received += data
                receiver.frames.append(received)

    thread = threading.Thread(target=receive)
    thread.start()
    try:
        yield receiver
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@asynccontextmanager
async def run_https(folder: Path) -> AsyncIterator[Receiver]:
    receiver = Receiver()

    async def receive(request: web.Request) -> web.Response:
        if receiver.drops:
            await request.content.read(receiver.drops.pop(0))
            assert request.transport is not None
            request.transport.abort()
            return web.Response()  # which nobody gets
        body = await request.read()
        receiver.headers.append(dict(request.headers))
        if receiver.answer == 200:
            receiver.lines += [json.loads(line) for line in body.splitlines()]
        return web.Response(status=receiver.answer, headers={"Location": "/elsewhere"})

    app = web.Application(client_max_size=1 << 25)
    app.router.add_post("/ingest", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=_context(folder, receiver))
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()


def _context(folder: Path, receiver: Receiver) -> ssl.SSLContext:
    files = make_certificate(folder)
    receiver.root = files.root
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context
