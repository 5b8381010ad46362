"""Receivers of a copy of the record: syslog over TLS and HTTPS. They drop connections on demand."""

import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
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


@contextmanager
def run_syslog(folder: Path) -> Iterator[Receiver]:
    """It answers TLS's goodbye when it has read everything, and not of those that it `drops`."""
    receiver = Receiver()

    def receive(connection: ssl.SSLSocket) -> None:
        if receiver.drops:
            connection.recv(receiver.drops.pop(0) or 1)
            return
        received = _until_goodbye(connection)
        while received:
            length, _, received = received.partition(b" ")
            frame, received = received[: int(length)], received[int(length) :]
            receiver.frames.append(frame)
            receiver.lines.append(json.loads(frame[frame.index(b"{") :]))
        connection.unwrap()

    with _listening(folder, receiver, receive):
        yield receiver


@contextmanager
def run_mute(folder: Path) -> Iterator[Receiver]:
    """A receiver of bytes that closes without TLS's goodbye. Those of a connection are a frame; it
    does not wait for the end of those that it `drops`."""
    receiver = Receiver()

    def receive(connection: ssl.SSLSocket) -> None:
        if receiver.drops:
            connection.recv(receiver.drops.pop())
        else:
            receiver.frames.append(_until_goodbye(connection))

    with _listening(folder, receiver, receive):
        yield receiver


def _until_goodbye(connection: ssl.SSLSocket) -> bytes:
    received = b""
    while data := connection.recv(65_536):
        received += data
    return received


@contextmanager
def _listening(
    folder: Path, receiver: Receiver, receive: Callable[[ssl.SSLSocket], None]
) -> Iterator[None]:
    """In a thread, with sockets that do nothing by themselves: an event loop's TLS would answer a
    goodbye before anybody has looked at what came with it."""
    context = _context(folder, receiver)
    listener = socket.create_server(("127.0.0.1", 0))
    receiver.port = listener.getsockname()[1]

    def accept_all() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
                receive(connection)

    thread = threading.Thread(target=accept_all)
    thread.start()
    try:
        yield
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
